"""Capture: taps on SDKs, the recorder behind them, and the steps that users mark themselves.

    SDK ── tap (`stainless`, `openai`) ── `live.LiveCall` ─┬─ span
    user code ── `structure` ── `step.Step` ───────────────┴─ tape (a Protocol that is passed in)

`otel_llm.capture.OpenAIInstrumentor` is OpenTelemetry's way in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_llm.capture.instrumentors import OpenAIInstrumentor

__all__ = ["OpenAIInstrumentor"]

WIRING: list[Callable[..., Callable[[], None]]] = []
"""The function that taps a library in this process; the wiring above this floor puts it here, instrumentors call it."""


def __getattr__(name: str) -> Any:
    if name == "OpenAIInstrumentor":
        from otel_llm.capture import instrumentors

        return instrumentors.OpenAIInstrumentor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
