"""The body of a reissued call, from the recorded one: instructions, translation, settings, in this order.

What is not changed is not even parsed: its bytes go out as they came in. Settings come last, so that they are the keys of the
format that is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from otel_llm.adapters import WRITERS
from otel_llm.replay.elements import PLACES, json_object
from otel_llm.replay.reading import RecordedCall
from otel_llm.replay.requests.changes import Changes, dump, put_all
from otel_llm.replay.requests.instructions import set_instructions
from otel_llm.replay.requests.translate import translate
from otel_llm.values.errors import NotReplayable

Whole = Callable[[dict[str, Any]], dict[str, Any]]
"""Writes out the history that a provider keeps (`Threads.whole`)."""


@dataclass(frozen=True, slots=True)
class Composed:
    """A body, the format that it is in, and what of the recorded one could not be carried over into that format."""

    body: bytes
    api: str
    lost: tuple[str, ...] = ()


def compose(recorded: RecordedCall, changes: Changes, *, now: dict[str, Any] | None = None, whole: Whole = dict) -> Composed:
    """The body to send. `now` is the request where new answers have changed it already (`Threads.body`).

    Raises `NotReplayable` when a change cannot be made.
    """
    api, before = recorded.exchange.api, recorded.exchange.request_body
    assert before is not None
    body = now if now is not None else json_object(before)
    prompt = changes.prompt_for(recorded.step.prompt_name)
    if now is None and prompt is None and not changes.edits and changes.system is None and changes.api in (None, api):
        return Composed(before, api)
    if body is None:
        raise NotReplayable("the recorded request is no JSON object, so nothing in it can be changed")
    original = json_object(before) if now is None else None
    if prompt is not None:
        set_instructions(api, body, prompt.text, prompt=prompt.name)
    elif changes.system is not None:
        set_instructions(api, body, changes.system)
    lost: tuple[str, ...] = ()
    if changes.api not in (None, api):
        if api not in PLACES:
            raise NotReplayable(f"a request of {api} cannot be translated; those of {', '.join(WRITERS)} can")
        body, lost = translate(whole(body), api, changes.api)
        api = changes.api
    is_same = not put_all(body, changes.edits) and body == original
    return Composed(before if is_same else dump(body, like=before), api, lost)
