"""The openai SDK, 1.55 to 3: chat completions, responses, embeddings, completions, and every other endpoint.

The whole knowledge of this SDK is that it is a Stainless client whose package is called `openai`; see
`otel_llm.capture.stainless`. The wire formats are in `otel_llm.adapters`.

Source: https://github.com/openai/openai-python
"""

from __future__ import annotations

from otel_llm.capture.recorder import Recorder
from otel_llm.capture.stainless import StainlessTap

PACKAGE = "openai"


def tap(recorder: Recorder) -> StainlessTap:
    """The tap on the openai SDK, not yet installed."""
    return StainlessTap(PACKAGE, recorder)
