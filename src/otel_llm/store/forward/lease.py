"""One process at a time forwards to a destination: whoever holds the lock on its file.

The kernel lets go of the lock when the process dies, so the next one need not wait for anything to run out, and no clock
takes part. A forked child closes its copy, or the lock would live on in it. Where a file system has no locks, several
processes may send the same span; receivers know it by its ids.
"""

from __future__ import annotations

import errno
import fcntl
import os
import weakref
from pathlib import Path

_BUSY = (errno.EWOULDBLOCK, errno.EACCES)


class Lease:
    """The lock on a file; taken and given back many times."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        _living.add(self)

    def take(self) -> bool:
        """True when this process may forward now."""
        if self._fd >= 0:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _BUSY:
                os.close(fd)
                return False
        self._fd = fd
        return True

    def give_back(self) -> None:
        """Let others forward."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


_living: weakref.WeakSet[Lease] = weakref.WeakSet()


def _after_fork() -> None:
    for lease in list(_living):
        lease.give_back()


os.register_at_fork(after_in_child=_after_fork)
