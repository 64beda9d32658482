"""The words of a step that a search looks through: what is new in the request, the answer, tool arguments, results, errors."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from otel_llm import semconv
from otel_llm.adapters import by_name, read_response
from otel_llm.store.calls import Frames, Reading, read_attributes, read_frames, words
from otel_llm.store.exchanges import ExchangeReader
from otel_llm.store.seen import SHARED_ROLES
from otel_llm.values.call import Response, Text
from otel_llm.values.guard import guard
from otel_llm.values.tape import FUNCTION

MAX_TEXT = 1_000_000

_CONTENT = (
    semconv.GEN_AI_TOOL_CALL_ARGUMENTS, semconv.GEN_AI_TOOL_CALL_RESULT, semconv.GEN_AI_RETRIEVAL_QUERY_TEXT,
)


def searchable(connection: sqlite3.Connection, reader: ExchangeReader, step: int) -> str:
    """All words of a step, in the order in which they were said."""
    row = connection.execute(
        "SELECT s.kind, s.name, s.prompt_name, s.tags, s.known_messages, s.span_id, t.trace_id, s.span_pack, s.span_at,"
        " s.span_length, s.provider, s.api, s.state, s.error_type, s.error_message"
        " FROM step s JOIN trace t USING (trace) WHERE s.step = ?", (step,)).fetchone()
    if row is None:
        return ""
    kind, name, prompt, tags, known, span_id, trace_id, pack, at, length, provider, api, state, *error = row
    out: list[str] = []
    wire, response = reader.wire(step, trace_id, span_id) if kind == "call" or api == FUNCTION else (None, None)
    # of a call with bytes the span has nothing more to say, and its attributes lie in another pack
    attributes: dict[str, Any] = {} if pack is None or (kind == "call" and wire) else reader.attributes(pack, at, length)
    if kind == "call":
        if wire is not None:
            reading = read_frames(Frames(wire.start, end=wire.end), wire.request or b"", response, provider, skip=known or 0)
        else:
            reading = read_attributes(attributes, skip=known or 0)
        if reading is not None:
            out += _said(reading, is_first=not known)
    elif api == FUNCTION:
        bodies = (response,) if wire is None else (wire.request, response)
        out += [body.decode("utf-8", "replace") for body in bodies if body and body != b"null"]
    for key in _CONTENT:
        value = attributes.get(key)
        if value is not None:
            out.append(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    out += [name, prompt or "", *(json.loads(tags).values() if tags else ()), *(text or "" for text in error)]
    if state == "error" and pack is not None:
        out += _exceptions(reader, span_id.hex())
    return "\n".join(filter(None, out))[:MAX_TEXT]


def _exceptions(reader: ExchangeReader, span_id: str) -> list[str]:
    """What a failed span says of its exceptions, in full."""
    found = [event.attributes for event in reader.span(span_id).events if event.name == "exception"]
    values = [attributes.get(key) for attributes in found for key in (semconv.EXCEPTION_TYPE, semconv.EXCEPTION_MESSAGE)]
    return [value for value in values if isinstance(value, str)]


def answer(reader: ExchangeReader, step: int, api: str | None) -> str:
    """The words of a call's answer alone, which are read with a part of the trouble; empty when there are none."""
    adapter = None if api is None else by_name(api)
    body = reader.answer(step) if adapter is not None else None
    if adapter is None or body is None:
        return ""
    with guard("read a recorded answer"):
        return "\n".join(_answered(read_response(adapter, body, "")[0]))
    return ""


def _said(reading: Reading, *, is_first: bool) -> list[str]:
    """What the call says beyond its history, instructions at its first time, and what was answered."""
    request = reading.call.request
    out: list[str] = []
    if is_first:
        out += [p.content for p in request.system if isinstance(p, Text)]
        out += [words(m) for m in request.messages if m.role in SHARED_ROLES]
    out += [words(m) for m in reading.messages()]
    return out + _answered(reading.call.response)


def _answered(response: Response | None) -> list[str]:
    if response is None:
        return []
    return [*(words(m) for m in response.messages), response.error_message or ""]
