"""What readers of the store get: sessions, steps, exchanges. Rows are plain values, the same in terminal, JSON and SQL.

Times are integer nanoseconds UTC, money is pico-USD, `None` is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from otel_llm.values.call import Cost, Usage

State = Literal["ok", "error", "running", "incomplete"]
Exactness = Literal["exact", "partial", "none"]
SessionKind = Literal["original", "replay", "trial", "judge", "other"]
"""How a session came about: recorded from a program; a reissue, a rerun or a fork of one; made by a suite or a bisect, of one
session in one variant; what judges were asked; or a trace without a call or a tool, such as frameworks write of themselves."""
LISTED: tuple[SessionKind, ...] = ("original", "replay")
"""Sessions that a person made one by one: they are listed, and `@1` counts among them. The others come by the dozen."""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session in a list. Sums are over its calls; a sum is None when no call knows the figure.

    `status` is `ok`, `error` (the last turn or the root failed) or `recovered` (something failed and was caught).
    `title` is the first words of the first user message. `inferred` says that the application gave no id.
    """

    session_id: str
    title: str
    first_ns: int
    last_ns: int
    turns: int
    calls: int
    steps: int
    errors: int
    status: Literal["ok", "error", "recovered", "running"]
    usage: Usage
    cost: Cost | None
    unpriced_calls: int
    """Calls whose cost is unknown; `cost` then sums the others."""
    models: tuple[str, ...]
    user_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    service: str | None = None
    inferred: bool = False
    replay_of: str | None = None
    """The session that this one replays or was forked from."""
    kind: SessionKind = "original"


@dataclass(frozen=True, slots=True)
class Step:
    """One span as people read it: an LLM call, a tool, an agent, a workflow, a retrieval or another step.

    `kind` is call | tool | agent | workflow | retrieval | other. `api` names the adapter of a call's bodies.
    `request_preview` and `response_preview` are the first words of what is new in the request and of the answer.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None
    session_id: str
    kind: Literal["call", "tool", "agent", "workflow", "retrieval", "other"]
    name: str
    operation: str | None
    state: State
    start_ns: int
    end_ns: int | None
    provider: str | None = None
    model: str | None = None
    response_model: str | None = None
    stream: bool = False
    first_chunk_ns: int | None = None
    """Nanoseconds from the start of the call to the first byte of its stream."""
    usage: Usage = field(default_factory=Usage)
    cost: Cost | None = None
    attempts: int = 1
    error_type: str | None = None
    error_message: str | None = None
    finish_reason: str | None = None
    user_id: str | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    api: str | None = None
    exactness: Exactness = "none"
    request_preview: str = ""
    response_preview: str = ""
    opens_turn: bool | None = None
    """True when a user's message is new in this call; None when nobody has looked, and for steps that are no calls."""

    @property
    def duration_ns(self) -> int | None:
        return None if self.end_ns is None else self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call as it went over the wire. Bodies are exact when `exactness` says so.

    `request_body` is None when it was not recorded (`omitted` says why); `response_body` is None when no response came.
    `chunks` are `(bytes, microseconds since the previous chunk)` of a stream.
    """

    trace_id: str
    span_id: str
    api: str
    method: str
    url: str
    request_type: str
    request_body: bytes | None
    status: int | None
    response_type: str
    response_body: bytes | None
    complete: bool
    exactness: Exactness
    provider: str | None = None
    """The provider that capture resolved (host table or override); a reader parses the bodies as this provider's."""
    omitted: str | None = None
    coding: str | None = None
    chunks: tuple[tuple[int, int], ...] = ()
    attempts: tuple[tuple[int, int | None], ...] = ()
    request_id: str | None = None
    redacted: int = 0
    left: bool = False
    """True when the program left a stream before its end."""
    error_class: str | None = None
    """The class of a step's exception as `module:qualified name`."""
    opaque: int = 0
    """Values of a tool's result that JSON cannot hold: a rerun cannot give them back."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One call or tool step in which a text was found, with the words around it."""

    step: Step
    snippet: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions or calls: every field that is given must hold; of several values in one field any may.

    `session_prefix` is what the id of a session begins with. `since_ns` and `until_ns` bound the start. `tags` maps a key to the
    values that are welcome; none are: any value. Costs are pico-USD. `kinds` are those of sessions, and of the sessions of calls;
    none are: any kind.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    session: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    provider: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    operation: tuple[str, ...] = ()
    prompt: tuple[str, ...] = ()
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    min_cost: int | None = None
    max_cost: int | None = None
    kinds: tuple[SessionKind, ...] = ()
    session_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """What was not kept: `reason` (such as `sampled out`, `disk full`), how many, and when it was last seen."""

    reason: str
    count: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Ref:
    """An id as a user gave it, resolved: what kind of thing it is and its full id.

    `sess-…:3` names the third call of a session, counted from 1. `session_id` is the session that the call belongs to (of a
    trace: that of its root; of a session: its own id), so that a reader finds the steps around it.
    """

    kind: Literal["session", "call", "trace"]
    id: str
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a program: what processes recorded that were at work at the same time, in all sessions.

    Times are nanoseconds UTC. Processes are told apart by `service.instance.id`, or by `process.pid` where the SDK says no more.
    """

    session_ids: tuple[str, ...]
    span_ids: frozenset[str]
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class ReplayRecord:
    """One finished re-issue as it is kept: which call was asked again, what changed, and how the answers differ.

    `diff` is the JSON object that `otel_llm.replay` makes (text, tool calls, tokens, cost, latency).
    """

    source_span_id: str
    span_id: str
    session_id: str
    source_session_id: str
    changes: Mapping[str, Any]
    diff: Mapping[str, Any]
    time_ns: int
