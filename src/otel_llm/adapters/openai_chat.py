"""OpenAI Chat Completions, and everybody who speaks it: `POST …/chat/completions`.

A response has one message a choice. A stream is a row of deltas: choices interleave, tool calls arrive in pieces that name
their slot by `index`, or do not (some servers leave it out, some give every call the same); usage, when asked for, comes in
a last chunk without choices.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import otel_llm.adapters.openai_parts as openai_parts
from otel_llm.adapters.fields import compact, integer, items, number, obj, text, texts, words
from otel_llm.adapters.openai_chat_stream import assemble as assemble
from otel_llm.adapters.openai_chat_stream import ended as ended
from otel_llm.adapters.openai_chat_stream import skips as skips
from otel_llm.values.adapter import Json
from otel_llm.values.call import (
    Media,
    Message,
    Operation,
    Other,
    Part,
    Reasoning,
    Refusal,
    Request,
    Response,
    ToolCall,
    ToolResult,
)

name = "openai_chat"
operation: Operation = "chat"


def request(body: Json, *, content: bool = True) -> Request:
    """System and developer messages stay messages: that is how they were sent."""
    n = integer(body.get("n"))
    limit = integer(body.get("max_completion_tokens"))
    return Request(
        model=text(body.get("model")),
        messages=tuple(message(m) for m in items(body.get("messages"))) if content else (),
        tools=openai_parts.tools(body.get("tools")) + openai_parts.functions(body.get("functions")) if content else (),
        stream=body.get("stream") is True,
        max_tokens=integer(body.get("max_tokens")) if limit is None else limit,
        temperature=number(body.get("temperature")),
        top_p=number(body.get("top_p")),
        top_k=integer(body.get("top_k")),
        frequency_penalty=number(body.get("frequency_penalty")),
        presence_penalty=number(body.get("presence_penalty")),
        seed=integer(body.get("seed")),
        stop_sequences=texts(body.get("stop")),
        choice_count=None if n == 1 else n,
        output_type=_output_type(body),
        reasoning_level=text(body.get("reasoning_effort")) or text(obj(body.get("reasoning")).get("effort")),
        service_tier=openai_parts.service_tier(body.get("service_tier")),
    )


def response(body: Json, *, content: bool = True) -> Response:
    """One message and one finish reason a choice; a choice that was cut off beside finished ones counts as `error`."""
    choices = [c for c in items(body.get("choices")) if isinstance(c, dict)]
    reasons = [openai_parts.finish_reason(c.get("finish_reason")) for c in choices]
    error_type, error_message = openai_parts.error(body)
    return Response(
        id=text(body.get("id")),
        model=text(body.get("model")),
        messages=tuple(message(c.get("message"), "assistant") for c in choices) if content else (),
        finish_reasons=tuple(r or "error" for r in reasons) if any(reasons) else (),
        usage=openai_parts.usage(body.get("usage")),
        service_tier=text(body.get("service_tier")),
        system_fingerprint=text(body.get("system_fingerprint")),
        error_type=error_type,
        error_message=error_message,
    )


def message(value: Any, role: str = "user") -> Message:
    """One message of a request or of a choice."""
    body = obj(value)
    if value is not None and not isinstance(value, dict):
        return Message(role, (Other("unknown", compact(value)),))
    role = text(body.get("role")) or role
    if role in ("tool", "function"):
        answer = ToolResult(text(body.get("tool_call_id")), openai_parts.tool_result(body.get("content")))
        return Message("tool", (answer,), text(body.get("name")))
    parts: list[Part] = []
    if thought := words(body.get("reasoning_content")) or words(body.get("reasoning")):
        parts.append(Reasoning(thought))
    parts += openai_parts.parts(body.get("content"))
    if refusal := words(body.get("refusal")):
        parts.append(Refusal(refusal))
    if audio := obj(body.get("audio")):
        data = words(audio.get("data"))
        parts.append(Media("audio", file_id=text(audio.get("id")), data=data or None))
        if spoken := words(audio.get("transcript")):
            parts += openai_parts.parts(spoken)
    parts += [_tool_call(obj(t)) for t in items(body.get("tool_calls"))]
    if called := obj(body.get("function_call")):
        parts.append(openai_parts.tool_call(None, called))
    return Message(role, tuple(parts), text(body.get("name")))


def _tool_call(body: Mapping[str, Any]) -> ToolCall:
    called = obj(body.get(words(body.get("type")) or "function")) or obj(body.get("function"))
    return openai_parts.tool_call(body.get("id"), called)


def _output_type(body: Mapping[str, Any]) -> str | None:
    modalities: Sequence[Any] = items(body.get("modalities"))
    if "audio" in modalities:
        return "speech"
    return openai_parts.OUTPUT_TYPES.get(words(obj(body.get("response_format")).get("type")))
