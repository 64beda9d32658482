"""From `SpanData` to OTLP. Spans of one resource and one scope stand together, in the order in which they come."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from otel_llm.values.spandata import KINDS, STATUS_CODES, Attributes, ResourceData, ScopeData, SpanData, dump_attributes

MAX_INT = 1 << 63


def encode(spans: Iterable[SpanData]) -> bytes:
    """An ExportTraceServiceRequest with these spans, as protobuf."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    for resource, scopes in _grouped(spans):
        of_resource = request.resource_spans.add(schema_url=resource.schema_url)
        _fill(of_resource.resource.attributes, resource.attributes)
        for scope, members in scopes:
            of_scope = of_resource.scope_spans.add(schema_url=scope.schema_url)
            of_scope.scope.name, of_scope.scope.version = _utf8(scope.name), _utf8(scope.version)
            _fill(of_scope.scope.attributes, scope.attributes)
            for span in members:
                _fill_span(of_scope.spans.add(), span)
    return bytes(request.SerializeToString())


def _grouped(spans: Iterable[SpanData]) -> list[tuple[ResourceData, list[tuple[ScopeData, list[SpanData]]]]]:
    groups: dict[str, tuple[ResourceData, dict[str, tuple[ScopeData, list[SpanData]]]]] = {}
    for span in spans:
        resource, scope = span.resource, span.scope
        by_scope = groups.setdefault(resource.schema_url + dump_attributes(resource.attributes), (resource, {}))[1]
        key = "\n".join((scope.name, scope.version, scope.schema_url, dump_attributes(scope.attributes)))
        by_scope.setdefault(key, (scope, []))[1].append(span)
    return [(resource, list(by_scope.values())) for resource, by_scope in groups.values()]


def _fill_span(out: Any, span: SpanData) -> None:
    out.trace_id, out.span_id = bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id)
    if span.parent_span_id is not None:
        out.parent_span_id = bytes.fromhex(span.parent_span_id)
    out.trace_state, out.flags, out.name = _utf8(span.trace_state), span.flags & 0xFFFFFFFF, _utf8(span.name)
    out.kind = KINDS.index(span.kind)
    out.start_time_unix_nano, out.end_time_unix_nano = span.start_ns, span.end_ns
    _fill(out.attributes, span.attributes)
    for event in span.events:
        made = out.events.add(
            time_unix_nano=event.time_ns, name=_utf8(event.name), dropped_attributes_count=event.dropped_attributes)
        _fill(made.attributes, event.attributes)
    for link in span.links:
        made = out.links.add(
            trace_id=bytes.fromhex(link.trace_id), span_id=bytes.fromhex(link.span_id), trace_state=_utf8(link.trace_state),
            flags=link.flags & 0xFFFFFFFF, dropped_attributes_count=link.dropped_attributes)
        _fill(made.attributes, link.attributes)
    out.dropped_attributes_count, out.dropped_events_count, out.dropped_links_count = span.dropped
    out.status.code, out.status.message = STATUS_CODES.index(span.status_code), _utf8(span.status_message)


def _fill(out: Any, attributes: Attributes) -> None:
    for key, value in attributes.items():
        item = out.add()
        item.key = _utf8(key)
        _fill_value(item.value, value)


def _fill_value(out: Any, value: Any) -> None:
    """One AnyValue. A whole number beyond 64 bits is text, for OTLP cannot say it; None is a value that is not set."""
    if isinstance(value, bool):
        out.bool_value = value
    elif isinstance(value, str):
        out.string_value = _utf8(value)
    elif isinstance(value, int):
        if -MAX_INT <= value < MAX_INT:
            out.int_value = value
        else:
            out.string_value = str(value)
    elif isinstance(value, float):
        out.double_value = value
    elif isinstance(value, bytes):
        out.bytes_value = value
    elif isinstance(value, Mapping):
        out.kvlist_value.SetInParent()
        _fill(out.kvlist_value.values, value)
    elif isinstance(value, Sequence):
        out.array_value.SetInParent()
        for member in value:
            _fill_value(out.array_value.values.add(), member)


def _utf8(text: str) -> str:
    """Text that protobuf takes; lone surrogates, which UTF-8 cannot say, become `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def encode_json(spans: Iterable[SpanData]) -> bytes:
    """The same request in OTLP's JSON: ids in hex, 64-bit numbers as text."""
    return json.dumps({"resourceSpans": [
        {"resource": {"attributes": _pairs(resource.attributes)}, "schemaUrl": resource.schema_url, "scopeSpans": [
            {"scope": {"name": _utf8(scope.name), "version": _utf8(scope.version), "attributes": _pairs(scope.attributes)},
             "schemaUrl": scope.schema_url, "spans": [_span(span) for span in members]}
            for scope, members in scopes]}
        for resource, scopes in _grouped(spans)]}, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def _span(span: SpanData) -> dict[str, Any]:
    return {
        "traceId": span.trace_id, "spanId": span.span_id, "parentSpanId": span.parent_span_id or "",
        "traceState": _utf8(span.trace_state), "flags": span.flags, "name": _utf8(span.name), "kind": KINDS.index(span.kind),
        "startTimeUnixNano": str(span.start_ns), "endTimeUnixNano": str(span.end_ns), "attributes": _pairs(span.attributes),
        "events": [{"timeUnixNano": str(e.time_ns), "name": _utf8(e.name), "attributes": _pairs(e.attributes),
                    "droppedAttributesCount": e.dropped_attributes} for e in span.events],
        "links": [{"traceId": li.trace_id, "spanId": li.span_id, "traceState": _utf8(li.trace_state), "flags": li.flags,
                   "attributes": _pairs(li.attributes), "droppedAttributesCount": li.dropped_attributes} for li in span.links],
        "droppedAttributesCount": span.dropped[0], "droppedEventsCount": span.dropped[1], "droppedLinksCount": span.dropped[2],
        "status": {"code": STATUS_CODES.index(span.status_code), "message": _utf8(span.status_message)},
    }


def _pairs(attributes: Attributes) -> list[dict[str, Any]]:
    return [{"key": _utf8(key), "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, str):
        return {"stringValue": _utf8(value)}
    if isinstance(value, int):
        return {"intValue": str(value)} if -MAX_INT <= value < MAX_INT else {"stringValue": str(value)}
    if isinstance(value, float):
        if math.isfinite(value):
            return {"doubleValue": value}
        return {"doubleValue": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": _pairs(value)}}
    if isinstance(value, Sequence):
        return {"arrayValue": {"values": [_value(member) for member in value]}}
    return {}
