"""Cutting a request body into the pieces that come back in the next request, so that each is kept once.

A conversation sends its history again with every call. `split_body` cuts a JSON body at the elements of its long lists
(messages, input items, tools) without changing a byte: `join(split_body(body)) == body`, whatever the white space and the
escapes. The parsed values come along, so that whoever splits does not parse again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

SliceKind = Literal["message", "input", "tool"]

LISTS: dict[str, dict[str, SliceKind]] = {
    "openai_chat": {"messages": "message", "tools": "tool"},
    "openai_responses": {"input": "input", "tools": "tool"},
}
"""Which top-level lists an adapter's requests are cut at, and what their elements are."""

_SPACE = re.compile(r"[ \t\n\r]*")
_scan: Callable[[str, int], tuple[Any, int]] = vars(json.JSONDecoder())["scan_once"]
"""The C scanner: value and end. `raw_decode` is the same with another error."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One element: its exact bytes and its parsed value."""

    kind: SliceKind
    raw: bytes
    value: Any


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


def split_body(body: bytes, adapter_name: str) -> Split | None:
    """The body cut at its lists; None when it is kept whole.

    Kept whole is what an adapter has no lists for, and what is no plain JSON object in UTF-8: a BOM, invalid UTF-8, a key
    that comes twice at the top.
    """
    lists = LISTS.get(adapter_name)
    if lists is None:
        return None
    try:
        text = body.decode()
        value, cuts = _walk(text, lists)
    except (ValueError, StopIteration, IndexError, RecursionError):
        return None
    raw = body if text.isascii() else None
    gaps: list[bytes] = []
    slices: list[Slice] = []
    last = 0
    for start, end, kind, element in cuts:
        gaps.append(raw[last:start] if raw is not None else text[last:start].encode())
        slices.append(Slice(kind, raw[start:end] if raw is not None else text[start:end].encode(), element))
        last = end
    gaps.append(raw[last:] if raw is not None else text[last:].encode())
    return Split(tuple(gaps), tuple(slices), value)


_Cut = tuple[int, int, SliceKind, Any]


def _walk(text: str, lists: dict[str, SliceKind]) -> tuple[dict[str, Any], list[_Cut]]:
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
                value[key], at = _elements(text, at, lists[key], cuts)
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


def _elements(text: str, at: int, kind: SliceKind, cuts: list[_Cut]) -> tuple[list[Any], int]:
    """The elements of a list that starts here, noting where each lies."""
    found: list[Any] = []
    at = _skip(text, at + 1)
    if text[at] == "]":
        return found, at + 1
    while True:
        element, end = _scan(text, at)
        found.append(element)
        cuts.append((at, end, kind, element))
        at = _skip(text, end)
        if text[at] == "]":
            return found, at + 1
        at = _expect(text, at, ",")


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _expect(text: str, at: int, character: str) -> int:
    """The place after this character and the white space behind it."""
    if text[at] != character:
        raise ValueError(f"{character!r} expected")
    return _skip(text, at + 1)
