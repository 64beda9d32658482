"""Reading JSON that anybody may have edited: each field in the type that it must have, or an error that names it.

A table says what an object holds: `{"time_ns": Field((int,)), …}`. What the table does not name stays, since headers may grow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

MAX_NS = 1 << 63
SHOWN = 40


class BadLine(ValueError):
    """A line is not what the format says; the message names the field."""


class Field(NamedTuple):
    """What a field holds: one of these types exactly (True is no integer), and what else must be true of it."""

    kinds: tuple[type, ...]
    check: Callable[[Any], bool] | None = None
    is_optional: bool = False


Table = Mapping[str, Field]
_NAMES = {dict: "an object", list: "a list", str: "text", int: "a whole number", float: "a number", bool: "true or false",
          type(None): "null"}


def checked(value: Any, table: Table, where: str) -> dict[str, Any]:
    """The object, when every field of the table is right. Raises `BadLine`."""
    if type(value) is not dict:
        raise BadLine(f"{where} is {shown(value)}, not an object")
    for name, field in table.items():
        if name not in value:
            if not field.is_optional:
                raise BadLine(f"{where}.{name} is missing")
            continue
        found = value[name]
        if type(found) not in field.kinds or (found is not None and field.check is not None and not field.check(found)):
            raise BadLine(f"{where}.{name} is {shown(found)}, not usable as {' or '.join(_NAMES[kind] for kind in field.kinds)}")
    return value


def shown(value: Any) -> str:
    """A value in a message, not all of it when it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def optional(field: Field) -> Field:
    return field._replace(is_optional=True)


def is_utf8(text: str) -> bool:
    """False for text with half a surrogate pair in it, which may be content and cannot be a name."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hex(length: int) -> Callable[[Any], bool]:
    pattern = re.compile(f"[0-9a-f]{{{length}}}")
    return lambda text: pattern.fullmatch(text) is not None


def _pairs(second: tuple[type, ...]) -> Callable[[Any], bool]:
    return lambda items: all(
        type(pair) is list and len(pair) == 2 and type(pair[0]) is int and type(pair[1]) in second for pair in items)


TEXT = Field((str,))
NUMBER = Field((int,), lambda n: -MAX_NS <= n < MAX_NS)
COUNT = Field((int,), lambda n: 0 <= n < MAX_NS)
TIME = COUNT
FLAG = Field((bool,))
OBJECT = Field((dict,))
LIST = Field((list,))
TRACE_ID = Field((str,), _hex(32))
SPAN_ID = Field((str,), _hex(16))
PARENT_ID = Field((str, type(None)), _hex(16))
SESSION_ID = Field((str,), lambda text: 0 < len(text) <= 500 and is_utf8(text))
MAYBE_NUMBER = Field((int, type(None)), lambda n: -MAX_NS <= n < MAX_NS)
CHUNKS = Field((list,), _pairs((int,)))
ATTEMPTS = Field((list,), _pairs((int, type(None))))
