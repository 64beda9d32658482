"""What must not be under way while the process forks: the work of our threads on a database, and their imports.

A fork copies one thread. A database library in mid-work, or the lock of a module that another thread is importing, would be
copied in a state that nobody ever ends. So our threads work inside `working()`, and a fork waits for it, for a second at most.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

FORK_WAIT_S = 1.0

_working = threading.Lock()
_forking: list[bool] = []
"""Whether each fork under way has got the lock."""


@contextmanager
def working() -> Iterator[None]:
    """Around work in a thread of ours that no fork may interrupt; one thread at a time."""
    with _working:
        yield


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
