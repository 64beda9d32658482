"""What came back in a trial, call by call: whether it passed the checks, and its figures.

The checks see the recorded answer, the new one and the new request, as in `otel-llm replay compare`; each trial becomes such a
comparison (`otel_llm.values.comparison`), one side a sample, and all that is said here is read from it. An answer

    passed    has answered, and no check is against it
    failed    a check is against it, or an error came where an answer was recorded
    unknown   is missing (not sent, refused, in doubt), or a check could not do its work
    silent    cannot be judged: no check has anything to look at, or the recorded call had failed as well
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from otel_llm.replay.compare.sessions import Chosen, aligned, compared
from otel_llm.replay.reissue.orders import Means
from otel_llm.replay.suite.definition import RECORDED
from otel_llm.replay.suite.sending import Conducted, entries_of, keys_of
from otel_llm.replay.suite.trials import Trial, asked_steps
from otel_llm.values.comparison import Comparison, Pair
from otel_llm.values.errors import NotFound
from otel_llm.values.evaluation import Evaluator, Score
from otel_llm.values.journal import CallKey
from otel_llm.values.session import Step
from otel_llm.values.store import Store

State = Literal["passed", "failed", "unknown", "silent"]
FIGURES = {"cost": "cost_pico_usd", "latency": "duration_ns", "input_tokens": "input_tokens", "output_tokens": "output_tokens"}
"""Figures that are compared, by their names in a comparison."""
NO_ANSWER = "there is no answer"


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer. `checks` has the state of each check that said something, `undecided` why those that could not decide did not;
    `figures` those that are known."""

    state: State
    checks: Mapping[str, State] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    undecided: Mapping[str, str] = field(default_factory=dict)

    def state_of(self, check: str) -> State:
        """What one check says of the answer."""
        return self.checks.get(check, "unknown" if self.state == "unknown" and not self.checks else "silent")

    def why_undecided(self, check: str) -> str:
        """Why a check came to no verdict."""
        return self.undecided.get(check) or NO_ANSWER


@dataclass(frozen=True, slots=True)
class TrialReadings:
    """The answers of one trial, and the comparison that they were read from; None when there is no answer."""

    trial: Trial
    readings: Mapping[CallKey, Reading]
    comparison: Comparison | None = None

    def has_failed(self, pair: Pair) -> bool:
        """Whether the answer that a pair of the comparison is about has failed."""
        if pair.left is None or pair.right is None:
            return False
        return self.readings[CallKey(pair.left.span_id, pair.side - 1)].state == "failed"


def answers(trial: Trial, means: Means, conducted: Conducted) -> Mapping[CallKey, str | None]:
    """The calls of a trial with the span of their answer, None where it is missing."""
    if trial.variant.is_recorded:
        steps = asked_steps(means.store.steps(trial.source))
        return {CallKey(step.span_id, 0): step.span_id for step in steps if step.kind == "call"}
    return keys_of(trial, conducted, entries_of(means, trial))


def read_trial(
    trial: Trial, found: Mapping[CallKey, str | None], means: Means, evaluators: Sequence[Evaluator], source: str | None = None
) -> TrialReadings:
    """Judge the answers of a trial. `found` is what `answers` gave; `source` is the file that asked for it."""
    store = means.store
    mine = _steps_of(store, trial.session_id) if any(found.values()) else {}
    missing = {key: Reading("unknown") for key, span_id in found.items() if span_id not in mine}
    if len(missing) == len(found):
        return TrialReadings(trial, missing)
    asked = {key.source_span_id for key in found}
    left = tuple(step for step in store.steps(trial.source) if step.span_id in asked)
    sides = [_side(trial, sample, found, mine) for sample in range(trial.repeat)]
    chosen = [Chosen(trial.source, RECORDED, left), *sides]
    comparison = replace(
        compared(store, chosen, aligned(store, chosen), title=f"{trial.variant.name} · {trial.source}", evaluators=evaluators,
                 decided_by="checks"),
        source=source)
    readings = dict(missing)
    for pair in comparison.pairs:
        if pair.left is not None and pair.right is not None:
            readings[CallKey(pair.left.span_id, pair.side - 1)] = reading_of(pair, has_checks=bool(evaluators))
    return TrialReadings(trial, readings, comparison)


def _side(trial: Trial, sample: int, found: Mapping[CallKey, str | None], mine: Mapping[str | None, Step]) -> Chosen:
    label = trial.variant.name if trial.repeat == 1 else f"{trial.variant.name} #{sample + 1}"
    steps = [mine[span_id] for key, span_id in found.items() if key.iteration == sample and span_id in mine]
    return Chosen(trial.session_id, label, tuple(sorted(steps, key=lambda step: step.start_ns)))


def _steps_of(store: Store, session_id: str) -> dict[str | None, Step]:
    """The steps of a session by their spans; none of one that was deleted."""
    try:
        return {step.span_id: step for step in store.steps(session_id)}
    except NotFound:
        return {}


def reading_of(pair: Pair, *, has_checks: bool) -> Reading:
    """What a pair of calls says of the new answer."""
    checks = {name: state for name, score in pair.scores if (state := _state(score)) != "silent"}
    undecided = {name: score.explanation for name, score in pair.scores if score.is_undecided}
    figures = {name: float(figure.new) for name, key in FIGURES.items()
               if (figure := pair.figures.get(key)) is not None and figure.new is not None}
    status = pair.figures.get("status")
    old, new = (status.old, status.new) if status is not None else (None, None)
    if new is None or new >= 400:
        return Reading("failed" if old is not None and old < 400 else "silent", checks)
    if "failed" in checks.values():
        return Reading("failed", checks, figures, undecided)
    if "unknown" in checks.values():
        return Reading("unknown", checks, figures, undecided)
    return Reading("passed" if checks or not has_checks else "silent", checks, figures)


def _state(score: Score) -> State:
    if score.passed is not None:
        return "passed" if score.passed else "failed"
    return "unknown" if score.is_undecided else "silent"
