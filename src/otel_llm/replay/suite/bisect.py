"""The first variant, in a given order, in which a check begins to fail.

Variants are taken to be good up to some place and bad from there on. Halving the rest each time, n variants take at most
⌈log₂(n + 1)⌉ questions, the first and the last included: a history in which nothing fails, or everything, is found as well.

Models answer by chance, so that a variant is asked as often as it takes: some answers first, twice as many when the interval of
the pass rate still holds the threshold, up to a limit. Beyond it the variant is unclear, and so is where it began. The chance
to be wrong about a variant is alpha over all looks together (Bonferroni: each look gets its share), however early it stops.
A variant of whose first answers not one could be judged is unclear at once: more of them would cost and say no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from otel_llm.replay.suite.results import Reasons, reasons_json
from otel_llm.replay.suite.statistics import Interval, least, wilson

FIRST = 8
"""How often a variant is asked at first."""
USUAL = 64
"""How often it is asked at most, where the threshold does not take more."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many answers passed, of how many that were judged, and why others were not."""

    passed: int
    of: int
    undecided: Reasons = ()


Sample = Callable[[int], Tally]
"""Ask so often in all; gives what all answers so far come to."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A variant that was asked: `asked` so often, `of` answers were judged and so many `passed`; `undecided` says why not all."""

    place: int
    verdict: Literal["good", "bad", "unclear"]
    passed: int
    of: int
    asked: int
    interval: Interval
    undecided: Reasons = ()

    def as_json(self) -> dict[str, Any]:
        return {"verdict": self.verdict, "passed": self.passed, "of": self.of, "rate": self.passed / self.of if self.of else None,
                "low": self.interval.low, "high": self.interval.high, "asked": self.asked,
                "undecided": reasons_json(self.undecided)}


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to. `first_bad` is a place, the number of variants when none is bad, None when it is unclear."""

    first_bad: int | None
    seen: tuple[Seen, ...]

    @property
    def unclear(self) -> Seen | None:
        """The variant of which nobody can say."""
        return next((each for each in self.seen if each.verdict == "unclear"), None)


def first_bad(count: int, ask: Callable[[int], Seen]) -> Found:
    """Search `count` variants for the first bad one."""
    seen: list[Seen] = []
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        seen.append(ask(middle))
        if seen[-1].verdict == "unclear":
            return Found(None, tuple(seen))
        low, high = (middle + 1, high) if seen[-1].verdict == "good" else (low, middle)
    return Found(low, tuple(seen))


def questions(count: int) -> int:
    """How many variants a search of so many asks at most."""
    return math.ceil(math.log2(count + 1))


def looks(most: int) -> Sequence[int]:
    """How often a variant has been asked at each look."""
    sizes = [min(FIRST, most)]
    while sizes[-1] < most:
        sizes.append(min(2 * sizes[-1], most))
    return sizes


def enough(threshold: float, alpha: float) -> int:
    """How often is enough for variants that are clearly good or bad: twice what a variant without any fault takes."""
    def takes(level: float) -> int | None:
        return least(lambda count: wilson(count, count, level).low > threshold and wilson(0, count, level).high < threshold)

    most = USUAL
    while (best := takes(1 - alpha / len(looks(most)))) is not None and 2 * best > most:
        most *= 2
    return most


def judge(place: int, sample: Sample, threshold: float, alpha: float, most: int) -> Seen:
    """Ask a variant until its pass rate is clearly above the threshold or below it, at most so often.

    Where nothing of the first batch can be judged, it is asked no more.
    """
    sizes = looks(most)
    level = 1 - alpha / len(sizes)
    for size in sizes:
        found = sample(size)
        interval = wilson(found.passed, found.of, level)
        seen = Seen(place, "unclear", found.passed, found.of, size, interval, found.undecided)
        if interval.low > threshold:
            return replace(seen, verdict="good")
        if interval.high < threshold:
            return replace(seen, verdict="bad")
        if not found.of:
            break
    return seen
