"""How far a session can be replayed: for each call exact, partial or not, and why.

*Exact* means that what went over the wire is here, byte for byte, the answer whole, and what the tools said to it: the call can
be sent again as it was, and a program that makes it again can be answered as it was. A failure is an answer too: a call that got
no connection is exact, since its program gets that error again. *Partial* means that something is missing: a secret that was
replaced, the end of a stream, the answer of a call whose program died, the result of a tool. *Not* means that the request is not
here. A session is exact when all its calls are, and not replayable when none is.

    level    code                what it means
    not      content_off         recorded with content switched off
    not      too_large           the request was larger than what is recorded
    not      redaction_failed    the content was dropped, because it could not be searched for secrets
    not      upload              a body that was streamed out of a file
    not      no_bytes            a span alone, from another instrumentation or another backend
    partial  redacted            secrets were replaced
    partial  answer_missing      the answer was too large or dropped
    partial  cut, left           the stream broke off; the program left it before its end
    partial  in_doubt, running   nobody knows whether it was answered; it has not ended yet
    partial  not_sent            a rerun or a fork did not let it out, at a cap for example, so that it was never answered
    partial  no_tool_result      nothing recorded answers a tool call in its answer
    partial  unreadable, fetch   no call to a model that can be read, or none at all: it is played back, and not sent again
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from otel_llm.replay.conversation import continuations
from otel_llm.replay.elements import calls_in
from otel_llm.replay.reading import RecordedCall, recorded
from otel_llm.replay.tools import ToolAnswers, tool_answers
from otel_llm.values.call import ToolCall
from otel_llm.values.errors import UNSENT
from otel_llm.values.session import Step
from otel_llm.values.store import Store

Level = Literal["exact", "partial", "not"]
LEVELS: tuple[Level, ...] = ("exact", "partial", "not")
_WORDS: Mapping[Level, str] = {"exact": "exact", "partial": "partial", "not": "not replayable"}

_OMITTED: Mapping[str, tuple[str, str]] = {
    "content off": ("content_off", "it was recorded with content switched off"),
    "too large": ("too_large", "its request was larger than what is recorded (OTEL_LLM_MAX_BODY)"),
    "redaction failed": ("redaction_failed", "its content was dropped, because it could not be searched for secrets"),
    "streamed upload": ("upload", "its body was streamed and not kept"),
}
_NO_BYTES = ("no_bytes", "only its span was recorded, without what went over the wire")


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is missing."""

    level: Level
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class CallReport:
    """One call. `number` counts the calls of the session from 1."""

    step: Step
    number: int
    reasons: tuple[Reason, ...] = ()

    @property
    def level(self) -> Level:
        """The worst of the reasons; exact without any."""
        return max((reason.level for reason in self.reasons), key=LEVELS.index, default="exact")

    def as_json(self) -> dict[str, Any]:
        """`{"span_id", "call_number", "model", "replayable", "reasons": [{"level", "code", "text"}]}`"""
        return {
            "span_id": self.step.span_id, "call_number": self.number, "model": self.step.response_model or self.step.model,
            "replayable": self.level,
            "reasons": [{"level": reason.level, "code": reason.code, "text": reason.text} for reason in self.reasons]}


@dataclass(frozen=True, slots=True)
class SessionReport:
    """The calls of a session, in order of start."""

    session_id: str
    calls: tuple[CallReport, ...]

    @property
    def counts(self) -> dict[Level, int]:
        """How many calls are exact, partial, not."""
        found = Counter(call.level for call in self.calls)
        return {level: found[level] for level in LEVELS}

    @property
    def level(self) -> Level:
        """That of the session; one without calls cannot be replayed."""
        counts = self.counts
        return "not" if counts["not"] == len(self.calls) else "exact" if counts["exact"] == len(self.calls) else "partial"

    @property
    def summary(self) -> str:
        """In a line: `exact`, `partial: 3 exact, 1 partial (cut)`, `partial (cut)`, `not replayable (content off)`."""
        if not self.calls:
            return "not replayable: there is no call in it"
        parts = [f"{count} {_WORDS[level]}{self._why(level)}" for level, count in self.counts.items() if count]
        if len(parts) > 1:
            return f"{self.level}: {', '.join(parts)}"
        return _WORDS[self.level] + self._why(self.level)

    def _why(self, level: Level) -> str:
        codes = dict.fromkeys(r.code.replace("_", " ") for call in self.calls if call.level == level for r in call.reasons)
        return f" ({', '.join(codes)})" if codes else ""

    def as_json(self) -> dict[str, Any]:
        """`{"session_id", "replayable", "exact", "partial", "not", "calls": […]}`"""
        counts = {str(level): count for level, count in self.counts.items()}
        return {"session_id": self.session_id, "replayable": self.level, **counts,
                "calls": [call.as_json() for call in self.calls]}


def check(store: Store, session_id: str) -> SessionReport:
    """The report on a session. Raises `NotFound` when there is none."""
    return check_steps(store, session_id, store.steps(session_id))


def check_steps(store: Store, session_id: str, steps: Sequence[Step]) -> SessionReport:
    """The same from steps that have been read."""
    calls = [recorded(store, step) for step in steps if step.kind == "call"]
    tools = tool_answers(calls, continuations(calls), store, steps)
    return SessionReport(session_id, tuple(
        CallReport(call.step, place + 1, tuple(_reasons(call, place, tools))) for place, call in enumerate(calls)))


def _reasons(call: RecordedCall, place: int, tools: ToolAnswers) -> Iterator[Reason]:
    step, exchange = call.step, call.exchange
    if exchange.request_body is None:
        yield Reason("not", *_OMITTED.get(exchange.omitted or "", _NO_BYTES))
        return
    if exchange.method.upper() != "POST":
        yield Reason("partial", "fetch", f"a {exchange.method} request asks no model; it is not sent again")
    elif call.call is None:
        yield Reason("partial", "unreadable", "it is no call to a model that otel-llm can read; it is not sent again")
    if exchange.redacted:
        yield Reason("partial", "redacted", f"secrets were replaced in it ({exchange.redacted})")
    if exchange.status is None and step.end_ns is None:
        is_running = step.state == "running"
        yield Reason("partial", *(("running", "it has not ended yet") if is_running else (
            "in_doubt", "its program died before an answer was recorded; it may have been answered")))
    elif exchange.status is None and step.error_type in UNSENT:
        yield Reason("partial", "not_sent", f"it was never sent ({step.error_type})")
    elif exchange.omitted is not None:
        yield Reason("partial", "answer_missing", f"its answer was not kept ({exchange.omitted})")
    elif exchange.status is not None and not exchange.complete:
        yield Reason("partial", *(("left", "its program left the stream before the end") if exchange.left else (
            "cut", "its answer broke off")))
    for missing in _unanswered(call, place, tools):
        yield Reason("partial", "no_tool_result", f"nothing recorded answers {missing.name}({missing.arguments})")


def _unanswered(call: RecordedCall, place: int, tools: ToolAnswers) -> list[ToolCall]:
    """The tool calls without a result. Of several answers the one that was gone on with counts."""
    response = call.call.response if call.call is not None else None
    by_choice = [calls_in(message.parts) for message in (response.messages if response is not None else ())]
    known = {identity for _, identity in tools.ids if identity is not None}
    missing = [[c for c in calls if (place, c.id) not in tools.ids and c.id not in known] for calls in by_choice]
    return min(missing, key=len, default=[])
