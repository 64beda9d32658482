"""Indexing from inside the instrumented program: a thread that works a little, then lets the program work.

It takes small batches and rests after each as long as the batch took, so it never has more than half of one core and never
holds the interpreter for long. It is a daemon and is not waited for: what it has not done, the next reader does. A fork
waits for the end of the current batch, because a database library in mid-work must not be copied into a child.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from otel_llm.store.forks import working
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.errors import StoreError
from otel_llm.values.guard import faults, guard

if TYPE_CHECKING:
    from otel_llm.store.spool import Spool

BATCH_BYTES = 500_000
INTERVAL_S = 5.0
NICENESS = 10


def run(spool: weakref.ref[Spool], interval_s: float = INTERVAL_S, *, forward: Callable[[], None] | None = None) -> None:
    """The body of the indexing thread. It ends with the spool; a store that cannot be opened is tried again.

    `forward` is called at once and whenever something may have been indexed; it must not wait for anything.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)  # Linux: of this thread alone
    store: SqliteStore | None = None
    pid = os.getpid()
    while True:
        if forward is not None:
            with guard("forward spans"):
                forward()
        time.sleep(interval_s)
        tape = spool()
        if tape is None or os.getpid() != pid:
            return
        tape.flush()
        directory = tape.directory.parent
        del tape
        with guard("index the spool in the background"):
            try:
                if store is None:
                    with working():
                        store = SqliteStore(directory)
                while _work(store):
                    pass
            except (StoreError, sqlite3.Error, OSError) as error:
                faults.note("index the spool in the background", error)
                if store is not None:
                    store.close()
                store = None


def _work(store: SqliteStore) -> bool:
    """One batch, then a rest as long as the batch took. True when there is more."""
    begun = time.monotonic()
    with working():
        is_more = store.index_batch(BATCH_BYTES)
    time.sleep(min(1.0, time.monotonic() - begun))
    return is_more
