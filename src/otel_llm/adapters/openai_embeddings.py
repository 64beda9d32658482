"""OpenAI Embeddings: `POST …/embeddings`.

The inputs are the messages of the call; the vectors are its bytes and nothing that anybody reads, so they stay on the tape.

Source: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import otel_llm.adapters.openai_parts as openai_parts
from otel_llm.adapters.fields import Fields, bare_request, compact, integer, items, known, text, texts
from otel_llm.values.adapter import Json
from otel_llm.values.call import Message, Operation, Other, Request, Response, Text

name = "openai_embeddings"
operation: Operation = "embeddings"

_REQUEST: Fields = {
    "model": ("model", text),
    "encoding_format": ("encoding_formats", lambda value: texts(value) if isinstance(value, str) else ()),
    "dimensions": ("dimensions", integer),
}
_RESPONSE: Fields = {"id": ("id", text), "model": ("model", text), "usage": ("usage", openai_parts.usage)}


def request(body: Json, *, content: bool = True) -> Request:
    """One message an input; inputs given as token numbers stay JSON."""
    found = known(body, _REQUEST)
    return Request(messages=inputs(body.get("input")), **found) if content else bare_request(tuple(found.items()))


def inputs(value: Any) -> tuple[Message, ...]:
    """A text, texts, token numbers, or lists of token numbers, each as a user message."""
    if value is None:
        return ()
    many: Sequence[Any] = items(value)
    each = many if many and not all(type(v) is int for v in many) else [value]
    return tuple(Message("user", (Text(v) if isinstance(v, str) else Other("tokens", compact(v)),)) for v in each)


def response(body: Json, *, content: bool = True) -> Response:
    """Model and usage."""
    error_type, error_message = openai_parts.error(body)
    return Response(error_type=error_type, error_message=error_message, **known(body, _RESPONSE))


def skips(event: bytes) -> bool:
    return False


def fold(stream: bytes) -> bytes:
    return stream


def assemble(events: Sequence[Json]) -> Json:
    """Embeddings do not stream; were they to, the last event would be the whole."""
    return events[-1] if events else {}


def ended(events: Sequence[Json]) -> bool:
    return bool(events)
