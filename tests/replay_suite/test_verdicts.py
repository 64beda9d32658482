"""What rules say of answers: passed, regressed, or how many more it takes."""

from __future__ import annotations

import pytest

from otel_llm.replay.suite.definition import Rules
from otel_llm.replay.suite.readings import Reading, State
from otel_llm.replay.suite.results import Finding
from otel_llm.replay.suite.statistics import wilson
from otel_llm.replay.suite.verdicts import (
    corrected,
    difference_of,
    figures_of,
    findings_of,
    paired,
    rate_of,
    verdict_of,
    worst_of,
)
from otel_llm.values.journal import CallKey


def findings(rules: Rules, *pairs: tuple[State, State, int], figures: list[tuple[float, float]] | None = None) -> list[Finding]:
    """The findings on so many pairs of states (baseline, variant), with costs where they are given."""
    states = [(old, new) for old, new, count in pairs for _ in range(count)]
    costs = figures_of([(Reading("passed", {}, {"cost": old}), Reading("passed", {}, {"cost": new})) for old, new in figures or []],
                       rules.level)
    found, worst = difference_of(states, rules.level), difference_of(worst_of(states), rules.level)
    return findings_of(rules, rate_of((new for _, new in states), rules.level), found, worst, costs)


def said(found: list[Finding]) -> list[tuple[str, str, int | None]]:
    return [(each.rule, each.verdict, each.needed) for each in found]


class TestAgainstTheBaseline:
    def test_a_variant_that_loses_many_calls_regressed(self) -> None:
        assert said(findings(Rules(), ("passed", "passed", 25), ("passed", "failed", 25))) == [
            ("max_pass_rate_drop", "regressed", None)]

    def test_a_variant_that_loses_none_passes_when_there_are_calls_enough(self) -> None:
        """The interval of no difference in n pairs reaches z²/(n + z²) down: below a tenth from 35 pairs on."""
        assert said(findings(Rules(), ("passed", "passed", 35))) == [("max_pass_rate_drop", "pass", None)]
        assert said(findings(Rules(), ("passed", "passed", 34))) == [("max_pass_rate_drop", "inconclusive", 35)]

    def test_a_small_loss_that_is_surely_within_what_is_allowed_passes_though_it_is_significant(self) -> None:
        (found,) = findings(Rules(), ("passed", "passed", 980), ("passed", "failed", 20))

        assert (found.verdict, found.value) == ("pass", -0.02)

    def test_few_losses_are_inconclusive_and_it_is_said_how_many_answers_would_tell(self) -> None:
        """Four of 20 lost: exactly, six losses and no win are the least that is below 5 %, so about 28 answers."""
        assert said(findings(Rules(), ("passed", "passed", 16), ("passed", "failed", 4))) == [
            ("max_pass_rate_drop", "inconclusive", 28)]

    def test_pairs_in_which_either_side_is_unknown_are_left_out_but_must_not_decide(self) -> None:
        (found,) = findings(Rules(), ("passed", "passed", 50), ("passed", "unknown", 5), ("silent", "failed", 3))

        assert (found.verdict, found.unknown, found.value) == ("inconclusive", 5, 0.0)
        assert findings(Rules(), ("passed", "passed", 500), ("passed", "unknown", 5))[0].verdict == "pass"

    def test_without_pairs_nothing_can_be_said(self) -> None:
        assert said(findings(Rules(), ("unknown", "unknown", 9))) == [("max_pass_rate_drop", "inconclusive", None)]

    def test_p_values_are_corrected_for_the_number_of_variants(self) -> None:
        lost = difference_of([("passed", "failed")] * 6, 0.95)

        one, three = corrected([lost]), corrected([lost, None, lost, lost])

        assert [each and each.p_adjusted for each in one] == [0.03125]
        assert [each and each.p_adjusted for each in three] == [0.09375, None, 0.09375, 0.09375]


class TestPassRate:
    RULES = Rules(min_pass_rate=0.9, max_pass_rate_drop=1.0)

    @pytest.mark.parametrize(("passed", "failed", "verdict", "needed"), [
        (100, 0, "pass", None), (20, 0, "inconclusive", 35), (50, 50, "regressed", None), (90, 10, "inconclusive", None)])
    def test_it_is_held_against_the_whole_interval(self, passed: int, failed: int, verdict: str, needed: int | None) -> None:
        found = findings(self.RULES, ("passed", "passed", passed), ("passed", "failed", failed))[1]

        assert (found.rule, found.verdict, found.needed) == ("min_pass_rate", verdict, needed)
        assert found.interval == wilson(passed, passed + failed)

    def test_it_passes_only_if_it_would_with_all_unknown_answers_failed(self) -> None:
        found = findings(self.RULES, ("passed", "passed", 100), ("passed", "unknown", 10))[1]

        assert (found.verdict, found.unknown) == ("inconclusive", 10)


class TestFigures:
    RULES = Rules(max_cost_increase=0.2, max_pass_rate_drop=1.0)

    def test_a_rise_within_what_is_allowed_passes(self) -> None:
        found = findings(self.RULES, ("passed", "passed", 9), figures=[(100.0, 110.0 + n) for n in range(9)])[1]

        assert (found.rule, found.verdict, found.value) == ("max_cost_increase", "pass", pytest.approx(0.14))

    def test_a_rise_above_it_regressed(self) -> None:
        assert findings(self.RULES, ("passed", "passed", 9), figures=[(100.0, 150.0 + n) for n in range(9)])[1].verdict == "regressed"

    def test_a_rise_around_it_is_inconclusive(self) -> None:
        found = findings(self.RULES, ("passed", "passed", 8), figures=[(100.0, 100.0), (100.0, 144.0)] * 4)[1]

        assert (found.verdict, found.value) == ("inconclusive", pytest.approx(0.22))
        assert found.needed is not None and 200 < found.needed < 2000

    def test_of_too_few_pairs_nothing_is_said(self) -> None:
        found = findings(self.RULES, ("passed", "passed", 5), figures=[(100.0, 100.0)] * 5)[1]

        assert (found.verdict, found.value, found.needed) == ("inconclusive", None, 6)

    def test_an_unknown_price_is_no_price(self) -> None:
        found = findings(self.RULES, ("passed", "passed", 50))[1]

        assert (found.verdict, found.value, found.needed) == ("inconclusive", None, None)


def test_the_worst_that_a_rule_says_is_the_verdict() -> None:
    made = {name: Finding("rule", name, 0.0) for name in ("pass", "inconclusive", "regressed")}  # type: ignore[arg-type]

    assert verdict_of([made["pass"], made["inconclusive"], made["regressed"]]) == "regressed"
    assert verdict_of([made["pass"], made["inconclusive"]]) == "inconclusive"
    assert verdict_of([made["pass"]]) == "pass"


def test_samples_are_paired_by_their_number_and_a_recording_has_one() -> None:
    variant = {CallKey("a", n): Reading("passed") for n in range(3)}

    assert len(paired({CallKey("a", 0): Reading("failed")}, variant)) == 1
    assert len(paired({CallKey("a", n): Reading("failed") for n in range(2)}, variant)) == 2
