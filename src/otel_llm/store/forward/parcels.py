"""Spans out of the store, each as OTLP bytes that can be put into any request, under the content policy of a destination.

Most spans need no more than their attributes, which stand in the same pack as their neighbours'; bodies are read only for a
policy that shows content. A call that costs something gets its cost from the store when the span was not told.
"""

from __future__ import annotations

import json
import sqlite3
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from otel_llm import semconv
from otel_llm.store import content
from otel_llm.store.bodies import BodyReader, Wire
from otel_llm.store.exchanges import ExchangeReader
from otel_llm.store.forward.protobuf import Origin, encode_request, encode_resource, encode_scope, encode_span
from otel_llm.store.forward.queue import Queue
from otel_llm.store.packs import Item, PackReader
from otel_llm.values.call import Cost
from otel_llm.values.errors import StoreDamaged

MAX_SPANS = 512
HOLD_NS = 10 * 10**9
"""How long a call whose span is there waits for the frame with its response, where content is wanted."""

_KEPT_PACKS = 4
_BROKEN = (StoreDamaged, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, struct.error)


@dataclass(slots=True)
class Parcel:
    """One span, ready to be sent."""

    step: int
    resource: Origin
    scope: Origin
    data: bytes
    made_of: tuple[Any, ...]
    is_stripped: bool = False

    def strip(self) -> Parcel:
        """The same span without anything long."""
        ids, name, kind, times, rest = self.made_of
        rest = content.stripped(rest)
        return Parcel(self.step, self.resource, self.scope, encode_span(ids, name, kind, times, rest),
                      (ids, name, kind, times, rest), True)


@dataclass(slots=True)
class Load:
    """What the next rows of a queue amount to. `last` is the step behind which the rest stands; `has_more` that there is one."""

    parcels: list[Parcel] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    broken: list[tuple[int, str]] = field(default_factory=list)
    last: int = 0
    has_more: bool = False
    has_held: bool = False


def request(parcels: Sequence[Parcel]) -> bytes:
    """One OTLP request with these spans."""
    return encode_request((parcel.resource, parcel.scope, parcel.data) for parcel in parcels)


class Loader:
    """Reads spans of one store under one content policy."""

    def __init__(self, connection: sqlite3.Connection, policy: str) -> None:
        self._connection, self._policy = connection, policy
        self._packs = PackReader(connection.execute, _KEPT_PACKS)
        self._exchanges = ExchangeReader(connection.execute, self._packs, BodyReader(connection.execute, self._packs))
        self._resources: dict[int | None, Origin] = {}
        self._scopes: dict[int | None, Origin] = {}

    def load(self, queue: Queue, after: int, *, max_bytes: int, max_spans: int = MAX_SPANS) -> Load:
        """The next spans of a queue behind a step: at least one, if there is one, and no more than these limits."""
        out, size = Load(last=after), 0
        rows = queue.rows(after, max_spans)
        for row in rows:
            if size >= max_bytes:
                out.has_more = True
                return out
            step = row[0]
            if row[1] is None:
                out.gone.append(step)
            elif self._policy in ("masked", "full") and self._is_coming(row):
                out.has_held = True
            else:
                try:
                    parcel = self._parcel(row)
                except _BROKEN as error:
                    out.broken.append((step, f"the span cannot be read from the store: {error}"))
                else:
                    if out.parcels and size + len(parcel.data) > max_bytes:
                        out.has_more = True
                        return out
                    out.parcels.append(parcel)
                    size += len(parcel.data)
            out.last = step
        out.has_more = len(rows) == max_spans
        return out

    def _parcel(self, row: Sequence[Any]) -> Parcel:
        (step, trace_id, span_id, parent, name, kind, start_ns, end_ns, resource, scope, pack, at, length, step_kind,
         cost, cost_input, cost_output) = row
        tail = self._packs.get(Item(pack, at, length))
        rest = json.loads(tail)[9:] if tail.startswith(b"[") else json.loads(b"[" + tail)
        attributes = rest[0]
        if cost is not None and semconv.OTEL_LLM_COST_TOTAL not in attributes:
            attributes = {**attributes, **semconv.write_cost(Cost(cost, cost_input, cost_output))}
        rest[0] = content.apply(self._policy, attributes, step_kind, lambda: self._wire(step, trace_id, span_id))
        rest[1:] = content.around(self._policy, rest[1:])
        made_of = ((trace_id, span_id, parent), name, kind or 0, (start_ns, end_ns or start_ns), rest)
        return Parcel(step, self._origin(self._resources, "resource", resource), self._origin(self._scopes, "scope", scope),
                      encode_span(*made_of), made_of)

    def _wire(self, step: int, trace_id: bytes, span_id: bytes) -> tuple[Wire | None, bytes | None]:
        return self._exchanges.wire(step, trace_id, span_id)

    def _is_coming(self, row: Sequence[Any]) -> bool:
        """True while a call's span is here and its last frame is still on the way."""
        if time.time_ns() - (row[7] or 0) > HOLD_NS:
            return False
        return self._connection.execute(
            "SELECT 1 FROM pending WHERE span_id = ? AND trace_id = ? LIMIT 1", (row[2], row[1])).fetchone() is not None

    def _origin(self, known: dict[int | None, Origin], table: str, number: int | None) -> Origin:
        found = known.get(number)
        if found is None:
            row = self._connection.execute(f"SELECT content FROM {table} WHERE {table} = ?", (number,)).fetchone()  # noqa: S608
            said = {} if row is None else json.loads(row[0])
            found = known[number] = encode_resource(said) if table == "resource" else encode_scope(said)
        return found
