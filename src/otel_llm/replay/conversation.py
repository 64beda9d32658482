"""A session as the conversation that it was: each message once, in the order in which it came up.

Every call of a conversation sends the whole history again, so that the bytes hold the first message as often as there are
calls. To tell what is new in a request, its messages are compared with the histories of the calls before it:

- What is a prefix of an earlier history (messages and answer) was said before.
- Of the rest, everything behind the last assistant message is new: the user's words, a tool's result.
- What remains in between (an application that drops old messages sends no prefix) is new as often as it stands there more
  often than it was shown.

Answers are compared by their words and tool calls alone, since an application may hand them back without their reasoning.
A call *opens a turn* when a user's message is new in it; an answer to a tool result continues the turn.

`continuations` says which call goes on from which: the one whose request and answer begin its request (instructions left aside,
since programs put the time of day there), or whose last question and answer stand in it (a program that drops old messages),
or whose response it names. Where several would do, it is the latest that nobody has gone on from.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from otel_llm.adapters.history import message_key
from otel_llm.replay.reading import RecordedCall
from otel_llm.values.call import Message, Reasoning, Refusal, Text, ToolCall
from otel_llm.values.session import Step

DIALOGUE = frozenset({"chat", "text_completion", "generate_content", "fetch_response"})
"""Operations whose messages are said by somebody; the inputs of an embedding are not."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the conversation, or one call that failed (`message` is then None).

    `call_number` counts the calls of the session from 1, as `session:N` does; `source` says whether the message was sent
    or answered; `choice` counts from 1 where a call has several answers.
    """

    step: Step
    call_number: int
    source: Literal["request", "response", "failure"]
    message: Message | None = None
    choice: int | None = None
    turn: int = 0


def conversation(calls: Iterable[RecordedCall]) -> Iterator[Entry]:
    """The entries of a session's calls, given in order of start. Calls without readable content give their failure only."""
    known: set[bytes] = set()
    shown: Counter[bytes] = Counter()
    turn = 0
    for number, recorded in enumerate(calls, 1):
        step, call = recorded.step, recorded.call
        if call is not None and call.operation in DIALOGUE:
            system = Message("system", call.request.system)
            asked = ([system] if system.parts else []) + list(call.request.messages)
            answered = list(call.response.messages) if call.response is not None else []
            start = call.request.previous_response_id or call.request.conversation_id or ""
            new = _new(asked, known, shown, start=start.encode("utf-8", "replace"))
            turn += any(message.role == "user" for message in new)
            for message in new:
                yield Entry(step, number, "request", message, turn=turn)
            for index, message in enumerate(answered, 1):
                yield Entry(step, number, "response", message, index if len(answered) > 1 else None, turn)
            _remember(asked, answered, known, shown, start=start.encode("utf-8", "replace"))
        if step.state in ("error", "incomplete"):
            yield Entry(step, number, "failure", turn=turn)


@dataclass(frozen=True, slots=True)
class Continuation:
    """The call that another one goes on from.

    `parent` is its place among the calls, `choice` which of its answers. `shared` counts the messages of the request up to that
    answer and with it; 0 where the provider keeps the history.
    """

    parent: int
    shared: int
    choice: int = 0


def continuations(calls: Sequence[RecordedCall]) -> list[Continuation | None]:
    """For each call, given in order of start, the one that it goes on from; None for one that begins something."""
    ends: dict[bytes, list[tuple[int, int]]] = {}
    pairs: dict[tuple[bytes, bytes], list[tuple[int, int]]] = {}
    responses: dict[str, int] = {}
    extended: set[tuple[int, int]] = set()
    found: list[Continuation | None] = []
    for place, recorded in enumerate(calls):
        call = recorded.call
        if call is None or call.operation not in DIALOGUE:
            found.append(None)
            continue
        request = call.request
        talk = [(at, message_key(m)) for at, m in enumerate(request.messages, 1) if m.role not in ("system", "developer")]
        chain = list(_prefixes([key for _, key in talk], b""))
        at = _gone_on(talk, chain, ends, pairs, extended)
        if request.previous_response_id in responses:
            at = Continuation(responses[request.previous_response_id], 0)
        if at is not None:
            extended.add((at.parent, at.choice))
        found.append(at)
        for choice, answer in enumerate(call.response.messages if call.response is not None else ()):
            key = message_key(answer)
            digest = list(_prefixes([*(k for _, k in talk), key], b""))[-1]
            ends.setdefault(digest, []).append((place, choice))
            if talk:
                pairs.setdefault((talk[-1][1], key), []).append((place, choice))
        if call.response is not None and call.response.id is not None:
            responses[call.response.id] = place
    return found


def _gone_on(
    talk: Sequence[tuple[int, bytes]],
    chain: Sequence[bytes],
    ends: dict[bytes, list[tuple[int, int]]],
    pairs: dict[tuple[bytes, bytes], list[tuple[int, int]]],
    extended: set[tuple[int, int]],
) -> Continuation | None:
    for n in range(len(talk), 0, -1):
        known = ends.get(chain[n - 1])
        if known:
            return Continuation((best := _latest(known, extended))[0], talk[n - 1][0], best[1])
    for n in range(len(talk) - 1, 0, -1):
        known = pairs.get((talk[n - 1][1], talk[n][1]))
        if known:
            return Continuation((best := _latest(known, extended))[0], talk[n][0], best[1])
    return None


def _latest(known: Sequence[tuple[int, int]], extended: set[tuple[int, int]]) -> tuple[int, int]:
    return max([each for each in known if each not in extended] or known)


def turns_opened(entries: Iterable[Entry]) -> dict[str, tuple[int, str]]:
    """Span id of each call that opens a turn, with the number of the turn and the user's words."""
    opened: dict[str, tuple[int, str]] = {}
    seen = 0
    for entry in entries:
        if entry.message is not None and entry.source == "request" and entry.message.role == "user":
            if entry.turn > seen or entry.step.span_id in opened:
                opened[entry.step.span_id] = (entry.turn, entry.message.text)
            seen = max(seen, entry.turn)
    return opened


def _new(asked: Sequence[Message], known: set[bytes], shown: Counter[bytes], *, start: bytes) -> list[Message]:
    keys = [_key(message) for message in asked]
    prefix = max((n for n, digest in enumerate(_prefixes(keys, start), 1) if digest in known), default=0)
    tail = max((n for n, message in enumerate(asked, 1) if message.role == "assistant"), default=0)
    here: Counter[bytes] = Counter()
    new: list[Message] = []
    for index, (message, key) in enumerate(zip(asked, keys, strict=True)):
        here[key] += 1
        is_said = index < prefix or ((index < tail or message.role in ("system", "developer")) and here[key] <= shown[key])
        if not is_said:
            new.append(message)
    return new


def _remember(
    asked: Sequence[Message], answered: Sequence[Message], known: set[bytes], shown: Counter[bytes], *, start: bytes
) -> None:
    keys = [_key(message) for message in asked]
    known.update(_prefixes(keys, start))
    for answer in answered:
        known.update(list(_prefixes([*keys, _key(answer)], start))[-1:])
    for key, count in Counter([*keys, *map(_key, answered)]).items():
        shown[key] = max(shown[key], count)


def _prefixes(keys: Sequence[bytes], start: bytes) -> Iterator[bytes]:
    digest = hashlib.blake2b(start, digest_size=16)
    for key in keys:
        digest.update(key)
        yield digest.digest()


def _key(message: Message) -> bytes:
    """What makes two messages the same one: who says it, the words without outer space, the tool calls, everything else whole."""
    role = "system" if message.role == "developer" else message.role
    words = "".join(part.content for part in message.parts if isinstance(part, (Text, Refusal))).strip()
    rest = [_part_key(part) for part in message.parts if not isinstance(part, (Text, Refusal, Reasoning))]
    text = json.dumps([role, words, rest], ensure_ascii=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _part_key(part: Any) -> list[Any]:
    if isinstance(part, ToolCall):
        return ["tool_call", part.id, part.name, part.arguments]
    return [type(part).__name__, repr(part)]
