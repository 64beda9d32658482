"""What the writers of requests share: parts that two formats spell alike, and the list of what cannot be carried.

A writer is the inverse of an adapter's `request`: it makes a body from values. A format cannot say everything that the values
can, so a writer never drops in silence: whatever it leaves out it names, in words that stand in a report.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from mimetypes import guess_extension
from typing import Any

from otel_llm.adapters.openai_parts import AUDIO_FORMATS
from otel_llm.values.call import Media, Other, Part, Reasoning, Request, Tool, ToolCall, ToolResult

_FORMATS = {mime: name for name, mime in AUDIO_FORMATS.items()}

Body = dict[str, Any]


class Lost:
    """What a writer could not carry over, each thing once, in the order in which it came up."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}

    def add(self, what: str) -> None:
        """One thing that stays behind."""
        self._found[what] = None

    @property
    def found(self) -> tuple[str, ...]:
        """All of it."""
        return tuple(self._found)


def put_fields(body: Body, request: Request, carried: Mapping[str, str], others: Iterable[str], lost: Lost) -> None:
    """The scalar fields: those that the format has, under its keys, and a word for each of the others that is set."""
    for field, key in carried.items():
        if (value := getattr(request, field)) is not None:
            body[key] = value
    for field in others:
        if getattr(request, field) not in (None, ()):
            lost.add(field.replace("_", " "))


def name_of(part: Part) -> str:
    """What a part is called in a report."""
    if isinstance(part, Reasoning):
        return "reasoning"
    if isinstance(part, Other):
        return f"a part of type {part.type}"
    if isinstance(part, ToolCall):
        return "a tool call outside an assistant message"
    if isinstance(part, ToolResult):
        return "a tool result outside a tool message"
    return f"{part.modality} content" if isinstance(part, Media) else type(part).__name__.lower()


def data_url(media: Media) -> str:
    """Inline data as a URL."""
    return f"data:{media.mime_type or ''};base64,{media.data}"


def url_of(media: Media) -> str | None:
    """Where the media is, or the media itself as a URL; None when it has only an id."""
    return data_url(media) if media.data is not None else media.uri


def is_plain(media: Media) -> bool:
    """True when it says one thing only: an address, an id, or data with its type."""
    places = [place for place in (media.uri, media.file_id, media.data) if place is not None]
    return len(places) == 1 and (media.data is not None or media.mime_type is None)


def audio(media: Media) -> Body | None:
    """An `input_audio` part; None when the format of the sound has no name there."""
    if media.data is None or (media.mime_type is not None and media.mime_type not in _FORMATS):
        return None
    form = {} if media.mime_type is None else {"format": _FORMATS[media.mime_type]}
    return {"type": "input_audio", "input_audio": {"data": media.data, **form}}


def file(media: Media) -> Body | None:
    """The inside of a file part by id or with its data; None for a file that is only an address."""
    if media.file_id is not None:
        return {"file_id": media.file_id}
    if media.data is None:
        return None
    return {"filename": f"file{guess_extension(media.mime_type or '') or ''}", "file_data": data_url(media)}


def function(tool: Tool, lost: Lost) -> Body:
    """Name, description and parameters of a function."""
    found: Body = {"name": tool.name}
    if tool.description is not None:
        found["description"] = tool.description
    if tool.parameters is not None:
        try:
            found["parameters"] = json.loads(tool.parameters)
        except ValueError:
            lost.add(f"the parameters of the tool {tool.name}")
    return found


def custom_tools(request: Request) -> frozenset[str]:
    """Names of the tools that take free text and no JSON, and the ids of their calls."""
    names = {tool.name for tool in request.tools if tool.type == "custom"}
    calls = (part for message in request.messages for part in message.parts if isinstance(part, ToolCall))
    return frozenset(names | {call.id for call in calls if names and call.name in names and call.id is not None})
