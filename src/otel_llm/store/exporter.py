"""Where the SDK's spans enter the tape: as a processor in the caller's thread, or as an exporter under any processor.

`ReplayProcessor` is what `init()` installs: a span is on the tape when `end()` returns, so `kill -9` cannot take it.
`ReplayExporter` is the same for programs that wire OpenTelemetry themselves (`OTEL_TRACES_EXPORTER=replay`); under a batch
processor the spans wait in that processor's queue, while the bytes of the calls are on the tape all the same.

Neither raises, neither waits for anything but one `write`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_llm.store.spanframe import sdk_span_header
from otel_llm.values.guard import guard, swallow
from otel_llm.values.tape import RESOURCE, SCOPE, SPAN, Tape

UNWRITABLE = "span not writable"


class ReplayExporter(SpanExporter):
    """Writes ended spans on a tape. Works under `SimpleSpanProcessor`, `BatchSpanProcessor` and any other."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            write_span(self.tape, span)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return _flush(self.tape)

    def shutdown(self) -> None:
        _flush(self.tape)


class ReplayProcessor(SpanProcessor):
    """Writes every sampled span on a tape at its end, in the thread that ends it."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def on_end(self, span: ReadableSpan) -> None:
        context = span.context
        if context is not None and context.trace_flags & 1:
            write_span(self.tape, span)

    def leave(self, provider: Any) -> None:
        """Undo `add_span_processor`, which the SDK cannot: the tuple that it keeps is replaced under its own lock."""
        active: Any = provider._active_span_processor
        with active._lock:
            active._span_processors = tuple(p for p in active._span_processors if p is not self)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return _flush(self.tape)

    def shutdown(self) -> None:
        _flush(self.tape)


def write_span(tape: Tape, span: Any) -> None:
    """Append one SDK span. What cannot be written at all is counted."""
    try:
        header = sdk_span_header(
            span, tape.number_of(RESOURCE, span.resource), tape.number_of(SCOPE, span.instrumentation_scope)
        )
        tape.append(SPAN, header)
    except Exception as error:
        with guard("count a span that could not be written"):
            tape.lost(UNWRITABLE)
        swallow("write a span on the tape", error)


def _flush(tape: Tape) -> bool:
    """Tapes that hold something back know how to flush it; the protocol does not ask for it."""
    flush: Callable[[], bool] | None = getattr(tape, "flush", None)
    return True if flush is None else flush()
