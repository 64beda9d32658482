"""OpenAI Responses: `POST …/responses`.

Input and output are rows of items: messages, function calls and their outputs, reasoning, built-in tools. What a model said
in one go is one message here, as it is in a chat: neighbouring items of the assistant (reasoning, text, function calls) are
its parts. That holds for output and for input alike, so that an answer is recognised when it comes back as history.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import otel_llm.adapters.openai_parts as openai_parts
from otel_llm.adapters.fields import Fields, bare_request, compact, integer, is_true, items, known, number, obj, text, words
from otel_llm.adapters.openai_responses_stream import assemble as assemble
from otel_llm.adapters.openai_responses_stream import ended as ended
from otel_llm.adapters.openai_responses_stream import fold as fold
from otel_llm.adapters.openai_responses_stream import skips as skips
from otel_llm.values.adapter import Json
from otel_llm.values.call import Message, Operation, Other, Part, Reasoning, Request, Response, Text, ToolResult

name = "openai_responses"
operation: Operation = "chat"

_USER_ITEMS = frozenset({"mcp_approval_response", "item_reference", "compaction_trigger", "additional_tools"})
_UNFINISHED = frozenset({"in_progress", "queued"})
_REQUEST: Fields = {
    "model": ("model", text),
    "stream": ("stream", is_true),
    "max_output_tokens": ("max_tokens", integer),
    "temperature": ("temperature", number),
    "top_p": ("top_p", number),
    "text": ("output_type", lambda value: openai_parts.OUTPUT_TYPES.get(words(obj(obj(value).get("format")).get("type")))),
    "reasoning": ("reasoning_level", lambda value: text(obj(value).get("effort"))),
    "service_tier": ("service_tier", openai_parts.service_tier),
    "previous_response_id": ("previous_response_id", text),
    "conversation": ("conversation_id", lambda value: text(value) or text(obj(value).get("id"))),
}
_RESPONSE: Fields = {
    "id": ("id", text),
    "model": ("model", text),
    "usage": ("usage", openai_parts.usage),
    "status": ("status", text),
    "service_tier": ("service_tier", text),
}


def request(body: Json, *, content: bool = True) -> Request:
    """Instructions are the system part; an input text is one user message."""
    found = known(body, _REQUEST)
    if not content:
        return bare_request(tuple(found.items()))
    found["messages"] = messages(body.get("input"))
    found["system"] = _instructions(body.get("instructions"))
    found["tools"] = openai_parts.tools(body.get("tools"))
    return Request(**found)


def response(body: Json, *, content: bool = True) -> Response:
    """One message of all that the model put out, and why it stopped."""
    found = known(body, _RESPONSE)
    output, status = items(body.get("output")), found.get("status")
    reason = _finish_reason(body, status) if output or status not in (None, "failed") else None
    if reason is not None:
        found["finish_reasons"] = (reason,)
    found["error_type"], found["error_message"] = openai_parts.error(body)
    if content and output:
        found["messages"] = (Message("assistant", tuple(p for _, _, many in map(_read_item, output) for p in many)),)
    return Response(**found)


def _finish_reason(body: Json, status: str | None) -> str | None:
    """The API has no finish reason; its status and what it put out say the same."""
    if status == "incomplete":
        return openai_parts.finish_reason(obj(body.get("incomplete_details")).get("reason")) or "error"
    if status in ("failed", "cancelled"):
        return "error"
    if status in _UNFINISHED:
        return None
    kinds = {words(obj(item).get("type")) for item in items(body.get("output"))}
    return "tool_call" if kinds & {"function_call", "custom_tool_call"} else "stop"


def _instructions(value: Any) -> tuple[Part, ...]:
    """A text, or (as a response echoes a stored prompt) items."""
    if isinstance(value, str):
        return (Text(value),)
    return tuple(part for message in messages(value) for part in message.parts)


def messages(value: Any) -> tuple[Message, ...]:
    """Messages from an input text or input items; neighbouring items of the assistant are one message."""
    if isinstance(value, str):
        return (Message("user", (Text(value),)),)
    return tuple(_joined(map(_read_item, items(value))))


def _joined(read: Iterable[tuple[str, str | None, tuple[Part, ...]]]) -> Iterator[Message]:
    said: list[Part] | None = None
    for role, author, parts in read:
        if role == "assistant" and author is None:
            said = [*(said or ()), *parts]
            continue
        if said is not None:
            yield Message("assistant", tuple(said))
            said = None
        yield Message(role, parts, author)
    if said is not None:
        yield Message("assistant", tuple(said))


def _read_item(value: Any) -> tuple[str, str | None, tuple[Part, ...]]:
    """Role, name and parts of one item."""
    if isinstance(value, str):
        return "user", None, (Text(value),)
    item = obj(value)
    kind = text(item.get("type")) or "message"
    if kind == "message" and isinstance(value, dict):
        return text(item.get("role")) or "user", text(item.get("name")), openai_parts.parts(item.get("content"))
    if kind in ("function_call", "custom_tool_call"):
        return "assistant", None, (openai_parts.tool_call(text(item.get("call_id")) or item.get("id"), item),)
    if kind in ("function_call_output", "custom_tool_call_output"):
        return "tool", None, (ToolResult(text(item.get("call_id")), openai_parts.tool_result(item.get("output"))),)
    if kind == "reasoning":
        thoughts = [words(obj(p).get("text")) for p in (*items(item.get("summary")), *items(item.get("content")))]
        return "assistant", None, (Reasoning("\n\n".join(filter(None, thoughts))),)
    role = "tool" if kind.endswith("_output") else "user" if kind in _USER_ITEMS or not item else "assistant"
    return role, None, (Other(kind if item else "unknown", compact(value)),)
