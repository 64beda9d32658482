"""From span attributes back to a call: the inverse of `otel_llm.semconv.write`.

Attributes come from anywhere, also from other and older writers of the same conventions, so nothing is trusted: a value of
the wrong type counts as unknown, content may be a JSON string or a structure, and a span that is no LLM call gives None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

import otel_llm.semconv.names as n
from otel_llm.semconv.content import MODALITIES, json_text
from otel_llm.semconv.writing import (
    REQUEST_DOUBLES,
    REQUEST_FIELDS,
    REQUEST_LISTS,
    RESPONSE_FIELDS,
    USAGE_FIELDS,
)
from otel_llm.values.call import (
    Call,
    Media,
    Message,
    Operation,
    Other,
    Part,
    Reasoning,
    Refusal,
    Request,
    Response,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
)

OPERATIONS: frozenset[str] = frozenset(get_args(Operation))
_INTS = frozenset({"max_tokens", "top_k", "seed", "choice_count", "dimensions"})
_APIS = {"chat_completions": "openai_chat", "responses": "openai_responses"}
_MODALITIES = {theirs: ours for ours, theirs in MODALITIES.items()}


def read(attributes: Mapping[str, Any]) -> Call | None:
    """The call that these attributes describe; None when they describe none."""
    operation = _text(attributes.get(n.GEN_AI_OPERATION_NAME))
    if operation not in OPERATIONS:
        return None
    older = {new: attributes[old] for old, new in n.LEGACY_NAMES.items() if old in attributes}
    if older:
        attributes = {**older, **attributes}
    api = attributes.get(n.OTEL_LLM_API) or _APIS.get(str(attributes.get(n.OPENAI_API_TYPE)), "generic")
    return Call(
        operation=cast(Operation, operation),
        provider=_text(attributes.get(n.GEN_AI_PROVIDER_NAME)),
        api=str(api),
        request=_read_request(attributes),
        response=_read_response(attributes),
    )


def _read_request(attributes: Mapping[str, Any]) -> Request:
    values: dict[str, Any] = {}
    for key, name in REQUEST_FIELDS.items():
        if key in attributes:
            values[name] = (_integer if name in _INTS else _text)(attributes[key])
    for key, name in REQUEST_DOUBLES.items():
        if key in attributes:
            values[name] = _number(attributes[key])
    for key, name in REQUEST_LISTS.items():
        if key in attributes:
            values[name] = _texts(attributes[key])
    return Request(
        **values,
        stream=attributes.get(n.GEN_AI_REQUEST_STREAM) is True,
        messages=read_messages(attributes.get(n.GEN_AI_INPUT_MESSAGES)),
        system=tuple(read_part(p) for p in _items(attributes.get(n.GEN_AI_SYSTEM_INSTRUCTIONS))),
        tools=tuple(_read_tool(t) for t in _items(attributes.get(n.GEN_AI_TOOL_DEFINITIONS))),
    )


def _read_response(attributes: Mapping[str, Any]) -> Response | None:
    values: dict[str, Any] = {
        name: text for key, name in RESPONSE_FIELDS.items() if (text := _text(attributes.get(key))) is not None
    }
    usage = {name: count for key, name in USAGE_FIELDS.items() if (count := _integer(attributes.get(key))) is not None}
    if usage:
        values["usage"] = Usage(**usage)
    if reasons := _texts(attributes.get(n.GEN_AI_RESPONSE_FINISH_REASONS)):
        values["finish_reasons"] = reasons
    if messages := read_messages(attributes.get(n.GEN_AI_OUTPUT_MESSAGES)):
        values["messages"] = messages
    if (message := _text(attributes.get(n.OTEL_LLM_ERROR_MESSAGE))) is not None:
        values["error_message"] = message
    return Response(**values) if values or attributes.get(n.OTEL_LLM_RESPONSE_EMPTY) is True else None


def read_messages(value: Any) -> tuple[Message, ...]:
    """Messages from a JSON string or a structure in the schema's shape."""
    return tuple(
        Message(_text(m.get("role")) or "", tuple(read_part(p) for p in _items(m.get("parts"))), _text(m.get("name")))
        for m in _items(value)
    )


def read_part(part: Mapping[str, Any]) -> Part:
    """One part; what is not known is kept whole as `Other`."""
    kind, content = _text(part.get("type")), part.get("content")
    if kind is not None and kind in _TEXTS and isinstance(content, str):
        return _TEXTS[kind](content)
    if kind == "tool_call":
        return ToolCall(_text(part.get("id")), _text(part.get("name")) or "", _arguments(part))
    if kind == "tool_call_response":
        result = part.get("response", part.get("result"))
        return ToolResult(_text(part.get("id")), result if isinstance(result, str) else json_text(result))
    if kind in ("blob", "file", "uri", "media"):
        modality = part.get("modality")
        modality = _MODALITIES.get(str(modality), modality if modality in ("image", "audio", "video") else "file")
        return Media(cast(Any, modality), _text(part.get("mime_type")), _text(part.get("uri")), _text(part.get("file_id")),
                     _text(content))
    if kind == "server_tool_call" and isinstance(part.get("server_tool_call"), Mapping):
        inner = part["server_tool_call"]
        return Other(_text(inner.get("type")) or "server_tool_call", json_text(inner))
    if kind == "other" and isinstance(part.get("json"), str):
        return Other(_text(part.get("other_type")) or "", part["json"])
    return Other(kind or "", json_text(part))


_TEXTS: Mapping[str, type[Text] | type[Reasoning] | type[Refusal]] = {"text": Text, "reasoning": Reasoning, "refusal": Refusal}


def _arguments(part: Mapping[str, Any]) -> str:
    if isinstance(exact := part.get("arguments_json"), str):
        return exact
    arguments = part.get("arguments")
    if isinstance(arguments, str):
        return arguments
    return json_text(arguments) if "arguments" in part else ""


def _read_tool(tool: Mapping[str, Any]) -> Tool:
    parameters = tool.get("parameters")
    exact = _text(tool.get("parameters_json"))
    return Tool(
        name=_text(tool.get("name")) or "",
        description=_text(tool.get("description")),
        parameters=exact if exact is not None else json_text(parameters) if parameters is not None else None,
        type=_text(tool.get("type")) or "function",
    )


def _items(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list, given as a structure or as JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, Sequence) and not isinstance(value, str) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
