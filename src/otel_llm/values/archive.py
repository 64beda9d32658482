"""A store as a whole that can be carried away and put back: what export reads, and what import gives.

A `Record` is all that the tape had of one step, with nothing that can be worked out again: the span, the headers and the exact
bytes of its call, the session in which it stands. What a store answers that can be exported is an `Archive`:

    Archive ── snapshot(where) ──→ Snapshot   sessions, their records and steps, replays, as they are at one moment
            ── importing() ──────→ Intake     takes sessions, records and replays, through the tape like recorded ones
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from otel_llm.values.call import Cost
from otel_llm.values.destination import Content
from otel_llm.values.session import Filter, ReplayRecord, Step
from otel_llm.values.spandata import SpanData
from otel_llm.values.tape import CallEnd, CallStart


@dataclass(frozen=True, slots=True)
class SessionMark:
    """A session without what its steps say: its id, whether it was inferred, and the session that it replays."""

    session_id: str
    inferred: bool = False
    replay_of: str | None = None


@dataclass(frozen=True, slots=True)
class WireRecord:
    """What went over the wire. `start` or `end` is None when that frame never came; `response` when no response did."""

    start: CallStart | None
    end: CallEnd | None
    request: bytes
    response: bytes | None


@dataclass(frozen=True, slots=True)
class Record:
    """One step as the tape had it. `cost` is what the store made of it: None is unknown, `unsaid` leaves it to the reader."""

    session_id: str
    trace_id: str
    span_id: str
    span: SpanData | None = None
    wire: WireRecord | None = None
    cost: Cost | Literal["unsaid"] | None = "unsaid"


@dataclass(frozen=True, slots=True)
class Damaged:
    """A step that is in the store and cannot be read any more, and why."""

    session_id: str
    trace_id: str
    span_id: str
    reason: str


class Snapshot(Protocol):
    """Some sessions of a store as they are at one moment. Everything comes in an order that the content alone decides."""

    @property
    def steps_in_all(self) -> int:
        """How many steps the chosen sessions have."""

    def sessions(self) -> Iterator[SessionMark]:
        """The chosen sessions, the oldest first."""

    def records(self, session_id: str) -> Iterator[Record | Damaged]:
        """All steps of a session by their start."""

    def steps(self, session_id: str) -> Iterator[Step]:
        """The same as people read them."""

    def spans(self, session_id: str, policy: Content) -> Iterator[SpanData | Damaged]:
        """Their spans as an OTLP endpoint may see them under a content policy; of a call that lost its span, what is known.

        `none` adds no content to what the span carries, `masked` and `full` are those of `otel_llm.values.destination`. A step
        that is still running has no span.
        """

    def replays(self) -> Iterator[ReplayRecord]:
        """What was re-issued from or in one of the chosen sessions, the oldest first."""


class Intake(Protocol):
    """Where an import puts what it reads. Whatever is there already stays as it is.

    `added` counts steps that are now in the store and were not, `known` those that were there before, `differing` those of them
    of which the store has other content.
    """

    added: int
    known: int
    differing: int

    def session(self, mark: SessionMark) -> None:
        """Say of a session what its steps do not; comes before its records."""

    def record(self, record: Record) -> None:
        """Take one step. It is in the store at the latest after `flush`."""

    def replay(self, record: ReplayRecord) -> None:
        """Take one outcome of a replay."""

    def flush(self) -> None:
        """Put everything that was taken into the store. Raises `StoreError` when something cannot be kept."""


@runtime_checkable
class Archive(Protocol):
    """A store that can be exported and imported into."""

    def snapshot(self, where: Filter) -> AbstractContextManager[Snapshot]:
        """The sessions that fit, as they are now."""

    def importing(self) -> AbstractContextManager[Intake]:
        """Begin an import; leaving the block flushes it."""
