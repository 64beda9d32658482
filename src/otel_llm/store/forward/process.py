"""What an instrumented program has of forwarding: where its spans go, said on its tape, and a forwarder made off its threads.

This module imports nothing heavy, since `init()` imports it. The forwarder is made in a thread, early, so that a short
program's spans can still go out in the little time that its end may take.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from otel_llm.store.forks import working
from otel_llm.values.destination import Destination, destinations
from otel_llm.values.errors import ConfigError
from otel_llm.values.guard import guard
from otel_llm.values.settings import Settings
from otel_llm.values.tape import FORWARD

if TYPE_CHECKING:
    from otel_llm.store.forward.forwarder import Forwarder
    from otel_llm.store.spool import Spool

log = logging.getLogger("otel_llm")


def find_destinations(settings: Settings, environ: Mapping[str, str], *, first: bool = True) -> list[Destination]:
    """Where spans go besides the store. An endpoint that is none is said once and costs nothing else."""
    try:
        return destinations(settings.forward, environ, first=first)
    except (ConfigError, ValueError) as error:
        log.warning("%s Spans stay in the store.", error)
        return destinations(settings.forward, environ, first=False)


def declare(spool: Spool, found: Sequence[Destination], cap_bytes: int) -> None:
    """Say on the tape where its spans go; nothing of it is secret."""
    for one in found:
        spool.declare(FORWARD, json.dumps({
            "name": one.name, "endpoint": one.place, "protocol": one.protocol, "content": one.content, "headers": one.headers,
            "cap_bytes": cap_bytes}, separators=(",", ":")).encode())


def forwards_for(
    spool: Spool, directory: Path, settings: Settings, environ: Mapping[str, str], *, first: bool = True
) -> Forwards | None:
    """What takes the spans on this tape where settings and environment say; None when they say nowhere."""
    found = find_destinations(settings, environ, first=first)
    declare(spool, found, settings.forward_cap_bytes)
    return Forwards(directory, found, environ) if found else None


def index(spool: weakref.ref[Spool], forwards: Forwards | None) -> None:
    """The indexing thread; what it needs is heavy to import and is imported in it, off the program's own threads."""
    with working():
        from otel_llm.store.background import run
    run(spool, forward=None if forwards is None else forwards.poke)


class Forwards:
    """The forwarder of a process. Making one starts nothing."""

    def __init__(self, directory: Path, found: Sequence[Destination], environ: Mapping[str, str]) -> None:
        self._directory, self._found, self._environ = directory, found, dict(environ)
        self._made: Forwarder | None = None
        self._runs = threading.Event()

    def prepare(self) -> None:
        """Import what will be needed, while the program does other things."""
        with guard("prepare to forward"):
            threading.Thread(target=self._make, name="otel-llm-prepare", daemon=True).start()

    def _make(self) -> None:
        with guard("prepare to forward"), working():
            if self._made is None:
                from otel_llm.store.forward.forwarder import Forwarder

                made = Forwarder(self._directory, self._found, self._environ, exclusive=working)
                with guard("prepare to forward"):
                    made.prepare()
                self._made = made

    def poke(self) -> None:
        """Something may have been indexed; the first time, the threads start."""
        if self._made is None:
            self._make()
        if self._made is not None:
            self._made.poke()
            self._runs.set()

    def hurry(self, timeout_s: float) -> None:
        """Index and send what waits; come back after so many seconds at most."""
        until = time.monotonic() + timeout_s
        if self._runs.wait(timeout_s) and self._made is not None:
            self._made.hurry(max(0.0, until - time.monotonic()))

    def finish(self, timeout_s: float) -> None:
        """Send what waits where no indexing thread runs, and end."""
        self.poke()
        self.hurry(timeout_s)
        self.stop()

    def stop(self) -> None:
        """Let the threads end when they come to it."""
        if self._made is not None:
            self._made.stop()
