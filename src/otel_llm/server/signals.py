"""The three things that OTLP carries, and what is read of each.

Spans are what the tape holds. Of log records and data points it is only said how many there are and how many concern
GenAI: a record is no span, and writing it as one would put something into the store that never happened. They are
accepted, counted, and the sender is told that they are not kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from otel_llm import semconv
from otel_llm.server import weighing
from otel_llm.server.limits import Limits
from otel_llm.server.refusals import MALFORMED, Refused
from otel_llm.server.weighing import Region, Shape, fields

GENAI = semconv.GEN_AI_OPERATION_NAME.partition(".")[0]
"""The namespace of events and metrics that concern GenAI."""

_DATA = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")


@dataclass(frozen=True, slots=True)
class Signal:
    """One of the three. `rejected` is the field of its answer's partial success, `records` what it carries."""

    name: str
    path: str
    service: str
    method: str
    records: str
    rejected: str
    shape: Shape
    lists: tuple[str, str, str]
    """The JSON names of resources, scopes and what is exported."""
    name_field: int = 0
    """The field with the name of an event or metric."""
    name_key: str = ""


TRACES = Signal("traces", "/v1/traces", "opentelemetry.proto.collector.trace.v1.TraceService", "Export", "spans",
                "rejectedSpans", weighing.request(weighing.SPAN), ("resourceSpans", "scopeSpans", "spans"))
LOGS = Signal("logs", "/v1/logs", "opentelemetry.proto.collector.logs.v1.LogsService", "Export", "log records",
              "rejectedLogRecords", weighing.request(weighing.RECORD), ("resourceLogs", "scopeLogs", "logRecords"),
              12, "eventName")
METRICS = Signal("metrics", "/v1/metrics", "opentelemetry.proto.collector.metrics.v1.MetricsService", "Export", "data points",
                 "rejectedDataPoints", weighing.request(weighing.METRIC), ("resourceMetrics", "scopeMetrics", "metrics"),
                 1, "name")
SIGNALS = (TRACES, LOGS, METRICS)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many records a request holds; `genai` is how many events or metrics in it concern GenAI."""

    records: int
    genai: int


def count(signal: Signal, body: bytes, *, is_json: bool, limits: Limits) -> Counted:
    """What a request of logs or metrics holds. Raises `Refused`."""
    return _count_json(signal, body, limits) if is_json else _count_protobuf(signal, body, limits)


def _count_protobuf(signal: Signal, body: bytes, limits: Limits) -> Counted:
    records = weighing.weigh(body, signal.shape, limits).counts.get(signal.records, 0)
    genai = 0
    regions: list[Region] = [(0, len(body))]
    for number in (1, 2, 2):
        regions = [inner for region in regions for at, inner in fields(body, *region) if at == number and inner is not None]
    for region in regions:
        for number, name in fields(body, *region):
            if number == signal.name_field and name is not None:
                genai += _is_genai(body[name[0] : name[0] + 40].decode("utf-8", "replace"))
    return Counted(records, genai)


def _count_json(signal: Signal, body: bytes, limits: Limits) -> Counted:
    weighing.weigh_json(body, limits)
    try:
        level: list[Any] = [json.loads(body)]
    except (ValueError, RecursionError) as error:
        raise Refused(MALFORMED, f"The body of {len(body)} bytes is no JSON: {error}") from None
    for name in signal.lists:
        level = [member for owner in level for member in _members(owner, name)]
    names = [item.get(signal.name_key) for item in level if isinstance(item, dict)]
    genai = sum(_is_genai(name) for name in names)
    if signal is not METRICS:
        return Counted(len(level), genai)
    return Counted(sum(len(_members(item.get(kind) or {}, "dataPoints")) for item in level if isinstance(item, dict)
                       for kind in _DATA), genai)


def _members(owner: Any, name: str) -> list[Any]:
    found = owner.get(name) or [] if isinstance(owner, dict) else None
    if not isinstance(found, list):
        raise Refused(MALFORMED, f"The JSON is no OTLP: {name} is missing its object, or is no array.")
    return found


def _is_genai(name: Any) -> bool:
    return isinstance(name, str) and name.partition(".")[0] == GENAI and "." in name
