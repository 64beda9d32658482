"""How two JSON values differ, field by field: `messages.1.content: "Oslo" → "Bergen"`.

Lists are compared by position where they have grown or shrunk only at the end, and aligned by equal elements otherwise, so that
one message that was put in does not make every later one a difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from otel_llm.replay.compare.edits import opcodes

MAX_CHANGES = 200
_GONE: Any = object()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs. `path` is dotted, empty for the value as a whole; `old` or `new` is `missing` where it is not."""

    path: str
    old: Any
    new: Any
    change: str = "changed"
    """changed | added | removed"""

    def as_json(self) -> dict[str, Any]:
        """The change as JSON: `{"path", "change", "old", "new"}`; `old` or `new` is null for what was added or removed."""
        return {"path": self.path, "change": self.change, "old": self.old, "new": self.new}


def field_changes(old: Any, new: Any) -> list[FieldChange]:
    """The fields that differ, in the order of the values; at most 200. Empty when the two are equal."""
    found: list[FieldChange] = []
    for change in _changes(old, new, ""):
        found.append(change)
        if len(found) >= MAX_CHANGES:
            break
    return found


def body_changes(old: bytes | None, new: bytes | None) -> list[FieldChange]:
    """The same for two bodies: as JSON where both are, else as text."""
    return field_changes(_value(old), _value(new))


def leaves(body: bytes | None) -> frozenset[int]:
    """The single values of a body with their places, as numbers: what two bodies share says how near they are."""
    return frozenset(map(hash, _leaves(_value(body), "")))


def _value(body: bytes | None) -> Any:
    if body is None:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}.{number}")
    else:
        yield path, repr(value)


def _changes(old: Any, new: Any, path: str) -> Iterator[FieldChange]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _pair(old.get(key, _GONE), new.get(key, _GONE), _under(path, key))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _of_lists(old, new, path)
    elif _differs(old, new):
        yield FieldChange(path, old, new)


def _of_lists(old: list[Any], new: list[Any], path: str) -> Iterator[FieldChange]:
    before, after = ([json.dumps(v, sort_keys=True, default=repr) for v in side] for side in (old, new))
    for tag, i, j, k, m in opcodes(before, after)[0]:
        if tag == "equal":
            continue
        for step in range(max(j - i, m - k)):
            was = old[i + step] if i + step < j else _GONE
            came = new[k + step] if k + step < m else _GONE
            yield from _pair(was, came, _under(path, k + step if came is not _GONE else i + step))


def _pair(old: Any, new: Any, path: str) -> Iterator[FieldChange]:
    if old is _GONE:
        yield FieldChange(path, None, new, "added")
    elif new is _GONE:
        yield FieldChange(path, old, None, "removed")
    else:
        yield from _changes(old, new, path)


def _differs(old: Any, new: Any) -> bool:
    """True and 1 are two values in JSON; 1 and 1.0 are one."""
    return old != new or isinstance(old, bool) != isinstance(new, bool)


def _under(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
