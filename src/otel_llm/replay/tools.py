"""What the tools of a session answered: by which a new tool call can be answered that is like a recorded one.

Two tool calls are alike when they name the same tool with equal JSON arguments, however these are spelled. The same call may have
been answered several times, differently. Of several answers the one at the same place goes first (of the same answer of the
model, one after the other), then the latest before it, then the first behind it. Results come from the requests that brought
them back to the model, and, where none did, from the recorded tool steps.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from otel_llm.replay.conversation import Continuation
from otel_llm.replay.elements import (
    PLACES,
    calls_in,
    elements_of,
    json_object,
    result_element,
    results_in,
    segments_of,
    with_id,
)
from otel_llm.replay.reading import RecordedCall
from otel_llm.values.call import ToolCall
from otel_llm.values.canonical import canonical_json
from otel_llm.values.errors import NotFound, StoreError
from otel_llm.values.session import Step
from otel_llm.values.store import Store

Likeness = tuple[str, str]


def likeness(name: str, arguments: str) -> Likeness:
    """What two tool calls share that are alike. No arguments are an empty object; what is no JSON is compared as it is.

    1.0 and 1 are one number, as in JSON.
    """
    try:
        return name, canonical_json(json.loads(arguments or "{}", parse_float=_number))
    except (ValueError, RecursionError):
        return name, arguments


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """One recorded result. `place` is that of the call that asked for it; `element` as it stood in a request."""

    place: int
    element: Mapping[str, Any] | None
    text: str = ""
    """Of a step, whose result stood in no request."""


@dataclass(slots=True)
class ToolAnswers:
    """All recorded results of a session."""

    by_likeness: dict[Likeness, list[ToolAnswer]] = field(default_factory=lambda: defaultdict(list))
    ids: set[tuple[int, str | None]] = field(default_factory=set)
    """(place of the call that asked, id of its tool call) of everything that was answered."""

    def find(self, call: ToolCall, place: int, used: int = 0) -> ToolAnswer | None:
        """The answer for a tool call at a place, of which `used` alike ones have been answered there already."""
        known = self.by_likeness.get(likeness(call.name, call.arguments), [])
        here = [answer for answer in known if answer.place == place]
        if here:
            return here[min(used, len(here) - 1)]
        before = [answer for answer in known if answer.place < place]
        return before[-1] if before else known[0] if known else None

    def elements(self, api: str, calls: Sequence[ToolCall], place: int) -> list[Any] | ToolCall:
        """The elements that answer these tool calls, in their order; the first call for which nothing was recorded."""
        used: dict[Likeness, int] = defaultdict(int)
        found: list[Any] = []
        for call in calls:
            like = likeness(call.name, call.arguments)
            answer = self.find(call, place, used[like])
            if answer is None:
                return call
            used[like] += 1
            found.append(result_element(api, call, answer.text) if answer.element is None else with_id(answer.element, call.id))
        return found


def tool_answers(
    calls: Sequence[RecordedCall], continued: Sequence[Continuation | None], store: Store, steps: Sequence[Step]
) -> ToolAnswers:
    """What the tools answered in these calls, given with the calls that they go on from, and in the steps of their session."""
    found = ToolAnswers()
    for place, (recorded, at) in enumerate(zip(calls, continued, strict=True)):
        _of_request(found, recorded, place, at, calls)
    for step in steps:
        if step.kind == "tool":
            _of_step(found, step, calls, store)
    for known in found.by_likeness.values():
        known.sort(key=lambda answer: answer.place)
    return found


def _of_request(
    found: ToolAnswers, recorded: RecordedCall, place: int, at: Continuation | None, calls: Sequence[RecordedCall]
) -> None:
    """The results that this request brings and the one that it goes on from did not."""
    api, body = recorded.exchange.api, json_object(recorded.exchange.request_body)
    if api not in PLACES or body is None:
        return
    elements = elements_of(api, body)
    asked: list[ToolCall] = []
    asker = place
    segments = segments_of(api, elements, recorded.call.request.messages if recorded.call is not None else None)
    if at is not None:
        asker = at.parent
        parent = calls[asker].call
        answers = parent.response.messages if parent is not None and parent.response is not None else ()
        asked = list(calls_in(answers[at.choice].parts)) if at.choice < len(answers) else []
        segments = segments[at.shared :]
    for segment in segments:
        if made := calls_in(segment.message.parts):
            asked, asker = list(made), place if at is None else asker
        for result in results_in(segment.message.parts):
            call = next((one for one in asked if one.id == result.id), None)
            if call is None:
                continue
            asked.remove(call)
            if (asker, call.id) not in found.ids or call.id is None:
                found.ids.add((asker, call.id))
                found.by_likeness[likeness(call.name, call.arguments)].append(ToolAnswer(asker, elements[segment.start]))


def _of_step(found: ToolAnswers, step: Step, calls: Sequence[RecordedCall], store: Store) -> None:
    """The result of a tool step, for the latest call before it that asked for this; else for whoever asks for it."""
    try:
        exchange = store.exchange(step.span_id)
    except (NotFound, StoreError):
        return
    if exchange.request_body is None or exchange.response_body is None or step.state != "ok":
        return
    name = step.name.removeprefix(step.operation or "").strip()
    like = likeness(name, exchange.request_body.decode("utf-8", "replace"))
    place = -1
    for before in reversed(range(len(calls))):
        asked = [call for call in asked_by(calls[before]) if likeness(call.name, call.arguments) == like]
        if asked and calls[before].step.start_ns <= step.start_ns:
            place = before
            found.ids.update((place, call.id) for call in asked)
            break
    if all(answer.place != place for answer in found.by_likeness[like]):
        found.by_likeness[like].append(ToolAnswer(place, None, _text(exchange.response_body)))


def asked_by(recorded: RecordedCall) -> list[ToolCall]:
    """The tools that the answer of a call asks for."""
    response = recorded.call.response if recorded.call is not None else None
    return [call for message in (response.messages if response is not None else ()) for call in calls_in(message.parts)]


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value


def _text(body: bytes) -> str:
    """What a tool returned, as a program would hand it to a model: a text as it is, anything else as JSON."""
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text
