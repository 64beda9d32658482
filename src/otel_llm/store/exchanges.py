"""From rows and packs back to what was recorded: the exact bytes of a call, and the span as the SDK ended it."""

from __future__ import annotations

import json
from typing import Any, cast

from otel_llm import semconv
from otel_llm.store import lookups
from otel_llm.store.bodies import BodyReader, Wire
from otel_llm.store.columns import exactness
from otel_llm.store.lookups import Execute
from otel_llm.store.packs import Item, PackReader
from otel_llm.store.spanframe import from_tail, read_span, unpack
from otel_llm.values.errors import NotFound
from otel_llm.values.session import Exactness, Exchange
from otel_llm.values.spandata import ResourceData, ScopeData, SpanData

NOT_RECORDED = "not recorded"

_FIND = """
SELECT s.step, s.kind, t.trace_id, s.parent_span_id, s.name, s.span_kind, s.start_ns, s.end_ns, s.resource, s.scope,
  s.span_pack, s.span_at, s.span_length, s.api, s.provider
FROM step s JOIN trace t USING (trace) WHERE s.span_id = ? ORDER BY s.start_ns DESC LIMIT 1
"""


class ExchangeReader:
    """Reads exchanges and spans by span id."""

    def __init__(self, execute: Execute, packs: PackReader, bodies: BodyReader) -> None:
        self._execute, self._packs, self._bodies = execute, packs, bodies

    def exchange(self, span_id: str) -> Exchange:
        """The exact bytes of a call, also of one that runs or was cut; of another step its arguments and its result.

        Raises `NotFound` for a step that is no call and of which nothing was recorded but the span.
        """
        found = self._find(span_id, "call")
        step, kind, trace_id = found[:3]
        wire, response = self.wire(step, trace_id, bytes.fromhex(span_id))
        if wire is None and kind != "call":
            raise NotFound("call", span_id)
        if wire is None:
            return Exchange(
                trace_id=trace_id.hex(), span_id=span_id, api=found[13] or "generic", method="", url="", request_type="",
                request_body=None, status=None, response_type="", response_body=None, complete=False, exactness="none",
                provider=found[14], omitted=NOT_RECORDED)
        start, end = wire.start, wire.end
        provider = start["attributes"].get(semconv.GEN_AI_PROVIDER_NAME)
        return Exchange(
            trace_id=trace_id.hex(), span_id=span_id, api=start["api"], method=start["method"], url=start["url"],
            request_type=start["content_type"], request_body=wire.request, status=end["status"] if end is not None else None,
            response_type=end["content_type"] if end is not None else "", response_body=response,
            complete=end is not None and end["complete"],
            exactness=cast(Exactness, exactness(start, end, has_body=bool(wire.request))),
            provider=provider if isinstance(provider, str) else found[14],
            omitted=start.get("omitted") or (end.get("omitted") if end is not None else None),
            coding=end.get("coding") if end is not None else None,
            chunks=tuple((c[0], c[1]) for c in end.get("chunks", ())) if end is not None else (),
            attempts=tuple((a[0], a[1]) for a in end.get("attempts", ())) if end is not None else (),
            request_id=end.get("request_id") if end is not None else None,
            redacted=start.get("redacted", 0) + (end.get("redacted", 0) if end is not None else 0),
            left=bool(end.get("left")) if end is not None else False,
            opaque=end.get("opaque", 0) if end is not None else 0,
            error_class=end.get("error_class") if end is not None else None,
        )

    def wire(self, step: int, trace_id: bytes, span_id: bytes) -> tuple[Wire | None, bytes | None]:
        """The wire of a call and its response, from packs or from the frames that still wait."""
        row = self._execute("SELECT * FROM call WHERE step = ?", (step,)).fetchone()
        if row is None:
            return self._pending(trace_id, span_id)
        response = None if row[4] is None else self._packs.get(Item(row[4], row[5], row[6]))
        return self._bodies.wire(Item(row[1], row[2], row[3])), response

    def answer(self, step: int) -> bytes | None:
        """The response of a call that has ended, without the rest."""
        row = self._execute("SELECT response_pack, response_at, response_length FROM call WHERE step = ?", (step,)).fetchone()
        return None if row is None or row[0] is None else self._packs.get(Item(*row))

    def span(self, span_id: str) -> SpanData:
        """The span; of a call whose span has not come, what its frames say."""
        found = self._find(span_id, "span")
        (step, _, trace_id, parent, name, kind, start_ns, end_ns, resource, scope, pack, at, length, _, _) = found
        own_id = bytes.fromhex(span_id)
        if pack is not None:
            whole = from_tail(self._packs.get(Item(pack, at, length)), (trace_id, own_id, parent, name, kind, start_ns, end_ns))
            return read_span(whole, lookups.resource(self._execute, resource) or ResourceData(),
                             lookups.scope(self._execute, scope) or ScopeData())
        wire, _ = self.wire(step, trace_id, own_id)
        return SpanData(
            trace_id=trace_id.hex(), span_id=span_id, parent_span_id=None if parent is None else parent.hex(), name=name,
            kind="client", start_ns=start_ns, end_ns=end_ns or start_ns,
            attributes={} if wire is None else unpack(wire.start["attributes"]))

    def attributes(self, pack: int, at: int, length: int) -> dict[str, Any]:
        """The attributes of a span frame, as they stand in it."""
        tail = self._packs.get(Item(pack, at, length))
        whole: list[Any] = json.loads(tail) if tail.startswith(b"[") else json.loads(b"[" + tail)
        return cast("dict[str, Any]", whole[9] if tail.startswith(b"[") else whole[0])

    def _find(self, span_id: str, what: str) -> Any:
        try:
            row = self._execute(_FIND, (bytes.fromhex(span_id),)).fetchone()
        except ValueError:
            row = None
        if row is None:
            raise NotFound(what, span_id)
        return row

    def _pending(self, trace_id: bytes, span_id: bytes) -> tuple[Wire | None, bytes | None]:
        frames = lookups.pending(self._execute, trace_id, span_id)
        if frames.start is None:
            return None, None
        request, response = frames.bodies()
        omitted = "omitted" in frames.start and not request
        return Wire(frames.start, frames.end, None if omitted else request), response
