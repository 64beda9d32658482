"""Two texts as an excerpt that shows where they part, however long they are.

What both begin and end with is found first, so that the work depends on what differs and not on the length; of it as much stays
as helps to find the place. Of what differs the beginning is compared word by word, up to a limit. What is left out is counted.

A `Room` bounds what a whole comparison keeps: when it is used up, later texts are counted and not kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from otel_llm.replay.compare.answers import diff_words
from otel_llm.replay.compare.fields import FieldChange
from otel_llm.values.comparison import Change, Sign, TextDiff, Words

CONTEXT = 300
"""Characters that both sides share which stay on either side of a difference."""
MAX_TEXT = 8_000
"""Characters of an answer that are kept a side."""
MAX_FIELD = 2_000
"""Characters of one changed field that are kept a side."""
LONG = 60
"""Texts longer than this are compared word by word."""
MAX_ROOM = 6_000_000

_WORD_END = re.compile(r"\w*\Z")
_WORD_START = re.compile(r"\w*")


@dataclass(slots=True)
class Room:
    """How many characters may still be kept."""

    left: int = MAX_ROOM

    def limit(self, wanted: int) -> int:
        return max(0, min(wanted, self.left // 2))

    def keep(self, diff: TextDiff) -> TextDiff:
        """The difference, its characters counted."""
        self.left -= sum(len(text) for _, text in diff.words)
        return diff


def text_diff(old: str, new: str, room: Room, limit: int = MAX_TEXT) -> TextDiff:
    """How two texts differ; of equal ones, and of what is left out, only as much as there is room for."""
    limit = room.limit(limit)
    if old == new:
        return room.keep(_diff([_kept("=", old, limit)], True))
    start = _shared_start(old, new)
    end = _shared_end(old[start:], new[start:])
    head, tail = old[:start], old[len(old) - end :]
    before, after = old[start : len(old) - end], new[start : len(new) - end]
    context = min(CONTEXT, limit)
    middle = cast("list[tuple[Sign, str]]", [(sign, text) for sign, text in diff_words(before[:limit], after[:limit])])
    cut = len(before[limit:]) + len(after[limit:])
    runs: list[tuple[list[tuple[Sign, str]], int]] = [
        ([("…", _said(2 * (len(head) - context)))], 2 * (len(head) - context)) if len(head) > context else ([], 0),
        ([("=", head[-context:] if context else "")], 0),
        (middle, 0),
        ([("…", _said(cut))], cut) if cut else ([], 0),
        _kept("=", tail, context),
    ]
    return room.keep(_diff(runs, False))


def one_sided(text: str, sign: Sign, room: Room, limit: int = MAX_FIELD) -> TextDiff:
    """A text that is there on one side only."""
    return room.keep(_diff([_kept(sign, text, room.limit(limit))], False))


def _kept(sign: Sign, text: str, limit: int) -> tuple[list[tuple[Sign, str]], int]:
    """The beginning of a text, and how many characters of it (counted for each side that has it) are gone."""
    gone = max(0, len(text) - limit) * (2 if sign == "=" else 1)
    return [(sign, text[:limit]), *([("…", _said(gone))] if gone else [])], gone  # type: ignore[list-item]


def _diff(runs: Iterable[tuple[list[tuple[Sign, str]], int]], same: bool) -> TextDiff:
    runs = list(runs)
    words: Words = tuple(run for some, _ in runs for run in some if run[1])
    return TextDiff(words, same, sum(gone for _, gone in runs))


def _said(characters: int) -> str:
    return f"{characters:,} characters"


def _shared_start(old: str, new: str) -> int:
    """How far two different texts are equal, back to the start of a word."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if old[low:middle] == new[low:middle] else (low, middle - 1)
    around = max(0, low - LONG)
    found = _WORD_END.search(old[around:low])
    return low - len(found[0]) if found is not None else low


def _shared_end(old: str, new: str) -> int:
    """How much of two different ends is equal, from the start of the first whole word on."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        part = slice(-middle, -low or None)
        low, high = (middle, high) if old[part] == new[part] else (low, middle - 1)
    if not low:
        return 0
    found = _WORD_START.match(old[-low:][:LONG])
    return low - len(found[0]) if found is not None else low


def change_of(found: FieldChange, room: Room) -> Change:
    """A field that differs, its values cut to what may be kept, and compared word by word where they are long texts."""
    path, old, new, kind = found.path, found.old, found.new, cast("Any", found.change)
    if isinstance(old, str) and isinstance(new, str) and max(len(old), len(new)) > LONG:
        text = text_diff(old, new, room, MAX_FIELD)
        return Change(path, text.old, text.new, kind, text, text.left_out)
    (old, cut_old), (new, cut_new) = _cut(old, room), _cut(new, room)
    return Change(path, old, new, kind, left_out=cut_old + cut_new)


def _cut(value: Any, room: Room) -> tuple[Any, int]:
    """A value as it is, or the beginning of its JSON text and how much of that is missing."""
    if value is None or isinstance(value, (bool, float)):
        return value, 0
    whole = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    limit = room.limit(MAX_FIELD)
    room.left -= min(len(whole), limit)
    return (value, 0) if len(whole) <= limit else (whole[:limit], len(whole) - limit)
