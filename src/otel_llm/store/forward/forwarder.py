"""Forwarding from inside a program: a thread for each destination, so that one that hangs holds up no other.

`poke()` says that something may be new; the indexing thread calls it. `hurry(seconds)` is for ends and for workers that are
about to be frozen: index what is on the tape, send what waits, and come back after so many seconds whatever happens. The
threads are daemons that nobody joins: a program's end is never put off by a backend. A forked child starts threads of its own.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from otel_llm.store.forward.courier import Courier, transport_for
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.destination import Destination
from otel_llm.values.errors import StoreError
from otel_llm.values.guard import faults, guard

BATCH_BYTES = 500_000
TROUBLE_S = 5.0


class Forwarder:
    """Forwards from one store to some destinations. Making one starts nothing; the first `poke` does."""

    def __init__(
        self, directory: Path, destinations: Sequence[Destination], environ: Mapping[str, str], *,
        exclusive: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._directory, self._destinations, self._environ, self._exclusive = directory, destinations, environ, exclusive
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._workers: list[_Worker] = []
        self._is_stopped = False

    def prepare(self) -> None:
        """Import what is heavy, before it is needed: a short program's spans are to go out at its end, in little time."""
        for destination in self._destinations:
            transport_for(destination, self._environ).close()
        if not (self._directory / "prices.json").exists():
            from otel_llm.pricing.library import find

            find("openai", "gpt-4o-mini")

    def poke(self) -> None:
        """Something may be new. Starts the threads of this process when it has none."""
        if self._pid != os.getpid():
            self._begin()
        with self._changed:
            if not self._workers and not self._is_stopped:
                for destination in self._destinations:
                    worker = _Worker(Courier(self._directory, destination, self._environ, exclusive=self._exclusive))
                    self._workers.append(worker)
                    threading.Thread(target=self._run, args=(worker,), daemon=True,
                                     name=f"otel-llm-forward-{destination.name}").start()
            for worker in self._workers:
                worker.is_poked = True
            self._changed.notify_all()

    def hurry(self, timeout_s: float) -> bool:
        """Index and send now; True when all of it was done in time. One that failed and hangs again is not waited for."""
        if self._pid != os.getpid():
            return True
        with self._changed:
            for worker in self._workers:
                worker.wanted += 1
                worker.courier.hurries = True
            self._changed.notify_all()
            done = self._changed.wait_for(
                lambda: all(w.done >= w.wanted or (w.fails and w.is_busy) for w in self._workers), timeout_s)
            for worker in self._workers:
                worker.courier.hurries = False
            return done

    def stop(self) -> None:
        """Let the threads end when they come to it."""
        if self._pid == os.getpid():
            with self._changed:
                self._is_stopped = True
                self._changed.notify_all()

    # -- a thread ----------------------------------------------------------------------------------------------------

    def _run(self, worker: _Worker) -> None:
        pid, store = self._pid, None
        due: float | None = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._is_stopped or worker.is_poked or worker.done < worker.wanted,  # noqa: B023
                    None if due is None else max(0.0, due - time.monotonic()))
                if self._is_stopped or os.getpid() != pid:
                    return
                worker.is_poked, wanted = False, worker.wanted
                worker.is_busy = worker.done >= wanted
            seconds: float | None = TROUBLE_S
            fails = False
            with guard("forward spans"):
                try:
                    if store is None:
                        with self._exclusive():
                            store = SqliteStore(self._directory)
                    if wanted > worker.done:
                        self._index(store)
                    seconds, fails = worker.courier.round(store)
                except (StoreError, sqlite3.Error, OSError) as error:
                    faults.note("forward spans", error)
                    if store is not None:
                        store.close()
                    store = None
            due = None if seconds is None else time.monotonic() + seconds
            with self._changed:
                worker.done, worker.fails, worker.is_busy = wanted, fails, False
                self._changed.notify_all()

    def _index(self, store: SqliteStore) -> None:
        """Take in what is on the tape, in bounded parts, so that others get their turn."""
        more = True
        while more:
            with self._exclusive():
                more = store.index_batch(BATCH_BYTES)


class _Worker:
    """What the thread of one destination is asked for, and how far it is."""

    def __init__(self, courier: Courier) -> None:
        self.courier = courier
        self.is_poked = self.fails = False
        self.is_busy = False
        """True while a round is under way that nobody waits for."""
        self.wanted = self.done = 0
