"""The tape as files: every process appends to a segment of its own, with one `os.write` a frame.

That is all it takes to survive `kill -9`, `os._exit`, a lost fork or an out-of-memory kill: what `write` has accepted is in
the page cache and no longer belongs to the process. No handler, no flush, no thread is involved. What this module adds is
the behaviour when things go wrong: no exception ever reaches the caller, and nothing is dropped without being counted.

A segment (`otel_llm.store.segments`) is made under another name and renamed once it is locked, so nobody ever sees one that
is young and unlocked. Resources and scopes are repeated at the head of every segment, so that each can be read alone.

The lock is re-entrant because a finaliser may run in the middle of an append and want to append as well. An append that
cannot have the lock, since another thread's write stalls, leaves its frame in the queue and goes on; whoever holds the lock
writes it afterwards.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import logging
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from otel_llm.store import frames
from otel_llm.store.segments import DISK_ERROR, DISK_SLOW, REASONS, SPOOL_FULL, SUFFIX, YOUNG, segments
from otel_llm.store.spanframe import numbered, resource_content, scope_content
from otel_llm.store.waiting import Waiting, WaitingFrames
from otel_llm.values.guard import guard, swallow
from otel_llm.values.tape import LOSS, RESOURCE

log = logging.getLogger("otel_llm")

SEGMENT_BYTES = 16_000_000
QUEUE_BYTES = 32_000_000
SPOOL_BYTES = 512_000_000
PATIENCE_S = 0.5
"""How long an append waits for another thread's write before its frame goes to the queue."""

RETRY_S = 0.05
MAX_KNOWN = 1000


class Spool:
    """A `Tape` in a directory of segment files. Making one touches no file; the first append does."""

    def __init__(
        self,
        directory: Path | str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        queue_bytes: int = QUEUE_BYTES,
        spool_bytes: int = SPOOL_BYTES,
    ) -> None:
        self.directory = Path(directory)
        self._segment_bytes, self._queue_bytes, self._spool_bytes = segment_bytes, queue_bytes, spool_bytes
        self._interned: dict[bytes, tuple[int, int]] = {}
        self._known: dict[int, tuple[object, int]] = {}
        self._told: set[str] = set()
        """Which troubles the log speaks of already."""
        self._background: Callable[[weakref.ref[Spool]], None] | None = None
        self._begin()
        _living.add(self)

    def _begin(self) -> None:
        """The state of a process that has appended nothing; also that of a forked child."""
        self._lock = threading.RLock()
        self._boot = ""
        self._fd = -1
        self._size = self._segment = 0
        self._numbers = itertools.count()
        self._writing = self._stalled = False
        self._trouble: str | None = None
        self._retry_at = 0.0
        self._waiting = WaitingFrames(self._queue_bytes)
        self._lost: Counter[str] = Counter()
        self._undeclared: Counter[str] = Counter()
        self._indexes = False

    # -- the tape ----------------------------------------------------------------------------------------------------

    def append(self, kind: int, header: bytes, body: bytes = b"") -> None:
        """Append one frame; when this returns, the frame survives the death of the process, or waits, or is counted."""
        if not (self._lock.acquire(False) or (not self._stalled and self._lock.acquire(timeout=PATIENCE_S))):
            self._append_without_lock(kind, header, body)
            return
        try:
            number = next(self._numbers)
            if self._fd < 0 or self._trouble is not None or self._writing or self._waiting.torn:
                self._append_slowly(Waiting(kind, number, header, body))
                return
            frame = frames.encode(kind, number, header, body)
            self._writing = True
            try:
                written = os.write(self._fd, frame)
            except OSError as error:
                self._fail(error)
                self._waiting.add(Waiting(kind, number, header, body), reason=self._trouble or DISK_ERROR)
                return
            finally:
                self._writing = False
            self._size += written
            if written != len(frame) or self._size >= self._segment_bytes or self._waiting.bytes:
                self._after_write(frame, written, Waiting(kind, number, header, body))
        except Exception as error:
            swallow("append to the tape", error)
        finally:
            self._lock.release()
        if self._stalled:
            self.flush()

    def number_of(self, kind: int, thing: object) -> int:
        """The number of an SDK Resource or InstrumentationScope, writing its frame when this process has not yet."""
        known = self._known.get(id(thing))
        if known is not None and known[0] is thing:
            return known[1]
        content = resource_content(thing) if kind == RESOURCE else scope_content(thing)
        with self._lock:
            entry = self._interned.get(content)
            if entry is None:
                entry = self._interned[content] = (len(self._interned) + 1, kind)
                if self._fd >= 0:
                    self.append(kind, numbered(entry[0], content))
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[id(thing)] = (thing, entry[0])
            return entry[0]

    def declare(self, kind: int, content: bytes) -> None:
        """Say something at the head of every segment of this process, and now when one is open; `content` is a JSON object."""
        with self._lock:
            if content not in self._interned:
                number, _ = self._interned[content] = (len(self._interned) + 1, kind)
                if self._fd >= 0:
                    self.append(kind, numbered(number, content))

    def lost(self, reason: str, count: int = 1) -> None:
        """Count what was not kept, and write that down at once when it can be written."""
        with guard("count a loss"):
            self._waiting.lose(reason, count)
            if not self._stalled and self._lock.acquire(timeout=PATIENCE_S):
                try:
                    self._declare()
                finally:
                    self._lock.release()

    # -- care --------------------------------------------------------------------------------------------------------

    @property
    def losses(self) -> Mapping[str, int]:
        """What this process has lost so far, by reason."""
        with self._lock:
            self._collect()
            return dict(self._lost)

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait in memory because they could not be written."""
        return self._waiting.bytes

    def spool_bytes(self) -> int:
        """How many bytes of segments lie in the directory, of all processes."""
        return sum(size for _, size in segments(self.directory))

    def flush(self) -> bool:
        """Try again to write what waits. True when nothing waits any more."""
        with guard("flush the tape"), self._lock:
            self._stalled = False
            if self._fd >= 0 and not self._writing and os.fstat(self._fd).st_nlink == 0:
                self._release()  # somebody removed the directory under us
            self._collect()
            if (self._waiting.bytes or self._undeclared or self._trouble is not None) and not self._writing:
                self._drain()
        return not self._waiting.bytes and self._trouble is None

    def close(self) -> None:
        """Write what waits and let go of the segment. A later append begins a new one."""
        self.flush()
        with guard("close the tape"), self._lock:
            self._release()

    def start_background(self, work: Callable[[weakref.ref[Spool]], None]) -> None:
        """Run `work` in a thread of this process, from the first append on; in forked children as well.

        It gets this spool by weak reference and ends when that is gone; `otel_llm.store.background.run` is made for it.
        """
        with self._lock:
            self._background = work
            if self._fd >= 0:
                self._index_in_background()

    @property
    def has_background(self) -> bool:
        """True when this process has written something and indexes it."""
        return self._indexes

    # -- troubles ----------------------------------------------------------------------------------------------------

    def _append_slowly(self, frame: Waiting) -> None:
        """The first append, and all appends while something is wrong or another append is under way."""
        self._waiting.add(frame, reason=self._trouble or DISK_SLOW)
        if not self._writing and (self._trouble is None or time.monotonic() >= self._retry_at):
            self._drain()

    def _append_without_lock(self, kind: int, header: bytes, body: bytes) -> None:
        """Another thread's write stalls: leave the frame in the queue. `_stalled` tells the other to look there once more."""
        with guard("keep a frame while the disk is slow"):
            self._stalled = True
            self._waiting.add(Waiting(kind, next(self._numbers), header, body), reason=DISK_SLOW)
            self._stalled = True
            if self._lock.acquire(blocking=False):
                self._lock.release()
                self.flush()

    def _after_write(self, frame: bytes, written: int, waiting: Waiting) -> None:
        """What is rare after a write: it was short, the segment is full, or others had to wait."""
        if written < len(frame):
            try:
                self._write(memoryview(frame)[written:], undo=written)
            except OSError as error:
                self._fail(error)
                self._waiting.add(waiting, reason=self._trouble or DISK_ERROR)
                return
        self._drain()

    def _drain(self) -> None:
        """Write what waits, oldest first, then what was lost meanwhile; begin a new segment when this one is full."""
        self._writing = True
        frame: Waiting | None = None
        try:
            self._stalled = False
            self._make_room()
            while (frame := self._waiting.take()) is not None:
                self._write(frames.encode(*frame))
                self._make_room()
            self._trouble = None
        except OSError as error:
            self._fail(error)
            if frame is not None:
                self._waiting.put_back(frame)
        finally:
            self._writing = False
        self._declare()

    def _declare(self) -> None:
        """Write the counts of what was lost, when they can be written."""
        self._collect()
        if self._undeclared and self._trouble is None and not self._writing:
            counts, self._undeclared = self._undeclared, Counter()
            self.append(LOSS, json.dumps(counts, separators=(",", ":")).encode())

    def _collect(self) -> None:
        losses = self._waiting.take_losses()
        self._lost.update(losses)
        self._undeclared.update(losses)

    def _fail(self, error: OSError) -> None:
        self._trouble = SPOOL_FULL if isinstance(error, _SpoolFull) else REASONS.get(error.errno or 0, DISK_ERROR)
        self._retry_at = time.monotonic() + RETRY_S
        if self._trouble not in self._told:
            self._told.add(self._trouble)
            log.warning(
                "otel-llm cannot write to %s: %s. The program goes on; up to %d MB wait in memory, the rest is counted as lost. "
                "`otel-llm doctor` says more.", self.directory, error.strerror or error, self._queue_bytes // 1_000_000)
        if self._trouble not in ("disk full", SPOOL_FULL) or error.errno == errno.EFBIG:
            self._release()

    def _write(self, data: bytes | memoryview, *, undo: int = 0) -> None:
        """All of the data, or none of it: a frame that is cut in the middle would hide all that follow."""
        done = 0
        try:
            while done < len(data):
                count = os.write(self._fd, data[done:] if done else data)
                if count == 0:
                    raise OSError(errno.ENOSPC, "nothing was written")
                done += count
                self._size += count
        except OSError:
            if done + undo:
                self._size -= done + undo
                try:
                    os.ftruncate(self._fd, self._size)
                except OSError:
                    self._release()
            raise

    # -- segments ----------------------------------------------------------------------------------------------------

    def _make_room(self) -> None:
        if self._fd >= 0 and self._size >= self._segment_bytes:
            self._release()
        if self._fd < 0:
            self._open()

    def _open(self) -> None:
        """Begin a segment: made and locked under another name, with all that is interned, then renamed."""
        self._boot = self._boot or f"{time.time_ns():016x}{os.urandom(4).hex()}"
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.spool_bytes() >= self._spool_bytes:
            raise _SpoolFull(errno.ENOSPC, f"the spool {self.directory} holds more than {self._spool_bytes} bytes")
        path = self.directory / f"{self._boot}-{os.getpid()}-{self._segment}{SUFFIX}"
        young = path.with_suffix(YOUNG)
        self._fd = os.open(young, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = 0
        try:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pass  # a file system without locks, where everybody counts as alive
            head = [frames.segment_head()]
            head += [frames.encode(kind, next(self._numbers), numbered(n, content))
                     for content, (n, kind) in list(self._interned.items())]
            self._write(b"".join(head))
            os.rename(young, path)
        except OSError:
            self._release()
            with guard("remove a segment that could not be begun"):
                young.unlink(missing_ok=True)
            raise
        self._segment += 1
        self._index_in_background()

    def _release(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _index_in_background(self) -> None:
        if self._background is None or self._indexes:
            return
        self._indexes = True
        with guard("start the indexer"):
            threading.Thread(
                target=_guarded, args=(self._background, weakref.ref(self)), name="otel-llm-indexer", daemon=True
            ).start()

    def _forked(self) -> None:
        """In a forked child: the segment and what waits belong to the parent; resources and scopes are still known."""
        fd = self._fd
        self._begin()
        if fd >= 0:
            with guard("leave the parent's segment"):
                os.close(fd)


class _SpoolFull(OSError):
    """There is more in the spool than we may keep there; the disk itself is fine."""


def _guarded(work: Callable[[weakref.ref[Spool]], None], spool: weakref.ref[Spool]) -> None:
    with guard("index in the background"):
        work(spool)


_living: weakref.WeakSet[Spool] = weakref.WeakSet()


def _after_fork() -> None:
    for spool in list(_living):
        spool._forked()


os.register_at_fork(after_in_child=_after_fork)
