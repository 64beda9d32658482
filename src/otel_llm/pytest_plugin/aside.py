"""Recording into a store of its own, whatever is set up in this process already.

A test's program may have called `init()` when it was imported, may call it in the middle, or never. While the test is recorded
the process has another wiring; what was there waits, and is put back as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from otel_llm import _setup
from otel_llm.values.settings import Settings


@contextmanager
def recording_aside(store: str) -> Iterator[None]:
    """Record every call and step inside into this store, and into no other."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    from otel_llm.store.exporter import ReplayProcessor

    kept = _setup._cell
    libraries = list(kept.taps)
    for library in libraries:
        kept.untap(library)
    if kept.provider is not None and kept.processor is not None:
        kept.processor.leave(kept.provider)
    _setup._cell = young = _setup.Wiring()
    current = trace.get_tracer_provider()
    provider = current if isinstance(current, TracerProvider) else TracerProvider(shutdown_on_exit=False)
    young.settings = replace(kept.settings or Settings.resolve(), store=store, content=True, index=False, forward={})
    processor = ReplayProcessor(young.open_tape(young.settings))
    provider.add_span_processor(processor)
    try:
        _setup.instrument(tracer_provider=provider)
        yield
    finally:
        _setup.shutdown()
        processor.leave(provider)
        _setup._cell = kept
        if kept.provider is not None and kept.processor is not None:
            kept.provider.add_span_processor(kept.processor)
        for library in libraries:
            kept.tap(library)
