"""What a body would cost in memory, found out before anything is built from it.

An empty message takes two bytes in protobuf and three in JSON, and a hundred as an object; a body of the permitted size
could so take gigabytes. Protobuf is walked along the fields that nest, JSON is counted; neither makes an object a field.
Walking also says how many spans, log records and data points there are, which is all that is asked of logs and metrics.

Sources: https://github.com/open-telemetry/opentelemetry-proto/tree/main/opentelemetry/proto (the field numbers),
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from otel_llm.server.limits import MIB, Limits
from otel_llm.server.refusals import MALFORMED, TOO_LARGE, Refused

LIGHT = MIB
"""A body up to this size cannot cost so much that weighing pays."""
MAX_DEPTH = 100
"""Messages inside messages; the protobuf library gives up there as well."""
JSON_TOKENS = 4
"""Tokens of JSON that weigh as much as one message of protobuf."""

Region = tuple[int, int]
"""From where to where a field's bytes stand in the body."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Which fields of a message are messages themselves. `counted` names what one such message is."""

    inner: dict[int, Shape] = field(default_factory=dict)
    counted: str = ""


_VALUE = Shape()
_PAIR = Shape({2: _VALUE})
_VALUE.inner.update({5: Shape({1: _VALUE}), 6: Shape({1: _PAIR})})
_RESOURCE = Shape({1: _PAIR, 3: Shape()})
_SCOPE = Shape({3: _PAIR})
_EXEMPLAR = Shape({7: _PAIR})
SPAN = Shape({9: _PAIR, 11: Shape({3: _PAIR}), 13: Shape({4: _PAIR}), 15: Shape()}, "spans")
RECORD = Shape({5: _VALUE, 6: _PAIR}, "log records")


def _points(**at: int) -> Shape:
    inner = {at["attributes"]: _PAIR}
    if "exemplars" in at:
        inner[at["exemplars"]] = _EXEMPLAR
    return Shape({1: Shape(inner, "data points")})


METRIC = Shape({
    5: _points(attributes=7, exemplars=5), 7: _points(attributes=7, exemplars=5), 9: _points(attributes=9, exemplars=8),
    10: _points(attributes=1, exemplars=11), 11: _points(attributes=7), 12: _PAIR})


def request(of: Shape) -> Shape:
    """The request of a signal: resources, in them scopes, in them what is exported."""
    return Shape({1: Shape({1: _RESOURCE, 2: Shape({1: _SCOPE, 2: of})})})


@dataclass(slots=True)
class Weight:
    """What a body holds."""

    elements: int = 0
    counts: dict[str, int] = field(default_factory=dict)


def weigh(body: bytes, shape: Shape, limits: Limits) -> Weight:
    """Walk a protobuf body. Raises `Refused`: no protobuf, or too much in it."""
    found, elements = Weight(), 0
    open_: list[tuple[Shape, Iterator[tuple[int, Region | None]]]] = [(shape, fields(body, 0, len(body)))]
    while open_:
        here, rest = open_[-1]
        for number, region in rest:
            elements += 1
            if elements > limits.elements:
                raise _too_many(f"The body of {len(body)} bytes holds more than {limits.elements} elements")
            inner = here.inner.get(number)
            if inner is None or region is None:
                continue
            if inner.counted:
                found.counts[inner.counted] = found.counts.get(inner.counted, 0) + 1
            if len(open_) > MAX_DEPTH:
                raise Refused(MALFORMED, f"The body is no OTLP: messages are nested more than {MAX_DEPTH} deep.")
            open_.append((inner, fields(body, *region)))
            break
        else:
            open_.pop()
    found.elements = elements
    if found.counts.get("spans", 0) > limits.spans:
        raise too_many_spans(found.counts["spans"], limits)
    return found


def too_many_spans(count: int, limits: Limits) -> Refused:
    return _too_many(f"The request holds {count} spans and at most {limits.spans} are taken at once")


def _too_many(what: str) -> Refused:
    return Refused(TOO_LARGE, f"{what}; send smaller batches.")


def fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, Region | None]]:
    """Number and region of each field of a message; the region is None for numbers. Raises `Refused`."""
    while at < end:
        tag = body[at]
        at += 1
        if tag >= 0x80:
            tag, at = _varint(body, at - 1, end)
        kind, number = tag & 7, tag >> 3
        if number == 0:
            raise _no_protobuf(body)
        if kind == 2:
            size, at = _varint(body, at, end)
            if size > end - at:
                raise _no_protobuf(body)
            yield number, (at, at + size)
            at += size
            continue
        if kind == 0:
            _, at = _varint(body, at, end)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise _no_protobuf(body)
        if at > end:
            raise _no_protobuf(body)
        yield number, None


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _no_protobuf(body)


def _no_protobuf(body: bytes) -> Refused:
    return Refused(MALFORMED, f"The body of {len(body)} bytes is no OTLP: it is not protobuf.")


_TOKEN = re.compile(rb'[{\[,]|"[^"]*"?')


def weigh_json(body: bytes, limits: Limits) -> None:
    """Count what JSON would become. Raises `Refused` when that is too much."""
    limit = limits.elements * JSON_TOKENS
    if body.count(b"{") + body.count(b"[") + body.count(b",") <= limit:
        return
    # Braces in a prompt weigh nothing: count again without what stands in strings.
    text = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    for count, _ in enumerate(_TOKEN.finditer(text)):
        if count > limit:
            raise _too_many(f"The JSON of {len(body)} bytes holds more than {limit} elements")
