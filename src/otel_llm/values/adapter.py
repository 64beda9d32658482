"""What an adapter is: the knowledge of one wire format, as pure functions on parsed JSON.

Adding a provider is adding one adapter and a folder of recorded cases. An adapter never sees bytes, HTTP or spans: splitting
streams, parsing JSON and surviving what is malformed happens once, in `otel_llm.adapters`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from otel_llm.values.call import Operation, Request, Response

Json = Mapping[str, Any]


class Adapter(Protocol):
    """One wire format. `content=False` asks for everything but messages, tools and system instructions, cheaply."""

    @property
    def name(self) -> str:
        """Such as `openai_chat`; written on the tape, so it never changes."""

    @property
    def operation(self) -> Operation:
        """The `gen_ai.operation.name` of its calls."""

    def request(self, body: Json, *, content: bool = True) -> Request:
        """What was asked."""

    def response(self, body: Json, *, content: bool = True) -> Response:
        """What came back, from the JSON of a whole response (of a stream: what `assemble` made)."""

    def skips(self, event: bytes) -> bool:
        """True when a stream event surely carries nothing but content, so that a cheap reading may skip it."""

    def fold(self, stream: bytes) -> bytes:
        """A stream (lines end in `\\n`) that amounts to the same, in fewer events where that is cheap; else the same bytes."""

    def assemble(self, events: Sequence[Json]) -> Json:
        """The whole response that a stream's events amount to, in the shape of an unstreamed one. Never raises on gaps."""

    def ended(self, events: Sequence[Json]) -> bool:
        """True when the stream came to its proper end (a finish reason for every choice, a completed response, …)."""
