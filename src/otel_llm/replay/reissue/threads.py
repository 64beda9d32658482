"""Threaded replay: each new answer flows into the later turns of its conversation.

A recorded request holds answers of earlier calls, each followed by what the tools said to it. In the new request they are
replaced by the new answers and by what the recorded tools said to the same tool calls (`otel_llm.replay.tools`), with the new
ids; all else stays as it was recorded. Three things follow:

- The new answer asks for a tool that the recording has no answer for: what would go on from it *stops*, with the reason.
- The new answer asks for no tool where the recorded one did: the turn is over earlier. The calls that only brought tool results
  are *not needed*, and what comes after goes on from that answer.
- The new answer asks for a tool where the recorded one did not: the recorded result stands before the user's next words. No call
  is made that is not in the recording.

Only answers that stand in a later request as answers flow. What a program made of them otherwise (a part of the next question, a
summary, arguments of a search) stays as it was recorded.

Responses that name the one before (`previous_response_id`) name the new one instead. A history that only a provider's
conversation holds cannot be threaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from otel_llm.adapters import WRITERS, by_name, read_response, response_json
from otel_llm.adapters.history import message_key
from otel_llm.adapters.request_parts import Lost
from otel_llm.replay.conversation import Continuation
from otel_llm.replay.elements import PLACES, Segment, calls_in, elements_of, json_object, results_in, segments_of
from otel_llm.replay.reading import RecordedCall
from otel_llm.replay.tools import ToolAnswers
from otel_llm.values.call import Message, Reasoning, ToolCall
from otel_llm.values.errors import NotReplayable
from otel_llm.values.session import Exchange

CONTENT = ("role", "content", "tool_calls", "function_call", "refusal")
"""What of an answer goes on in any case; the rest where the program handed it on, too."""


class Stopped(Exception):
    """A call that cannot be made, and why."""


class NotNeeded(Exception):
    """A call that only brought tool results, for which the new answers did not ask."""


@dataclass(frozen=True, slots=True)
class Said:
    """What came of a call this time. `raw` is the response as JSON, in the format of `api`."""

    api: str
    raw: Any
    messages: tuple[Message, ...]
    response_id: str | None
    trouble: str | None = None
    """Why nothing can go on from it."""


def said(exchange: Exchange) -> Said:
    """What an exchange gave that a later turn can go on from."""
    adapter = by_name(exchange.api)
    assert adapter is not None
    response, is_whole = read_response(adapter, exchange.response_body, exchange.response_type, status=exchange.status)
    raw = response_json(adapter, exchange.response_body, exchange.response_type)
    trouble = None
    if exchange.status is None:
        trouble = "no answer came to the call before it"
    elif exchange.status >= 400 or response is None or not response.messages:
        trouble = f"the call before it was not answered ({exchange.status})"
    elif not exchange.complete or not is_whole:
        trouble = "the answer to the call before it was cut"
    messages = () if response is None else response.messages
    return Said(exchange.api, raw, messages, None if response is None else response.id, trouble)


@dataclass(slots=True)
class Threads:
    """One pass through the calls of a session. `calls` and `continued` are in order of start; `done` fills as answers come."""

    calls: Sequence[RecordedCall]
    continued: Sequence[Continuation | None]
    tools: ToolAnswers
    done: dict[int, Said] = field(default_factory=dict)
    unneeded: set[int] = field(default_factory=set)
    _whole: dict[int, list[Any]] = field(default_factory=dict)
    _keys: dict[Continuation, bytes | None] = field(default_factory=dict)

    def body(self, place: int) -> dict[str, Any] | None:
        """The request of a call as it is now, before any other change; None when it is as it was recorded.

        Raises `Stopped` or `NotNeeded`.
        """
        recorded, at = self.calls[place], self.continued[place]
        api, body = recorded.exchange.api, json_object(recorded.exchange.request_body)
        if api not in PLACES or body is None:
            return None
        if body.get("conversation"):
            raise Stopped("its history is in a conversation that the provider keeps")
        if at is None:
            return None
        before = self._before(at)
        new = self.done.get(before.parent)
        if new is None:
            raise Stopped("the call that it goes on from was not sent")
        if new.trouble is not None:
            raise Stopped(new.trouble)
        elements = elements_of(api, body)
        segments = segments_of(api, elements, recorded.call.request.messages if recorded.call is not None else None)
        end = _end_of_results(segments, at.shared)
        if end == len(segments) > at.shared and not calls_in(self._message(before).parts):
            self.unneeded.add(place)
            raise NotNeeded("the new answer asked for no tool, so that there is none to answer")
        previous = body.get("previous_response_id")
        if at.shared:
            made = self._with_new_answers(place, at, elements, segments)
        else:
            made = [*self._now(at, api, []), *elements[segments[end - 1].end if end else 0 :]]
            body["previous_response_id"] = new.response_id
        if made == elements and body.get("previous_response_id") == previous:
            return None
        body[PLACES[api]] = made
        return body

    def whole(self, place: int, body: dict[str, Any]) -> dict[str, Any]:
        """A request with the history that the provider keeps for it written out, for a provider that does not have it.

        Raises `NotReplayable` when that history is not in the recording.
        """
        at, api = self.continued[place], self.calls[place].exchange.api
        elements = elements_of(api, body)
        if body.get("conversation") or (body.get("previous_response_id") and (at is None or at.shared)):
            raise NotReplayable("its history is with the provider, and the call before it is not among those to send")
        if at is not None and not at.shared:
            before = self._before(at)
            if before.parent not in self._whole:
                raise NotReplayable("its history is with the provider, and the call before it was not sent")
            elements = [*self._whole[before.parent], *handed_on(api, self.done[before.parent], before.choice, []), *elements]
        self._whole[place] = elements
        return {**{key: value for key, value in body.items() if key != "previous_response_id"}, PLACES[api]: elements}

    def _before(self, at: Continuation) -> Continuation:
        """The call whose answer stands there now: the nearest that was needed."""
        while at.parent in self.unneeded:
            above = self.continued[at.parent]
            assert above is not None
            at = above
        return at

    def _message(self, at: Continuation) -> Message:
        messages = self.done[at.parent].messages
        return messages[min(at.choice, len(messages) - 1)]

    def _with_new_answers(
        self, place: int, at: Continuation, elements: Sequence[Any], segments: Sequence[Segment]
    ) -> list[Any]:
        """The elements, with the answers of all calls before it, and what the tools said to them, as they are now."""
        api, made, bound = self.calls[place].exchange.api, list(elements), at.shared
        keys = [message_key(segment.message) for segment in segments[:bound]]
        above: Continuation | None = at
        while above is not None:
            key = self._recorded_key(above)
            found = next((n for n in reversed(range(bound)) if keys[n] == key), None)
            if found is not None:
                bound, end = found, _end_of_results(segments, found + 1)
                if above.parent in self.unneeded or message_key(self._message(above)) != key:
                    start, stop = segments[found].start, segments[end - 1].end
                    made[start:stop] = self._now(above, api, elements[start : segments[found].end])
            above = self.continued[above.parent]
        return made

    def _recorded_key(self, at: Continuation) -> bytes | None:
        """What the recorded answer says (`message_key`); None where there is none."""
        if at not in self._keys:
            call = self.calls[at.parent].call
            answers = call.response.messages if call is not None and call.response is not None else ()
            self._keys[at] = message_key(answers[at.choice]) if at.choice < len(answers) else None
        return self._keys[at]

    def _now(self, at: Continuation, api: str, echo: Sequence[Any]) -> list[Any]:
        """The new answer and what the tools said to it. `echo` is the recorded answer as it stood there; empty where none stood.

        Raises `Stopped` when a tool was never asked that.
        """
        if at.parent in self.unneeded:
            return []
        results = self.tools.elements(api, calls_in(self._message(at).parts), at.parent)
        if isinstance(results, ToolCall):
            raise Stopped(f"the new answer asks {results.name}({results.arguments}), and nothing is recorded that answers it")
        return [*(handed_on(api, self.done[at.parent], at.choice, echo) if echo else ()), *results]


def _end_of_results(segments: Sequence[Segment], first: int) -> int:
    """Where the tool results that begin at a segment end."""
    while first < len(segments) and results_in(segments[first].message.parts):
        first += 1
    return first


def handed_on(api: str, new: Said, choice: int, echo: Sequence[Any]) -> list[Any]:
    """A new answer as elements of a history, in the way in which the program handed on the recorded one (`echo`)."""
    if new.api == api == "openai_chat" and echo:
        choices = [each for each in new.raw["choices"] if isinstance(each, dict)]
        return [_chat_message(choices[min(choice, len(choices) - 1)].get("message") or {}, echo[0])]
    if new.api == api and (not echo or any(isinstance(item, dict) and "id" in item for item in echo)):
        return deepcopy(list(new.raw["output"]))
    message = new.messages[min(choice, len(new.messages) - 1)]
    plain = Message("assistant", tuple(part for part in message.parts if not isinstance(part, Reasoning)))
    return list(WRITERS[api].write_message(plain, Lost()))


def _chat_message(raw: dict[str, Any], echo: Any) -> dict[str, Any]:
    """The message of a choice with what a request takes: what always goes on, and what the program handed on besides."""
    before = echo if isinstance(echo, dict) else {}
    made = {key: deepcopy(value) for key, value in raw.items()
            if (key in CONTENT and value is not None) or (key in before and key not in CONTENT)}
    calls = made.get("tool_calls")
    if calls:
        made["tool_calls"] = [{key: value for key, value in call.items() if key != "index"} for call in calls]
    else:
        made.pop("tool_calls", None)
    if isinstance(made.get("audio"), dict):
        made["audio"] = {"id": made["audio"].get("id")}
    if "content" not in made and ("content" in before or not calls):
        made["content"] = None if calls else ""
    return {"role": made.pop("role", "assistant"), **made}
