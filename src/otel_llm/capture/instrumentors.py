"""The instrumentors of OpenTelemetry: one a library, with the keywords that all instrumentors take.

    OpenAIInstrumentor().instrument(tracer_provider=…, meter_provider=…, logger_provider=…)

They are what `opentelemetry-instrument` finds. `otel_llm.init()` and `otel_llm.instrument()` use the same taps without this
module, because importing OpenTelemetry's base class costs more than everything else of a start-up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_llm.capture import WIRING


class _LibraryInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Instruments one library by name."""

    library = ""
    requirement = ""
    _undo: Callable[[], None] | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        return (self.requirement,)

    def _instrument(self, **kwargs: Any) -> None:
        self._undo = WIRING[-1](self.library, **kwargs)

    def _uninstrument(self, **kwargs: Any) -> None:
        if self._undo is not None:
            self._undo()
            self._undo = None


class OpenAIInstrumentor(_LibraryInstrumentor):
    """Instruments the openai SDK, 1.55.3 and later; no upper bound, newer majors are tried rather than refused."""

    library = "openai"
    requirement = "openai >= 1.55.3"
