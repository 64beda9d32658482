"""What a destination sees of prompts and answers, by its content policy.

| policy   | messages, arguments, results                                                                               |
|----------|------------------------------------------------------------------------------------------------------------|
| `none`   | nothing, whatever the span carries; nor messages of errors                                                 |
| `span`   | what the span carries: what the program itself asked to be there                                           |
| `masked` | their shape (roles, part types, tool names, ids) with every text replaced by its length                    |
| `full`   | made from the recorded bytes, JSON strings in the schemas' shape, shortened by structure above a limit      |

Raw bodies go nowhere under any of them. `masked` also masks the messages of errors, which like to quote content, and what other
instrumentors write under names that are known to carry it. Redaction is done already: the recorded bytes have it.

Attributes are as a span frame has them, values that JSON cannot tell apart tagged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from otel_llm import semconv
from otel_llm.adapters import by_name, read_call
from otel_llm.store.bodies import Wire
from otel_llm.values.shortening import short_attributes, short_text
from otel_llm.values.tape import FUNCTION

MAX_CONTENT = 64_000
"""Bytes of one content attribute."""

BODIES = frozenset(semconv.CONTENT_BODIES)
MESSAGES = frozenset(semconv.CONTENT_MESSAGES)
_KEPT = frozenset({"type", "role", "name", "id", "finish_reason", "modality", "mime_type", "other_type"})
_STEP_INPUT = {"tool": semconv.GEN_AI_TOOL_CALL_ARGUMENTS, "retrieval": semconv.GEN_AI_RETRIEVAL_QUERY_TEXT}
_STEP_OUTPUT = {"tool": semconv.GEN_AI_TOOL_CALL_RESULT}

Attributes = dict[str, Any]


def apply(policy: str, attributes: Attributes, kind: str, read: Callable[[], tuple[Wire | None, bytes | None]]) -> Attributes:
    """The attributes under a policy; `kind` is the step's, `read` gives what was recorded of it."""
    if BODIES & attributes.keys():
        attributes = {key: value for key, value in attributes.items() if key not in BODIES}
    if policy == "none":
        return without(attributes)
    if policy == "span":
        return attributes
    wire, response = read()
    if wire is not None:
        attributes = {**recorded(wire, response, kind), **attributes}
    return masked(attributes) if policy == "masked" else attributes


def around(policy: str, rest: list[Any]) -> list[Any]:
    """What a span frame says behind its attributes (events, links, status, …) under a policy."""
    change = {"none": without, "masked": masked}.get(policy)
    if change is None:
        return rest
    events, links, code, message, *more = rest
    said = marker(message) if message and policy == "masked" else ""
    return [[[name, at, change(of_event), lost] for name, at, of_event, lost in events],
            [[*link[:4], change(link[4]), *link[5:]] for link in links], code, said, *more]


def recorded(wire: Wire, response: bytes | None, kind: str) -> Attributes:
    """The content of a call, or of a step that is none, as attributes."""
    start, end = wire.start, wire.end
    out: Attributes = {key: value for key, value in start["attributes"].items()
                       if key.startswith(semconv.GEN_AI_PROMPT_VARIABLE_PREFIX)}
    if start["api"] == FUNCTION:
        return {**out, **_step(wire.request, response, kind)}
    adapter = by_name(start["api"])
    if adapter is None:
        return out
    provider = start["attributes"].get(semconv.GEN_AI_PROVIDER_NAME)
    call, _ = read_call(adapter, provider if isinstance(provider, str) else None, wire.request, response,
                        end["content_type"] if end is not None else "", status=end["status"] if end is not None else None)
    out |= {key: semconv.json_text(value) for key, value in semconv.write_content(call, max_bytes=MAX_CONTENT).items()}
    return out


def _step(arguments: bytes | None, result: bytes | None, kind: str) -> Attributes:
    """Arguments and result of a workflow, an agent, a tool or a retrieval; messages where the conventions have no name."""
    out: Attributes = {}
    for body, names, fallback, role in ((arguments, _STEP_INPUT, semconv.GEN_AI_INPUT_MESSAGES, "user"),
                                        (result, _STEP_OUTPUT, semconv.GEN_AI_OUTPUT_MESSAGES, "assistant")):
        if body is None or body in (b"", b"null") or (kind == "retrieval" and role == "assistant"):
            continue
        text = body.decode("utf-8", "replace")
        if len(text) > MAX_CONTENT:
            text = f"{text[:MAX_CONTENT]}… [{len(text) - MAX_CONTENT} characters left out]"
        out[names.get(kind, fallback)] = text if kind in names else semconv.json_text(
            [{"role": role, "parts": [{"type": "text", "content": text}]}])
    return out


# ---- masking ----------------------------------------------------------------------------------------------------------


def without(attributes: Mapping[str, Any]) -> Attributes:
    """Attributes that quote no content."""
    return {key: value for key, value in attributes.items() if not semconv.quotes_content(key)}


def masked(attributes: Mapping[str, Any]) -> Attributes:
    """Attributes with their content masked, wherever they stand: on a span or on an event of it."""
    return {key: _masked(key, value) for key, value in attributes.items()}


def _masked(key: str, value: Any) -> Any:
    if key in MESSAGES:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return marker(value)
        return semconv.json_text(_shape(value["m"] if isinstance(value, dict) and "m" in value else value))
    if semconv.quotes_content(key):
        return marker(value)
    return value


def _shape(value: Any, key: str = "") -> Any:
    if isinstance(value, list):
        return [_shape(member) for member in value]
    if isinstance(value, dict) and key in ("", "parts"):
        return {name: _shape(inner, name) if name == "parts" or name in _KEPT else marker(inner) for name, inner in value.items()}
    return value if isinstance(value, str) and key in _KEPT or value is None else marker(value)


def marker(value: Any) -> str:
    """What stands for a content: how long it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return f"[{len(text)} characters]"


# ---- a span that is too large -----------------------------------------------------------------------------------------


def stripped(rest: list[Any]) -> list[Any]:
    """What a span frame says behind the times, without anything long."""
    attributes, events, links, code, message, *more = rest
    return [short_attributes(attributes), [[name, at, short_attributes(of_event), lost] for name, at, of_event, lost in events],
            [[*link[:4], short_attributes(link[4]), link[5]] for link in links], code, short_text(message), *more]
