"""Reading foreign JSON without trusting it: one field at a time, in the type we expect, or None.

Adapters are written with these few functions so that a wrong type anywhere costs that one field and nothing else. Numbers
stay inside what OTLP can carry, scalar text inside what UTF-8 can.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from otel_llm.values.call import Request

MAX_KEPT = 256

Fields = Mapping[str, tuple[str, Callable[[Any], Any]]]
"""By the key in the JSON: the field of ours, and how its value is read."""

_INT64 = 1 << 63
_NOTHING: Mapping[str, Any] = {}


def obj(value: Any) -> Mapping[str, Any]:
    """A JSON object; empty when it is none."""
    return value if isinstance(value, dict) else _NOTHING


def items(value: Any) -> Sequence[Any]:
    """A JSON array; empty when it is none."""
    return value if isinstance(value, list) else ()


def text(value: Any) -> str | None:
    """A name, an id, a model: text that is not empty. Lone surrogates, which no exporter can send, become `?`."""
    if not isinstance(value, str) or not value:
        return None
    return value if value.isascii() else value.encode(errors="replace").decode()


def words(value: Any) -> str:
    """Content: text as it is, empty when there is none."""
    return value if isinstance(value, str) else ""


def is_true(value: Any) -> bool:
    """True, and nothing that merely counts as true."""
    return value is True


def known(body: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """The fields that are there. A body names few of all that it could, so the loop is over the body, not over the table."""
    found: dict[str, Any] = {}
    for key, value in body.items():
        if key in fields:
            field, read = fields[key]
            found[field] = read(value)
    return found


@lru_cache(MAX_KEPT)
def bare_request(found: tuple[tuple[str, Any], ...]) -> Request:
    """A request without content, from the items of its fields.

    A program asks in the same few ways again and again, so equal ones are one object: making it costs more than finding it,
    and whoever has worked on it before sees that it is the same.
    """
    return Request(**dict(found))


def integer(value: Any) -> int | None:
    """A whole number, also when it was written as 5.0."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and -_INT64 <= value < _INT64 else None


def count(value: Any) -> int | None:
    """A number of tokens: whole and not negative."""
    number = integer(value)
    return number if number is not None and number >= 0 else None


def number(value: Any) -> float | None:
    """A finite number as a double."""
    if type(value) is not float and type(value) is not int:
        return None
    try:
        double = float(value)
    except OverflowError:
        return None
    return double if math.isfinite(double) else None


def texts(value: Any) -> tuple[str, ...]:
    """One text or a list of them; empty ones say nothing."""
    return tuple(t for v in ((value,) if isinstance(value, str) else items(value)) if (t := text(v)) is not None)


def compact(value: Any) -> str:
    """Compact JSON text of a value that came from JSON."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    except RecursionError:
        return "null"
