"""Sending what waits for one destination, until nothing waits or the destination wants to be left alone.

A span leaves the queue only when an answer about it is written down, so a process that dies in between sends again: at least
once, and receivers know a span by its ids. A refusal costs the spans that it is about: a request that is too large is halved
down to one span, which then goes without its content, and a request that is refused is halved until the bad span is alone.

While a destination fails, one small request asks whether it is back; how long that is put off grows with every failure, with
full jitter, and stands in the store, where the next process finds it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from otel_llm.store.forward import answers
from otel_llm.store.forward.answers import Answer
from otel_llm.store.forward.lease import Lease
from otel_llm.store.forward.parcels import MAX_SPANS, Loader, Parcel, request
from otel_llm.store.forward.queue import Queue, Waiting, waiting
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.destination import Destination, headers_of

MAX_BYTES = 4_000_000
LEAST_BYTES = 1_000
PROBE_BYTES = 64_000
BACKOFF_S, MOST_BACKOFF_S = 1.0, 30.0
MISPLACED_S, MOST_MISPLACED_S = 5.0, 300.0
BUSY_S = 1.0
"""When to look again whether another process still forwards."""
HELD_S = 1.0
REFUSALS = 64
"""How many requests the search for a bad span may cost."""
CUTS = 5
"""After so many broken connections a single large span counts as too large."""


THROTTLED = "throttled"
"""The state of a destination that asked for time."""


class Transport(Protocol):
    """Sends one request; never raises for what a network or a server can do."""

    def send(self, body: bytes) -> Answer: ...

    def close(self) -> None: ...


def transport_for(destination: Destination, environ: Mapping[str, str]) -> Transport:
    """What speaks the destination's protocol; its library is imported now."""
    headers = headers_of(destination, environ)
    if destination.protocol == "grpc":
        from otel_llm.store.forward.over_grpc import GrpcTransport

        return GrpcTransport(destination, headers)
    from otel_llm.store.forward.over_http import HttpTransport

    return HttpTransport(destination, headers)


class Courier:
    """Forwards to one destination. Not for several threads at once; `exclusive` is held around every use of the database."""

    def __init__(
        self, directory: Path, destination: Destination, environ: Mapping[str, str], *,
        exclusive: Callable[[], AbstractContextManager[object]] = nullcontext, rests: bool = True,
    ) -> None:
        self.destination = destination
        self._directory, self._environ, self._exclusive, self._rests = directory, environ, exclusive, rests
        self._max_bytes = MAX_BYTES
        self._leases: dict[int, Lease] = {}
        self.hurries = False
        """True while somebody waits: a wait that nobody asked for is cut short, and there are no rests between the batches."""

    def round(self, store: SqliteStore, numbers: set[int] | None = None) -> tuple[float | None, bool]:
        """Send what waits. Gives the seconds after which to come again (None: when something is new), and whether it fails.

        `numbers` are the destinations of the store that are meant; else those of this name and place.
        """
        with self._exclusive():
            found = [one for one in waiting(store.connection.execute, self.destination.name)
                     if (one.number in numbers if numbers is not None else one.endpoint == self.destination.place)]
        outcomes = [self._forward(store, one) for one in found if one.waiting > 0]
        times = [seconds for seconds, _ in outcomes if seconds is not None]
        return (min(times) if times else None), any(fails for _, fails in outcomes)

    def _forward(self, store: SqliteStore, one: Waiting) -> tuple[float | None, bool]:
        left_ns = one.retry_ns - time.time_ns()
        is_asked = one.state == THROTTLED or not self.hurries
        if is_asked and 0 < left_ns <= answers.MAX_WAIT_S * 1.1e9:  # beyond that, a clock was set
            return left_ns / 1e9, True
        lease = self._leases.setdefault(one.number, Lease(self._directory / "forward" / f"{one.number}.lock"))
        if not lease.take():
            return BUSY_S, False
        transport = transport_for(_as_stored(self.destination, one), self._environ)
        try:
            return self._send_all(store, one, transport)
        finally:
            transport.close()
            lease.give_back()

    def _send_all(self, store: SqliteStore, one: Waiting, transport: Transport) -> tuple[float | None, bool]:
        queue, loader = Queue(store.connection, one.number), Loader(store.connection, one.content)
        after, failures, has_held = 0, one.failures, False
        while True:
            begun = time.thread_time()
            with self._exclusive():
                load = loader.load(queue, after, max_spans=MAX_SPANS,
                                   max_bytes=min(self._max_bytes, PROBE_BYTES) if failures else self._max_bytes)
                if load.gone:
                    queue.gone(load.gone)
                for step, words in load.broken:
                    queue.refused([step], words)
            has_held = has_held or load.has_held
            if load.parcels:
                delay = self._send(queue, load.parcels, transport, failures)
                if delay is not None:
                    return delay, True
                failures = 0
            after = load.last
            if not load.has_more:
                with self._exclusive():
                    queue.settle()
                return (HELD_S if has_held else None), False
            if self._rests and not self.hurries:
                time.sleep(min(1.0, time.thread_time() - begun))

    def _send(self, queue: Queue, parcels: list[Parcel], transport: Transport, failures: int) -> float | None:
        """Send these spans in as many requests as it takes; the seconds to wait when that was not possible now."""
        left, groups = REFUSALS, [parcels]
        while groups:
            group = groups.pop()
            body = request(group)
            answer = transport.send(body)
            steps = [parcel.step for parcel in group]
            verdict = answer.verdict
            if answer.was_cut and len(body) > answers.SMALL_BYTES and (len(group) > 1 or failures >= CUTS):
                verdict = answers.TOO_LARGE
            if verdict == answers.TOO_LARGE and (len(group) > 1 or not group[0].is_stripped):
                if len(group) > 1:
                    self._max_bytes = max(LEAST_BYTES, len(body) // 2)
                    groups += _halves(group)
                else:
                    groups.append([group[0].strip()])
            elif verdict == answers.REFUSED and len(group) > 1 and left > 0:
                left -= 1
                groups += _halves(group)
            elif verdict == answers.ACCEPTED:
                with self._exclusive():
                    queue.sent(steps, rejected=answer.rejected, words=answer.words)
            elif verdict in (answers.REFUSED, answers.TOO_LARGE):
                with self._exclusive():
                    queue.refused(steps, answer.words)
            else:
                delay = delay_s(answer, failures)
                with self._exclusive():
                    queue.later(THROTTLED if answer.after_s is not None else "misplaced" if verdict == answers.MISPLACED
                                else "waiting", answer.words, delay)
                return delay
        return None


def delay_s(answer: Answer, failures: int) -> float:
    """How long to leave a destination alone after so many failures before this one."""
    if answer.after_s is not None:
        return answer.after_s * random.uniform(1.0, 1.1)
    if answer.verdict == answers.MISPLACED:
        return random.uniform(0.5, 1.0) * min(MOST_MISPLACED_S, MISPLACED_S * 2.0 ** min(failures, 10))
    return random.uniform(0.1, 1.0) * min(MOST_BACKOFF_S, BACKOFF_S * 2.0 ** min(failures, 10))


def _halves(group: list[Parcel]) -> list[list[Parcel]]:
    """The second half below the first, as a stack wants them."""
    middle = len(group) // 2
    return [group[middle:], group[:middle]]


def _as_stored(destination: Destination, one: Waiting) -> Destination:
    """The destination with the protocol that its spans were meant for."""
    return destination if one.protocol == destination.protocol else replace(
        destination, protocol="grpc" if one.protocol == "grpc" else "http")
