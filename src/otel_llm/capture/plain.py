"""Arguments and results of the user's functions as JSON, whatever they are.

What they are is not ours to judge: a dataclass, a pydantic model, a data frame, an object whose `__repr__` raises. What JSON
can say is said; dates, ids, paths and decimals as the text that their types read back; enums by their value; the rest appears by
its type's name. Nothing here runs longer than the value is large, and nothing raises.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import inspect
import json
import os
import uuid
from collections.abc import Callable, Mapping
from typing import Any

MAX_ITEMS = 10_000
MAX_DEPTH = 40


def json_bytes(value: Any) -> bytes:
    """The value as compact UTF-8 JSON."""
    return json_of(value)[0]


def json_of(value: Any) -> tuple[bytes, int]:
    """The same, and how many values in it are said by the name of their type alone, so that nobody can read them back."""
    opaque: list[str] = []

    def plain(inner: Any) -> Any:
        found = _plain(inner)
        if found is _OPAQUE:
            opaque.append(_name(inner))
            return opaque[-1]
        return found

    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=plain).encode("utf-8"), len(opaque)
    except Exception:
        text = json.dumps(_bounded(value, MAX_DEPTH), separators=(",", ":"), default=_name)
        return text.encode("utf-8", "replace"), max(1, len(opaque))


_OPAQUE: Any = object()


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (uuid.UUID, decimal.Decimal, fractions.Fraction, os.PathLike)):
        return str(value)
    for method in ("model_dump", "to_dict", "_asdict"):
        function = getattr(type(value), method, None)
        if callable(function):
            return function(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    return _OPAQUE


def _name(value: Any) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, (bytes, bytearray, memoryview)) else f"<{type(value).__name__}>"


def _bounded(value: Any, depth: int) -> Any:
    """The value with cycles, depth, odd keys and odd strings taken out."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if depth == 0:
        return _name(value)
    if isinstance(value, dict):
        return {str(k) if isinstance(k, (str, int, float, bool)) else _name(k): _bounded(v, depth - 1)
                for k, v in list(value.items())[:MAX_ITEMS]}
    if isinstance(value, (list, tuple)):
        return [_bounded(v, depth - 1) for v in value[:MAX_ITEMS]]
    return _name(value)


def arguments_of(function: Callable[..., Any], signature: inspect.Signature | None, args: tuple[Any, ...],
                 kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by the names of the function's parameters; `self` and `cls` are left out."""
    if signature is None:
        return {"args": list(args), **kwargs}
    try:
        named = dict(signature.bind_partial(*args, **kwargs).arguments)
    except TypeError:
        return {"args": list(args), **kwargs}
    for name in ("self", "cls"):
        if named and next(iter(named)) == name:
            named.pop(name)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD and name in named:
            named.update(named.pop(name))
    return named


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None
