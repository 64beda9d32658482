"""Messages, tools and system instructions in the shape of the conventions' JSON schemas, and back.

The schemas want a tool call's arguments as a JSON object, while a `ToolCall` keeps the text exactly as the model wrote it.
Both are served: the object is written, and beside it the text (`arguments_json`) only where writing the object would not
give the same text again. The same holds for tool parameters and for parts that we do not know.

Limits work on the structure, never on the JSON text. Where there is a limit, large media are digests; above it long texts
lose their tail, then whole messages between the first and the newest go. Each cut leaves a marker that says how much is gone.

Source: https://github.com/open-telemetry/semantic-conventions-genai (gen-ai-input-messages.json and its siblings)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, cast

import otel_llm.semconv.names as n
from otel_llm.values.call import Call, Media, Message, Other, Part, Reasoning, Refusal, Text, Tool, ToolCall, ToolResult

MAX_INLINE_MEDIA = 8_192
"""Characters of base64 that stay inline where content is limited; more becomes a digest."""

SERVER_TOOLS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation",
    "mcp_call": "mcp",
}
"""Parts by which a provider reports that it ran a tool itself; written as `server_tool_call`."""

_KNOWN = frozenset({"text", "reasoning", "refusal", "tool_call", "tool_call_response", "server_tool_call", "blob", "file", "uri",
                    "media", "other"})
MODALITIES = {"file": "document"}
"""Modalities that the schema calls otherwise than we do."""

Json = dict[str, Any]


def json_text(value: Any) -> str:
    """Compact JSON; not escaped unless the text holds what UTF-8 cannot (a lone surrogate)."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return json.dumps(value, separators=(",", ":"))
    return text


def _parsed(text: str) -> tuple[Any, bool]:
    """The value of a JSON text, and whether compact writing gives the same text again."""
    try:
        value = json.loads(text)
        return value, json_text(value) == text
    except (ValueError, RecursionError):
        return None, False


# --- writing ------------------------------------------------------------------------------------------------------------


def write_content(call: Call, *, max_bytes: int | None = None) -> dict[str, list[Json]]:
    """The content of a call as Python structures by attribute name; what is empty is left out.

    `max_bytes` is a soft limit for the JSON of each attribute; None keeps everything, media included.
    """
    request, response = call.request, call.response
    out: dict[str, list[Json]] = {}
    if request.system:
        (system,) = write_messages([Message("system", request.system)], max_bytes=max_bytes)
        out[n.GEN_AI_SYSTEM_INSTRUCTIONS] = system["parts"]
    if request.messages:
        out[n.GEN_AI_INPUT_MESSAGES] = write_messages(request.messages, max_bytes=max_bytes)
    if response is not None and response.messages:
        out[n.GEN_AI_OUTPUT_MESSAGES] = write_messages(response.messages, max_bytes=max_bytes, keep_all=True)
    if request.tools:
        out[n.GEN_AI_TOOL_DEFINITIONS] = _write_tools(request.tools, max_bytes)
    return out


def write_messages(messages: Iterable[Message], *, max_bytes: int | None = None, keep_all: bool = False) -> list[Json]:
    """Messages in the schema's shape; `keep_all` shortens texts but leaves out no message (there is one a choice)."""
    messages = tuple(messages)
    if max_bytes is None:
        return [_write_message(m) for m in messages]
    written = [_write_message(_digested(m)) for m in messages]
    sizes = [_size(m) for m in written]
    if sum(sizes) <= max_bytes:
        return written
    longest = max(200, max_bytes // (4 if len(written) > 1 else 2))
    written = [_shortened(m, longest) if size > longest else m for m, size in zip(written, sizes, strict=True)]
    return written if keep_all else _fewer(written, max_bytes)


def _write_message(message: Message) -> Json:
    out: Json = {"role": message.role, "parts": [write_part(part) for part in message.parts]}
    if message.name is not None:
        out["name"] = message.name
    return out


def write_part(part: Part) -> Json:
    """One part in the schema's shape."""
    return _WRITERS[type(part)](part)


def _write_tool_call(part: ToolCall) -> Json:
    out: Json = {"type": "tool_call", "name": part.name}
    if part.id is not None:
        out["id"] = part.id
    value, is_exact = _parsed(part.arguments)
    is_object = isinstance(value, dict)
    out["arguments"] = value if is_object else part.arguments
    if is_object and not is_exact:
        out["arguments_json"] = part.arguments
    return out


def _write_tool_result(part: ToolResult) -> Json:
    out: Json = {"type": "tool_call_response", "response": part.result}
    if part.id is not None:
        out["id"] = part.id
    return out


def _write_media(part: Media) -> Json:
    kind = "blob" if part.data is not None else "file" if part.file_id is not None else "uri" if part.uri is not None else "media"
    out: Json = {"type": kind, "modality": MODALITIES.get(part.modality, part.modality)}
    for key, value in (("mime_type", part.mime_type), ("content", part.data), ("file_id", part.file_id), ("uri", part.uri)):
        if value is not None:
            out[key] = value
    return out


def _write_other(part: Other) -> Json:
    value, is_exact = _parsed(part.json)
    if not is_exact or not isinstance(value, dict) or value.get("type") != part.type:
        return {"type": "other", "other_type": part.type, "json": part.json}
    if (name := SERVER_TOOLS.get(part.type)) is not None:
        out: Json = {"type": "server_tool_call", "name": name, "server_tool_call": value}
        if isinstance(value.get("id"), str):
            out["id"] = value["id"]
        return out
    if part.type in _KNOWN:
        return {"type": "other", "other_type": part.type, "json": part.json}
    return cast(Json, value)


def _write_tools(tools: tuple[Tool, ...], max_bytes: int | None) -> list[Json]:
    """Tool definitions; above the limit their schemas go and long descriptions are cut, the names stay."""
    written = [_write_tool(tool) for tool in tools]
    if max_bytes is None or _size(written) <= max_bytes:
        return written
    return [_shortened(_write_tool(replace(tool, parameters=None)), 200) for tool in tools]


def _write_tool(tool: Tool) -> Json:
    out: Json = {"type": tool.type, "name": tool.name}
    if tool.description is not None:
        out["description"] = tool.description
    if tool.parameters is not None:
        value, is_exact = _parsed(tool.parameters)
        if is_exact and isinstance(value, dict):
            out["parameters"] = value
        else:
            out["parameters_json"] = tool.parameters
    return out


_WRITERS: dict[type, Callable[[Any], Json]] = {
    Text: lambda part: {"type": "text", "content": part.content},
    Reasoning: lambda part: {"type": "reasoning", "content": part.content},
    Refusal: lambda part: {"type": "refusal", "content": part.content},
    ToolCall: _write_tool_call,
    ToolResult: _write_tool_result,
    Media: _write_media,
    Other: _write_other,
}


# --- limits -------------------------------------------------------------------------------------------------------------


def digest(data: str) -> str:
    """`sha256:…` of what the base64 text stands for, so that it names the bytes; of the text itself when it is no base64."""
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raw = data.encode(errors="surrogatepass")
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _digested(message: Message) -> Message:
    """The message with large inline media as digests."""
    if not any(type(p) is Media and p.data is not None and len(p.data) > MAX_INLINE_MEDIA for p in message.parts):
        return message
    parts = tuple(
        replace(p, data=digest(p.data)) if type(p) is Media and p.data is not None and len(p.data) > MAX_INLINE_MEDIA else p
        for p in message.parts
    )
    return replace(message, parts=parts)


def _size(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass"))


def _shortened(value: Any, longest: int) -> Any:
    """The structure with every text above `longest` characters cut, saying how much is gone. An exact JSON text goes whole."""
    if isinstance(value, str):
        return value if len(value) <= longest else f"{value[:longest]}… [{len(value) - longest} characters left out]"
    if isinstance(value, list):
        return [_shortened(v, longest) for v in value]
    if isinstance(value, dict):
        return {k: _shortened(v, longest) for k, v in value.items() if not (k.endswith("_json") and len(v) > longest)}
    return value


def _fewer(messages: list[Json], max_bytes: int) -> list[Json]:
    """The first message and as many of the newest as fit, with a message between them that says how many are not here."""
    sizes = [_size(m) for m in messages]
    if len(messages) < 3 or sum(sizes) <= max_bytes:
        return messages
    left, start = max_bytes - sizes[0] - sizes[-1], len(messages) - 1
    while start > 1 and sizes[start - 1] <= left:
        start -= 1
        left -= sizes[start]
    if start == 1:
        return messages
    marker = {"role": "system", "name": "otel_llm",
              "parts": [{"type": "text", "content": f"[{start - 1} messages left out]"}]}
    return [messages[0], marker, *messages[start:]]
