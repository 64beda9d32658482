"""The words of a step that a search looks through: what is new in the request, the answer, tool arguments and results."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from otel_llm import semconv
from otel_llm.store.calls import Frames, conversation, read_attributes, read_frames, words
from otel_llm.store.exchanges import ExchangeReader
from otel_llm.values.call import Call, Message, Text
from otel_llm.values.tape import FUNCTION

MAX_TEXT = 1_000_000

_CONTENT = (
    semconv.GEN_AI_TOOL_CALL_ARGUMENTS, semconv.GEN_AI_TOOL_CALL_RESULT, semconv.GEN_AI_RETRIEVAL_QUERY_TEXT,
)


def searchable(connection: sqlite3.Connection, reader: ExchangeReader, step: int) -> str:
    """All words of a step, in the order in which they were said."""
    row = connection.execute(
        "SELECT s.kind, s.name, s.prompt_name, s.tags, s.known_messages, s.span_id, t.trace_id, s.span_pack, s.span_at,"
        " s.span_length, s.provider, s.api FROM step s JOIN trace t USING (trace) WHERE s.step = ?", (step,)).fetchone()
    if row is None:
        return ""
    kind, name, prompt, tags, known, span_id, trace_id, pack, at, length, provider, api = row
    out: list[str] = []
    attributes: dict[str, Any] = {} if pack is None else reader.attributes(pack, at, length)
    if kind == "call":
        wire, response = reader.wire(step, trace_id, span_id)
        if wire is not None:
            reading = read_frames(Frames(wire.start, end=wire.end), wire.request or b"", response, provider)
        else:
            reading = read_attributes(attributes)
        if reading is not None:
            out += _said(reading.call, known or 0)
    elif api == FUNCTION:
        wire, response = reader.wire(step, trace_id, span_id)
        bodies = (response,) if wire is None else (wire.request, response)
        out += [body.decode("utf-8", "replace") for body in bodies if body and body != b"null"]
    for key in _CONTENT:
        value = attributes.get(key)
        if value is not None:
            out.append(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    out += [name, prompt or "", *(json.loads(tags).values() if tags else ())]
    return "\n".join(filter(None, out))[:MAX_TEXT]


def _said(call: Call, known: int) -> list[str]:
    """What the call says beyond its history, instructions at its first time, and what was answered."""
    request, response = call.request, call.response
    messages: list[Message] = conversation(request.messages)[known:]
    out = [] if known else [p.content for p in request.system if isinstance(p, Text)]
    if not known:
        out += [words(m) for m in request.messages if m.role in ("system", "developer")]
    out += [words(m) for m in messages]
    if response is not None:
        out += [words(m) for m in response.messages]
        if response.error_message:
            out.append(response.error_message)
    return out
