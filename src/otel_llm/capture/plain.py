"""Arguments and results of the user's functions as JSON, whatever they are.

What they are is not ours to judge: a dataclass, a pydantic model, a data frame, an object whose `__repr__` raises. What JSON
can say is said; the rest appears by its type's name. Nothing here runs longer than the value is large, and nothing raises.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

MAX_ITEMS = 10_000
MAX_DEPTH = 40


def json_bytes(value: Any) -> bytes:
    """The value as compact UTF-8 JSON."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=_plain).encode("utf-8")
    except Exception:
        text = json.dumps(_bounded(value, MAX_DEPTH), separators=(",", ":"), default=_name)
        return text.encode("utf-8", "replace")


def _plain(value: Any) -> Any:
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
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    return _name(value)


def _name(value: Any) -> str:
    return f"<{type(value).__name__}>"


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
