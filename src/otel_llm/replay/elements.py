"""The history in a request body, as the JSON elements that it is made of and as the messages that they amount to.

A chat has a list of `messages`, an element each. Responses has `input`: a text, or items, of which neighbouring ones of the
assistant are one message. Whoever changes a history does it on elements, so that everything that is not changed stays as it was;
whoever understands it looks at messages. `Segment` says which elements make which message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from otel_llm.adapters import by_name
from otel_llm.values.call import Message, Part, ToolCall, ToolResult

PLACES: Mapping[str, str] = {"openai_chat": "messages", "openai_responses": "input"}
"""Adapter to the key of the history. Only these formats have a history that can be changed."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One message, and its elements: from `start` up to `end`."""

    message: Message
    start: int
    end: int


def json_object(body: bytes | None) -> dict[str, Any] | None:
    """A body as a JSON object; None when it is none."""
    try:
        value = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def elements_of(api: str, body: Mapping[str, Any]) -> list[Any]:
    """The elements of the history; an input that is one text is one element."""
    value = body.get(PLACES[api])
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    return list(value) if isinstance(value, list) else []


def segments_of(api: str, elements: Sequence[Any], messages: Sequence[Message] | None = None) -> list[Segment]:
    """The messages that the elements amount to, in their order; `messages` where they have been read already."""
    if api == "openai_chat" and messages is not None and len(messages) == len(elements):
        return [Segment(message, at, at + 1) for at, message in enumerate(messages)]
    found: list[Segment] = []
    for at, message in enumerate(_read(api, elements)):
        last = found[-1] if found else None
        if api == "openai_responses" and last is not None and _is_answer(last.message) and _is_answer(message):
            found[-1] = Segment(Message("assistant", last.message.parts + message.parts), last.start, at + 1)
        else:
            found.append(Segment(message, at, at + 1))
    return found


def _read(api: str, elements: Sequence[Any]) -> Iterator[Message]:
    adapter = by_name(api)
    assert adapter is not None
    for element in elements:
        yield adapter.request({PLACES[api]: [element]}).messages[0]


def _is_answer(message: Message) -> bool:
    return message.role == "assistant" and message.name is None


def calls_in(parts: Sequence[Part]) -> tuple[ToolCall, ...]:
    """The tools that a message asks for."""
    return tuple(part for part in parts if isinstance(part, ToolCall))


def results_in(parts: Sequence[Part]) -> tuple[ToolResult, ...]:
    """The answers of tools that a message brings."""
    return tuple(part for part in parts if isinstance(part, ToolResult))


def with_id(element: Mapping[str, Any], identity: str | None) -> dict[str, Any]:
    """A recorded tool result as the answer to another tool call."""
    key = "call_id" if "call_id" in element else "tool_call_id"
    if identity is None:
        return {name: value for name, value in element.items() if name != key}
    return {**element, key: identity}


def result_element(api: str, call: ToolCall, text: str) -> dict[str, Any]:
    """A tool result that stood in no request."""
    if api == "openai_responses":
        return {"type": "function_call_output", "call_id": call.id, "output": text}
    return {"role": "tool", "tool_call_id": call.id, "content": text}
