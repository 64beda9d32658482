"""The search for the first variant that fails: few questions, and no answer where chance forbids one."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from otel_llm.replay.suite.bisect import Seen, Tally, enough, first_bad, judge, looks, questions
from otel_llm.replay.suite.statistics import Interval, wilson


def seen(place: int, verdict: str) -> Seen:
    return Seen(place, verdict, 0, 0, 0, Interval(0.0, 1.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 33, 100])
def test_the_first_bad_one_is_found_wherever_it_is_in_log_2_questions(count: int) -> None:
    for bad in range(count + 1):
        found = first_bad(count, lambda place, bad=bad: seen(place, "good" if place < bad else "bad"))  # type: ignore[misc]

        assert found.first_bad == bad
        assert len(found.seen) <= questions(count) == math.ceil(math.log2(count + 1))
        around = {place for place in (bad - 1, bad) if 0 <= place < count}
        assert around <= {each.place for each in found.seen}


def test_an_unclear_one_ends_the_search() -> None:
    found = first_bad(7, lambda place: seen(place, "unclear" if place == 5 else "good"))

    assert (found.first_bad, [each.place for each in found.seen], found.unclear) == (None, [3, 5], seen(5, "unclear"))


def test_it_looks_after_twice_as_many_each_time() -> None:
    assert [list(looks(most)) for most in (1, 8, 64, 100)] == [[1], [8], [8, 16, 32, 64], [8, 16, 32, 64, 100]]


def sampler(rate: float, seed: int) -> tuple[Callable[[int], Tally], list[bool]]:
    """A model that passes so often."""
    chance = random.Random(seed)
    answers: list[bool] = []

    def sample(size: int) -> Tally:
        answers.extend(chance.random() < rate for _ in range(size - len(answers)))
        return Tally(sum(answers), len(answers))

    return sample, answers


def test_a_clear_variant_is_asked_a_few_times_and_a_doubtful_one_up_to_the_limit() -> None:
    clear, few = sampler(1.0, 0)
    near, many = sampler(0.52, 0)

    assert judge(0, clear, 0.5, 0.05, 64).verdict == "good"
    assert judge(0, near, 0.5, 0.05, 64).verdict == "unclear"
    assert (len(few), len(many)) == (8, 64)


def test_a_variant_of_which_nothing_can_be_judged_is_asked_no_more() -> None:
    sizes: list[int] = []

    def sample(size: int) -> Tally:
        sizes.append(size)
        return Tally(0, 0, (("it raised", size),))

    found = judge(0, sample, 0.5, 0.05, 64)

    assert (found.verdict, found.asked, found.undecided, sizes) == ("unclear", 8, (("it raised", 8),), [8])


def test_all_looks_together_are_wrong_no_more_often_than_alpha() -> None:
    """A pass rate at the threshold is the worst case: any verdict is wrong. A thousand models, on either side."""
    verdicts = [judge(0, sampler(0.5, seed)[0], 0.5, 0.05, 64).verdict for seed in range(1000)]

    assert sum(verdict != "unclear" for verdict in verdicts) <= 50


@pytest.mark.parametrize(("threshold", "most"), [(0.5, 64), (0.9, 128), (0.95, 512), (0.05, 512)])
def test_the_limit_is_enough_for_a_variant_without_any_fault(threshold: float, most: int) -> None:
    level = 1 - 0.05 / len(looks(most))

    assert enough(threshold, 0.05) == most
    assert wilson(most // 2, most // 2, level).low > threshold and wilson(0, most // 2, level).high < threshold
