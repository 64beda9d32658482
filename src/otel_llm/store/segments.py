"""Segment files as others see them: which there are, whose they are, and whether their writer is alive.

    spool/<boot>-<pid>-<n>.seg      boot: when the process began and a random part (a fork is a new process); n: counts
    spool/<boot>-<pid>-<n>.new      the same, being made; never read

A process holds an exclusive `flock` on the segment that it writes. Whoever can take a shared lock on a segment knows that
nothing will be appended any more. Where the file system has no locks at all, everybody counts as alive, because taking a
living segment away would lose what follows, and keeping a dead one costs only space.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

SUFFIX, YOUNG = ".seg", ".new"

REASONS = {
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "disk full",
    errno.EFBIG: "disk full",
    errno.EROFS: "read-only disk",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
}
SPOOL_FULL, DISK_ERROR, DISK_SLOW = "spool full", "disk error", "disk slow"
GAP = "missing record"
"""A number that a process gave to a record which never came and which no declared loss explains."""

TAPE_REASONS = frozenset({*REASONS.values(), SPOOL_FULL, DISK_ERROR, DISK_SLOW})
"""Reasons under which numbered frames are lost; a gap in the numbers that they explain is not counted again."""


def segments(directory: Path) -> list[tuple[str, int]]:
    """Name and size of every segment in a spool, the oldest process first, and of each the oldest segment."""
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX):
                    try:
                        found.append((entry.name, entry.stat().st_size))
                    except FileNotFoundError:
                        continue
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda item: process_of(item[0]))


def process_of(name: str) -> tuple[str, int]:
    """`<boot>-<pid>-<n>.seg` as (`<boot>-<pid>`, n)."""
    process, _, count = name.removesuffix(SUFFIX).rpartition("-")
    return process, int(count) if count.isdigit() else 0


def has_writer(fd: int) -> bool:
    """True while a process may still append to the open segment."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False
