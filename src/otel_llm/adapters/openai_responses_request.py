"""Requests of OpenAI Responses from values: `openai_responses.request(write(request)[0]) == request`.

Carried: model, sampling, instructions, the history as input items (an assistant's words and tool calls in their order), tool
results, images, files, sounds, functions, custom and plain built-in tools, previous response and conversation. Neighbouring
messages of the assistant become one, as they are one when they are read. Not carried, and named:

    reasoning, parts of other formats          a provider takes back only its own
    names of authors, videos, sounds by address
    stop sequences, seed, penalties, top k, several choices
    the settings of built-in tools, output types but text and JSON, fields of embeddings

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Sequence

from otel_llm.adapters import request_parts as shared
from otel_llm.adapters.request_parts import Body, Lost
from otel_llm.values.call import Media, Message, Part, Refusal, Request, Text, Tool, ToolCall, ToolResult

_FIELDS = {
    "model": "model", "max_tokens": "max_output_tokens", "temperature": "temperature", "top_p": "top_p",
    "service_tier": "service_tier", "previous_response_id": "previous_response_id", "conversation_id": "conversation"}
_OTHERS = ("top_k", "frequency_penalty", "presence_penalty", "seed", "stop_sequences", "choice_count", "encoding_formats",
           "dimensions")
_OUTPUT = {"json": "json_object", "text": "text"}


def write(request: Request) -> tuple[Body, tuple[str, ...]]:
    """The body of a request, and what it could not carry."""
    lost, body = Lost(), Body()
    shared.put_fields(body, request, _FIELDS, _OTHERS, lost)
    if request.system:
        body["instructions"] = _instructions(request.system, lost)
    custom = shared.custom_tools(request)
    body["input"] = [item for message in request.messages for item in write_message(message, lost, custom)]
    if tools := [made for tool in request.tools if (made := _tool(tool, lost)) is not None]:
        body["tools"] = tools
    if request.stream:
        body["stream"] = True
    if request.reasoning_level is not None:
        body["reasoning"] = {"effort": request.reasoning_level}
    if request.output_type in _OUTPUT:
        body["text"] = {"format": {"type": _OUTPUT[request.output_type]}}
    elif request.output_type is not None:
        lost.add(f"output type {request.output_type}")
    return body, lost.found


def write_message(message: Message, lost: Lost, custom: frozenset[str] = frozenset()) -> list[Body]:
    """The items of one message. `custom` are the tools that take free text, and the ids of their calls."""
    if message.name is not None:
        lost.add("the name of an author")
    items: list[Body] = []
    said: list[Body] = []
    is_answer = message.role == "assistant"
    for part in message.parts:
        if isinstance(part, ToolResult) and message.role == "tool":
            items.append(_result(part, custom))
        elif isinstance(part, ToolCall) and is_answer:
            items += [_said(message.role, said)] if said else []
            items.append(_call(part, custom))
            said = []
        elif message.role == "tool" or (one := _part(part, is_answer=is_answer)) is None:
            lost.add(shared.name_of(part))
        else:
            said.append(one)
    if said or (not items and message.role != "tool"):
        items.append(_said(message.role, said))
    return items


def _said(role: str, parts: list[Body]) -> Body:
    """A message item; its content is a text where one is enough."""
    text = parts[0].get("text") if len(parts) == 1 else None
    return {"role": role, "content": text or parts or ""}


def _part(part: Part, *, is_answer: bool) -> Body | None:
    """A content part; None when Responses has none for it."""
    if isinstance(part, Text):
        return {"type": "output_text" if is_answer else "input_text", "text": part.content}
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.content}
    if not isinstance(part, Media) or not shared.is_plain(part):
        return None
    if part.modality == "audio":
        return shared.audio(part)
    if part.modality == "file":
        return {"type": "input_file", **(shared.file(part) or {"file_url": part.uri})}
    if part.modality != "image":
        return None
    where = {"file_id": part.file_id} if part.file_id is not None else {"image_url": shared.url_of(part)}
    return {"type": "input_image", **where}


def _call(call: ToolCall, custom: frozenset[str]) -> Body:
    kind, key = ("custom_tool_call", "input") if call.name in custom else ("function_call", "arguments")
    identity = {} if call.id is None else {"call_id": call.id}
    return {"type": kind, **identity, "name": call.name, key: call.arguments}


def _result(result: ToolResult, custom: frozenset[str]) -> Body:
    kind = "custom_tool_call_output" if result.id in custom else "function_call_output"
    identity = {} if result.id is None else {"call_id": result.id}
    return {"type": kind, **identity, "output": result.result}


def _instructions(parts: Sequence[Part], lost: Lost) -> str:
    for part in parts:
        if not isinstance(part, Text):
            lost.add(f"{shared.name_of(part)} in the instructions")
    texts = [part.content for part in parts if isinstance(part, Text)]
    if len(texts) > 1:
        lost.add("the parts of the instructions")
    return "".join(texts)


def _tool(tool: Tool, lost: Lost) -> Body | None:
    if tool.type in ("function", "custom"):
        return {"type": tool.type, **shared.function(tool, lost)}
    if tool.name != tool.type or tool.description is not None or tool.parameters is not None:
        lost.add(f"the built-in tool {tool.name}")
        return None
    return {"type": tool.type}
