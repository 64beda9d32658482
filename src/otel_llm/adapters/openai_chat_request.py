"""Requests of OpenAI Chat Completions from values: `openai_chat.request(write(request)[0]) == request`.

Carried: models and sampling, messages with text, refusals, images, sounds, files, tool calls and their results, functions and
custom tools. Instructions, which a chat does not have, become its first message. Not carried, and named:

    reasoning, parts of other formats          a provider takes back only its own
    images and videos by file id, files by address
    tools that a provider runs itself          no chat completion knows them
    history that only the provider has         previous response, conversation
    the order of words and tool calls in one message, output types but text and JSON, fields of embeddings

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from typing import Any

from otel_llm.adapters import request_parts as shared
from otel_llm.adapters.request_parts import Body, Lost
from otel_llm.values.call import Media, Message, Part, Refusal, Request, Text, Tool, ToolCall, ToolResult

_FIELDS = {
    "model": "model", "max_tokens": "max_completion_tokens", "temperature": "temperature", "top_p": "top_p", "top_k": "top_k",
    "frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty", "seed": "seed", "choice_count": "n",
    "reasoning_level": "reasoning_effort", "service_tier": "service_tier"}
_OTHERS = ("encoding_formats", "dimensions", "previous_response_id", "conversation_id")
_OUTPUT = {"json": "json_object", "text": "text"}


def write(request: Request) -> tuple[Body, tuple[str, ...]]:
    """The body of a request, and what it could not carry."""
    lost, body = Lost(), Body()
    shared.put_fields(body, request, _FIELDS, _OTHERS, lost)
    messages = ((Message("system", request.system),) if request.system else ()) + request.messages
    custom = shared.custom_tools(request)
    body["messages"] = [each for message in messages for each in write_message(message, lost, custom)]
    if tools := [made for tool in request.tools if (made := _tool(tool, lost)) is not None]:
        body["tools"] = tools
    if request.stop_sequences:
        body["stop"] = list(request.stop_sequences)
    if request.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if request.output_type in _OUTPUT:
        body["response_format"] = {"type": _OUTPUT[request.output_type]}
    elif request.output_type is not None:
        lost.add(f"output type {request.output_type}")
    return body, lost.found


def write_message(message: Message, lost: Lost, custom: frozenset[str] = frozenset()) -> list[Body]:
    """One message; results of several tools are a message each. `custom` are the tools that take free text."""
    named = {} if message.name is None else {"name": message.name}
    if message.role == "tool":
        for part in message.parts:
            if not isinstance(part, ToolResult):
                lost.add(f"{shared.name_of(part)} in a tool message")
        return [{**_result(part), **named} for part in message.parts if isinstance(part, ToolResult)]
    made: Body = {"role": message.role, **named}
    content: list[Body] = []
    calls: list[Body] = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            calls.append(_call(part, custom))
        elif isinstance(part, Media) and part.modality == "audio" and message.role == "assistant" and part.file_id is not None:
            made["audio"] = {"id": part.file_id}
        elif (one := _part(part)) is not None:
            if calls or "audio" in made:
                lost.add("the order of words and tool calls in a message")
            content.append(one)
        else:
            lost.add(shared.name_of(part))
    made["content"] = _content(content, has_more=bool(calls or "audio" in made))
    if calls:
        made["tool_calls"] = calls
    return [made]


def _content(parts: list[Body], *, has_more: bool) -> Any:
    """A text where one is enough, else the list of parts."""
    text = parts[0].get("text") if len(parts) == 1 else None
    return text or parts or (None if has_more else "")


def _part(part: Part) -> Body | None:
    """A content part; None when a chat has none for it."""
    if isinstance(part, Text):
        return {"type": "text", "text": part.content}
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.content}
    if not isinstance(part, Media) or not shared.is_plain(part):
        return None
    if part.modality == "audio" and part.data is not None:
        return shared.audio(part)
    if part.modality == "file":
        inside = shared.file(part)
        return None if inside is None else {"type": "file", "file": inside}
    url, kind = shared.url_of(part), f"{part.modality}_url"
    return None if url is None else {"type": kind, kind: {"url": url}}


def _call(call: ToolCall, custom: frozenset[str]) -> Body:
    kind, key = ("custom", "input") if call.name in custom else ("function", "arguments")
    identity = {} if call.id is None else {"id": call.id}
    return {**identity, "type": kind, kind: {"name": call.name, key: call.arguments}}


def _result(result: ToolResult) -> Body:
    identity = {} if result.id is None else {"tool_call_id": result.id}
    return {"role": "tool", **identity, "content": result.result}


def _tool(tool: Tool, lost: Lost) -> Body | None:
    if tool.type not in ("function", "custom"):
        lost.add(f"the built-in tool {tool.name}")
        return None
    return {"type": tool.type, tool.type: shared.function(tool, lost)}
