"""A span as plain data, without loss: what the SDK ended, what OTLP carries, what the store gives back.

`SpanData` holds every field of the OTLP span, its resource and its scope. Its JSON form is the payload of a span frame on
the tape: `[trace_id, span_id, parent_span_id, name, kind, start_ns, end_ns, attributes, events, links, status_code,
status_message, trace_state, flags, dropped]`, with resource and scope named by number because they repeat. JSON keeps the
difference between 1 and 1.0 and escapes lone surrogates; bytes and maps, which JSON lists and strings cannot tell apart,
are tagged: `{"b": base64}`, `{"m": {…}}`.

Source: https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

Primitive = str | bool | int | float | bytes | None
AttributeValue = Primitive | Sequence["AttributeValue"] | Mapping[str, "AttributeValue"]
Attributes = Mapping[str, AttributeValue]

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUS_CODES = ("unset", "ok", "error")


@dataclass(frozen=True, slots=True)
class ResourceData:
    """Who emitted: the resource attributes, such as `service.name`."""

    attributes: Attributes = field(default_factory=dict)
    schema_url: str = ""


@dataclass(frozen=True, slots=True)
class ScopeData:
    """Which instrumentation emitted."""

    name: str = ""
    version: str = ""
    schema_url: str = ""
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventData:
    name: str
    time_ns: int
    attributes: Attributes = field(default_factory=dict)
    dropped_attributes: int = 0


@dataclass(frozen=True, slots=True)
class LinkData:
    trace_id: str
    span_id: str
    trace_state: str = ""
    flags: int = 0
    attributes: Attributes = field(default_factory=dict)
    dropped_attributes: int = 0


@dataclass(frozen=True, slots=True)
class SpanData:
    """One ended span. Ids are lower-case hex (32 and 16 characters); times are integer nanoseconds UTC."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str
    start_ns: int
    end_ns: int
    attributes: Attributes = field(default_factory=dict)
    events: tuple[EventData, ...] = ()
    links: tuple[LinkData, ...] = ()
    status_code: str = "unset"
    status_message: str = ""
    trace_state: str = ""
    flags: int = 0
    dropped: tuple[int, int, int] = (0, 0, 0)
    """How many attributes, events and links the SDK's limits dropped."""
    resource: ResourceData = field(default_factory=ResourceData)
    scope: ScopeData = field(default_factory=ScopeData)


def pack_value(value: Any) -> Any:
    """The JSON form of an attribute value. What is no attribute value at all becomes its type's name in angle brackets."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"b": base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, Mapping):
        return {"m": {str(k): pack_value(v) for k, v in value.items()}}
    if isinstance(value, Sequence):
        return [pack_value(v) for v in value]
    return f"<{type(value).__name__}>"


def unpack_value(value: Any) -> AttributeValue:
    """The inverse of `pack_value`; lists become tuples, as the SDK holds them."""
    if isinstance(value, dict):
        if "b" in value:
            return base64.b64decode(value["b"])
        return {k: unpack_value(v) for k, v in value["m"].items()}
    if isinstance(value, list):
        return tuple(unpack_value(v) for v in value)
    return cast(Primitive, value)


def dump_attributes(attributes: Attributes) -> str:
    """Attributes as compact JSON text."""
    return json.dumps(attributes, separators=(",", ":"), default=pack_value) if _plain(attributes) else json.dumps(
        {k: pack_value(v) for k, v in attributes.items()}, separators=(",", ":"))


def _plain(attributes: Attributes) -> bool:
    """True when no value needs a tag, so that the C encoder can take the attributes as they are."""
    for value in attributes.values():
        kind = type(value)
        if kind is tuple or kind is list:
            if any(type(v) not in _SCALARS for v in cast(Sequence[Any], value)):
                return False
        elif kind not in _SCALARS:
            return False
    return True


_SCALARS = frozenset({str, bool, int, float, type(None)})


def load_attributes(text: str | bytes) -> dict[str, AttributeValue]:
    """The inverse of `dump_attributes`."""
    return {k: unpack_value(v) for k, v in json.loads(text).items()}
