"""A bisect as lines and as JSON: where a check begins to fail, and what was seen of the variants that were asked.

The JSON is public:

    {"suite", "run", "check", "threshold", "alpha", "outcome": "found" | "all good" | "all bad" | "inconclusive",
     "last_good": name | null, "first_bad": name | null, "calls", "cost_pico_usd",
     "variants": [{"name", "verdict": "good" | "bad" | "unclear", "passed", "of", "rate", "low", "high", "asked",
                   "undecided": [{"reason", "count"}], "order"} | {"name"}]}

Variants that were not asked have their name alone; `order` says which was asked first, `undecided` why answers could not be
judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from otel_llm.replay.suite.bisect import Found, Seen
from otel_llm.report.suite_lines import USUAL_WIDTH, hundred, undecided_text, wrapped
from otel_llm.text import numbers
from otel_llm.text.lines import Line
from otel_llm.text.safe import line
from otel_llm.text.table import Column, aligned

STYLES = {"good": "ok", "bad": "error", "unclear": "recovered"}


@dataclass(frozen=True, slots=True)
class Bisect:
    """What a bisect came to. `names` are the variants in their order; `cost` is in pico-USD."""

    suite: str
    run_id: str
    check: str
    threshold: float
    alpha: float
    names: Sequence[str]
    found: Found
    calls: int
    cost: int

    @property
    def outcome(self) -> str:
        place = self.found.first_bad
        if place is None:
            return "inconclusive"
        return "all bad" if place == 0 else "all good" if place == len(self.names) else "found"

    @property
    def first_bad(self) -> str | None:
        place = self.found.first_bad
        return None if place is None or place == len(self.names) else self.names[place]

    @property
    def last_good(self) -> str | None:
        place = self.found.first_bad
        return None if not place else self.names[place - 1]

    @property
    def exit_code(self) -> int:
        """0 when nothing fails, 1 when a variant does, 3 when nobody can say where it begins."""
        return {"all good": 0, "inconclusive": 3}.get(self.outcome, 1)

    def as_json(self) -> dict[str, Any]:
        """The value in the shape above."""
        seen = {each.place: {**each.as_json(), "order": order} for order, each in enumerate(self.found.seen, 1)}
        return {
            "suite": self.suite, "run": self.run_id, "check": self.check, "threshold": self.threshold, "alpha": self.alpha,
            "outcome": self.outcome, "last_good": self.last_good, "first_bad": self.first_bad, "calls": self.calls,
            "cost_pico_usd": self.cost,
            "variants": [{"name": name, **seen.get(place, {})} for place, name in enumerate(self.names)]}


def bisect_lines(result: Bisect, *, width: int | None = None) -> Iterator[Line]:
    """All of a bisect, as wide as the terminal is."""
    room = width or USUAL_WIDTH
    yield from wrapped([(headline(result), "bold")], room, "  ")
    asked = f"{len(result.found.seen)} of {numbers.plural(len(result.names), 'variant')} asked"
    about = (f"{asked}, {numbers.plural(result.calls, 'call')}, {numbers.cost(result.cost)}; bad is below "
             f"{hundred(result.threshold)} %, with {100 * (1 - result.alpha):g} % confidence; run {result.run_id}")
    yield from wrapped([(about, "dim")], room, "  ")
    yield []
    yield from aligned(sorted(result.found.seen, key=lambda seen: seen.place), _columns(result), room)


def headline(result: Bisect) -> str:
    """What it came to, in a sentence."""
    check, first, last = line(result.check), line(result.first_bad or ""), line(result.last_good or "")
    match result.outcome:
        case "found":
            return f"{check} begins to fail at {first}; {last} is good."
        case "all bad":
            return f"{check} fails in {first} already, the first variant."
        case "all good":
            left = len(result.names) - len(result.found.seen)
            rest = f" Not asked: {numbers.plural(left, 'earlier variant')}." if left else ""
            return f"{check} does not fail in {last}, the last variant.{rest}"
    seen = result.found.unclear
    name = line(result.names[seen.place]) if seen is not None else ""
    judged, why = (seen.of, why_text(seen)) if seen is not None else (0, "")
    if not judged:
        return (f"Inconclusive: {check} could judge no answer of {name} ({why or 'there is nothing that it looks at'}). No more "
                "was asked. When the check is right, go on with --resume, which asks nothing again.")
    return (f"Inconclusive: after {numbers.plural(judged, 'answer')} nobody can say on which side of {hundred(result.threshold)} "
            f"% {name} is{f' ({why})' if why else ''}. Raise --max-samples, or move --threshold.")


def passed_text(seen: Seen) -> str:
    """`7 of 8 passed, 1 undecided: it raised …`."""
    return ", ".join(filter(None, (f"{seen.passed} of {seen.of} passed", why_text(seen))))


def why_text(seen: Seen) -> str:
    """Why answers of a variant could not be judged; nothing when all could."""
    undecided = sum(count for _, count in seen.undecided)
    return undecided_text(undecided, seen.undecided) if undecided else ""


def _columns(result: Bisect) -> list[Column[Seen]]:
    def column(name: str, title: str, shown: Any, **more: Any) -> Column[Seen]:
        return Column(name, title, shown, shown, **more)

    def passed(seen: Seen) -> str:
        rate = numbers.UNKNOWN if not seen.of else f"{hundred(seen.passed / seen.of)} %"
        return f"{rate} ({hundred(seen.interval.low)}–{hundred(seen.interval.high)})"

    return [
        column("variant", "VARIANT", lambda seen: result.names[seen.place], grows=True),
        column("passed", "PASSED", passed),
        column("answers", "ANSWERS", lambda seen: numbers.count(seen.of), is_right=True, keep=1),
        column("verdict", "VERDICT", lambda seen: seen.verdict, style=lambda seen: STYLES[seen.verdict]),
    ]
