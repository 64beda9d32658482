"""What OpenAI's endpoints have in common: content parts, tools, usage, finish reasons, errors.

Compatible servers bend these shapes in many small ways (missing usage, `reasoning_content`, an error that is plain text);
what is bent is read as far as it goes.

Source: https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from otel_llm.adapters.fields import Fields, compact, count, integer, items, known, obj, text, words
from otel_llm.values.call import Media, Other, Part, Refusal, Text, Tool, ToolCall, Usage

FINISH_REASONS = {
    "stop": "stop",
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_call",
    "tool_call": "tool_call",
    "function_call": "tool_call",
    "error": "error",
}
OUTPUT_TYPES = {"text": "text", "json_object": "json", "json_schema": "json"}
_TAKEN: Fields = {
    "cached_tokens": ("cache_read_input_tokens", count),
    "cache_write_tokens": ("cache_write_input_tokens", count),
    "text_tokens": ("text_input_tokens", count),
    "image_tokens": ("image_input_tokens", count),
    "audio_tokens": ("audio_input_tokens", count),
}
_GIVEN: Fields = {
    "reasoning_tokens": ("reasoning_output_tokens", count),
    "text_tokens": ("text_output_tokens", count),
    "image_tokens": ("image_output_tokens", count),
    "audio_tokens": ("audio_output_tokens", count),
}
"""The details of the tokens that were taken in and that were given back."""
AUDIO_FORMATS = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "opus": "audio/opus", "pcm16": "audio/pcm",
                 "aac": "audio/aac"}


def finish_reason(reason: Any) -> str | None:
    """The conventions' word for why generation stopped; a provider's own word stays when there is none."""
    word = text(reason)
    return None if word is None else FINISH_REASONS.get(word, word)


def finish_reasons(choices: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """One reason a choice; where only some finished, the others count as `error`."""
    reasons = [finish_reason(c.get("finish_reason")) for c in choices]
    return tuple([r or "error" for r in reasons]) if any(reasons) else ()


def choice_count(value: Any) -> int | None:
    """How many choices were asked for; one is what everybody gets."""
    n = integer(value)
    return None if n == 1 else n


def service_tier(value: Any) -> str | None:
    """The tier that was asked for; `auto` asks for nothing."""
    tier = text(value)
    return None if tier == "auto" else tier


def parts(content: Any) -> tuple[Part, ...]:
    """Content as text, as a list of parts, or null."""
    if isinstance(content, str):
        return (Text(content),) if content else ()
    return tuple(part(p) for p in items(content))


def part(value: Any) -> Part:
    """One content part of a chat message or of an input item."""
    if isinstance(value, str):
        return Text(value)
    body = obj(value)
    kind = body.get("type")
    if kind in ("text", "input_text", "output_text"):
        return Text(words(body.get("text")))
    if kind == "refusal":
        return Refusal(words(body.get("refusal")))
    if kind in ("image_url", "input_image", "video_url", "audio_url"):
        modality = {"video_url": "video", "audio_url": "audio"}.get(kind, "image")
        url = body.get("image_url" if kind == "input_image" else kind)
        return _media(modality, url if isinstance(url, str) else obj(url).get("url"), body.get("file_id"))
    if kind == "input_audio":
        audio = obj(body.get("input_audio"))
        return Media("audio", AUDIO_FORMATS.get(words(audio.get("format"))), data=words(audio.get("data")))
    if kind in ("file", "input_file"):
        file = obj(body.get("file")) if kind == "file" else body
        return _media("file", file.get("file_data") or file.get("file_url"), file.get("file_id"))
    return Other(text(kind) or "unknown", compact(value))


def _media(modality: Any, url: Any, file_id: Any) -> Media:
    """Media by URL; the content of a `data:` URL is inline data, and so is base64 that stands for itself."""
    if not isinstance(url, str) or not url:
        return Media(modality, file_id=text(file_id))
    if url.startswith("data:"):
        head, comma, data = url[5:].partition(",")
        mime, *flags = head.split(";")
        if comma and "base64" in flags:
            return Media(modality, mime or None, data=data, file_id=text(file_id))
    elif "://" not in url[:32]:
        return Media(modality, data=url, file_id=text(file_id))
    return Media(modality, uri=url, file_id=text(file_id))


def tool_call(identity: Any, body: Mapping[str, Any]) -> ToolCall:
    """A function call (`arguments`) or a custom tool call (`input`); null is no arguments, an object is written as JSON."""
    given = body.get("arguments", body.get("input"))
    arguments = given if isinstance(given, str) else "" if given is None else compact(given)
    return ToolCall(text(identity), words(body.get("name")), arguments)


def tool_result(value: Any) -> str:
    """A tool's answer as text; a list of texts is one text, anything richer is JSON."""
    if isinstance(value, str) or value is None:
        return value or ""
    read = parts(value)
    if read and all(isinstance(p, Text) for p in read):
        return "".join(p.content for p in read if isinstance(p, Text))
    return compact(value)


def tools(value: Any) -> tuple[Tool, ...]:
    """Tool definitions, nested (chat) or flat (responses). A built-in tool has no name but its type."""
    return tuple(_tool(obj(t)) for t in items(value) if isinstance(t, dict))


def _tool(body: Mapping[str, Any]) -> Tool:
    kind = text(body.get("type")) or "function"
    inner = obj(body.get(kind)) or body
    parameters = inner.get("parameters")
    return Tool(
        name=text(inner.get("name")) or text(inner.get("server_label")) or kind,
        description=text(inner.get("description")),
        parameters=None if parameters is None else compact(parameters),
        type=kind,
    )


def functions(value: Any) -> tuple[Tool, ...]:
    """The deprecated `functions` of a chat request."""
    return tools([{"type": "function", "function": f} for f in items(value)])


def usage(value: Any) -> Usage:
    """Tokens, of either API. xAI counts reasoning beside the completion; the conventions want it inside."""
    body = obj(value)
    if not body:
        return Usage()
    taken, given = count(body.get("prompt_tokens")), count(body.get("completion_tokens"))
    if taken is None:
        taken = count(body.get("input_tokens"))
    if given is None:
        given = count(body.get("output_tokens"))
    found = known(obj(body.get("prompt_tokens_details") or body.get("input_tokens_details")), _TAKEN)
    found |= known(obj(body.get("completion_tokens_details") or body.get("output_tokens_details")), _GIVEN)
    reasoning = found.get("reasoning_output_tokens")
    if reasoning and taken is not None and given is not None and body.get("total_tokens") == taken + given + reasoning:
        given += reasoning
    if "prompt_cache_hit_tokens" in body and found.get("cache_read_input_tokens") is None:
        found["cache_read_input_tokens"] = count(body["prompt_cache_hit_tokens"])
    return Usage(taken, given, **found)


def error(body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Type and message of a failure: the provider's code, else its type. (None, None) when there was none.

    Shapes: `{"error": {"message", "type", "code"}}`, `{"error": "text"}`, `{"object": "error", …}`, an event
    `{"type": "error", …}`.
    """
    value = body.get("error")
    if isinstance(value, str) and value:
        return "error", value
    if not isinstance(value, dict):
        if body.get("object") != "error" and body.get("type") != "error":
            return None, None
        value = body
    code, kind = value.get("code"), text(value.get("type"))
    number = str(code) if type(code) is int else None
    return text(code) or kind or number or "error", text(value.get("message"))
