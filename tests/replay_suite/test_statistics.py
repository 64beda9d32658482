"""The mathematics of suites against values from the literature, from R and from SciPy 1.17 (`scipy.stats`), typed here."""

from __future__ import annotations

import random

import pytest

from otel_llm.replay.suite.statistics import (
    Interval,
    change,
    difference,
    holm,
    least,
    mcnemar,
    rise_of_medians,
    rise_of_totals,
    wilcoxon,
    wilson,
)

HOLLANDER = [(1.83, 0.878), (0.50, 0.647), (1.62, 0.598), (2.48, 2.05), (1.68, 1.06), (1.88, 1.29), (1.55, 1.06), (3.06, 3.14),
             (1.30, 1.29)]
"""Depression scores before and after a therapy: Hollander and Wolfe (1973), 29 ff., the example of R's `wilcox.test`."""
DARWIN = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
"""Heights of cross- and self-fertilised corn: Darwin (1876), the example of `scipy.stats.wilcoxon`."""


class TestPassRates:
    @pytest.mark.parametrize(("passed", "of", "low", "high"), [
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)])
    def test_the_interval_is_that_of_newcombe_1998_method_3(self, passed: int, of: int, low: float, high: float) -> None:
        found = wilson(passed, of)

        assert (round(found.low, 4), round(found.high, 4)) == (low, high)

    def test_of_no_answers_nothing_is_known(self) -> None:
        assert wilson(0, 0) == Interval(0.0, 1.0)

    def test_it_takes_73_answers_without_a_fault_to_be_above_95_percent(self) -> None:
        assert least(lambda count: wilson(count, count).low > 0.95) == 73


class TestPairsThatPassAndFail:
    @pytest.mark.parametrize(("lost", "won", "p"), [(1, 7, 0.0703), (6, 16, 0.0525)], ids=["Bentur 2009", "Cavo 2012"])
    def test_the_p_value_is_that_of_fagerland_lydersen_and_laake_2013(self, lost: int, won: int, p: float) -> None:
        assert (round(mcnemar(lost, won), 4), round(mcnemar(won, lost), 4)) == (p, p)

    def test_large_counts_are_exact_too(self) -> None:
        """`scipy.stats.binomtest(300, 700).pvalue`, and 2 · 2⁻²⁵."""
        assert mcnemar(400, 300) == pytest.approx(0.0001784763144856244, rel=1e-12)
        assert mcnemar(25, 0) == 2 * 2.0**-25

    def test_without_a_pair_that_differs_there_is_no_difference(self) -> None:
        assert (mcnemar(0, 0), mcnemar(1, 1)) == (1.0, 1.0)

    @pytest.mark.parametrize(("lost", "won", "of", "low", "high"), [
        (7, 1, 21, -0.517, -0.026), (16, 6, 161, -0.124, -0.005)], ids=["Bentur 2009", "Cavo 2012"])
    def test_the_interval_of_the_difference_is_that_of_tango_1998(
        self, lost: int, won: int, of: int, low: float, high: float
    ) -> None:
        """Data and limits: Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014) 2850."""
        found, mirrored = difference(lost, won, of), difference(won, lost, of)

        assert (round(found.low, 3), round(found.high, 3)) == (low, high)
        assert (mirrored.low, mirrored.high) == (pytest.approx(-found.high), pytest.approx(-found.low))

    def test_the_interval_is_what_the_constrained_likelihood_gives(self) -> None:
        """Limits by `scipy.optimize` on the likelihood itself; without pairs that differ z²/(n + z²) on either side."""
        found, none, all_lost = difference(20, 40, 160), difference(0, 0, 50), difference(50, 0, 50)

        assert (found.low, found.high) == (pytest.approx(0.0308645, abs=1e-6), pytest.approx(0.2180642, abs=1e-6))
        assert (none.low, none.high) == (pytest.approx(-0.0713476, abs=1e-6), pytest.approx(0.0713476, abs=1e-6))
        assert (all_lost.low, all_lost.high) == (-1.0, pytest.approx(-0.8573048, abs=1e-6))


class TestFigures:
    def test_the_signed_rank_test_is_that_of_r(self) -> None:
        """R: `wilcox.test(x, y, paired = TRUE, alternative = "greater")`, V = 40, p-value = 0.01953; both sides are twice that."""
        assert wilcoxon([x - y for x, y in HOLLANDER]) == 2 * 0.01953125

    def test_the_signed_rank_test_is_that_of_scipy(self) -> None:
        assert wilcoxon(DARWIN) == 0.041259765625

    def test_zeros_are_left_out_and_ties_are_counted(self) -> None:
        """Of the 2⁴ signs of 1, 1, 1, 2 none makes a smaller sum than all positive ones: p = 2/16."""
        assert wilcoxon([1, 1, 1, 2, 0, 0]) == 0.125
        assert wilcoxon([0, 0]) is None

    def test_many_differences_are_taken_to_be_normal(self) -> None:
        """`scipy.stats.wilcoxon(d, correction=True, method="asymptotic").pvalue`, zeros dropped before."""
        chance = random.Random(1)
        for count in (8, 20, 49, 50, 51):
            [chance.randint(-8, 12) for _ in range(count)]

        assert wilcoxon([chance.randint(-8, 12) for _ in range(200)]) == pytest.approx(0.0015140424108317748, rel=1e-9)

    def test_the_bootstrap_is_near_that_of_scipy_and_the_same_each_time(self) -> None:
        """`scipy.stats.bootstrap(…, paired=True, method="percentile", n_resamples=2000)`: (0.120, 0.410) and (−0.027, 0.350)."""
        chance = random.Random(2)
        pairs = [(x := chance.lognormvariate(0, 1), x * chance.lognormvariate(0.1, 0.3)) for _ in range(60)]

        totals, medians = change(pairs, rise_of_totals), change(pairs, rise_of_medians)

        assert totals is not None and medians is not None
        assert (totals[0], totals[1].low, totals[1].high) == (
            pytest.approx(0.27138, abs=1e-5), pytest.approx(0.120, abs=0.02), pytest.approx(0.410, abs=0.02))
        assert (medians[0], medians[1].low, medians[1].high) == (
            pytest.approx(0.15447, abs=1e-5), pytest.approx(-0.027, abs=0.02), pytest.approx(0.350, abs=0.02))
        assert change(pairs, rise_of_totals) == totals

    def test_a_rise_from_nothing_is_not_known(self) -> None:
        assert (change([(0.0, 1.0)] * 9, rise_of_totals), change([], rise_of_medians)) == (None, None)


class TestManyComparisons:
    def test_the_correction_is_that_of_r(self) -> None:
        """R: `p.adjust(p, "holm")`."""
        assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
        assert holm([0.04, 0.001, 0.2, 0.02]) == pytest.approx([0.08, 0.004, 0.2, 0.06])
        assert holm([]) == []


class TestHowManyAreNeeded:
    def test_it_is_the_least_number(self) -> None:
        assert [least(lambda n, at=at: n >= at) for at in (1, 2, 3, 100, 1000)] == [1, 2, 3, 100, 1000]  # type: ignore[misc]

    def test_no_number_is_none(self) -> None:
        assert least(lambda n: False, most=5000) is None
