"""The configurator that `opentelemetry-instrument` loads when no other one stands in its way.

It is the SDK's own, with one difference: `replay` among the exporters of `OTEL_TRACES_EXPORTER` writes each span in the thread
that ends it, so that it survives `kill -9`; everything else is set up as always. Under another distribution's configurator the
exporter works too, behind that one's batch processor.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from otel_llm.capture.ids import Ids
from otel_llm.values.tape import Tape

NAME = "replay"


def make_configurator(open_tape: Callable[[], Tape]) -> Any:
    """The configurator class, on the process's tape."""
    from opentelemetry.sdk import _configuration

    base: Any = _configuration._OTelSDKConfigurator

    class Configurator(base):  # type: ignore[misc]
        """The SDK's configurator; `replay` is written in the caller's thread."""

        def _configure(self, **kwargs: Any) -> None:
            names = [n.strip() for n in os.environ.get("OTEL_TRACES_EXPORTER", "").split(",") if n.strip()]
            if NAME in names:
                if not os.environ.get("OTEL_PYTHON_ID_GENERATOR"):
                    kwargs.setdefault("id_generator", Ids())
                kwargs.setdefault("span_processors", []).append(_processor(open_tape()))
                rest = [n for n in names if n != NAME]
                os.environ["OTEL_TRACES_EXPORTER"] = ",".join(rest) or "none"
                try:
                    super()._configure(**kwargs)
                finally:
                    os.environ["OTEL_TRACES_EXPORTER"] = ",".join(names)
            else:
                super()._configure(**kwargs)

    return Configurator


def _processor(tape: Tape) -> Any:
    from otel_llm.store.exporter import ReplayProcessor

    return ReplayProcessor(tape)
