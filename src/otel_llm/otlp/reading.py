"""From OTLP to `SpanData`, trusting nothing: what is wrong is said in one sentence, with the value that is wrong.

Fields that are missing have protobuf's defaults; unknown fields are passed over, as the protocol demands. Ids must have
their length and must not be zero. Attribute keys are data: a dot in them means nothing here.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

from otel_llm.values.errors import BadOtlp
from otel_llm.values.spandata import KINDS, STATUS_CODES, EventData, LinkData, ResourceData, ScopeData, SpanData

MAX_DEPTH = 64


def decode(body: bytes) -> list[SpanData]:
    """The spans of an ExportTraceServiceRequest in protobuf. Raises `BadOtlp`."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except (DecodeError, RuntimeError) as error:
        raise BadOtlp(f"The body of {len(body)} bytes is no ExportTraceServiceRequest: {error}") from None
    out = []
    for of_resource in request.resource_spans:
        resource = ResourceData(_attributes(of_resource.resource.attributes), of_resource.schema_url)
        for of_scope in of_resource.scope_spans:
            scope = ScopeData(of_scope.scope.name, of_scope.scope.version, of_scope.schema_url,
                              _attributes(of_scope.scope.attributes))
            out += [_span(span, resource, scope) for span in of_scope.spans]
    return out


def _span(span: Any, resource: ResourceData, scope: ScopeData) -> SpanData:
    return SpanData(
        trace_id=_id(span.trace_id.hex(), 32, "trace id"), span_id=_id(span.span_id.hex(), 16, "span id"),
        parent_span_id=_parent(span.parent_span_id.hex()), name=span.name, kind=_member(KINDS, span.kind),
        start_ns=span.start_time_unix_nano, end_ns=span.end_time_unix_nano, attributes=_attributes(span.attributes),
        events=tuple(EventData(e.name, e.time_unix_nano, _attributes(e.attributes), e.dropped_attributes_count)
                     for e in span.events),
        links=tuple(LinkData(_id(li.trace_id.hex(), 32, "trace id of a link"), _id(li.span_id.hex(), 16, "span id of a link"),
                             li.trace_state, li.flags, _attributes(li.attributes), li.dropped_attributes_count)
                    for li in span.links),
        status_code=_member(STATUS_CODES, span.status.code), status_message=span.status.message, trace_state=span.trace_state,
        flags=span.flags, dropped=(span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count),
        resource=resource, scope=scope)


def _attributes(pairs: Any, depth: int = 0) -> dict[str, Any]:
    return {pair.key: _value(pair.value, depth) for pair in pairs}


def _value(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise BadOtlp(f"An attribute value is nested more than {MAX_DEPTH} deep.")
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return tuple(_value(member, depth + 1) for member in value.array_value.values)
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values, depth + 1)
    return getattr(value, kind)


def _id(text: str, length: int, what: str) -> str:
    if len(text) != length or not text.strip("0"):
        raise BadOtlp(f"The {what} {text[:40]!r} is not {length} hex digits that are not all zero.")
    return text


def _parent(text: str) -> str | None:
    return _id(text, 16, "parent span id") if text.strip("0") else None


def _member(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else names[0]


# ---- JSON -------------------------------------------------------------------------------------------------------------


def decode_json(body: bytes) -> list[SpanData]:
    """The spans of a request in OTLP's JSON. Raises `BadOtlp`."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadOtlp(f"The body of {len(body)} bytes is no JSON: {error}") from None
    try:
        return _read_request(request)
    except BadOtlp:
        raise
    except (TypeError, ValueError, AttributeError, KeyError, OverflowError, RecursionError, binascii.Error) as error:
        raise BadOtlp(f"The JSON is no ExportTraceServiceRequest: {error}") from None


def _read_request(request: Any) -> list[SpanData]:
    out = []
    for of_resource in _list(_object(request, "the request"), "resourceSpans"):
        resource = ResourceData(_json_attributes(_object(of_resource.get("resource") or {}, "resource")),
                                _string(of_resource, "schemaUrl"))
        for of_scope in _list(of_resource, "scopeSpans"):
            scope_json = _object(of_scope.get("scope") or {}, "scope")
            scope = ScopeData(_string(scope_json, "name"), _string(scope_json, "version"), _string(of_scope, "schemaUrl"),
                              _json_attributes(scope_json))
            out += [_json_span(span, resource, scope) for span in _list(of_scope, "spans")]
    return out


def _json_span(span: Any, resource: ResourceData, scope: ScopeData) -> SpanData:
    status = _object(span.get("status") or {}, "status")
    return SpanData(
        trace_id=_hex(span, "traceId", 32), span_id=_hex(span, "spanId", 16),
        parent_span_id=_parent(_string(span, "parentSpanId").lower()), name=_string(span, "name"),
        kind=_json_member(KINDS, span.get("kind", 0), "SPAN_KIND_"),
        start_ns=_uint(span, "startTimeUnixNano"), end_ns=_uint(span, "endTimeUnixNano"), attributes=_json_attributes(span),
        events=tuple(EventData(_string(e, "name"), _uint(e, "timeUnixNano"), _json_attributes(e),
                               _uint(e, "droppedAttributesCount")) for e in _list(span, "events")),
        links=tuple(LinkData(_hex(li, "traceId", 32), _hex(li, "spanId", 16), _string(li, "traceState"), _uint(li, "flags"),
                             _json_attributes(li), _uint(li, "droppedAttributesCount")) for li in _list(span, "links")),
        status_code=_json_member(STATUS_CODES, status.get("code", 0), "STATUS_CODE_"), status_message=_string(status, "message"),
        trace_state=_string(span, "traceState"), flags=_uint(span, "flags"),
        dropped=(_uint(span, "droppedAttributesCount"), _uint(span, "droppedEventsCount"), _uint(span, "droppedLinksCount")),
        resource=resource, scope=scope)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadOtlp(f"{what} is {type(value).__name__}, not an object.")
    return value


def _list(owner: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = owner.get(name) or []
    if not isinstance(found, list):
        raise BadOtlp(f"{name} is {type(found).__name__}, not an array.")
    return [_object(member, f"a member of {name}") for member in found]


def _string(owner: dict[str, Any], name: str) -> str:
    found = owner.get(name) or ""
    if not isinstance(found, str):
        raise BadOtlp(f"{name} is {type(found).__name__}, not a string.")
    return found


def _hex(owner: dict[str, Any], name: str, length: int) -> str:
    text = _string(owner, name).lower()
    if text.strip("0123456789abcdef"):
        raise BadOtlp(f"The {name} {text[:40]!r} is not hexadecimal.")
    return _id(text, length, name)


def _uint(owner: dict[str, Any], name: str) -> int:
    found = owner.get(name) or 0
    number = int(found) if isinstance(found, (str, int)) and not isinstance(found, bool) else -1
    if not 0 <= number < 1 << 64:
        raise BadOtlp(f"{name} is {str(found)[:40]!r}, not a whole number of 64 bits.")
    return number


def _json_member(names: tuple[str, ...], value: Any, prefix: str) -> str:
    if isinstance(value, str):
        name = value.removeprefix(prefix).lower()
        return name if name in names else names[0]
    return _member(names, value) if isinstance(value, int) else names[0]


def _json_attributes(owner: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    pairs = _list(owner, "attributes" if depth == 0 else "values")
    return {_string(pair, "key"): _json_value(pair.get("value") or {}, depth) for pair in pairs}


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "stringValue": str, "boolValue": bool, "intValue": int, "doubleValue": float,
    "bytesValue": lambda text: base64.b64decode(text, validate=True)}


def _json_value(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise BadOtlp(f"An attribute value is nested more than {MAX_DEPTH} deep.")
    for kind, found in _object(value, "an attribute value").items():
        if kind == "arrayValue":
            return tuple(_json_value(member, depth + 1) for member in _list(_object(found, kind), "values"))
        if kind == "kvlistValue":
            return _json_attributes(_object(found, kind), depth + 1)
        if kind in _SCALARS:
            return _SCALARS[kind](found)
    return None
