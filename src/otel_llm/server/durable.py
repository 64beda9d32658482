"""The tape as a server needs it: a batch is written, or it is not and the sender is told.

A recorder may never wait and never fail, so a `Spool` keeps what it cannot write and counts what it must give up. A server
has a better way out, because whoever sent the spans still has them. So when a frame of a batch cannot be written, the batch
is refused and the whole spool object is given up, together with what waits in it: nothing is held in memory, nothing is
counted as lost that will come again, and one frame that can never be written does not block those behind it. What had been
written of the batch is stored once, however often it comes again.

Resources and scopes are kept by content, because every request brings them anew. A spool repeats those that it knows at
the head of each segment; when they have become many, a new spool begins.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from otel_llm.redaction import Redactor
from otel_llm.server.refusals import UNWRITABLE, Refused
from otel_llm.server.wire import Frames
from otel_llm.store.segments import segments
from otel_llm.store.spanframe import resource_content, scope_content
from otel_llm.store.spool import SPOOL_BYTES, Spool
from otel_llm.store.waiting import WaitingFrames
from otel_llm.values.settings import Settings
from otel_llm.values.spandata import ResourceData, ScopeData, SpanData
from otel_llm.values.tape import RESOURCE, SCOPE

log = logging.getLogger("otel_llm")

PAUSE_S = 0.5
"""After a failure everything is refused for so long, without reading it."""
MAX_ORIGINS = 1000
MAX_ORIGIN_BYTES = 1_000_000
NEVER_SHED = 1 << 62
"""The spool's own queue never gives anything up here; at most one frame ever waits in it."""

NOT_KEPT = "received span refused"
"""In the ledger: spans of an accepted request that were no OTLP, of which the sender was told."""


class _Spool(Spool):
    """A spool that can begin before there is a frame, and forget the frame that it could not write."""

    def begin(self) -> None:
        """Open a segment if none is. Raises `OSError`. A frame that fails then has the last number, and leaves no gap."""
        with self._lock:
            self._make_room()

    def abandon(self) -> None:
        """Let go of the segment and of what waits, and declare nothing lost."""
        with self._lock:
            self._waiting = WaitingFrames(NEVER_SHED)
            self._undeclared.clear()
            self._release()


class DurableTape:
    """Writes received spans into a spool directory. For any number of threads; one writes at a time."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        self.directory = directory
        self._frames = Frames(settings, Redactor(settings.redact))
        self._lock = threading.Lock()
        self._spool: _Spool | None = None
        self._origins: dict[bytes, ResourceData | ScopeData] = {}
        self._origin_bytes = 0
        self._refuse_until = 0.0
        self._is_failing = False

    def check(self) -> None:
        """Raises `Refused` while it is known that nothing can be written."""
        if time.monotonic() < self._refuse_until:
            raise self._refusal()

    @property
    def is_writable(self) -> bool:
        """False from a failed write to the next that succeeds."""
        return not self._is_failing

    def spool_bytes(self) -> int:
        """How many bytes of segments lie in the spool, of all processes."""
        return sum(size for _, size in segments(self.directory))

    def write(self, spans: Iterable[SpanData], *, refused: int = 0) -> None:
        """Write all of them, and how many others of the request were refused. When this returns, they survive the death of
        this process. Raises `Refused`."""
        with self._lock:
            self.check()
            spool = self._begin()
            try:
                self._write(spool, spans, refused)
            except Refused:
                self._give_up(spool)
                raise
            if self._is_failing:
                log.warning("the tape in %s can be written again", self.directory)
                self._is_failing = False

    def close(self) -> None:
        """Let go of the segment, so that it can be indexed to its end and removed."""
        with self._lock:
            self._close()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _begin(self) -> _Spool:
        if len(self._origins) > MAX_ORIGINS or self._origin_bytes > MAX_ORIGIN_BYTES:
            self._close()
        if self._spool is None:
            self._spool = _Spool(self.directory, queue_bytes=NEVER_SHED)
        return self._spool

    def _write(self, spool: _Spool, spans: Iterable[SpanData], refused: int) -> None:
        try:
            is_ready = spool.flush()  # it also notices that somebody has removed the directory
            spool.begin()
        except OSError:
            is_ready = False
        if not is_ready:
            raise self._refusal()
        resource: ResourceData | None = None
        scope: ScopeData | None = None
        of_resource = of_scope = 0
        for span in spans:
            if span.resource is not resource:
                resource = span.resource
                of_resource = self._number(spool, RESOURCE, resource)
            if span.scope is not scope:
                scope = span.scope
                of_scope = self._number(spool, SCOPE, scope)
            for frame in self._frames.of(span, of_resource, of_scope):
                spool.append(*frame)
                if spool.waiting_bytes:
                    raise self._refusal()
        if refused:
            spool.lost(NOT_KEPT, refused)

    def _number(self, spool: _Spool, kind: int, thing: ResourceData | ScopeData) -> int:
        """The number of a resource or scope. The spool remembers objects, and every request brings new ones."""
        content = b"%d" % kind + (resource_content(thing) if kind == RESOURCE else scope_content(thing))
        known = self._origins.get(content)
        if known is None:
            known = self._origins[content] = thing
            self._origin_bytes += len(content)
        return spool.number_of(kind, known)

    def _give_up(self, spool: _Spool) -> None:
        self._refuse_until = time.monotonic() + PAUSE_S
        if not self._is_failing:
            self._is_failing = True
            log.warning("the tape in %s cannot be written: %s. Spans are refused until it can.", self.directory, self._reason())
        spool.abandon()
        self._forget()

    def _close(self) -> None:
        if self._spool is not None:
            self._spool.close()
        self._forget()

    def _forget(self) -> None:
        self._spool = None
        self._origins.clear()
        self._origin_bytes = 0

    def _refusal(self) -> Refused:
        return Refused(UNWRITABLE, "The store cannot be written now; nothing of this request is acknowledged. Send it again.")

    def _reason(self) -> str:
        """For the log of this server; a sender need not know where the store is."""
        try:
            if self.spool_bytes() >= SPOOL_BYTES:
                return f"the spool holds {SPOOL_BYTES} bytes that are not indexed yet"
            if not os.access(self.directory, os.W_OK):
                return "no permission, or the directory cannot be made"
            free = os.statvfs(self.directory)
            return "the disk is full" if free.f_bavail * free.f_frsize < 1_000_000 else "the disk is full, slow or broken"
        except OSError as error:
            return str(error)
