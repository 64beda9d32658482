"""Frames as capture would write them, with times and ids that count up, so that every test is the same every time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from otel_llm.store.spanframe import span_header
from otel_llm.values.spandata import SpanData
from otel_llm.values.tape import CALL_END, CALL_PART, CALL_START, SPAN, Tape

SECOND = 10**9
NOW = 1_790_000_000 * SECOND


def ids(number: int) -> tuple[str, str]:
    """A trace id and a span id that look like real ones."""
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}", f"{number * 0xD1342543DE82EF95 % 2**64:016x}"


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def message(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def chat_request(*messages: dict[str, Any], model: str = "gpt-4o-mini", **more: Any) -> bytes:
    return json.dumps({"messages": list(messages), "model": model, **more}).encode()


def chat_response(content: str | None, *, model: str = "gpt-4o-mini-2024-07-18", tokens: tuple[int, int] = (11, 7),
                  finish: str = "stop", **more: Any) -> bytes:
    return json.dumps({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content, **more}, "finish_reason": finish}],
        "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
    }).encode()


def sse(*events: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(e).encode() + b"\n\n" for e in events) + b"data: [DONE]\n\n"


def chat_stream(content: str, *, pieces: int = 5) -> bytes:
    step = max(1, len(content) // pieces)
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    deltas = [{"role": "assistant", "content": ""}, *({"content": content[i : i + step]} for i in range(0, len(content), step))]
    events = [{**head, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    return sse(*events, {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})


@dataclass
class Recording:
    """Writes whole calls and spans on a tape; `number` makes ids and times."""

    tape: Tape
    number: int = 0
    process_start: int = NOW
    made: list[tuple[str, str]] = field(default_factory=list)

    def next(self, trace_id: str | None = None) -> tuple[str, str, int]:
        self.number += 1
        trace, span = ids(self.number)
        self.made.append((trace_id or trace, span))
        return trace_id or trace, span, self.process_start + self.number * SECOND

    def start(self, request: bytes, *, trace_id: str | None = None, parent: str | None = None, api: str = "openai_chat",
              attributes: dict[str, Any] | None = None, **more: Any) -> tuple[str, str, int]:
        trace, span, time_ns = self.next(trace_id)
        operation = {"openai_chat": "chat", "openai_responses": "chat", "openai_embeddings": "embeddings"}.get(api)
        given = {"gen_ai.provider.name": "openai", **({"gen_ai.operation.name": operation} if operation else {}),
                 **(attributes or {})}
        self.tape.append(CALL_START, dump({
            "trace_id": trace, "span_id": span, "parent_span_id": parent, "name": "chat gpt-4o-mini", "time_ns": time_ns,
            "api": api, "method": "POST", "url": "https://api.openai.com/v1/chat/completions", "content_type": "application/json",
            "attributes": given, **more}), request)
        return trace, span, time_ns

    def part(self, call: tuple[str, str, int], body: bytes) -> None:
        self.tape.append(CALL_PART, dump({"trace_id": call[0], "span_id": call[1]}), body)

    def end(self, call: tuple[str, str, int], response: bytes | None, *, status: int | None = 200, **more: Any) -> None:
        stream = (response or b"").startswith(b"data:")
        self.tape.append(CALL_END, dump({
            "trace_id": call[0], "span_id": call[1], "time_ns": call[2] + SECOND // 2, "status": status,
            "content_type": "text/event-stream" if stream else "application/json", "complete": response is not None, **more,
        }), response or b"")

    def call(self, request: bytes, response: bytes | None, *, status: int | None = 200, end: dict[str, Any] | None = None,
             **more: Any) -> str:
        """A whole call; its span id."""
        call = self.start(request, **more)
        self.end(call, response, status=status, **(end or {}))
        return call[1]

    def span(self, span: SpanData) -> str:
        self.tape.append(SPAN, span_header(span, 0, 0))
        return span.span_id

    def step(self, name: str, attributes: dict[str, Any] | None = None, *, trace_id: str | None = None, parent: str | None = None,
             **more: Any) -> str:
        """A span that is no call; its span id."""
        trace, span, time_ns = self.next(trace_id)
        return self.span(SpanData(trace, span, parent, name, "internal", time_ns, time_ns + 1000, attributes or {}, **more))
