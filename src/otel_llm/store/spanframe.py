"""A span on the tape: the JSON list of a `SPAN` frame, made from an SDK span or from `SpanData`, and read back.

Writing happens in the caller's thread for every span, so the SDK's own fields are read directly where they are what we
know, and the attributes go to the C encoder as they are unless one of them needs a tag. Values that no encoder takes
(cycles, lone surrogates are fine, objects of a foreign kind) fall back one by one: a bad value costs itself, never the span.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from otel_llm.values.spandata import (
    KINDS,
    STATUS_CODES,
    EventData,
    LinkData,
    ResourceData,
    ScopeData,
    SpanData,
    pack_value,
    unpack_value,
)


def _encoder() -> Callable[[Any], str]:
    """Compact JSON of a value. `JSONEncoder.encode` makes a new C encoder for every value; this keeps one."""
    encoder = json.JSONEncoder(separators=(",", ":"), check_circular=False)
    make: Any = vars(json.encoder)["c_make_encoder"]
    if make is None:
        return encoder.encode
    chunks = make(None, encoder.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True)
    return lambda value: "".join(chunks(value, 0))


_encode = _encoder()
_SCALARS = frozenset({str, bool, int, float, type(None)})
_SEQUENCES = frozenset({tuple, list})
_KINDS = ("internal", "server", "client", "producer", "consumer")
"""By the value of the SDK's `SpanKind`."""

_PUBLIC = ("name", "context", "parent", "kind", "start_time", "end_time", "attributes", "events", "links", "status")
_fields = attrgetter(*(f"_{name}" for name in _PUBLIC))
"""What the SDK's span holds, in one call; each public property is a call of its own, and some make copies."""
_public_fields = attrgetter(*_PUBLIC)
"""The same of what only looks like an SDK span."""

HAS_IS_REMOTE, IS_REMOTE = 0x100, 0x200
"""https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto (SpanFlags)"""


def sdk_span_header(span: Any, resource: int, scope: int) -> bytes:
    """The header of the `SPAN` frame for a span that the SDK ended."""
    try:
        name, context, parent, kind, start, end, attributes, events, links, status = _fields(span)
        dropped = [getattr(attributes, "dropped", 0), getattr(events, "dropped", 0), getattr(links, "dropped", 0)]
    except AttributeError:
        name, context, parent, kind, start, end, attributes, events, links, status = _public_fields(span)
        dropped = [getattr(span, "dropped_attributes", 0), getattr(span, "dropped_events", 0), getattr(span, "dropped_links", 0)]
    state = context.trace_state
    return encode([
        resource, scope, "%032x" % context.trace_id, "%016x" % context.span_id,
        None if parent is None else "%016x" % parent.span_id, name, _KINDS[kind.value], start or 0, end or 0,
        plain(attributes),
        [[e.name, e.timestamp, plain(e.attributes), getattr(e, "dropped_attributes", 0)] for e in events] if events else [],
        [_sdk_link(link) for link in links] if links else [],
        STATUS_CODES[status.status_code.value], status.description or "", state.to_header() if state else "",
        context.trace_flags | HAS_IS_REMOTE | (IS_REMOTE if parent is not None and parent.is_remote else 0),
        dropped,
    ])


def _sdk_link(link: Any) -> list[Any]:
    context = link.context
    return [
        "%032x" % context.trace_id, "%016x" % context.span_id,
        context.trace_state.to_header() if context.trace_state else "",
        int(context.trace_flags) | HAS_IS_REMOTE | (IS_REMOTE if context.is_remote else 0),
        plain(link.attributes), getattr(link, "dropped_attributes", 0),
    ]


def plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Attributes as the JSON encoder may take them: the same dictionary when all is plain, else a copy with tags."""
    if not attributes:
        return {}
    inner = getattr(attributes, "_dict", attributes)
    if type(inner) is not dict:
        inner = dict(attributes)
    for value in inner.values():
        kind = type(value)
        if kind in _SCALARS:
            continue
        if kind not in _SEQUENCES or any(type(v) not in _SCALARS for v in value):
            return {str(k): tagged(v) for k, v in inner.items()}
    return inner


def tagged(value: Any) -> Any:
    """The JSON form of one value; what has none (a cycle, a hostile object) becomes its type's name in angle brackets."""
    try:
        packed = pack_value(value)
        _encode(packed)
        return packed
    except Exception:
        return f"<{type(value).__name__}>"


def encode(header: list[Any]) -> bytes:
    """The list as JSON bytes, value by value when it cannot be encoded whole."""
    try:
        return _encode(header).encode("ascii")
    except Exception:
        return _encode([tagged_tree(item) for item in header]).encode("ascii")


def tagged_tree(item: Any) -> Any:
    """A header's item with every attribute in it made encodable."""
    if type(item) is dict:
        return {str(k): _encodable(v) for k, v in item.items()}
    if type(item) is list:
        return [tagged_tree(i) for i in item]
    return _encodable(item)


def _encodable(value: Any) -> Any:
    try:
        _encode(value)
        return value
    except Exception:
        return tagged(value)


def numbered(number: int, content: bytes) -> bytes:
    """The header of a `RESOURCE` or `SCOPE` frame from its content, which begins with `{`."""
    return b'{"number":%d,' % number + content[1:]


def resource_content(resource: Any) -> bytes:
    """What a `RESOURCE` header says besides its number, of an SDK Resource or a `ResourceData`."""
    return encode_object({"attributes": plain(resource.attributes), "schema_url": getattr(resource, "schema_url", "") or ""})


def scope_content(scope: Any) -> bytes:
    """What a `SCOPE` header says besides its number, of an SDK InstrumentationScope, a `ScopeData` or None."""
    return encode_object({
        "name": getattr(scope, "name", "") or "", "version": getattr(scope, "version", "") or "",
        "schema_url": getattr(scope, "schema_url", "") or "", "attributes": plain(getattr(scope, "attributes", None)),
    })


def encode_object(content: dict[str, Any]) -> bytes:
    try:
        return _encode(content).encode("ascii")
    except Exception:
        return _encode(tagged_tree(content)).encode("ascii")


def span_header(span: SpanData, resource: int, scope: int) -> bytes:
    """The header of the `SPAN` frame for a span that came as plain data, over OTLP for one."""
    return encode([
        resource, scope, span.trace_id, span.span_id, span.parent_span_id, span.name, span.kind, span.start_ns, span.end_ns,
        plain(span.attributes),
        [[e.name, e.time_ns, plain(e.attributes), e.dropped_attributes] for e in span.events],
        [[k.trace_id, k.span_id, k.trace_state, k.flags, plain(k.attributes), k.dropped_attributes] for k in span.links],
        span.status_code, span.status_message, span.trace_state, span.flags, list(span.dropped),
    ])


def read_span(header: list[Any], resource: ResourceData, scope: ScopeData) -> SpanData:
    """The span that a `SPAN` frame's list says."""
    (_, _, trace_id, span_id, parent, name, kind, start_ns, end_ns, attributes, events, links, code, message, state, flags,
     dropped) = header
    return SpanData(
        trace_id=trace_id, span_id=span_id, parent_span_id=parent, name=name, kind=kind if kind in KINDS else "unspecified",
        start_ns=start_ns, end_ns=end_ns, attributes=unpack(attributes),
        events=tuple(EventData(n, t, unpack(a), d) for n, t, a, d in events),
        links=tuple(LinkData(t, s, ts, f, unpack(a), d) for t, s, ts, f, a, d in links),
        status_code=code if code in STATUS_CODES else "unset", status_message=message, trace_state=state, flags=flags,
        dropped=(dropped[0], dropped[1], dropped[2]), resource=resource, scope=scope,
    )


def unpack(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {k: unpack_value(v) for k, v in attributes.items()}


def span_tail(raw: bytes, header: list[Any]) -> bytes:
    """What the columns of a step do not hold of a span frame: its attributes, events, links, status and the rest.

    Ids and times are a third of a small span and do not compress, so they are cut off. Whatever was not written by this
    module's encoder is kept whole, and then begins with `[`; so is a span whose name no column can hold.
    """
    head = _head(header[:9])
    return raw[len(head) :] if raw.startswith(head) and is_utf8(header[5]) else raw


def is_utf8(text: str) -> bool:
    """False for text with lone surrogates, which UTF-8 and so SQLite cannot hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def storable(text: str) -> str:
    """Text as SQLite can hold it: lone surrogates become `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def from_tail(tail: bytes, columns: Sequence[Any]) -> list[Any]:
    """The span frame's list again; `columns` of its row are those of trace, span, parent, name, kind, start and end."""
    trace_id, span_id, parent, name, kind, start_ns, end_ns = columns
    head = [0, 0, trace_id.hex(), span_id.hex(), None if parent is None else parent.hex(), name, KINDS[kind or 0], start_ns,
            end_ns]
    whole: list[Any] = json.loads(tail if tail.startswith(b"[") else _head(head) + tail)
    return whole


def _head(values: list[Any]) -> bytes:
    return _encode(values)[:-1].encode("ascii") + b","
