"""Cutting a request body into the pieces that come back in the next request, so that each is kept once.

A conversation sends its history again with every call. `split_body` cuts a JSON body at the elements of its long lists
(messages, input items, tools) without changing a byte: `join(split_body(body)) == body`, whatever the white space and the
escapes. The parsed values come along, so that whoever splits does not parse again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

SliceKind = Literal["message", "input", "tool"]

LISTS: dict[str, dict[str, SliceKind]] = {
    "openai_chat": {"messages": "message", "tools": "tool"},
    "openai_responses": {"input": "input", "tools": "tool"},
}
"""Which top-level lists an adapter's requests are cut at, and what their elements are."""

FINGERPRINT = 80
"""Characters by which an element is recalled; all of it is compared then."""
MAX_RECALLED = 200_000
RECALLED_COST = 600
"""Bytes of memory that a remembered element takes besides its text and value."""

_BLANK = frozenset(("", " ", "\t", "\n", "\r"))
_SPACE = re.compile(r"[ \t\n\r]*")
_scan: Callable[[str, int], tuple[Any, int]] = vars(json.JSONDecoder())["scan_once"]
"""The C scanner: value and end. `raw_decode` is the same with another error."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One element: its exact bytes and its parsed value."""

    kind: SliceKind
    raw: bytes
    value: Any
    _text: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Split:
    """A body as skeleton and slices: `gaps[0] slices[0] gaps[1] slices[1] … gaps[-1]`. `value` is the whole body, parsed."""

    gaps: tuple[bytes, ...]
    slices: tuple[Slice, ...]
    value: dict[str, Any]


def join(split: Split) -> bytes:
    """The body again, byte for byte."""
    pieces = [split.gaps[0]]
    for piece, gap in zip(split.slices, split.gaps[1:], strict=True):
        pieces += (piece.raw, gap)
    return b"".join(pieces)


class Trail:
    """Which element came after which in earlier bodies, so that a history that comes again is compared and not parsed.

    It only guesses: what it recalls counts when the body has the same text at this place.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._after: dict[tuple[int, SliceKind, str], Slice] = {}

    def recall(self, before: Slice | None, kind: SliceKind, text: str, at: int) -> Slice | None:
        """The element that begins here, when it followed the same one before."""
        found = self._after.get((id(before), kind, text[at : at + FINGERPRINT]))
        return found if found is not None and text.startswith(found._text, at) else None

    def note(self, before: Slice | None, after: Slice) -> None:
        """Remember an element. A number is not remembered, since one may begin with another."""
        if after._text[:1] in ("{", "[") and len(after._text) <= MAX_RECALLED:
            self._after[id(before), after.kind, after._text[:FINGERPRINT]] = after
            self.bytes += RECALLED_COST + 4 * len(after._text)

    def clear(self) -> None:
        """Forget everything."""
        self._after.clear()
        self.bytes = 0


def split_body(body: bytes, adapter_name: str, trail: Trail | None = None) -> Split | None:
    """The body cut at its lists; None when it is kept whole.

    Kept whole is what an adapter has no lists for, and what is no plain JSON object in UTF-8: a BOM, invalid UTF-8, a key
    that comes twice at the top.
    """
    lists = LISTS.get(adapter_name)
    if lists is None:
        return None
    try:
        text = body.decode()
        raw = body if text.isascii() else None
        value, cuts = _walk(text, raw, lists, trail)
    except (ValueError, StopIteration, IndexError, RecursionError):
        return None
    gaps: list[bytes] = []
    last = 0
    for start, end, _ in cuts:
        gaps.append(raw[last:start] if raw is not None else text[last:start].encode())
        last = end
    gaps.append(raw[last:] if raw is not None else text[last:].encode())
    return Split(tuple(gaps), tuple([piece for _, _, piece in cuts]), value)


_Cut = tuple[int, int, Slice]


def _walk(
    text: str, raw: bytes | None, lists: dict[str, SliceKind], trail: Trail | None
) -> tuple[dict[str, Any], list[_Cut]]:
    """The top level, read key by key with the standard library's scanner, which says where each value ends."""
    value: dict[str, Any] = {}
    cuts: list[_Cut] = []
    at = _expect(text, _skip(text, 0), "{")
    if text[at] == "}":
        at += 1
    else:
        while True:
            key, at = _scan(text, at)
            if not isinstance(key, str) or key in value:
                raise ValueError(f"{key!r} is no key, or comes twice")
            at = _expect(text, _skip(text, at), ":")
            if key in lists and text[at] == "[":
                begun = len(cuts)
                at = _elements(text, raw, at, lists[key], cuts, trail)
                value[key] = [piece.value for _, _, piece in cuts[begun:]]
            else:
                value[key], at = _scan(text, at)
            at = _skip(text, at)
            if text[at] == "}":
                at += 1
                break
            at = _expect(text, at, ",")
    if _skip(text, at) != len(text):
        raise ValueError("something follows the object")
    return value, cuts


def _elements(text: str, raw: bytes | None, at: int, kind: SliceKind, cuts: list[_Cut], trail: Trail | None) -> int:
    """Cut out the elements of a list that starts here; where it ends."""
    at = _skip(text, at + 1)
    if text[at] == "]":
        return at + 1
    piece: Slice | None = None
    while True:
        found = trail.recall(piece, kind, text, at) if trail is not None else None
        if found is not None:
            end = at + len(found._text)
        else:
            element, end = _scan(text, at)
            of_text = text[at:end]
            found = Slice(kind, of_text.encode() if raw is None else raw[at:end], element, of_text)
            if trail is not None:
                trail.note(piece, found)
        cuts.append((at, end, found))
        piece = found
        at = _skip(text, end)
        if text[at] == "]":
            return at + 1
        at = _expect(text, at, ",")


def _skip(text: str, at: int) -> int:
    if text[at : at + 1] not in _BLANK:
        return at
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _expect(text: str, at: int, character: str) -> int:
    """The place after this character and the white space behind it."""
    if text[at] != character:
        raise ValueError(f"{character!r} expected")
    return _skip(text, at + 1)
