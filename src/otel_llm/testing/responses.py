"""`/v1/responses`: create (plain and streamed), retrieve and delete.

The stream is the real sequence, numbered from 0: `response.created`, `response.in_progress`, then for each output item
`response.output_item.added`, its parts and deltas, `response.output_item.done`, and at last `response.completed` (or
`response.incomplete` when the token limit ended it) with the whole response. There is no `[DONE]`.

`previous_response_id` continues what this simulator has stored: its input and output stand before the new input, its
instructions do not, as in the real service.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import tokens
from .agent import Ask, Message, Said, answer
from .chat import ROLES, schema_of, text_of, tool_of
from .models import snapshot
from .wire import CREATED, Reply, Request, event, event_stream, invalid, json_reply

_MAX_STORED = 10_000


@dataclass(frozen=True, slots=True)
class Stored:
    """A response and all items that led to it."""

    response: dict[str, Any]
    history: tuple[dict[str, Any], ...]


class Memory:
    """The stored responses by id; the oldest go when there are too many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stored: OrderedDict[str, Stored] = OrderedDict()

    def get(self, key: str) -> Stored | None:
        with self._lock:
            return self._stored.get(key)

    def put(self, key: str, stored: Stored) -> None:
        with self._lock:
            self._stored[key] = stored
            while len(self._stored) > _MAX_STORED:
                self._stored.popitem(last=False)

    def drop(self, key: str) -> bool:
        with self._lock:
            return self._stored.pop(key, None) is not None


def create_response(request: Request, memory: Memory) -> Reply:
    """The answer to `responses.create`; 400 without a model or input, or when the previous response is unknown."""
    body = request.json
    if not body.get("model"):
        return invalid("Missing required parameter: 'model'.", param="model", code="missing_required_parameter")
    if not body.get("input"):
        return invalid("Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
    history: tuple[dict[str, Any], ...] = ()
    if previous := body.get("previous_response_id"):
        found = memory.get(previous)
        if found is None:
            message = f"Previous response with id '{previous}' not found."
            return invalid(message, param="previous_response_id", code="previous_response_not_found")
        history = found.history
    given = body["input"]
    history += tuple([{"role": "user", "content": given}] if isinstance(given, str) else given)
    ask = _read(body, history)
    said = answer(ask)
    output = _output(request, body, said)
    response = _response(request, body, ask, said) | {"output": output}
    if body.get("store") is not False:
        memory.put(response["id"], Stored(response, (*history, *output)))
    if body.get("stream"):
        return event_stream([event(data, data["type"]) for data in _events(response)])
    return json_reply(response)


def get_response(memory: Memory, key: str) -> Reply:
    stored = memory.get(key)
    return json_reply(stored.response) if stored else _not_found(key)


def delete_response(memory: Memory, key: str) -> Reply:
    return json_reply({"id": key, "object": "response", "deleted": True}) if memory.drop(key) else _not_found(key)


def _not_found(key: str) -> Reply:
    return invalid(f"Response with id '{key}' not found.", status=404)


def _read(body: dict[str, Any], history: tuple[dict[str, Any], ...]) -> Ask:
    choice = body.get("tool_choice")
    forced = choice.get("name") if isinstance(choice, dict) else choice
    instructions = body.get("instructions")
    system = (Message("system", text_of(instructions)),) if instructions else ()
    return Ask(
        model=body["model"],
        messages=system + tuple(message for item in history if (message := _message(item))),
        tools=tuple(tool_of(tool) for tool in body.get("tools") or () if tool.get("type") == "function"),
        forced=forced if isinstance(forced, str) and forced != "auto" else None,
        may_be_parallel=body.get("parallel_tool_calls") is not False,
        temperature=body.get("temperature"),
        schema=schema_of((body.get("text") or {}).get("format")),
        max_tokens=body.get("max_output_tokens"),
        effort=(body.get("reasoning") or {}).get("effort"),
    )


def _message(item: dict[str, Any]) -> Message | None:
    kind = item.get("type", "message")
    if kind == "function_call":
        return Message("assistant", f"{item.get('name')}{item.get('arguments')}")
    if kind == "function_call_output":
        return Message("tool", text_of(item.get("output")))
    if kind != "message":
        return None
    return Message(ROLES.get(str(item.get("role")), "user"), text_of(item.get("content")))


def _output(request: Request, body: dict[str, Any], said: Said) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if said.reasoning_tokens:
        items.append({"id": f"rs_{request.digest('reasoning')}", "type": "reasoning", "summary": []})
    for place, call in enumerate(said.calls):
        items.append(
            {
                "id": f"fc_{request.digest('item', place)}",
                "type": "function_call",
                "status": "completed",
                "arguments": call.arguments,
                "call_id": f"call_{request.digest('call', place)[:24]}",
                "name": call.name,
            }
        )
    if not said.calls and not (said.is_cut and not said.text):
        text = {"type": "output_text", "annotations": [], "logprobs": [], "text": said.text}
        items.append(
            {
                "id": f"msg_{request.digest('message')}",
                "type": "message",
                "status": "incomplete" if said.is_cut else "completed",
                "content": [{"type": "refusal", "refusal": said.refusal} if said.refusal else text],
                "role": "assistant",
            }
        )
    return items


def _response(request: Request, body: dict[str, Any], ask: Ask, said: Said) -> dict[str, Any]:
    cached = tokens.cached_tokens(body, ask.input_tokens)
    usage = tokens.Usage(ask.input_tokens, said.output_tokens, cached, said.reasoning_tokens)
    text = body.get("text") or {}
    return {
        "id": f"resp_{request.digest()}",
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if said.is_cut else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if said.is_cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None,
        "model": snapshot(body["model"]),
        "output": [],
        "parallel_tool_calls": ask.may_be_parallel,
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": ask.effort, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": body.get("store") is not False,
        "temperature": 1.0 if ask.temperature is None else ask.temperature,
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_logprobs": 0,
        "top_p": 1.0 if body.get("top_p") is None else body["top_p"],
        "truncation": body.get("truncation") or "disabled",
        "usage": usage.as_response(),
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }


def _events(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    begun = response | {"status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(response["output"]):
        events += [{**data, "output_index": index} for data in _item_events(item)]
    events.append({"type": f"response.{response['status']}", "response": response})
    for number, data in enumerate(events):
        yield {"type": data["type"], "sequence_number": number, **data}


def _item_events(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    here = {"item_id": item["id"]}
    if item["type"] == "function_call":
        yield {"type": "response.output_item.added", "item": item | {"status": "in_progress", "arguments": ""}}
        for piece in tokens.pieces(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", **here, "delta": piece}
        yield {
            "type": "response.function_call_arguments.done",
            **here,
            "name": item["name"],
            "arguments": item["arguments"],
        }
    elif item["type"] == "message":
        yield {"type": "response.output_item.added", "item": item | {"status": "in_progress", "content": []}}
        yield from ({**data, **here, "content_index": 0} for data in _part_events(item["content"][0]))
    else:
        yield {"type": "response.output_item.added", "item": item}
    yield {"type": "response.output_item.done", "item": item}


def _part_events(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    kind, key = ("refusal", "refusal") if part["type"] == "refusal" else ("output_text", "text")
    extra: dict[str, Any] = {} if key == "refusal" else {"logprobs": []}
    yield {"type": "response.content_part.added", "part": part | {key: ""}}
    for piece in tokens.pieces(part[key]):
        yield {"type": f"response.{kind}.delta", "delta": piece, **extra}
    yield {"type": f"response.{kind}.done", key: part[key], **extra}
    yield {"type": "response.content_part.done", "part": part}
