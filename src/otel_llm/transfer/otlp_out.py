"""Stored sessions to an OTLP endpoint, ids and times unchanged: as if the program had sent them there when it ran.

Spans go in requests bounded by bytes. A request that is too large for the receiver is halved; a single span that is too large
goes without its long attributes, which then say how much is missing. A receiver that wants to be left alone is left alone, as
long as it says or a little longer each time. What it refuses is counted with its words, and never sent as something else.

The end is a report, not a guess: `accepted + refused` is what was read. Sending again is harmless where spans have ids.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from otel_llm import otlp, semconv
from otel_llm.values.archive import Damaged, Snapshot
from otel_llm.values.destination import Content
from otel_llm.values.errors import Undelivered
from otel_llm.values.shortening import short_attributes, short_text
from otel_llm.values.spandata import SpanData

MAX_BYTES = 2_000_000
MAX_SPANS = 512
PATIENCE_S = 120.0
"""How long one request may have to wait in all before the export gives up."""

FIRST_PATIENCE_S = 15.0
"""The same while the endpoint has not taken anything yet and names no time: it may well be the wrong one."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
HOPELESS = 20
"""So many refusals in a row, and nothing taken before, mean that the endpoint refuses everything."""

SPAN_COST, ATTRIBUTE_COST = 120, 12


class Answer(Protocol):
    """What an endpoint said: `verdict` is accepted, later, misplaced, too large or refused."""

    @property
    def verdict(self) -> str: ...
    @property
    def words(self) -> str: ...
    @property
    def after_s(self) -> float | None: ...
    @property
    def rejected(self) -> int: ...


class Carrier(Protocol):
    """Something that takes a request to an endpoint, such as `otel_llm.store.forward.over_http.HttpTransport`."""

    def send(self, body: bytes) -> Answer:
        """Send one ExportTraceServiceRequest."""


@dataclass(slots=True)
class Sent:
    """What an export came to. `refused` counts by the endpoint's words; `shortened` went without their long attributes."""

    accepted: int = 0
    requests: int = 0
    bytes: int = 0
    shortened: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    damaged: list[Damaged] = field(default_factory=list)


def send(
    snapshot: Snapshot,
    carrier: Carrier,
    *,
    content: Content = "none",
    max_bytes: int = MAX_BYTES,
    progress: Callable[[int], None] = lambda spans: None,
    waiting: Callable[[str, float], None] = lambda words, seconds: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Send the chosen sessions under a content policy. `waiting` hears why and how long before each pause.

    Raises `Undelivered` when the endpoint is wrong, away for too long, or refuses everything; the message says how many spans it
    had taken by then.
    """
    delivery = _Delivery(carrier, max_bytes, waiting, sleep)
    for spans in _batches(_spans(snapshot, content, delivery.sent), max_bytes):
        delivery.deliver(spans)
        progress(delivery.sent.accepted)
    return delivery.sent


def _spans(snapshot: Snapshot, content: Content, sent: Sent) -> Iterator[SpanData]:
    """Every span, as the policy shows it."""
    for mark in snapshot.sessions():
        for span in snapshot.spans(mark.session_id, content):
            if isinstance(span, Damaged):
                sent.damaged.append(span)
            else:
                yield _named(span, mark.session_id)


def _named(span: SpanData, session_id: str) -> SpanData:
    """The span with its session on it, where the program gave none; a viewer cannot find what belongs together by itself."""
    return span if semconv.SESSION_ID in span.attributes else replace(
        span, attributes={**span.attributes, semconv.SESSION_ID: session_id})


def _batches(spans: Iterator[SpanData], max_bytes: int) -> Iterator[list[SpanData]]:
    batch: list[SpanData] = []
    size = 0
    for span in spans:
        weight = weigh(span)
        if batch and (size + weight > max_bytes or len(batch) >= MAX_SPANS):
            yield batch
            batch, size = [], 0
        batch.append(span)
        size += weight
    if batch:
        yield batch


def weigh(span: SpanData) -> int:
    """About how many bytes a span takes in a request."""
    size = SPAN_COST + len(span.name)
    for attributes in (span.attributes, *(event.attributes for event in span.events)):
        for key, value in attributes.items():
            size += ATTRIBUTE_COST + len(key) + (len(value) if isinstance(value, (str, bytes, tuple)) else 8)
    return size


class _Delivery:
    """Brings batches to one endpoint and keeps count."""

    def __init__(
        self, carrier: Carrier, max_bytes: int, waiting: Callable[[str, float], None], sleep: Callable[[float], None]
    ) -> None:
        self.sent = Sent()
        self._carrier, self._max_bytes, self._waiting, self._sleep = carrier, max_bytes, waiting, sleep

    def deliver(self, spans: Sequence[SpanData], *, is_short: bool = False) -> None:
        """Send a batch until each span of it is taken or refused. Raises `Undelivered`."""
        body = otlp.encode(spans)
        if len(body) > self._max_bytes and len(spans) > 1:
            self._halve(spans)
            return
        answer = self._answer(body)
        if answer.verdict == "accepted":
            rejected = min(answer.rejected, len(spans))
            self.sent.accepted += len(spans) - rejected
            self.sent.shortened += is_short
            if rejected:
                self._refuse(rejected, answer.words)
        elif len(spans) > 1:
            self._halve(spans)
        elif answer.verdict == "refused" or is_short:
            self._refuse(1, answer.words)
        else:
            self.deliver([shortened(spans[0])], is_short=True)

    def _halve(self, spans: Sequence[SpanData]) -> None:
        middle = len(spans) // 2
        self.deliver(spans[:middle])
        self.deliver(spans[middle:])

    def _answer(self, body: bytes) -> Answer:
        """The endpoint's word on a request: accepted, refused or too large."""
        waited, wait = 0.0, FIRST_WAIT_S
        while True:
            answer = self._carrier.send(body)
            self.sent.requests += 1
            self.sent.bytes += len(body)
            if answer.verdict == "misplaced":
                raise Undelivered(f"The endpoint does not take spans: {answer.words}. Is the URL right, and does it want a "
                                  f"header (--header KEY=VALUE)? {self._so_far()}")
            if answer.verdict != "later":
                return answer
            pause = answer.after_s if answer.after_s is not None else wait
            if waited + pause > (PATIENCE_S if self.sent.accepted or answer.after_s is not None else FIRST_PATIENCE_S):
                raise Undelivered(f"The endpoint takes nothing now: {answer.words or 'no answer'}"
                                  + (f", and wants to be left alone for {pause:.0f} s" if answer.after_s is not None else "")
                                  + f". {self._so_far()} Send again later; ids stay the same.")
            self._waiting(answer.words, pause)
            self._sleep(pause)
            waited, wait = waited + pause, min(2 * wait, LONGEST_WAIT_S)

    def _refuse(self, count: int, words: str) -> None:
        self.sent.refused[words or "without a word"] += count
        if not self.sent.accepted and sum(self.sent.refused.values()) >= HOPELESS:
            raise Undelivered(f"The endpoint refuses everything: {words or 'without a word'}. {self._so_far()}")

    def _so_far(self) -> str:
        refused = sum(self.sent.refused.values())
        return f"It took {self.sent.accepted} spans" + (f" and refused {refused}." if refused else ".")


def shortened(span: SpanData) -> SpanData:
    """The span without anything long."""
    return replace(
        span, attributes=short_attributes(span.attributes), status_message=short_text(span.status_message),
        events=tuple(replace(event, attributes=short_attributes(event.attributes)) for event in span.events),
        links=tuple(replace(link, attributes=short_attributes(link.attributes)) for link in span.links))
