"""Forwarding as somebody at the terminal sees it and keeps it going: `otel-llm forward status|run|retry|drop`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from otel_llm.store.forward import queue
from otel_llm.store.forward.courier import Courier
from otel_llm.store.forward.process import find_destinations
from otel_llm.store.forward.queue import Letter, Waiting
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.destination import Content, Destination, Protocol
from otel_llm.values.settings import Settings

POLL_S = 1.0


class Forwarding:
    """Forwarding from one store, with the secrets of this environment. A context manager."""

    def __init__(self, directory: Path, settings: Settings, environ: Mapping[str, str]) -> None:
        self._directory, self._environ = directory, environ
        self._known = find_destinations(settings, environ)
        self._store = SqliteStore(directory)
        self._couriers: dict[int, Courier] = {}

    def __enter__(self) -> Forwarding:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._store.close()

    def waiting(self, name: str | None = None) -> list[Waiting]:
        """Every destination that spans of this store go to, and how it fares."""
        self._store.catch_up()
        return queue.waiting(self._store.connection.execute, name)

    def letters(self, name: str | None = None) -> list[Letter]:
        """What was refused, the newest first."""
        self._store.catch_up()
        return queue.letters(self._store.connection.execute, name)

    def retry(self, name: str | None = None) -> int:
        """Let what was refused wait again, and end every wait; the number of spans that wait again."""
        return queue.retry(self._store.connection, name)

    def drop(self, name: str) -> int:
        """Forget a destination; the number of spans that waited for it."""
        return queue.drop(self._store.connection, name)

    def missing(self, one: Waiting) -> list[str]:
        """The variables with headers that a destination had, when none of them is set here."""
        names = one.headers.split()
        mine = any(known.name == one.name and known.place == one.endpoint for known in self._known)
        return [] if mine or any(self._environ.get(name) for name in names) else names

    def run(
        self, *, until_empty: bool, timeout_s: float | None = None, tell: Callable[[list[Waiting]], Any] = lambda found: None,
        sleep: Callable[[float], Any] = time.sleep,
    ) -> bool:
        """Index and send, until nothing waits (`until_empty`), the time is over, or for ever. True when nothing waits.

        `tell` is given the destinations after every round.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            seconds = [self._courier(one).round(self._store, {one.number})[0] for one in self.waiting()]
            found = self.waiting()
            tell(found)
            left = sum(one.waiting for one in found)
            if until_empty and not left:
                return True
            if until is not None and time.monotonic() >= until:
                return not left
            pause = min([POLL_S, *(s for s in seconds if s is not None), *([until - time.monotonic()] if until else [])])
            sleep(max(pause, 0.01))

    def _courier(self, one: Waiting) -> Courier:
        """The courier of a destination of the store: as this environment describes it, else as the store does."""
        if one.number not in self._couriers:
            mine = next((known for known in self._known if known.name == one.name and known.place == one.endpoint), None)
            protocol, content = cast(Protocol, one.protocol), cast(Content, one.content)
            made = Destination(one.name, one.endpoint, protocol, headers=one.headers) if mine is None else mine
            made = replace(made, protocol=protocol, content=content)
            self._couriers[one.number] = Courier(self._directory, made, self._environ, rests=False)
        return self._couriers[one.number]
