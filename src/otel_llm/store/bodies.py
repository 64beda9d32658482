"""Request bodies without their repetitions: each message of a session is kept once, and every body comes back byte for byte.

A conversation sends its history again with every call, so bodies would grow with the square of its length. A body is cut
at its messages (`otel_llm.adapters.split`); what is left is the skeleton, with a NUL where a message was, which plain JSON
cannot hold. A message is recognised by a keyed hash inside its session; system prompts and tool definitions are the same
everywhere and are recognised over the whole store. Short messages stay in the skeleton: a reference would be longer.

The wire record of a call is one item:

    u32 length of the head, u32 length of the skeleton
    head       JSON: {"start": CallStart, "end": CallEnd or null, "messages": [first, count, first, count, …] or null}
    skeleton   the gaps, joined by NUL; the whole body when "messages" is null
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

from otel_llm.adapters.split import Split
from otel_llm.store.calls import Reading
from otel_llm.store.packs import Item, PackReader, PackWriter
from otel_llm.store.seen import Known
from otel_llm.values.errors import StoreDamaged
from otel_llm.values.tape import CallEnd, CallStart

SHORTEST = 64
SHARED = 0
_LENGTHS = struct.Struct("<II")


class Wire(NamedTuple):
    """One call as the tape had it, without the response body. `request` is None when it was omitted."""

    start: CallStart
    end: CallEnd | None
    request: bytes | None


class BodyWriter:
    """Keeps wire records inside the caller's transaction. `known` lives longer than one batch."""

    def __init__(self, connection: sqlite3.Connection, packs: PackWriter, numbers: dict[tuple[int, bytes], int]) -> None:
        self._connection, self._packs, self._numbers = connection, packs, numbers

    def add(self, heads: tuple[bytes, bytes], body: bytes, reading: Reading | None, session: int) -> Item:
        """Keep one call's headers, which are JSON, and its request."""
        messages: list[int] | None = None
        skeleton = body
        if reading is not None and reading.split is not None and reading.known is not None and b"\0" not in body:
            messages, skeleton = self._without_messages(reading.split, reading.known, session)
        runs = b"null" if messages is None else json.dumps(_runs(messages), separators=(",", ":")).encode()
        head = b'{"start":%b,"end":%b,"messages":%b}' % (*heads, runs)
        return self._packs.add("wire", _LENGTHS.pack(len(head), len(skeleton)) + head + skeleton)

    def _without_messages(self, split: Split, known: Sequence[Known], session: int) -> tuple[list[int], bytes]:
        messages: list[int] = []
        skeleton = [split.gaps[0]]
        for piece, of_piece, gap in zip(split.slices, known, split.gaps[1:], strict=True):
            if len(piece.raw) < SHORTEST:
                skeleton += (piece.raw, gap)
            else:
                group = SHARED if of_piece.is_shared else session
                number = self._numbers.get((group, of_piece.hashed))
                messages.append(self._keep(piece.raw, group, of_piece.hashed) if number is None else number)
                skeleton += (b"\0", gap)
        return messages, b"".join(skeleton)

    def _keep(self, raw: bytes, group: int, hashed: bytes) -> int:
        """The number of a message, which is kept now unless its session has it."""
        row = self._connection.execute("SELECT message FROM message WHERE hash = ? AND class = ?", (hashed, group)).fetchone()
        if row is None:
            item = self._packs.add("text", raw)
            number = self._connection.execute("INSERT INTO message (class, hash, pack, offset, length) VALUES (?, ?, ?, ?, ?)",
                                              (group, hashed, *item)).lastrowid
        else:
            number = row[0]
        self._numbers[group, hashed] = cast(int, number)
        return cast(int, number)


class BodyReader:
    """Puts wire records together again."""

    def __init__(self, execute: Callable[[str, Sequence[Any]], sqlite3.Cursor], packs: PackReader) -> None:
        self._execute, self._packs = execute, packs

    def wire(self, item: Item) -> Wire:
        """The headers and the exact request of a call. Raises `StoreDamaged` when a message is missing."""
        content = self._packs.get(item)
        head_length, skeleton_length = _LENGTHS.unpack_from(content)
        head = json.loads(content[8 : 8 + head_length])
        skeleton = content[8 + head_length : 8 + head_length + skeleton_length]
        start: CallStart = head["start"]
        end: CallEnd | None = head["end"]
        if "omitted" in start and not skeleton:
            return Wire(start, end, None)
        if head["messages"] is None:
            return Wire(start, end, skeleton)
        gaps = skeleton.split(b"\0")
        messages = list(_numbers(head["messages"]))
        if len(gaps) != len(messages) + 1:
            raise StoreDamaged(f"A request has {len(messages)} messages for {len(gaps) - 1} places. The store is damaged.")
        pieces = [gaps[0]]
        items = self._items(messages)
        for message, gap in zip(messages, gaps[1:], strict=True):
            pieces += (self._packs.get(items[message]), gap)
        return Wire(start, end, b"".join(pieces))

    def _items(self, messages: Sequence[int]) -> dict[int, Item]:
        items: dict[int, Item] = {}
        wanted = sorted(set(messages))
        for at in range(0, len(wanted), 500):
            some = wanted[at : at + 500]
            marks = ",".join("?" * len(some))
            for row in self._execute(f"SELECT message, pack, offset, length FROM message WHERE message IN ({marks})", some):  # noqa: S608
                items[row[0]] = Item(row[1], row[2], row[3])
        if len(items) != len(wanted):
            raise StoreDamaged(f"{len(wanted) - len(items)} messages of a request are missing. The store is damaged.")
        return items


def _runs(numbers: Iterable[int]) -> list[int]:
    """`[first, count, …]` of consecutive numbers."""
    out: list[int] = []
    for number in numbers:
        if out and out[-2] + out[-1] == number:
            out[-1] += 1
        else:
            out += (number, 1)
    return out


def _numbers(runs: Sequence[int]) -> Iterable[int]:
    for at in range(0, len(runs), 2):
        yield from range(runs[at], runs[at] + runs[at + 1])
