"""Where a request tells the model how to behave, and putting something else there.

In a chat that is the system (or developer) message at its head, in Responses the `instructions`, else a system item at the head
of the input. What a prompt put into a user's message cannot be told from the user's own words; it is left alone, and whoever
wants it replaced hears so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from otel_llm.replay.elements import PLACES
from otel_llm.values.errors import NotReplayable

ROLES = frozenset({"system", "developer"})


def set_instructions(api: str, body: dict[str, Any], text: str, *, prompt: str | None = None) -> None:
    """Replace the instructions, or put them there when there are none.

    For a `prompt` they must be there already. Raises `NotReplayable` when they are not, or the format has no place for them.
    """
    if api not in PLACES:
        raise NotReplayable(f"a request of {api} has no place for a system prompt")
    key = PLACES[api]
    elements = body.get(key)
    listed = elements if isinstance(elements, list) else []
    start, end = _place(listed)
    has_field = api == "openai_responses" and bool(body.get("instructions"))
    if prompt is not None and not has_field and start == end:
        raise NotReplayable(f"the prompt {prompt} stands in no system or developer message of it and not in its instructions, "
                            "and --prompt replaces nothing else")
    if has_field or (api == "openai_responses" and start == end):
        body["instructions"] = text
    elif start == end:
        body[key] = [{"role": "system", "content": text}, *listed]
    else:
        body[key] = [*listed[:start], {**listed[start], "content": text}, *listed[end:]]


def _place(elements: Sequence[Any]) -> tuple[int, int]:
    """The system messages: those at the head, else the first one; start and end are equal when there is none."""
    here = [n for n, each in enumerate(elements) if isinstance(each, dict) and each.get("role") in ROLES]
    if not here:
        return 0, 0
    end = here[0] + 1
    while here[0] == 0 and end in here:
        end += 1
    return here[0], end
