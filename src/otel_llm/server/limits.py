"""How much one request, and all of them together, may ask of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from otel_llm.server.refusals import BUSY, Refused

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes are bytes, times are seconds. `body_bytes` holds for what comes over the wire and again for what it unpacks to."""

    body_bytes: int = 64 * MIB
    spans: int = 50_000
    elements: int = 1_000_000
    """Messages inside a protobuf body; of JSON, four tokens count as one. An empty one takes two bytes on the wire and a
    hundred in memory, so bytes alone bound nothing."""
    requests: int = 128
    """Requests under way at the same time."""
    read_s: float = 60.0
    """How long a body may take to come."""
    stop_s: int = 20
    """How long a stop waits for requests under way."""

    @property
    def in_flight_bytes(self) -> int:
        """Bytes of bodies that may be held at the same time."""
        return 4 * self.body_bytes


class Gate:
    """Counts what is under way. Nobody waits in a queue that grows: what does not fit is told to come back."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self.requests = self.bytes = 0

    @contextmanager
    def enter(self) -> Iterator[Share]:
        """One request's share, given back at the end. Raises `Refused`."""
        with self._lock:
            if self.requests >= self._limits.requests:
                raise Refused(BUSY, f"{self.requests} requests are under way already; send this one again.")
            self.requests += 1
        share = Share(self)
        try:
            yield share
        finally:
            with self._lock:
                self.requests -= 1
                self.bytes -= share.bytes

    def take(self, size: int) -> None:
        with self._lock:
            if self.bytes + size > self._limits.in_flight_bytes:
                raise Refused(BUSY, f"Requests under way hold {self.bytes} bytes already; send this one again.")
            self.bytes += size


class Share:
    """What one request holds of the gate's bytes."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.bytes = 0

    def hold(self, size: int) -> None:
        """So many bytes more. Raises `Refused`."""
        self._gate.take(size)
        self.bytes += size
