"""What came of the calls of a reissue, for people and as JSON, and what it all came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from otel_llm.cli.look.rows import money, verdict, verdict_style
from otel_llm.cli.output import Output, note
from otel_llm.replay.compare.answers import is_new_failure
from otel_llm.replay.reissue.outcomes import Outcome, Reissued, Unsent
from otel_llm.replay.reissue.plan import Plan
from otel_llm.report.diff_lines import diff_lines, same_text
from otel_llm.text import numbers
from otel_llm.text.safe import line


@dataclass(slots=True)
class Results:
    """The outcomes so far, of a reissue that sends everything `repeat` times. `is_resumed` and `answered_before` are of one that
    is gone on with. `is_full` shows all figures, also of answers that are the same.
    """

    plan: Plan
    session_id: str
    is_threaded: bool
    repeat: int = 1
    is_resumed: bool = False
    answered_before: int = 0
    is_full: bool = False
    done: list[Reissued] = field(default_factory=list)
    unsent: list[Unsent] = field(default_factory=list)

    def add(self, outcome: Outcome) -> Outcome:
        """Count an outcome in."""
        if isinstance(outcome, Reissued):
            self.done.append(outcome)
        else:
            self.unsent.append(outcome)
        return outcome

    @property
    def has_new_failure(self) -> bool:
        """True when an error came where there was an answer."""
        return any(is_new_failure(result.diff) for result in self.done)

    @property
    def is_whole(self) -> bool:
        """True when every call to a model was sent that had to be."""
        return not any(each.is_needed for each in self.unsent) and not any(skip.asks_model for skip in self.plan.skipped)

    def as_json(self, outcome: Outcome) -> dict[str, Any]:
        """One outcome: which call, what changed, how the answers differ (the shape of `otel_llm.replay.compare.answers`).

        `state` is answered, stopped, not needed or in doubt; where nothing came, `reason` says why and `diff` is null.
        """
        planned = outcome.planned
        result = outcome if isinstance(outcome, Reissued) else None
        return {
            "source_session_id": self.plan.source_session_id,
            "source_span_id": planned.recorded.step.span_id,
            "session_id": self.session_id,
            "span_id": result.exchange.span_id if result is not None else None,
            "iteration": outcome.iteration,
            "state": "answered" if isinstance(outcome, Reissued) else _state(outcome),
            "reason": outcome.reason if isinstance(outcome, Unsent) else None,
            "changes": {**planned.changes.as_json(), **({"threaded": True} if self.is_threaded else {})},
            "lost": list(planned.lost),
            "is_unchanged": (result.exchange.request_body if result is not None else planned.request.body)
            == planned.recorded.exchange.request_body,
            "attempts": len(result.exchange.attempts) + 1 if result is not None else 0,
            **money(result.new.cost if result is not None else None),
            "diff": dict(result.diff) if result is not None else None,
        }

    def show(self, output: Output, outcome: Outcome) -> None:
        """One outcome for people: a line where the answer is the same, else what differs."""
        step = outcome.planned.recorded.step
        about = f"  {line(step.request_preview)}"
        again = repeat_text(outcome.iteration, self.repeat)
        if isinstance(outcome, Unsent):
            style = "dim" if not outcome.is_needed else "recovered"
            output.show([[(f"{step.span_id} → –{again}", "id"), (about, "bold"), (f"  {_state(outcome)}", style)],
                         [(f"  {line(outcome.reason)}", "")], []], whole=True)
            return
        tries = len(outcome.exchange.attempts)
        retried = f"  after {numbers.plural(tries, 'retry', 'retries')}" if tries else ""
        found = verdict(outcome.diff)
        is_brief = found == "same" and not self.is_full
        figures = f"  {same_text(outcome.diff)}" if is_brief else ""
        output.show([[(f"{step.span_id} → {outcome.exchange.span_id}{again}", "id"), (f"  {found}", verdict_style(outcome.diff)),
                      (figures + retried, "dim"), (about, "bold")]])
        if is_brief:
            return
        output.show(diff_lines(outcome.diff, color=output.has_color), whole=True)
        output.show([[]])

    def sum_up(self, *, is_left: bool) -> None:
        """All of it in a line on standard error, and how to go on when something is left."""
        done = self.done
        if done or self.unsent:
            found = [verdict(result.diff) for result in done]
            failed = sum(is_new_failure(result.diff) for result in done)
            unknown = found.count("not compared")
            costs = [result.new.cost.total for result in done if result.new.cost is not None]
            price = numbers.costs(sum(costs) if costs else None, len(done) - len(costs))
            before = f", {numbers.count(self.answered_before)} answered before" if self.answered_before else ""
            states = Counter(map(_state, self.unsent))
            not_sent = "".join(f", {count} {state}" for state, count in states.items())
            note(f"{numbers.plural(len(done), 'call')} sent, {found.count('same')} answered the same, "
                 f"{found.count('different')} differently{f' ({failed} with an error)' if failed else ''}"
                 f"{f', {unknown} not compared' if unknown else ''}{not_sent}{before}; {price}. "
                 f"{'The session' if self.is_resumed else 'The new session'}: otel-llm show {self.session_id}")
        if is_left and (done or self.unsent):
            note(f"The rest, with a higher cap where one was reached: otel-llm replay reissue --resume {self.session_id}")
        if any(each.in_doubt for each in self.unsent):
            note("In doubt are calls that were sent and have no recorded answer: they may have been paid for. "
                 f"otel-llm replay reissue --resume {self.session_id} --resend-in-doubt sends them again.")


def repeat_text(iteration: int, repeat: int) -> str:
    """Which of several repeats, as people count: ` #2` is the second. Nothing where everything is sent once."""
    return f" #{iteration + 1}" if repeat > 1 else ""


def _state(outcome: Unsent) -> str:
    return "in doubt" if outcome.in_doubt else "stopped" if outcome.is_needed else "not needed"
