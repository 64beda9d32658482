"""The stream of OpenAI Responses: its last event usually holds the whole response; when it never came, the pieces do.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import otel_llm.adapters.openai_parts as openai_parts
from otel_llm.adapters.fields import items, obj, words
from otel_llm.values.adapter import Json

_WHOLE = frozenset({"response.created", "response.queued", "response.in_progress"})
_LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_PIECE = re.compile(rb'data: ?\{"type": ?"response\.(?!completed"|incomplete"|failed"|cancelled"|created")')
_DELTAS = {
    "response.output_text.delta": ("content", "output_text", "text"),
    "response.refusal.delta": ("content", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text"),
}
"""Where a delta belongs: the list in its item, the type of the part, the field in the part."""
_ARGUMENTS = {
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.mcp_call_arguments.delta": "arguments",
    "response.code_interpreter_call_code.delta": "code",
}


def skips(event: bytes) -> bool:
    """Everything but the first and the last events is a piece of content."""
    return _PIECE.search(event) is not None


def fold(stream: bytes) -> bytes:
    """As it is: the last event has the whole text, and pieces are numbered."""
    return stream


def ended(events: Sequence[Json]) -> bool:
    """The last event came, or the provider said that it failed."""
    return any(words(e.get("type")) in _LAST or openai_parts.error(e)[0] is not None for e in events)


def assemble(events: Sequence[Json]) -> Json:
    """The whole response. Items that the last event does not repeat come from the events before it."""
    body: dict[str, Any] = {}
    output: dict[int, dict[str, Any]] = {}
    for event in events:
        kind = words(event.get("type"))
        if kind in _WHOLE or kind in _LAST:
            body.update(obj(event.get("response")))
        elif openai_parts.error(event)[0] is not None:
            body["error"] = event["error"] if event.get("error") else event
        else:
            _add(output, kind, event)
    if output and not items(body.get("output")):
        body["output"] = [output[index] for index in sorted(output)]
    return body


def _add(output: dict[int, dict[str, Any]], kind: str, event: Mapping[str, Any]) -> None:
    """Put one event's piece into its item."""
    index = event.get("output_index")
    if type(index) is not int:
        return
    if kind in ("response.output_item.added", "response.output_item.done"):
        output[index] = dict(obj(event.get("item")))
        return
    if kind in _ARGUMENTS:
        item, key = output.setdefault(index, {"type": "function_call"}), _ARGUMENTS[kind]
        item[key] = words(item.get(key)) + words(event.get("delta"))
    elif kind in _DELTAS:
        place, part_type, key = _DELTAS[kind]
        item = output.setdefault(index, {"type": "message" if place == "content" else "reasoning", "role": "assistant"})
        at = event.get("content_index" if place == "content" else "summary_index")
        at = at if type(at) is int and 0 <= at < 1_000 else 0
        parts = item[place] = list(items(item.get(place)))
        parts += [{"type": part_type} for _ in range(at + 1 - len(parts))]
        parts[at] = {**obj(parts[at]), key: words(obj(parts[at]).get(key)) + words(event.get("delta"))}
