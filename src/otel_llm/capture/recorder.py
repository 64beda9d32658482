"""What all taps of one instrumentation share: tracer, tape, prices, metrics, events, and the rules for content.

Content passes here on its way to the tape or a span, and nowhere else: it is dropped where content is off or too large,
redacted before it is written, and replaced when the redactor fails. What was done to it is noted in the header of its frame.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from otel_llm import semconv
from otel_llm.capture.context import Surroundings, surroundings
from otel_llm.capture.patching import Patches
from otel_llm.redaction import Redactor
from otel_llm.values.adapter import Adapter
from otel_llm.values.call import Request
from otel_llm.values.settings import Settings
from otel_llm.values.spandata import dump_attributes
from otel_llm.values.tape import Tape

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Tracer

    from otel_llm.capture.events import Events
    from otel_llm.capture.metrics import Metrics
    from otel_llm.pricing import PriceTable
    from otel_llm.values.playback import Player

MAX_MESSAGE = 500
NOTHING_ASKED: tuple[Request, dict[str, Any]] = (Request(), {})


class Open(Protocol):
    """Something that is under way and can be told that nobody waits for it any more."""

    def left(self) -> None: ...


def no_tape() -> Tape | None:
    return None


@dataclass(slots=True)
class Recorder:
    """What all taps of one instrumentation share. `tape` answers with the process's tape, or None while there is none."""

    tracer: Tracer
    settings: Settings
    tape: Callable[[], Tape | None] = no_tape
    prices: PriceTable | None = None
    exact_prices: bool = False
    """True where spans go to others than our store: the price must then stand on the span, even if the table loads for it."""
    metrics: Metrics | None = None
    events: Events | None = None
    redactor: Redactor = field(default_factory=lambda: Redactor(True))
    live: dict[int, Open] = field(default_factory=dict)
    player: Player | None = None
    """Answers calls and tools from a recording; None in every program that is no rerun."""
    stand_ins: Patches = field(default_factory=Patches)
    """What a rerun has replaced in the SDKs, for as long as it lasts."""

    def around(self, context: Context | None = None) -> Surroundings:
        """What is said around a point of the program, and in a rerun what the rerun says."""
        found = surroundings(context)
        player = self.player
        return found if player is None else replace(found, attributes={**found.attributes, **player.attributes})

    def play(self, player: Player) -> None:
        """Let a player answer, until `stop()`."""
        self.stand_ins, self.player = Patches(), player

    def stop(self) -> None:
        """Let nobody answer any more, and put back what stood in the SDKs."""
        self.player = None
        self.stand_ins.undo()

    def adopt(self, other: Recorder) -> None:
        """Take over another recorder's parts; taps that hold this one follow."""
        for part in ("tracer", "settings", "tape", "prices", "exact_prices", "metrics", "events", "redactor"):
            setattr(self, part, getattr(other, part))

    def close(self) -> None:
        """End what is still open, so that nothing waits for a stream that nobody will read."""
        for call in list(self.live.values()):
            call.left()

    def masked(self, body: bytes, header: dict[str, Any], *, stream: bool = False) -> bytes:
        """The body as it may be written; what was done to it is noted in the header of its frame."""
        if not self.settings.content:
            header["omitted"] = "content off"
            return b""
        if len(body) > self.settings.max_body_bytes:
            header["omitted"] = "too large"
            return b""
        try:
            clean, count = self.redactor.redact_stream(body) if stream else self.redactor.redact(body)
        except Exception:
            header["omitted"] = "redaction failed"
            return b""
        if count:
            header["redacted"] = header.get("redacted", 0) + count
        return clean

    def shown(self, body: bytes) -> bytes:
        """The body without secrets, whatever of it is recorded: what a rerun compares and reports."""
        try:
            return self.redactor.redact(body)[0]
        except Exception:
            return b""

    def message_of(self, error: object) -> str | None:
        """The words of an error as they may be written: short, redacted, none where content is off."""
        if not self.settings.content or not error:
            return None
        try:
            clean, _ = self.redactor.redact(str(error)[:MAX_MESSAGE].encode("utf-8", "replace"))
        except Exception:
            return None
        return clean.decode("utf-8", "replace") or None


class Target:
    """What is known of a call before it is sent. Made once for each client, endpoint and model, and shared by its calls.

    `start` are the span's attributes at its start, `start_json` the same as the inside of a JSON object; `url` and
    `content_type` are filled in by the first call that is sent. `asked` is the last request (without content) and what it
    adds to `start`: the next one is mostly the same.
    """

    __slots__ = ("adapter", "api", "asked", "content_type", "endpoint", "links", "method", "model", "name", "name_json",
                 "operation", "provider", "start", "start_json", "url")

    def __init__(
        self,
        adapter: Adapter | None,
        *,
        name: str,
        provider: str,
        model: str | None,
        method: str,
        endpoint: str,
        address: str | None,
        port: int | None,
        links: tuple[Link, ...] = (),
    ) -> None:
        self.adapter, self.provider, self.model, self.links = adapter, provider, model, links
        self.name, self.method, self.endpoint = name, method, endpoint
        self.api = adapter.name if adapter is not None else "generic"
        self.operation = adapter.operation if adapter is not None else None
        self.url: str | None = None
        self.content_type = ""
        if adapter is not None:
            self.start: dict[str, Any] = semconv.start_attributes(
                adapter.operation, provider, api=adapter.name, model=model, address=address, port=port)
        else:
            self.start = {semconv.OTEL_LLM_ENDPOINT: endpoint, semconv.HTTP_REQUEST_METHOD: method}
            if address is not None:
                self.start[semconv.SERVER_ADDRESS] = address
                if port is not None:
                    self.start[semconv.SERVER_PORT] = port
        self.asked: tuple[Request, dict[str, Any]] = NOTHING_ASKED
        self.name_json = json.dumps(name)
        self.start_json = dump_attributes(self.start)[1:-1]

    def asking(self, model: str) -> Target:
        """The same with another model, as a fork asks it."""
        other = copy.copy(self)
        other.model, other.asked, other.start = model, NOTHING_ASKED, {**self.start, semconv.GEN_AI_REQUEST_MODEL: model}
        other.name = semconv.span_name(self.operation, model) if self.operation is not None else self.name
        other.name_json, other.start_json = json.dumps(other.name), dump_attributes(other.start)[1:-1]
        return other
