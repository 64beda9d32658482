"""What a test sees of an instrumented program: the spans, the metrics, the events, and the store.

Everything that any test records is also kept as the JSON lines that the checker of the conventions reads, so that the last
test of the suite can judge all of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

import otel_llm
from otel_llm import _setup
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.session import Exchange

RECORDS: list[dict[str, Any]] = []
"""Every span, event and metric that the suite recorded in this process."""

INSTRUMENTS = {"Histogram": "histogram", "Sum": "counter", "Gauge": "gauge"}


def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


class Collector(SpanProcessor, LogRecordProcessor):
    """Keeps ended spans and emitted events."""

    def __init__(self) -> None:
        self.started: dict[int, list[str]] = {}
        self.spans: list[ReadableSpan] = []
        self.events: list[Any] = []

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        self.started[span.context.span_id] = sorted(span.attributes or {})

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)
        RECORDS.append(span_record(span, self.started.get(span.context.span_id, [])))

    def on_emit(self, log_data: Any) -> None:
        record = getattr(log_data, "log_record", log_data)
        self.events.append(record)
        RECORDS.append({"signal": "log", "event_name": record.event_name, "attributes": plain(dict(record.attributes or {})),
                        "severity_number": getattr(record.severity_number, "value", None)})

    def shutdown(self) -> None:
        return None

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


def span_record(span: ReadableSpan, start_attributes: list[str]) -> dict[str, Any]:
    scope = span.instrumentation_scope
    return {
        "signal": "span", "name": span.name, "kind": span.kind.name.lower(), "attributes": plain(dict(span.attributes or {})),
        "start_attributes": start_attributes,
        "events": [{"name": e.name, "attributes": plain(dict(e.attributes or {}))} for e in span.events],
        "status": {"code": span.status.status_code.name.lower(), "description": span.status.description},
        "resource": plain(dict(span.resource.attributes)),
        "scope": {"name": scope.name, "version": scope.version, "schema_url": scope.schema_url},
        "trace_id": format(span.context.trace_id, "032x"), "span_id": format(span.context.span_id, "016x"),
        "parent_span_id": format(span.parent.span_id, "016x") if span.parent else None}


class Recording:
    """One instrumented stretch of a test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.collector = Collector()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(self.collector)
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider(metric_readers=[self.reader], shutdown_on_exit=False)
        self.logs = LoggerProvider(shutdown_on_exit=False)
        self.logs.add_log_record_processor(self.collector)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Ended spans, in the order of their end."""
        return self.collector.spans

    @property
    def events(self) -> list[Any]:
        return self.collector.events

    @property
    def calls(self) -> list[ReadableSpan]:
        """The spans of LLM calls and other requests, in the order of their end."""
        return [s for s in self.spans if s.kind.name == "CLIENT"]

    @property
    def call(self) -> ReadableSpan:
        """The one call that was made."""
        (only,) = self.calls
        return only

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the one call."""
        return dict(self.call.attributes or {})

    @cached_property
    def store(self) -> SqliteStore:
        return SqliteStore(self.directory)

    def exchange(self, span: ReadableSpan | None = None) -> Exchange:
        """What the tape holds of a call (of the only one)."""
        return self.store.exchange(format((span or self.call).context.span_id, "016x"))

    def metrics(self) -> dict[str, Any]:
        """The data points by metric name."""
        data = self.reader.get_metrics_data()
        return {metric.name: list(metric.data.data_points) for resource in (data.resource_metrics if data else [])
                for scope in resource.scope_metrics for metric in scope.metrics}

    def keep_metrics(self) -> None:
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else []:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    RECORDS.append({
                        "signal": "metric", "name": metric.name, "unit": metric.unit,
                        "instrument": INSTRUMENTS.get(type(metric.data).__name__),
                        "points": [{"attributes": plain(dict(p.attributes or {})), "bounds": list(p.explicit_bounds)}
                                   for p in metric.data.data_points if hasattr(p, "explicit_bounds")]})


@contextmanager
def recording(directory: Path, **settings: Any) -> Iterator[Recording]:
    """Instrument this process with a store in the directory, and put everything back afterwards."""
    made = Recording(directory)
    _setup._cell.settings = _setup.Settings.resolve({"store": directory, "index": False, **settings}, {})
    from otel_llm.store.exporter import ReplayProcessor

    made.provider.add_span_processor(ReplayProcessor(_setup._cell.open_tape(_setup._cell.settings)))
    otel_llm.instrument(tracer_provider=made.provider, meter_provider=made.meters, logger_provider=made.logs)
    try:
        yield made
    finally:
        otel_llm.shutdown()
        made.store.close()
        made.keep_metrics()


def dump(path: Path) -> int:
    """Write what was recorded as JSON lines; gives the number of records."""
    with path.open("w", encoding="utf-8") as out:
        for record in RECORDS:
            out.write(json.dumps(record, default=str) + "\n")
    return len(RECORDS)
