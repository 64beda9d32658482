"""The log events of the GenAI conventions: the details of an inference, an exception, an evaluation.

Imported only where somebody listens (a logger provider was given or set, or the capture variable asks for events).

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-events/
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import LogRecord, SeverityNumber, get_logger

from otel_llm import semconv

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.context import Context


class Events:
    """The event log of one logger provider."""

    def __init__(self, logger_provider: LoggerProvider | None, version: str) -> None:
        self._logger = get_logger("otel_llm", version, logger_provider, schema_url=semconv.SCHEMA_URL)

    def _emit(self, context: Context, name: str, attributes: Mapping[str, Any], severity: SeverityNumber) -> None:
        self._logger.emit(LogRecord(timestamp=time.time_ns(), context=context, event_name=name,
                                    attributes=dict(attributes), severity_number=severity))

    def details(self, context: Context, attributes: Mapping[str, Any]) -> None:
        """`gen_ai.client.inference.operation.details`, with messages as structures."""
        self._emit(context, semconv.EVENT_OPERATION_DETAILS, attributes, SeverityNumber.INFO)

    def exception(self, context: Context, kind: str, message: str | None) -> None:
        """`gen_ai.client.operation.exception`, severity WARN."""
        attributes = {semconv.EXCEPTION_TYPE: kind}
        if message:
            attributes[semconv.EXCEPTION_MESSAGE] = message
        self._emit(context, semconv.EVENT_OPERATION_EXCEPTION, attributes, SeverityNumber.WARN)
