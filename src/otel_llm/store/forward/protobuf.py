"""From what the store holds of a span straight to the bytes of OTLP.

`otel_llm.otlp.encode` says the same by way of message objects, which costs three times as much; a test holds the two equal.
Here a span is bytes of its own, so that a batch is put together, cut in halves and counted without encoding anything again.

Source: https://protobuf.dev/programming-guides/encoding/ and
https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from otel_llm.values.spandata import STATUS_CODES

_FIXED64, _FIXED32, _DOUBLE = struct.Struct("<Q").pack, struct.Struct("<I").pack, struct.Struct("<d").pack
_MAX = 1 << 63
_TRUE, _FALSE = b"\x10\x01", b"\x10\x00"


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _SMALL[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL = [bytes((n,)) for n in range(0x80)]


def _sized(tag: bytes, content: bytes) -> bytes:
    size = len(content)
    return tag + (_SMALL[size] if size < 0x80 else _varint(size)) + content


def _utf8(text: str) -> bytes:
    """Text as protobuf takes it; lone surrogates, which UTF-8 cannot say, become `?`."""
    return text.encode("utf-8", "replace")


# ---- spans ------------------------------------------------------------------------------------------------------------


def encode_span(ids: tuple[bytes, bytes, bytes | None], name: str, kind: int, times: tuple[int, int], rest: list[Any]) -> bytes:
    """One span. `rest` is what a span frame says behind the times: `[attributes, events, links, status code, message,
    trace state, flags, dropped]`, with values as the frame tags them."""
    attributes, events, links, code, message, state, flags, dropped = rest
    out = [b"\x0a\x10", ids[0], b"\x12\x08", ids[1]]
    if state:
        out.append(_sized(b"\x1a", _utf8(state)))
    if ids[2] is not None:
        out += (b"\x22\x08", ids[2])
    if name:
        out.append(_sized(b"\x2a", _utf8(name)))
    if kind:
        out.append(b"\x30" + _varint(kind))
    out += (b"\x39", _FIXED64(times[0] & 0xFFFFFFFFFFFFFFFF), b"\x41", _FIXED64(times[1] & 0xFFFFFFFFFFFFFFFF))
    _pairs(out, b"\x4a", attributes)
    if dropped[0]:
        out.append(b"\x50" + _varint(dropped[0]))
    for event_name, time_ns, of_event, lost in events:
        made = [b"\x09", _FIXED64(time_ns & 0xFFFFFFFFFFFFFFFF), _sized(b"\x12", _utf8(event_name))]
        _pairs(made, b"\x1a", of_event)
        if lost:
            made.append(b"\x20" + _varint(lost))
        out.append(_sized(b"\x5a", b"".join(made)))
    if dropped[1]:
        out.append(b"\x60" + _varint(dropped[1]))
    for trace_id, span_id, of_state, of_flags, of_link, lost in links:
        made = [b"\x0a\x10", bytes.fromhex(trace_id), b"\x12\x08", bytes.fromhex(span_id)]
        if of_state:
            made.append(_sized(b"\x1a", _utf8(of_state)))
        _pairs(made, b"\x22", of_link)
        if lost:
            made.append(b"\x28" + _varint(lost))
        made += (b"\x35", _FIXED32(of_flags & 0xFFFFFFFF))
        out.append(_sized(b"\x6a", b"".join(made)))
    if dropped[2]:
        out.append(b"\x70" + _varint(dropped[2]))
    number = STATUS_CODES.index(code) if code in STATUS_CODES else 0
    if number or message:
        said = _sized(b"\x12", _utf8(message)) if message else b""
        out.append(_sized(b"\x7a", said + (b"\x18" + _SMALL[number] if number else b"")))
    if flags:
        out += (b"\x85\x01", _FIXED32(flags & 0xFFFFFFFF))
    return b"".join(out)


def encode_resource(content: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The Resource field of a ResourceSpans, and its schema URL field."""
    out: list[bytes] = []
    _pairs(out, b"\x0a", content.get("attributes") or {})
    return _sized(b"\x0a", b"".join(out)), _sized(b"\x1a", _utf8(url)) if (url := content.get("schema_url")) else b""


def encode_scope(content: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The InstrumentationScope field of a ScopeSpans, and its schema URL field."""
    out = [_sized(tag, _utf8(content[key])) for tag, key in ((b"\x0a", "name"), (b"\x12", "version")) if content.get(key)]
    _pairs(out, b"\x1a", content.get("attributes") or {})
    return _sized(b"\x0a", b"".join(out)), _sized(b"\x1a", _utf8(url)) if (url := content.get("schema_url")) else b""


Origin = tuple[bytes, bytes]


def encode_request(spans: Iterable[tuple[Origin, Origin, bytes]]) -> bytes:
    """An ExportTraceServiceRequest of (resource, scope, span), grouped as they come."""
    groups: dict[Origin, dict[Origin, list[bytes]]] = {}
    for resource, scope, span in spans:
        groups.setdefault(resource, {}).setdefault(scope, []).append(_sized(b"\x12", span))
    out = []
    for resource, scopes in groups.items():
        made = [resource[0]]
        made += [_sized(b"\x12", b"".join((scope[0], *members, scope[1]))) for scope, members in scopes.items()]
        out.append(_sized(b"\x0a", b"".join((*made, resource[1]))))
    return b"".join(out)


# ---- values -----------------------------------------------------------------------------------------------------------


def _pairs(out: list[bytes], tag: bytes, attributes: Mapping[str, Any]) -> None:
    for key, value in attributes.items():
        name = key.encode("utf-8", "replace")
        said = _value(value)
        size, inner = len(name), len(said)
        head = b"\x0a" + (_SMALL[size] if size < 0x80 else _varint(size)) + name + b"\x12" + (
            _SMALL[inner] if inner < 0x80 else _varint(inner))
        whole = len(head) + inner
        out += (tag, _SMALL[whole] if whole < 0x80 else _varint(whole), head, said)


def _value(value: Any) -> bytes:
    """One AnyValue of a value as a span frame has it. What OTLP cannot say, a whole number beyond 64 bits, is text."""
    kind = type(value)
    if kind is str:
        return _sized(b"\x0a", value.encode("utf-8", "replace"))
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is int:
        if -_MAX <= value < _MAX:
            return b"\x18" + _varint(value if value >= 0 else value + (1 << 64))
        return _sized(b"\x0a", str(value).encode())
    if kind is float:
        return b"\x21" + _DOUBLE(value)
    if kind is list or kind is tuple:
        return _sized(b"\x2a", b"".join([_sized(b"\x0a", _value(member)) for member in value]))
    if kind is dict and "b" in value:
        return _sized(b"\x3a", base64.b64decode(value["b"]))
    if kind is dict:
        out: list[bytes] = []
        _pairs(out, b"\x0a", value["m"])
        return _sized(b"\x32", b"".join(out))
    return b""


# ---- reading what a server says ---------------------------------------------------------------------------------------


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of a message's fields; lengths and varints as they are, fixed ones as bytes. Stops at what is none."""
    at, size = 0, len(data)
    while at < size:
        key, at = _read_varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _read_varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            return
        if number == 0 or at + length > size:
            return
        yield number, data[at : at + length]
        at += length


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return value, at
