"""A record as one line of JSON, and back: the format of `export jsonl`, version 1.

A file is a head, then these lines, then the manifest (`otel_llm.transfer.jsonl`). Each line is an object with one key:

| key        | value |
|------------|-------|
| `session`  | `{"id", "inferred", "replay_of"?}`: comes before the steps of the session |
| `resource` | `{"number", "attributes", "schema_url"?}`: numbered from 1, in order of appearance |
| `scope`    | `{"number", "name", "version", "schema_url"?, "attributes"?}`: likewise |
| `step`     | `{"session", "trace_id", "span_id", "span"?, "call"?, "cost"?}` |
| `replay`   | the fields of `otel_llm.values.session.ReplayRecord` |

`span` holds the fields of `otel_llm.values.spandata.SpanData`, with `resource` and `scope` by number; what is empty is left
out. `call` is the wire: `start` and `end` are the headers of `otel_llm.values.tape` (attributes in their tagged form), `request`
and `response` the exact bytes, as text where they are UTF-8, else `{"base64": …}`. `cost` is in pico-USD; null is unknown.

Attribute values are JSON; what JSON cannot say is tagged: bytes `{"b": base64}`, maps `{"m": {…}}`, and the floats that are no
numbers `{"f": "NaN"}`. Text is written as it is, escaped only where a line holds what UTF-8 cannot (a lone surrogate).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any, Literal, cast

from otel_llm.transfer import fields as f
from otel_llm.transfer.fields import BadLine, Table, checked, optional, shown
from otel_llm.values.archive import Record, SessionMark, WireRecord
from otel_llm.values.call import Cost
from otel_llm.values.session import ReplayRecord
from otel_llm.values.spandata import (
    KINDS,
    STATUS_CODES,
    Attributes,
    AttributeValue,
    EventData,
    LinkData,
    ResourceData,
    ScopeData,
    SpanData,
    pack_value,
)
from otel_llm.values.tape import CallEnd, CallStart

Json = dict[str, Any]
SCALARS = frozenset({str, int, bool, type(None)})

SESSION: Table = {"id": f.SESSION_ID, "inferred": f.FLAG, "replay_of": optional(f.SESSION_ID)}
RESOURCE: Table = {"number": f.COUNT, "attributes": f.OBJECT, "schema_url": optional(f.TEXT)}
SCOPE: Table = {"number": f.COUNT, "name": f.TEXT, "version": f.TEXT, "schema_url": optional(f.TEXT),
                "attributes": optional(f.OBJECT)}
STEP: Table = {"session": f.SESSION_ID, "trace_id": f.TRACE_ID, "span_id": f.SPAN_ID, "span": optional(f.OBJECT),
               "call": optional(f.OBJECT), "cost": optional(f.Field((dict, type(None))))}
SPAN: Table = {
    "resource": f.COUNT, "scope": f.COUNT, "parent_span_id": optional(f.PARENT_ID), "name": f.TEXT,
    "kind": f.Field((str,), lambda kind: kind in KINDS), "start_ns": f.TIME, "end_ns": f.TIME, "attributes": optional(f.OBJECT),
    "events": optional(f.LIST), "links": optional(f.LIST),
    "status_code": optional(f.Field((str,), lambda code: code in STATUS_CODES)), "status_message": optional(f.TEXT),
    "trace_state": optional(f.TEXT), "flags": optional(f.COUNT),
    "dropped": optional(f.Field((list,), lambda counts: len(counts) == 3 and all(type(n) is int for n in counts))),
}
EVENT: Table = {"name": f.TEXT, "time_ns": f.COUNT, "attributes": optional(f.OBJECT), "dropped_attributes": optional(f.COUNT)}
LINK: Table = {"trace_id": f.TRACE_ID, "span_id": f.SPAN_ID, "trace_state": optional(f.TEXT), "flags": optional(f.COUNT),
               "attributes": optional(f.OBJECT), "dropped_attributes": optional(f.COUNT)}
CALL: Table = {"start": optional(f.OBJECT), "end": optional(f.OBJECT)}
START: Table = {
    "parent_span_id": f.PARENT_ID, "name": f.TEXT, "time_ns": f.TIME, "api": f.TEXT, "method": f.TEXT, "url": f.TEXT,
    "content_type": f.TEXT, "attributes": f.OBJECT, "redacted": optional(f.COUNT), "omitted": optional(f.TEXT)}
END: Table = {
    "time_ns": f.TIME, "status": f.MAYBE_NUMBER, "content_type": f.TEXT, "complete": f.FLAG, "coding": optional(f.TEXT),
    "left": optional(f.FLAG), "opaque": optional(f.COUNT), "error_class": optional(f.TEXT),
    "first_byte_ns": optional(f.COUNT), "chunks": optional(f.CHUNKS), "attempts": optional(f.ATTEMPTS),
    "error_type": optional(f.TEXT), "error_message": optional(f.TEXT), "request_id": optional(f.TEXT),
    "redacted": optional(f.COUNT), "omitted": optional(f.TEXT), "resent": optional(f.COUNT)}
COST: Table = {"total": f.NUMBER, "input": f.MAYBE_NUMBER, "output": f.MAYBE_NUMBER}
REPLAY: Table = {"source_span_id": f.SPAN_ID, "span_id": f.SPAN_ID, "session_id": f.SESSION_ID,
                 "source_session_id": f.SESSION_ID, "changes": f.OBJECT, "diff": f.OBJECT, "time_ns": f.TIME}


def dump(value: Json) -> bytes:
    """A line with its end."""
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode() + b"\n"


# ---- sessions, resources, scopes, replays ----------------------------------------------------------------------------------


def session_json(mark: SessionMark) -> Json:
    return {"id": mark.session_id, "inferred": mark.inferred, **({"replay_of": mark.replay_of} if mark.replay_of else {})}


def read_session(value: Any) -> SessionMark:
    value = checked(value, SESSION, "session")
    return SessionMark(value["id"], value["inferred"], value.get("replay_of"))


def resource_json(number: int, resource: ResourceData) -> Json:
    return {"number": number, "attributes": _pack(resource.attributes), **_filled(schema_url=resource.schema_url)}


def read_resource(value: Any) -> tuple[int, ResourceData]:
    value = checked(value, RESOURCE, "resource")
    return value["number"], ResourceData(_unpack(value["attributes"], "resource"), value.get("schema_url", ""))


def scope_json(number: int, scope: ScopeData) -> Json:
    return {"number": number, "name": scope.name, "version": scope.version,
            **_filled(schema_url=scope.schema_url, attributes=_pack(scope.attributes))}


def read_scope(value: Any) -> tuple[int, ScopeData]:
    value = checked(value, SCOPE, "scope")
    return value["number"], ScopeData(value["name"], value["version"], value.get("schema_url", ""),
                                      _unpack(value.get("attributes", {}), "scope"))


def replay_json(record: ReplayRecord) -> Json:
    return {"source_span_id": record.source_span_id, "span_id": record.span_id, "session_id": record.session_id,
            "source_session_id": record.source_session_id, "changes": dict(record.changes), "diff": dict(record.diff),
            "time_ns": record.time_ns}


def read_replay(value: Any) -> ReplayRecord:
    value = checked(value, REPLAY, "replay")
    return ReplayRecord(**{name: value[name] for name in REPLAY})


# ---- steps -----------------------------------------------------------------------------------------------------------------


def record_json(record: Record, resource: int, scope: int) -> Json:
    """A step; resource and scope by number."""
    out: Json = {"session": record.session_id, "trace_id": record.trace_id, "span_id": record.span_id}
    if record.span is not None:
        out["span"] = _span_json(record.span, resource, scope)
    if record.wire is not None:
        out["call"] = _wire_json(record.wire)
    if record.cost != "unsaid":
        cost = record.cost
        out["cost"] = None if cost is None else {"total": cost.total, "input": cost.input, "output": cost.output}
    return out


def read_record(value: Any, resources: Mapping[int, ResourceData], scopes: Mapping[int, ScopeData]) -> Record:
    """The step that a line says. Raises `BadLine`."""
    value = checked(value, STEP, "step")
    trace_id, span_id = value["trace_id"], value["span_id"]
    cost: Cost | Literal["unsaid"] | None = "unsaid"
    if "cost" in value:
        cost = None if value["cost"] is None else Cost(**{k: checked(value["cost"], COST, "step.cost")[k] for k in COST})
    return Record(
        session_id=value["session"], trace_id=trace_id, span_id=span_id,
        span=_read_span(trace_id, span_id, value["span"], resources, scopes) if "span" in value else None,
        wire=_read_wire(trace_id, span_id, value["call"]) if "call" in value else None, cost=cost)


def _span_json(span: SpanData, resource: int, scope: int) -> Json:
    return {
        "resource": resource, "scope": scope, **_filled(parent_span_id=span.parent_span_id), "name": span.name, "kind": span.kind,
        "start_ns": span.start_ns, "end_ns": span.end_ns,
        **_filled(
            attributes=_pack(span.attributes),
            events=[{"name": e.name, "time_ns": e.time_ns,
                     **_filled(attributes=_pack(e.attributes), dropped_attributes=e.dropped_attributes)} for e in span.events],
            links=[{"trace_id": k.trace_id, "span_id": k.span_id,
                    **_filled(trace_state=k.trace_state, flags=k.flags, attributes=_pack(k.attributes),
                              dropped_attributes=k.dropped_attributes)} for k in span.links],
            status_code="" if span.status_code == "unset" else span.status_code, status_message=span.status_message,
            trace_state=span.trace_state, flags=span.flags, dropped=list(span.dropped) if any(span.dropped) else []),
    }


def _read_span(
    trace_id: str, span_id: str, value: Any, resources: Mapping[int, ResourceData], scopes: Mapping[int, ScopeData]
) -> SpanData:
    value = checked(value, SPAN, "span")
    if value["resource"] not in resources or value["scope"] not in scopes:
        raise BadLine(f"span names resource {value['resource']} and scope {value['scope']}, which no line before it describes")
    first, second, third = value.get("dropped", (0, 0, 0))
    return SpanData(
        trace_id=trace_id, span_id=span_id, parent_span_id=value.get("parent_span_id"), name=value["name"], kind=value["kind"],
        start_ns=value["start_ns"], end_ns=value["end_ns"], attributes=_unpack(value.get("attributes", {}), "span"),
        events=tuple(map(_read_event, value.get("events", ()))), links=tuple(map(_read_link, value.get("links", ()))),
        status_code=value.get("status_code", "unset"), status_message=value.get("status_message", ""),
        trace_state=value.get("trace_state", ""), flags=value.get("flags", 0), dropped=(first, second, third),
        resource=resources[value["resource"]], scope=scopes[value["scope"]])


def _read_event(value: Any) -> EventData:
    value = checked(value, EVENT, "event")
    return EventData(value["name"], value["time_ns"], _unpack(value.get("attributes", {}), "event"),
                     value.get("dropped_attributes", 0))


def _read_link(value: Any) -> LinkData:
    value = checked(value, LINK, "link")
    return LinkData(value["trace_id"], value["span_id"], value.get("trace_state", ""), value.get("flags", 0),
                    _unpack(value.get("attributes", {}), "link"), value.get("dropped_attributes", 0))


def _wire_json(wire: WireRecord) -> Json:
    out: Json = {}
    if wire.start is not None:
        out["start"] = {k: v for k, v in wire.start.items() if k not in ("trace_id", "span_id")}
        out["start"]["attributes"] = {k: v if type(v) in SCALARS else _finite(v) for k, v in wire.start["attributes"].items()}
    if wire.end is not None:
        out["end"] = {k: v for k, v in wire.end.items() if k not in ("trace_id", "span_id")}
    if wire.request:
        out["request"] = body_json(wire.request)
    if wire.response is not None:
        out["response"] = body_json(wire.response)
    return out


def _read_wire(trace_id: str, span_id: str, value: Any) -> WireRecord:
    value = checked(value, CALL, "call")
    ids = {"trace_id": trace_id, "span_id": span_id}
    start: CallStart | None = None
    end: CallEnd | None = None
    if "start" in value:
        head = {**ids, **checked(value["start"], START, "call.start")}
        head["attributes"] = {k: v if type(v) in SCALARS else _numbered(v) for k, v in head["attributes"].items()}
        start = cast(CallStart, {**head, **ids})
    if "end" in value:
        end = cast(CallEnd, {**ids, **checked(value["end"], END, "call.end"), **ids})
    request = read_body(value["request"], "call.request") if "request" in value else b""
    if end is not None and end.get("resent", len(request)) != len(request):
        raise BadLine(f"call.end.resent is {end['resent']}, but the request has {len(request)} bytes")
    return WireRecord(start, end, request, read_body(value["response"], "call.response") if "response" in value else None)


def body_json(data: bytes) -> str | Json:
    """A body as text where it is UTF-8, else `{"base64": …}`."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def read_body(value: Any, where: str) -> bytes:
    """The inverse of `body_json`. Raises `BadLine`."""
    try:
        if type(value) is str:
            return value.encode()
        if type(value) is dict and type(value.get("base64")) is str:
            return base64.b64decode(value["base64"], validate=True)
    except ValueError:
        pass
    raise BadLine(f"{where} is {shown(value)}, neither text nor {{\"base64\": …}}")


def _filled(**values: Any) -> Json:
    """What says something; empty and zero are what is meant when nothing stands there."""
    return {name: value for name, value in values.items() if value}


# ---- attributes ------------------------------------------------------------------------------------------------------------


def _pack(attributes: Attributes) -> Json:
    return {k: v if type(v) in SCALARS else _finite(pack_value(v)) for k, v in attributes.items()}


def _finite(value: Any) -> Any:
    """A packed value in which floats that JSON has no number for are tagged."""
    if type(value) is float:
        return value if math.isfinite(value) else {"f": repr(value)}
    if type(value) is list:
        return [_finite(v) for v in value]
    if type(value) is dict and "m" in value:
        return {"m": {k: _finite(v) for k, v in value["m"].items()}}
    return value


def _numbered(value: Any) -> Any:
    """The inverse of `_finite`: still packed, as it stands on the tape."""
    if type(value) is list:
        return [_numbered(v) for v in value]
    if type(value) is dict:
        if type(value.get("f")) is str and value["f"] in ("nan", "inf", "-inf"):
            return float(value["f"])
        if type(value.get("m")) is dict:
            return {"m": {k: _numbered(v) for k, v in value["m"].items()}}
        _bytes_of(value)
    return value


def _unpack(attributes: Json, where: str) -> dict[str, AttributeValue]:
    try:
        return {k: v if type(v) in SCALARS else _value(v) for k, v in attributes.items()}
    except BadLine as error:
        raise BadLine(f"{where}.attributes: {error}") from None


def _value(value: Any) -> AttributeValue:
    if type(value) is list:
        return tuple(_value(v) for v in value)
    if type(value) is dict:
        if type(value.get("f")) is str and value["f"] in ("nan", "inf", "-inf"):
            return float(value["f"])
        if type(value.get("m")) is dict:
            return {k: _value(v) for k, v in value["m"].items()}
        return _bytes_of(value)
    return cast(AttributeValue, value)


def _bytes_of(value: Json) -> bytes:
    try:
        return base64.b64decode(value["b"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise BadLine(f"{shown(value)} is no attribute value; an object there is {{\"b\": base64}}, {{\"m\": {{…}}}} or "
                      '{"f": "nan"}') from None
