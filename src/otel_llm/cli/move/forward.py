"""`otel-llm forward …`: what goes from the store to OTLP endpoints; the sub-verbs stand in `otel_llm.cli.verbs`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from otel_llm.cli.app import App, check_store
from otel_llm.cli.verbs import FORWARD_VERBS, VerbGroup

if TYPE_CHECKING:
    from otel_llm.store.forward.status import Forwarding

forward = VerbGroup(
    "forward",
    FORWARD_VERBS,
    help="What goes from the store to OTLP endpoints: those of OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_LLM_FORWARD.",
)


@contextmanager
def opened(app: App) -> Iterator[Forwarding]:
    """Forwarding from the store of this run, closed behind it. Raises `NoStore` where a store was named and there is none."""
    check_store(app.settings)
    from otel_llm import _setup

    with _setup.open_forwarding(app.settings) as found:
        yield found
