"""From the frames of one call to what the store keeps of it: the call, its conversation, and the words to show.

This is the only place of the store that reads bodies, with the adapter that the tape names. What an adapter cannot read
costs the content columns and nothing else; the bytes are kept all the same.

Most of a request is history that was read with the call before. Where every message is one slice of the body, what is
known of it (`otel_llm.store.seen`) is enough to find the session, and only the messages that are new are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from otel_llm import semconv
from otel_llm.adapters import by_name, read_response
from otel_llm.adapters.history import message_key
from otel_llm.adapters.split import LISTS, Slice, Split, split_body
from otel_llm.adapters.sse import parse_json
from otel_llm.store.columns import preview
from otel_llm.store.seen import SHARED_ROLES, Known, Seen, messages_of
from otel_llm.store.sessions import Conversation, Sessions, asked_for
from otel_llm.values.adapter import Adapter
from otel_llm.values.call import Call, Message, Request, Response, ToolCall, ToolResult
from otel_llm.values.guard import guard
from otel_llm.values.tape import CallEnd, CallStart

_MESSAGE_FIELDS = frozenset(field for lists in LISTS.values() for field, kind in lists.items() if kind == "message")

TALKS = frozenset({"chat", "text_completion", "generate_content"})
"""Operations that go on with a conversation."""


@dataclass(slots=True)
class Frames:
    """What the tape holds of one call. Bodies are as in the frames, and so are headers, where they came; `parts` in order."""

    start: CallStart | None = None
    start_header: bytes = b""
    start_body: bytes = b""
    parts: list[tuple[int, bytes]] | None = None
    end: CallEnd | None = None
    end_header: bytes = b""
    end_body: bytes = b""

    def heads(self) -> tuple[bytes, bytes]:
        """Start and end as JSON: their headers as they came, `null` for an end that did not."""
        return self.start_header or _compact(self.start), self.end_header or _compact(self.end)

    def bodies(self) -> tuple[bytes, bytes | None]:
        """The request as it was finally sent and the response so far; None when no byte and no status came."""
        resent = self.end.get("resent", 0) if self.end is not None else 0
        request = self.end_body[:resent] if resent else self.start_body
        rest = self.end_body[resent:] if resent else self.end_body
        received = b"".join([*(part for _, part in sorted(self.parts)), rest]) if self.parts else rest
        if not received and (self.end is None or self.end["status"] is None or "omitted" in self.end):
            return request, None
        return request, received


def _compact(header: CallStart | CallEnd | None) -> bytes:
    return json.dumps(header, separators=(",", ":")).encode()


@dataclass(slots=True)
class Reading:
    """What the bodies say.

    `roles` and `keys` are those of the conversation: without instructions, and neighbouring answers as one message. Its
    messages are in `_messages`, or still to be read from `_pieces`.
    """

    call: Call
    roles: Sequence[str]
    keys: Sequence[bytes] | None = None
    split: Split | None = None
    known: Sequence[Known] | None = None
    """What is known of each slice of `split`."""
    _messages: Sequence[Message] = ()
    _pieces: list[Slice] | None = None
    _adapter: Adapter | None = None
    _fresh: Mapping[bytes, Message] = field(default_factory=dict)

    def messages(self, start: int = 0, end: int | None = None) -> Sequence[Message]:
        """A part of the conversation's messages."""
        if self._pieces is not None and self._adapter is not None:
            pieces = self._pieces[start:end]
            fresh = [self._fresh[p.raw] for p in pieces if p.raw in self._fresh]
            return fresh if len(fresh) == len(pieces) else messages_of(pieces, self._adapter)
        return self._messages[start:end]


def read_frames(
    frames: Frames, request: bytes, response: bytes | None, provider: str | None, seen: Seen | None = None, *, skip: int = 0
) -> Reading | None:
    """The call in these frames; None when no adapter reads it. With `seen`, the call itself has no messages.

    `skip` leaves out so many messages of the conversation, which are history.
    """
    assert frames.start is not None
    adapter = by_name(frames.start["api"])
    if adapter is None:
        return None
    found: Reading | None = None
    with guard("read a recorded call"):
        split = split_body(request, adapter.name, None if seen is None else seen.trail) if request else None
        value: Any = split.value if split is not None else parse_json(request) if request else None
        found = _from_slices(split, adapter, seen) if split is not None and seen is not None else None
        if found is not None:
            asked = adapter.request(value, content=False)
        else:
            shorter = _without_history(split, skip) if split is not None and skip else None
            asked = adapter.request(shorter or value) if isinstance(value, dict) else Request()
            skip = 0 if shorter else skip
        answered: Response | None = None
        if response is not None:
            kind, status = (frames.end["content_type"], frames.end["status"]) if frames.end is not None else ("", None)
            answered, _ = read_response(adapter, response, kind, status=status, choices=asked.choice_count or 1)
        call = Call(adapter.operation, provider, adapter.name, asked, answered)
        if found is not None:
            found.call = call
        else:
            found = _from_messages(call, skip)
            found.split = split
            found.known = seen.of(split.slices, adapter)[0] if split is not None and seen is not None else None
    return found


def read_attributes(attributes: Mapping[str, Any], *, skip: int = 0) -> Reading | None:
    """The call that a span describes by itself, when no bytes were recorded."""
    with guard("read a recorded span"):
        call = semconv.read(attributes)
        return None if call is None else _from_messages(call, skip)
    return None


def _from_slices(split: Split, adapter: Adapter, seen: Seen) -> Reading | None:
    """A reading whose messages are slices; None when they are not one to one what a conversation consists of."""
    known, fresh = seen.of(split.slices, adapter)
    pieces: list[Slice] = []
    roles: list[str] = []
    keys: list[bytes] = []
    for piece, of_piece in zip(split.slices, known, strict=True):
        if piece.kind == "input":
            return None
        role = of_piece.role
        if role is None or role in SHARED_ROLES or of_piece.key is None:
            continue
        if role == "assistant" and roles and roles[-1] == role:
            return None
        pieces.append(piece)
        roles.append(role)
        keys.append(of_piece.key)
    if not pieces:
        return None
    return Reading(_NOTHING, roles, keys, split, known, _pieces=pieces, _adapter=adapter, _fresh=fresh)


_NOTHING = Call("chat", None, "", Request())


def _without_history(split: Split, skip: int) -> dict[str, Any] | None:
    """The request with the messages behind so many of the conversation; None where messages and slices are not one to one."""
    pieces = [piece.value for piece in split.slices if piece.kind == "message"]
    roles = [piece.get("role") if isinstance(piece, dict) else None for piece in pieces]
    if not pieces or not all(isinstance(role, str) and role for role in roles):
        return None
    spoken = [at for at, role in enumerate(roles) if role not in SHARED_ROLES]
    if any(roles[at] == roles[after] == "assistant" for at, after in pairwise(spoken)):
        return None
    field = next(field for field in split.value if field in _MESSAGE_FIELDS)
    return {**split.value, field: [pieces[at] for at in spoken[skip:]]}


def _from_messages(call: Call, skip: int = 0) -> Reading:
    messages = conversation(call.request.messages)[skip:]
    return Reading(call, [m.role for m in messages], _messages=messages)


def conversation(messages: Sequence[Message]) -> list[Message]:
    """Messages as a conversation: without instructions, and neighbouring messages of the assistant as one."""
    out: list[Message] = []
    for message in messages:
        if message.role in SHARED_ROLES:
            continue
        if message.role == "assistant" and out and out[-1].role == "assistant":
            out[-1] = replace(out[-1], parts=out[-1].parts + message.parts)
        else:
            out.append(message)
    return out


def talk(reading: Reading, sessions: Sessions, *, failed: bool) -> Conversation | None:
    """The call's part in a conversation; None for calls that have none. A failed call leaves no answer."""
    call = reading.call
    if call.operation not in TALKS:
        return None
    keys = reading.keys if reading.keys is not None else [message_key(m) for m in reading.messages()]
    chain = sessions.chain(keys)
    response = call.response
    talks = len(chain) > 1
    return Conversation(
        chains=chain,
        answers=[sessions.after(chain[-1], message_key(answer)) for answer in response.messages if answer.parts]
        if talks and response is not None and not failed else (),
        has_failed=failed and talks,
        response_id=response.id if response is not None and call.api == "openai_responses" else None,
        previous_response_id=call.request.previous_response_id,
        conversation_id=call.request.conversation_id,
        asks=[asked_for(part.name, part.arguments) for message in (response.messages if response is not None else ())
              for part in message.parts if isinstance(part, ToolCall)],
    )


def asked(messages: Sequence[Message]) -> str:
    """The first words of what is new in a request: of the last user message, else of the last message."""
    for message in reversed(messages):
        if message.role == "user" and (text := message.text):
            return preview(text)
    return preview(words(messages[-1])) if messages else ""


def answered(response: Response | None) -> str:
    """The first words of the answer, or the tools that it asks for."""
    if response is None:
        return ""
    for message in response.messages:
        if found := preview(message.text) or preview(words(message)):
            return found
    return ""


def title(reading: Reading) -> str:
    """The first words of the first user message that has words."""
    for at, role in enumerate(reading.roles):
        if role == "user" and (text := reading.messages(at, at + 1)[0].text):
            return preview(text)
    return ""


def words(message: Message) -> str:
    """All that a message says, tool calls and results included."""
    out = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            out.append(f"{part.name}({part.arguments})")
        elif isinstance(part, ToolResult):
            out.append(part.result)
    return " ".join([message.text, *out] if message.text else out)
