"""The store keeps up with the spool while the server runs: a thread that indexes a batch, rests as long, and goes on.

It never has more than half of the interpreter, so receiving goes first; what it has not done, the next reader of the store
does. A store that cannot be opened is tried again.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.errors import StoreError
from otel_llm.values.guard import faults, guard

INTERVAL_S = 1.0
BATCH_BYTES = 1_000_000
STOP_S = 10.0


class Indexing:
    """Indexes the spool of one store until it is stopped."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stop = threading.Event()
        self._caught_up = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="otel-llm-indexer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the batch that is under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    @property
    def lag_s(self) -> float:
        """Seconds since the store had taken in all that lay in the spool."""
        return max(0.0, time.monotonic() - self._caught_up)

    def _run(self) -> None:
        store: SqliteStore | None = None
        while not self._stop.wait(INTERVAL_S):
            with guard("index what was received"):
                try:
                    store = store or SqliteStore(self.directory)
                    self._catch_up(store)
                except StoreError as error:
                    faults.note("index what was received", error)
                    if store is not None:
                        store.close()
                    store = None
        if store is not None:
            store.close()

    def _catch_up(self, store: SqliteStore) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            if not store.index_batch(BATCH_BYTES):
                self._caught_up = begun
                return
            self._stop.wait(min(1.0, time.monotonic() - begun))
