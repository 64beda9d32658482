"""The only wiring: settings → provider, tape, exporter, taps. One process has one of it, in the cell at the end.

    init()  ─ settings ─┬─ Spool (the tape) ── ReplayProcessor ── tracer provider (the user's, or ours)
                        ├─ Recorder ── taps on the libraries that are there
                        └─ destinations ── Forwarder: from the store to OTLP endpoints, in threads of its own

Everything is made late: `import otel_llm` loads none of it, `init()` writes no file, a library is patched when it is
imported. `shutdown()` is the exact inverse of `init()`, `uninstrument()` of `instrument()`.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import otel_llm.capture
from otel_llm._version import __version__
from otel_llm.values.guard import guard
from otel_llm.values.settings import Settings
from otel_llm.values.tape import Tape

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
    from opentelemetry.trace import TracerProvider

    from otel_llm.capture.patching import Patches
    from otel_llm.capture.recorder import Recorder
    from otel_llm.store.exporter import ReplayExporter, ReplayProcessor
    from otel_llm.store.forward.process import Forwards
    from otel_llm.store.forward.status import Forwarding
    from otel_llm.store.spool import Spool
    from otel_llm.store.sqlite import SqliteStore
    from otel_llm.values.sender import Sender

log = logging.getLogger("otel_llm")

LIBRARIES: Mapping[str, str] = {"openai": "otel_llm.capture.openai"}
"""Library → the module whose `tap(recorder)` watches it."""

EXIT_S = 0.25
"""How long the end of the program may wait for its last spans to be indexed and sent."""
FLUSH_S = 5.0
"""The same for `flush()`."""


class Wiring:
    """What one process has wired together."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.spool: Spool | None = None
        self.recorder: Recorder | None = None
        self.provider: SdkTracerProvider | None = None
        self.processor: ReplayProcessor | None = None
        self.taps: dict[str, Any] = {}
        self.leaving: set[str] = set()  # libraries that the program of a rerun has given up, until that is over
        self.threads: Patches | None = None
        self.forwarding: Forwards | None = None
        self.started = False

    def tape(self) -> Tape | None:
        return self.spool

    def open_tape(self, settings: Settings) -> Spool:
        """The process's tape; opening it writes nothing yet."""
        if self.spool is None:
            from otel_llm.store.forward.process import index
            from otel_llm.store.spool import Spool

            self.spool = Spool(store_directory(settings) / "spool")
            self.forward(settings, first=False)
            if settings.index:
                self.spool.start_background(lambda spool: index(spool, self.forwarding))
            atexit.register(self.leave)
        return self.spool

    def forward(self, settings: Settings, *, first: bool) -> None:
        """Let the spans of this process go where settings and environment say.

        `first` is the standard endpoint, which is ours only where the tracer provider is.
        """
        from otel_llm.store.forward.process import forwards_for

        assert self.spool is not None
        self.forwarding = forwards_for(self.spool, store_directory(settings), settings, os.environ, first=first)

    def flush(self) -> None:
        """End what is still open and hand over what waits."""
        if self.recorder is not None:
            with guard("end open calls"):
                self.recorder.close()
        if self.spool is not None:
            with guard("flush the tape"):
                self.spool.flush()

    def send(self, timeout_s: float) -> None:
        """Index and send what waits, in so many seconds at most."""
        with guard("forward the last spans"):
            if self.forwarding is not None and self.spool is not None and self.spool.has_background:
                self.forwarding.hurry(timeout_s)

    def leave(self) -> None:
        """The end of the program."""
        self.flush()
        self.send(EXIT_S)

    def record_with(
        self,
        settings: Settings,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        *,
        others: bool,
    ) -> Recorder:
        """The process's recorder, on these providers. `others` says that spans go elsewhere than to our store."""
        from opentelemetry.trace import get_tracer

        from otel_llm import semconv
        from otel_llm.capture.events import Events
        from otel_llm.capture.metrics import Metrics
        from otel_llm.capture.recorder import Recorder
        from otel_llm.pricing import PriceTable
        from otel_llm.redaction import Redactor

        made = Recorder(
            tracer=get_tracer("otel_llm", __version__, tracer_provider, semconv.SCHEMA_URL),
            settings=settings, tape=self.tape,
            prices=PriceTable(store_directory(settings) / "prices.json"),
            exact_prices=others,
            metrics=Metrics(meter_provider, __version__),
            events=Events(logger_provider, __version__),
            redactor=Redactor(settings.redact),
        )
        if self.recorder is None:
            self.recorder = made
        else:
            self.recorder.adopt(made)
        return self.recorder

    def tap(self, library: str) -> Callable[[], None]:
        """Watch a library, once; gives the function that stops it."""
        self.leaving.discard(library)
        if library not in self.taps:
            self.taps[library] = tap = import_module(LIBRARIES[library]).tap(self.recorder)
            tap.install()
        return lambda: self.untap(library)

    def untap(self, library: str) -> None:
        if self.recorder is not None and self.recorder.player is not None:
            self.leaving.add(library)  # its calls would go out; the end of the rerun does it
        elif (tap := self.taps.pop(library, None)) is not None:
            tap.remove()


_cell = Wiring()


def recorder() -> Recorder | None:
    """The process's recorder, None while nothing is instrumented; what the step makers ask for."""
    return _cell.recorder if _cell.taps else None


def store_directory(settings: Settings) -> Path:
    """Where the store is: the setting, else the platform's user data directory."""
    if settings.store:
        return Path(settings.store).expanduser()
    from platformdirs import user_data_path

    return user_data_path("otel-llm", appauthor=False)


# ---- the public functions ---------------------------------------------------------------------------------------------


def init(
    *,
    store: str | os.PathLike[str] | None = None,
    content: bool | None = None,
    redact: bool | None = None,
    content_on_spans: str | None = None,
    providers: Mapping[str, str] | None = None,
    max_body_bytes: int | None = None,
    threads: bool | None = None,
    index: bool | None = None,
    forward: Mapping[str, str] | str | None = None,
) -> None:
    """Record every LLM call of this program: `import otel_llm; otel_llm.init()`.

    Uses the tracer provider that is set, or installs one; writes spans and exact bytes to the store. When
    `OTEL_EXPORTER_OTLP_ENDPOINT` is set and the provider is ours, spans go there too, from the store: a backend that is down
    costs the program nothing, and what it misses it gets later. Calling it again does nothing. It never fails the program:
    what cannot be set up is logged. Only an argument that makes no sense raises `ConfigError`, at once.

    Args:
        store: directory of the store; else `OTEL_LLM_STORE`, else the platform's user data directory.
        content: False records no prompts, answers, arguments or results anywhere.
        redact: False keeps secrets that stand in content (they are replaced by default).
        content_on_spans: NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT; what other exporters see.
        providers: host → provider for OpenAI-compatible endpoints, such as `{"llm.example.org": "openai"}`.
        max_body_bytes: the largest body that is recorded.
        threads: carry the context into `ThreadPoolExecutor` workers.
        index: False leaves the indexing of the spool to those who read the store, and forwarding to `otel-llm forward run`.
        forward: more OTLP endpoints, as `OTEL_LLM_FORWARD` has them, such as `{"jaeger": "http://localhost:4318;content=full"}`.
    """
    settings = Settings.resolve({
        "store": store, "content": content, "redact": redact, "content_on_spans": content_on_spans, "providers": providers,
        "max_body_bytes": max_body_bytes, "threads": threads, "index": index, "forward": forward})
    if _cell.started or settings.disabled:
        return
    with guard("start"):
        _start(settings)


def _start(settings: Settings) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    from otel_llm.capture.ids import tracer_provider
    from otel_llm.store.exporter import ReplayProcessor

    tape = _cell.open_tape(settings)
    current, others = trace.get_tracer_provider(), False
    if isinstance(current, TracerProvider):
        _cell.provider, others = current, True
    else:
        _cell.provider = tracer_provider()
        _cell.forward(settings, first=True)
        trace.set_tracer_provider(_cell.provider)
    if _cell.forwarding is not None and settings.index:
        _cell.forwarding.prepare()
    _cell.processor = ReplayProcessor(tape)
    _cell.provider.add_span_processor(_cell.processor)
    _cell.settings = settings
    _cell.record_with(settings, _cell.provider, others=others)
    for library in LIBRARIES:
        _cell.tap(library)
    if settings.threads:
        from otel_llm.capture.threads import carry_into_pools

        _cell.threads = carry_into_pools()
    _cell.started = True


def shutdown() -> None:
    """Undo `init()`: every patched function is the one that was there, what is open is ended, the tape is closed."""
    uninstrument()
    if _cell.threads is not None:
        _cell.threads.undo()
    if _cell.provider is not None and _cell.processor is not None:
        with guard("remove the span processor"):
            _cell.processor.leave(_cell.provider)
    if _cell.spool is not None:
        _cell.send(EXIT_S)
        if _cell.forwarding is not None:
            _cell.forwarding.stop()
        with guard("close the tape"):
            _cell.spool.close()
        atexit.unregister(_cell.leave)
    _cell.spool = _cell.provider = _cell.processor = _cell.threads = _cell.settings = _cell.forwarding = None
    # a rerun goes on through it, and answers what `init()` begins next
    _cell.started, _cell.recorder = False, _cell.recorder if _cell.recorder and _cell.recorder.player else None


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
) -> None:
    """Tap every supported library that is installed, inside an OpenTelemetry set-up of one's own; touch nothing else.

    Spans, metrics and events go to the providers given, or to the global ones. The tape is written too when a
    `ReplayExporter` is attached. `uninstrument()` undoes it.
    """
    for library in LIBRARIES:
        tap_library(library, tracer_provider=tracer_provider, meter_provider=meter_provider, logger_provider=logger_provider)


def uninstrument() -> None:
    """Put every patched function back and end what is open."""
    for library in list(_cell.taps):
        _cell.untap(library)
    _cell.flush()


def flush() -> None:
    """Hand over everything that waits, to OTLP endpoints too: for workers that are frozen or killed between two requests."""
    if _cell.provider is not None:
        _cell.provider.force_flush()
    if _cell.spool is not None:
        _cell.spool.flush()
    _cell.send(FLUSH_S)


def tap_library(
    library: str,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    **ignored: Any,
) -> Callable[[], None]:
    """Tap one library; gives the function that undoes it. This is what an instrumentor calls."""
    settings = _cell.settings or Settings.resolve()
    if settings.disabled:
        return lambda: None
    if _cell.recorder is None or any(p is not None for p in (tracer_provider, meter_provider, logger_provider)):
        _cell.record_with(settings, tracer_provider, meter_provider, logger_provider, others=True)
    return _cell.tap(library)


otel_llm.capture.WIRING.append(tap_library)


# ---- what entry points and doors ask for ------------------------------------------------------------------------------


def open_store(settings: Settings) -> SqliteStore:
    """The store of these settings, for those who read it."""
    from otel_llm.store.sqlite import SqliteStore

    return SqliteStore(store_directory(settings))


def open_forwarding(settings: Settings) -> Forwarding:
    """What goes from the store of these settings to other places, for those who look at it or keep it going."""
    from otel_llm.store.forward.status import Forwarding

    return Forwarding(store_directory(settings), settings, os.environ)


def make_sender(settings: Settings) -> tuple[Sender, Callable[[], None]]:
    """A sender that records into the store of these settings, and the function that finishes its recording."""
    from opentelemetry.sdk.resources import Resource

    from otel_llm import semconv
    from otel_llm.capture.ids import tracer_provider
    from otel_llm.capture.recorder import Recorder
    from otel_llm.capture.sender import HttpSender
    from otel_llm.pricing import PriceTable
    from otel_llm.redaction import Redactor
    from otel_llm.store.exporter import ReplayProcessor
    from otel_llm.store.forward.process import forwards_for
    from otel_llm.store.spool import Spool

    directory = store_directory(settings)
    spool = Spool(directory / "spool")
    provider = tracer_provider(resource=Resource.create({"service.name": "otel-llm replay"}), shutdown_on_exit=False)
    provider.add_span_processor(ReplayProcessor(spool))
    forwards = forwards_for(spool, directory, settings, os.environ)
    if forwards is not None:
        forwards.prepare()
    made = Recorder(
        tracer=provider.get_tracer("otel_llm", __version__, semconv.SCHEMA_URL),
        settings=settings, tape=lambda: spool, prices=PriceTable(directory / "prices.json"), exact_prices=True,
        redactor=Redactor(settings.redact))

    def finish() -> None:
        provider.shutdown()
        spool.close()
        if forwards is not None:
            forwards.finish(EXIT_S)

    return HttpSender(made, f"otel-llm/{__version__}"), finish


def replay_exporter(store: str | os.PathLike[str] | None = None) -> ReplayExporter:
    """An exporter for OpenTelemetry set-ups of one's own: `provider.add_span_processor(BatchSpanProcessor(replay_exporter()))`.

    It writes to the store of this process; from here on the taps write their bytes there too.
    """
    from otel_llm.store.exporter import ReplayExporter

    return ReplayExporter(_cell.open_tape(_cell.settings or Settings.resolve({"store": store})))


def __getattr__(name: str) -> Any:
    """The classes that OpenTelemetry loads by entry point; made late, because their bases are dear to import."""
    if name == "EntryPointExporter":
        from otel_llm.store.exporter import ReplayExporter

        class EntryPointExporter(ReplayExporter):
            """`OTEL_TRACES_EXPORTER=replay`."""

            def __init__(self) -> None:
                super().__init__(_cell.open_tape(_cell.settings or Settings.resolve()))

        return EntryPointExporter
    if name == "Configurator":
        from otel_llm._configurator import make_configurator
        return make_configurator(lambda: _cell.open_tape(_cell.settings or Settings.resolve()))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
