"""What a suite came to: the one value that its reports are made from. The JSON (`SuiteResult.as_json`) is public:

    {"suite", "run", "source": file | null, "passed": bool, "exit_code": 0 | 1 | 3, "stopped": text | null, "notes": [text],
     "sessions", "repeat", "threaded": bool, "checks": [text], "alpha", "baseline",
     "variants": [{"name", "verdict": "baseline" | "pass" | "regressed" | "inconclusive", "sessions": {recorded: new},
                   "rate": RATE, "difference": DIFFERENCE | null,
                   "checks": [{"name", "rate": RATE, "undecided": [{"reason", "count"}], "difference": DIFFERENCE | null}],
                   "figures": [{"name", "pairs", "old_median", "new_median", "old_total", "new_total", "change", "low", "high",
                                "p"}],
                   "findings": [{"rule", "verdict", "value", "low", "high", "limit", "unknown", "needed",
                                 "needed_of": "answers" | "calls"}]}],
     "comparisons": [the shape of `otel_llm.values.comparison`]}

    RATE        {"passed", "of", "unknown", "rate", "low", "high"}
    DIFFERENCE  {"pairs", "lost", "won", "change", "low", "high", "p", "p_adjusted"}

`unknown` answers are in no rate; `undecided` says why a check could not judge them, the most frequent reason first. `lost` are
the pairs in which the baseline passed and the variant failed, `won` the others that differ. `low` and `high` are the limits of
the interval at 1 − alpha. `p_adjusted` is Holm's, over the variants. `needed` is about how many answers it would take to say
more, if they go on as they did; null when no number would do. It is of recorded calls where the baseline is the recording: asking
one of them more often makes no more pairs. Figures are money in pico-USD, times in nanoseconds, tokens;
`change` is that of the total, of `latency` that of the median, as a share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from otel_llm.replay.suite.definition import Suite
from otel_llm.replay.suite.statistics import Interval
from otel_llm.values.comparison import Comparison

Verdict = Literal["baseline", "pass", "regressed", "inconclusive"]
Reasons = tuple[tuple[str, int], ...]
"""Why answers could not be judged, and how many for each reason, the most frequent first."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How many answers passed, of those that were judged."""

    passed: int
    of: int
    unknown: int
    interval: Interval

    @property
    def share(self) -> float | None:
        return self.passed / self.of if self.of else None

    def as_json(self) -> dict[str, Any]:
        return {"passed": self.passed, "of": self.of, "unknown": self.unknown, "rate": self.share, **_limits(self.interval)}


@dataclass(frozen=True, slots=True)
class Difference:
    """Pass and fail against the baseline, call by call."""

    pairs: int
    lost: int
    won: int
    interval: Interval
    p: float
    p_adjusted: float

    @property
    def change(self) -> float | None:
        return (self.won - self.lost) / self.pairs if self.pairs else None

    def as_json(self) -> dict[str, Any]:
        return {"pairs": self.pairs, "lost": self.lost, "won": self.won, "change": self.change, **_limits(self.interval),
                "p": self.p, "p_adjusted": self.p_adjusted}


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its pass rate, why it could not judge what it could not, and against the baseline."""

    name: str
    rate: Rate
    undecided: Reasons = ()
    difference: Difference | None = None

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "rate": self.rate.as_json(), "undecided": reasons_json(self.undecided),
                "difference": self.difference and self.difference.as_json()}


@dataclass(frozen=True, slots=True)
class FigureChange:
    """A figure against the baseline, over the calls of which both are known."""

    name: str
    pairs: int
    old_median: float
    new_median: float
    old_total: float
    new_total: float
    change: float | None
    interval: Interval | None
    p: float | None

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "pairs": self.pairs, "old_median": self.old_median, "new_median": self.new_median,
                "old_total": self.old_total, "new_total": self.new_total, "change": self.change, **_limits(self.interval),
                "p": self.p}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says. `value` (in `interval`) is held against `limit`; with `unknown` answers it might be otherwise. `needed`
    counts answers, or recorded calls where more answers to the same call would not help."""

    rule: str
    verdict: Verdict
    limit: float
    value: float | None = None
    interval: Interval | None = None
    unknown: int = 0
    needed: int | None = None
    needed_of: Literal["answers", "calls"] = "answers"

    def as_json(self) -> dict[str, Any]:
        return {"rule": self.rule, "verdict": self.verdict, "value": self.value, **_limits(self.interval), "limit": self.limit,
                "unknown": self.unknown, "needed": self.needed, "needed_of": self.needed_of}


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One variant. `sessions` are those that it made, by the recorded ones."""

    name: str
    verdict: Verdict
    sessions: Mapping[str, str]
    rate: Rate
    difference: Difference | None = None
    checks: tuple[Check, ...] = ()
    figures: tuple[FigureChange, ...] = ()
    findings: tuple[Finding, ...] = ()

    def figure(self, name: str) -> FigureChange | None:
        """The figure of this name; None when it is known of no pair."""
        return next((figure for figure in self.figures if figure.name == name), None)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "verdict": self.verdict, "sessions": dict(self.sessions), "rate": self.rate.as_json(),
            "difference": self.difference and self.difference.as_json(), "checks": [check.as_json() for check in self.checks],
            "figures": [figure.as_json() for figure in self.figures],
            "findings": [finding.as_json() for finding in self.findings]}


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """All of it. `comparisons` are in the order of the variants, those of a variant in the order of the sessions; `failing` has
    the same for variants that regressed, with nothing but the answers that failed."""

    suite: Suite
    run_id: str
    sessions: int
    variants: tuple[VariantResult, ...]
    comparisons: tuple[Comparison, ...] = ()
    failing: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()
    stopped: str | None = None

    @property
    def exit_code(self) -> int:
        """0 when every variant passes, 1 when one regressed, 3 when that cannot be said or not all was sent."""
        verdicts = {variant.verdict for variant in self.variants}
        if self.stopped is not None:
            return 3
        return 1 if "regressed" in verdicts else 3 if "inconclusive" in verdicts else 0

    def as_json(self) -> dict[str, Any]:
        """The value in the shape above."""
        suite = self.suite
        return {
            "suite": suite.name, "run": self.run_id, "source": suite.source, "passed": self.exit_code == 0,
            "exit_code": self.exit_code, "stopped": self.stopped, "notes": list(self.notes), "sessions": self.sessions,
            "repeat": suite.repeat, "threaded": suite.is_threaded, "checks": list(suite.checks),
            "alpha": suite.rules.alpha, "baseline": suite.baseline, "variants": [each.as_json() for each in self.variants],
            "comparisons": [comparison.as_json() for comparison in self.comparisons]}


def reasons_json(reasons: Reasons) -> list[dict[str, Any]]:
    """`[{"reason", "count"}]`"""
    return [{"reason": reason, "count": count} for reason, count in reasons]


def _limits(interval: Interval | None) -> dict[str, float | None]:
    return {"low": None, "high": None} if interval is None else {"low": interval.low, "high": interval.high}
