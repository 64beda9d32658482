"""`POST /v1/chat/completions`: plain and streamed, in OpenAI's shapes and with Azure's additions.

A stream opens with the role, then sends text a few characters at a time (tool calls: first id and name, then pieces
of the arguments), the finish reason alone in a chunk of its own, and with `include_usage` a last chunk without
choices. Azure adds content filter results and opens a stream with a chunk that has no choices at all.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Iterator
from typing import Any

from . import tokens
from .agent import Ask, Message, Role, Said, answer
from .models import snapshot
from .tools import Tool
from .wire import CREATED, Reply, Request, event, event_stream, invalid, json_reply
from .words import number

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_IMAGE_TOKENS = 85


def chat(request: Request) -> Reply:
    """The answer to a chat request; 400 without model or messages."""
    body = request.json
    if not body:
        return invalid("We could not parse the JSON body of your request. Send a JSON object.")
    body = {**body, "model": body.get("model") or request.deployment}
    if not body["model"]:
        return invalid("you must provide a model parameter")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        return invalid("Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter")
    ask = _read(body)
    said = [answer(ask, variant) for variant in range(int(body.get("n") or 1))]
    usage = _usage(body, ask, said)
    if body.get("stream"):
        return event_stream([event(chunk) for chunk in _chunks(request, body, said, usage)] + [event("[DONE]")])
    choices = [_choice(request, body, index, one) for index, one in enumerate(said)]
    whole = _envelope(request, body, "chat.completion") | {"choices": choices, "usage": usage.as_chat()}
    if request.is_azure:
        whole["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": _SAFE}]
    return json_reply(whole)


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or a list of parts; an image counts as what it costs."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return str(content)
    parts = [part if isinstance(part, dict) else {"text": str(part)} for part in content]
    return "\n".join(str(part.get("text") or " " * (4 * _IMAGE_TOKENS)) for part in parts)


def tool_of(function: dict[str, Any]) -> Tool:
    return Tool(function.get("name", ""), function.get("description") or "", function.get("parameters") or {})


def schema_of(format_: Any) -> dict[str, Any] | None:
    """The JSON schema that an answer must fit; for `json_object` one with a single `answer`; None for text."""
    if not isinstance(format_, dict) or format_.get("type") not in ("json_schema", "json_object"):
        return None
    if format_["type"] == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
    schema = format_.get("schema") or (format_.get("json_schema") or {}).get("schema")
    return schema if isinstance(schema, dict) else {"type": "object"}


def _read(body: dict[str, Any]) -> Ask:
    choice = body.get("tool_choice")
    forced = choice["function"]["name"] if isinstance(choice, dict) and "function" in choice else choice
    stop = body.get("stop") or ()
    return Ask(
        model=body["model"],
        messages=tuple(_message(message) for message in body["messages"]),
        tools=tuple(tool_of(tool["function"]) for tool in body.get("tools") or () if "function" in tool),
        forced=forced if isinstance(forced, str) and forced != "auto" else None,
        may_be_parallel=body.get("parallel_tool_calls") is not False,
        temperature=body.get("temperature"),
        schema=schema_of(body.get("response_format")),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        effort=body.get("reasoning_effort"),
    )


def _message(message: dict[str, Any]) -> Message:
    text = text_of(message.get("content"))
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        text += f"{function.get('name')}{function.get('arguments')}"
    return Message(ROLES.get(str(message.get("role")), "user"), text)


def _usage(body: dict[str, Any], ask: Ask, said: list[Said]) -> tokens.Usage:
    spent = sum(one.output_tokens for one in said)
    reasoning = sum(one.reasoning_tokens for one in said)
    return tokens.Usage(ask.input_tokens, spent, tokens.cached_tokens(body, ask.input_tokens), reasoning)


def _envelope(request: Request, body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{request.digest()[:29]}",
        "object": kind,
        "created": CREATED,
        "model": snapshot(body["model"]),
        "service_tier": "default",
        "system_fingerprint": f"fp_{number(body['model']):010x}",
    }


def _finish(said: Said, body: dict[str, Any]) -> str:
    if said.calls:
        return "stop" if isinstance(body.get("tool_choice"), dict) else "tool_calls"
    return "length" if said.is_cut else "stop"


def _calls(request: Request, index: int, said: Said) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{request.digest('call', index, place)[:24]}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for place, call in enumerate(said.calls)
    ]


def _choice(request: Request, body: dict[str, Any], index: int, said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if said.calls or said.refusal else said.text,
        "refusal": said.refusal,
        "annotations": [],
    }
    if said.calls:
        message["tool_calls"] = _calls(request, index, said)
    choice = {"index": index, "message": message, "logprobs": None, "finish_reason": _finish(said, body)}
    return choice | {"content_filter_results": _SAFE} if request.is_azure else choice


def _chunks(request: Request, body: dict[str, Any], said: list[Said], usage: tokens.Usage) -> Iterator[dict[str, Any]]:
    head = _envelope(request, body, "chat.completion.chunk")
    has_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    rest: dict[str, Any] = {"usage": None} if has_usage else {}

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return head | {"choices": [choice]} | rest

    if request.is_azure:
        filtered = [{"prompt_index": 0, "content_filter_results": _SAFE}]
        yield head | {"id": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": filtered}
    streams = [[*_deltas(request, index, one)] for index, one in enumerate(said)]
    for place in range(max(map(len, streams))):
        for index, deltas in enumerate(streams):
            if place < len(deltas):
                yield chunk(index, deltas[place])
    for index, one in enumerate(said):
        yield chunk(index, {}, _finish(one, body))
    if has_usage:
        yield head | {"choices": [], "usage": usage.as_chat()}


def _deltas(request: Request, index: int, said: Said) -> Iterator[dict[str, Any]]:
    if said.refusal:
        yield {"role": "assistant", "content": None, "refusal": ""}
        yield from ({"refusal": piece} for piece in tokens.pieces(said.refusal))
        return
    yield {"role": "assistant", "content": None if said.calls else "", "refusal": None}
    yield from ({"content": piece} for piece in tokens.pieces(said.text))
    for place, call in enumerate(_calls(request, index, said)):
        arguments = call["function"]["arguments"]
        yield {"tool_calls": [{"index": place, **call, "function": {**call["function"], "arguments": ""}}]}
        for piece in tokens.pieces(arguments):
            yield {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}
