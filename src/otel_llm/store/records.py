"""Steps of the store as the tape had them: what an export takes away, and an import holds against what is there already.

A row of `rows` or `find` says where the parts of a step lie; `record` puts them together. Steps are read one at a time; what
stays in memory is a few unpacked packs. What cannot be read any more raises one of `BROKEN`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeVar

from otel_llm.store import lookups
from otel_llm.store.bodies import BodyReader
from otel_llm.store.lookups import Execute
from otel_llm.store.packs import Item, PackReader
from otel_llm.store.rows import cost_of
from otel_llm.store.spanframe import from_tail, read_span
from otel_llm.values.archive import Record, WireRecord
from otel_llm.values.call import Cost
from otel_llm.values.errors import StoreDamaged
from otel_llm.values.spandata import ResourceData, ScopeData, SpanData

KEPT_PACKS = 64
"""Unpacked packs of 128 kB that stay at hand: sessions that ran side by side lie in the same ones."""

BROKEN = (StoreDamaged, ValueError, KeyError, TypeError, IndexError, RecursionError)

Row = Sequence[Any]
Found = TypeVar("Found")

_SELECT = """
SELECT s.step, s.kind, t.trace_id, s.span_id, s.parent_span_id, s.name, s.span_kind, s.start_ns, s.end_ns, s.resource, s.scope,
  s.span_pack, s.span_at, s.span_length, s.cost, s.cost_input, s.cost_output, c.wire_pack, c.wire_at, c.wire_length,
  c.response_pack, c.response_at, c.response_length, s.state
FROM step s JOIN trace t USING (trace) JOIN session n ON n.session = s.session LEFT JOIN call c ON c.step = s.step
"""
_OF_SESSION = f"{_SELECT} WHERE n.session_id = ? ORDER BY s.start_ns, t.trace_id, s.span_id"
_OF_IDS = f"{_SELECT} WHERE s.span_id = ? AND t.trace_id = ?"


class RecordReader:
    """Reads steps by way of `execute`, which is that of a connection."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self._packs = PackReader(execute, KEPT_PACKS)
        self._bodies = BodyReader(execute, self._packs)
        self._waits = execute("SELECT 1 FROM pending LIMIT 1").fetchone() is not None
        self._resources: dict[int | None, ResourceData] = {None: ResourceData()}
        self._scopes: dict[int | None, ScopeData] = {None: ScopeData()}

    def rows(self, session_id: str) -> Iterator[Row]:
        """The steps of a session by their start, with the ids of trace and span in columns 2 and 3."""
        return self._execute(_OF_SESSION, (session_id,))

    def find(self, trace_id: str, span_id: str) -> Row | None:
        """One step; None when it is not there."""
        found: Row | None = self._execute(_OF_IDS, (bytes.fromhex(span_id), bytes.fromhex(trace_id))).fetchone()
        return found

    def record(self, session_id: str, row: Row) -> Record:
        """All that the tape had of a step."""
        _, kind, trace_id, span_id = row[:4]
        said: Cost | Literal["unsaid"] | None = cost_of(*row[14:17])
        if said is None and kind != "call":
            said = "unsaid"
        header = self.header(row)
        span = None if header is None else self.span(header, row)
        return Record(session_id, trace_id.hex(), span_id.hex(), span, self.wire(row), said)

    def span(self, header: list[Any], row: Row) -> SpanData:
        """The span of a frame."""
        return read_span(header, self._resource(row[9]), self._scope(row[10]))

    def header(self, row: Row) -> list[Any] | None:
        """The list of the span's frame; None when no span has come."""
        pack, at, length = row[11:14]
        return None if pack is None else from_tail(self._packs.get(Item(pack, at, length)), row[2:9])

    def wire(self, row: Row) -> WireRecord | None:
        """What went over the wire; None when nothing of it is here."""
        wire_pack, wire_at, wire_length, response_pack, response_at, response_length = row[17:23]
        if wire_pack is None:
            return self._pending(row[2], row[3]) if self._waits else None
        found = self._bodies.wire(Item(wire_pack, wire_at, wire_length))
        response = None if response_pack is None else self._packs.get(Item(response_pack, response_at, response_length))
        return WireRecord(found.start, found.end, found.request or b"", response)

    def _pending(self, trace_id: bytes, span_id: bytes) -> WireRecord | None:
        """What is there of a call that has not ended."""
        frames = lookups.pending(self._execute, trace_id, span_id)
        if frames.start is None and frames.end is None and not frames.parts:
            return None
        request, response = frames.bodies()
        return WireRecord(frames.start, frames.end, request, response)

    def _resource(self, number: int | None) -> ResourceData:
        if number not in self._resources:
            self._resources[number] = _there(lookups.resource(self._execute, number), "resource")
        return self._resources[number]

    def _scope(self, number: int | None) -> ScopeData:
        if number not in self._scopes:
            self._scopes[number] = _there(lookups.scope(self._execute, number), "scope")
        return self._scopes[number]


def _there(found: Found | None, what: str) -> Found:
    if found is None:
        raise ValueError(f"its {what} is not there")
    return found
