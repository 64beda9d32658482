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
from otel_llm.adapters.fields import (
    Fields,
    bare_request,
    compact,
    integer,
    is_true,
    items,
    known,
    number,
    obj,
    text,
    texts,
    words,
)
from otel_llm.adapters.openai_chat_stream import assemble as assemble
from otel_llm.adapters.openai_chat_stream import ended as ended
from otel_llm.adapters.openai_chat_stream import fold as fold
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

_REQUEST: Fields = {
    "model": ("model", text),
    "stream": ("stream", is_true),
    "max_tokens": ("max_tokens", integer),
    "temperature": ("temperature", number),
    "top_p": ("top_p", number),
    "top_k": ("top_k", integer),
    "frequency_penalty": ("frequency_penalty", number),
    "presence_penalty": ("presence_penalty", number),
    "seed": ("seed", integer),
    "stop": ("stop_sequences", texts),
    "n": ("choice_count", openai_parts.choice_count),
    "reasoning_effort": ("reasoning_level", text),
    "service_tier": ("service_tier", openai_parts.service_tier),
}
_RESPONSE: Fields = {
    "id": ("id", text),
    "model": ("model", text),
    "usage": ("usage", openai_parts.usage),
    "service_tier": ("service_tier", text),
    "system_fingerprint": ("system_fingerprint", text),
}


def request(body: Json, *, content: bool = True) -> Request:
    """System and developer messages stay messages: that is how they were sent."""
    found = known(body, _REQUEST)
    if "max_completion_tokens" in body and (limit := integer(body["max_completion_tokens"])) is not None:
        found["max_tokens"] = limit
    if "reasoning" in body and found.get("reasoning_level") is None:
        found["reasoning_level"] = text(obj(body["reasoning"]).get("effort"))
    if "response_format" in body or "modalities" in body:
        found["output_type"] = _output_type(body)
    if not content:
        return bare_request(tuple(found.items()))
    found["messages"] = tuple(message(m) for m in items(body.get("messages")))
    found["tools"] = openai_parts.tools(body.get("tools")) + openai_parts.functions(body.get("functions"))
    return Request(**found)


def response(body: Json, *, content: bool = True) -> Response:
    """One message and one finish reason a choice; a choice that was cut off beside finished ones counts as `error`."""
    found = known(body, _RESPONSE)
    choices = [c for c in items(body.get("choices")) if isinstance(c, dict)]
    found["finish_reasons"] = openai_parts.finish_reasons(choices)
    found["error_type"], found["error_message"] = openai_parts.error(body)
    if content:
        found["messages"] = tuple(message(c.get("message"), "assistant") for c in choices)
    return Response(**found)


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
