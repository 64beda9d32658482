"""A request in another wire format, and the list of what could not be carried over.

The values (`otel_llm.values.call`) stand in the middle: an adapter reads the request into them, a writer of the other format
writes it. Beside them go the few settings that both formats have and the values do not: the choice of tools, the schema of an
answer, whether a tool is strict, and fields that are called the same. Everything else that stands in the request is named in the
list. That goes for details inside of messages and tools as well.

A function of Responses is strict unless it says otherwise; one of a chat is not. So a translated function says it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from otel_llm.adapters import WRITERS, by_name
from otel_llm.replay.elements import PLACES
from otel_llm.values.call import Request

SAME = ("parallel_tool_calls", "metadata", "store", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
"""Fields that both formats call the same and mean the same by."""
BESIDE = frozenset({*SAME, "tool_choice", "response_format", "text", "verbosity", "stream", "stream_options", "tools", "input",
                    "messages", "reasoning"})
"""Fields of the body that are looked at one by one."""
NOTHING: Mapping[str, Any] = {"n": 1, "service_tier": "auto", "truncation": "disabled", "background": False, "logprobs": False}
"""Fields with the value that they have anyway."""
OF_MESSAGES = frozenset({
    "type", "role", "content", "name", "tool_calls", "tool_call_id", "function_call", "call_id", "arguments", "output", "input",
    "refusal", "audio", "reasoning", "reasoning_content", "summary", "encrypted_content", "id", "status", "annotations"})
OF_PARTS = frozenset({"type", "text", "refusal", "image_url", "video_url", "audio_url", "input_audio", "file", "file_id",
                      "file_url", "file_data", "annotations", "logprobs"})
INSIDE_PARTS = frozenset({"url", "data", "format", "file_id", "file_data", "file_url"})
OF_TOOLS = frozenset({"type", "function", "custom", "name", "description", "parameters", "strict"})


def translate(body: Mapping[str, Any], source: str, target: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body in another format (`openai_chat`, `openai_responses`), and what is not in it any more, in words."""
    adapter = by_name(source)
    assert adapter is not None
    made, lost = WRITERS[target].write(adapter.request(dict(body)))
    found = dict.fromkeys(lost)
    made |= {key: body[key] for key in SAME if body.get(key) is not None}
    _answer_form(body, made, target, found)
    _tool_choice(body.get("tool_choice"), made, target, found)
    _strictness(body.get("tools"), made, target)
    for key, value in body.items():
        if key not in BESIDE and value not in (None, NOTHING.get(key)) and adapter.request({key: value}) == Request():
            found[key] = None
    found |= dict.fromkeys(_details(body, source))
    return made, tuple(found)


def _answer_form(body: Mapping[str, Any], made: dict[str, Any], target: str, found: dict[str, None]) -> None:
    """The schema of the answer, and how wordy it is to be."""
    text = _object(body.get("text"))
    form = _object(body.get("response_format")) or _object(text.get("format"))
    schema = _object(form.get("json_schema")) or {key: value for key, value in form.items() if key != "type"}
    wordy = body.get("verbosity") or text.get("verbosity")
    if form.get("type") == "json_schema":
        if target == "openai_chat":
            made["response_format"] = {"type": "json_schema", "json_schema": schema}
        else:
            made["text"] = {"format": {"type": "json_schema", **schema}}
    elif form and form.get("type") not in ("text", "json_object"):
        found[f"an answer of the form {form.get('type')}"] = None
    if wordy is not None and target == "openai_chat":
        made["verbosity"] = wordy
    elif wordy is not None:
        made["text"] = {**made.get("text", {}), "verbosity": wordy}
    found |= {f"reasoning {key}": None for key in _object(body.get("reasoning")) if key != "effort"}


def _tool_choice(choice: Any, made: dict[str, Any], target: str, found: dict[str, None]) -> None:
    if isinstance(choice, str):
        made["tool_choice"] = choice
    elif isinstance(choice, dict):
        kind = choice.get("type")
        name = choice.get("name") or _object(choice.get(kind)).get("name")
        if kind not in ("function", "custom") or not name:
            found["tool choice"] = None
        else:
            made["tool_choice"] = {"type": kind, **({kind: {"name": name}} if target == "openai_chat" else {"name": name})}


def _strictness(tools: Any, made: dict[str, Any], target: str) -> None:
    """Whether each function is strict, found by its name."""
    given = {_inner(tool).get("name"): _inner(tool).get("strict") for tool in _objects(tools)}
    for tool in _objects(made.get("tools")):
        inner = _inner(tool)
        strict = given.get(inner.get("name"))
        if tool.get("type") == "function" and (strict is not None or target == "openai_responses"):
            inner["strict"] = bool(strict)


def _details(body: Mapping[str, Any], source: str) -> Iterator[str]:
    """What stands inside of messages and tools and is read by nobody."""
    for element in _objects(body.get(PLACES[source])):
        yield from (f"{key} of a message" for key in element if key not in OF_MESSAGES)
        for part in _objects(element.get("content")):
            yield from (f"{key} of a content part" for key in part if key not in OF_PARTS)
            for inner in part.values():
                yield from (f"{key} of a content part" for key in _object(inner) if key not in INSIDE_PARTS)
    for tool in _objects(body.get("tools")):
        for key in (*tool, *(_inner(tool) if _inner(tool) is not tool else ())):
            if key not in OF_TOOLS and tool.get("type") in ("function", "custom"):
                yield f"{key} of the tool {_inner(tool).get('name')}"


def _inner(tool: dict[str, Any]) -> dict[str, Any]:
    """Where a tool says its name: in a chat one level deeper."""
    inner = tool.get(str(tool.get("type")))
    return inner if isinstance(inner, dict) else tool


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> Sequence[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
