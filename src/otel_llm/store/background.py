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
from typing import TYPE_CHECKING

from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.errors import StoreError
from otel_llm.values.guard import faults, guard

if TYPE_CHECKING:
    from otel_llm.store.spool import Spool

BATCH_BYTES = 500_000
INTERVAL_S = 5.0
NICENESS = 10
FORK_WAIT_S = 1.0

_working = threading.Lock()
_forking: list[bool] = []
"""Whether each fork under way has got the lock."""


def run(spool: weakref.ref[Spool], interval_s: float = INTERVAL_S) -> None:
    """The body of the indexing thread. It ends with the spool; a store that cannot be opened is tried again."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)  # Linux: of this thread alone
    store: SqliteStore | None = None
    pid = os.getpid()
    while True:
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
                    with _working:
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
    with _working:
        is_more = store.index_batch(BATCH_BYTES)
    time.sleep(min(1.0, time.monotonic() - begun))
    return is_more


def _before_fork() -> None:
    _forking.append(_working.acquire(timeout=FORK_WAIT_S))


def _after_fork_in_parent() -> None:
    if _forking.pop():
        _working.release()


def _after_fork_in_child() -> None:
    global _working
    _working = threading.Lock()
    _forking.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
