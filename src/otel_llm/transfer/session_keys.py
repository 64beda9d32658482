"""The keys that a session file has: any other is a slip of the hand, and what was meant by it would be lost.

Below `attributes`, `changes`, `diff` and in bodies anything may stand. The format may grow by keys without becoming another
version: a file that has such keys says so by its `minor` version, and of one newer than `MINOR` they are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from otel_llm.transfer import fields as f
from otel_llm.transfer import line
from otel_llm.transfer.fields import BadLine, Table, optional

MINOR = 0
BODIES = ("request", "response")
FILE: Table = {"minor": optional(f.COUNT), "counts": f.OBJECT, "resources": f.LIST, "scopes": f.LIST, "sessions": f.LIST,
               "replays": optional(f.LIST)}
COUNTS: Table = {"sessions": f.COUNT, "steps": f.COUNT, "replays": f.COUNT}
SESSION: Table = {"id": f.SESSION_ID, "steps": f.LIST}


class Keys(NamedTuple):
    """The keys of an object, and those of the objects, or lists of objects, that stand below some of them."""

    known: Iterable[str]
    below: Mapping[str, Keys] = {}


_SPAN = Keys(line.SPAN, {"events": Keys(line.EVENT), "links": Keys(line.LINK)})
_CALL = Keys((*line.CALL, *BODIES), {"start": Keys(line.START), "end": Keys(line.END)})
_STEP = Keys([name for name in line.STEP if name != "session"], {"span": _SPAN, "call": _CALL, "cost": Keys(line.COST)})
PARTS: Mapping[str, Keys] = {
    "document": Keys(("otel_llm", "version", *FILE), {"counts": Keys(COUNTS)}),
    "resource": Keys(line.RESOURCE), "scope": Keys(line.SCOPE), "session": Keys((*line.SESSION, "steps")), "step": _STEP,
    "replay": Keys(line.REPLAY)}
"""What a file is made of, each without the parts inside it."""


def check(kind: str, part: Any) -> None:
    """Raise `BadLine` for the first key in a part that nobody knows."""
    for where, name, known in unknown(part, PARTS[kind]):
        near = get_close_matches(name, known, n=1)
        hint = f"the nearest key is {near[0]}" if near else f"keys there are {', '.join(known)}"
        raise BadLine(f"{where or ('the document' if kind == 'document' else kind)}.{name} is not known; {hint}")


def unknown(value: Any, keys: Keys, where: str = "") -> Iterator[tuple[str, str, list[str]]]:
    """Keys that nobody knows: where they stand (nothing is the part itself), and which are known there."""
    if type(value) is list:
        for number, one in enumerate(value):
            yield from unknown(one, keys, f"{where}[{number}]")
    elif type(value) is dict:
        known = list(keys.known)
        yield from ((where, name, known) for name in value if name not in known)
        for name, inner in keys.below.items():
            yield from unknown(value.get(name), inner, f"{where}.{name}" if where else name)
