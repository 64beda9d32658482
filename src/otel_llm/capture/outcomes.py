"""What a tool came to when it was recorded, given back in a rerun: the value in the type of its annotation, or the exception.

The tape holds results as JSON. pydantic, where it is loaded (the SDKs bring it), reads them back as the function is annotated:
dataclasses, models, enums, dates, sets. A function without annotation gets what JSON says. Exceptions are made of the recorded
class, found in its module, and say the recorded words; their constructor is not called, since nobody knows with what. A class
that is not there any more is made up, with the same name.
"""

from __future__ import annotations

import builtins
import json
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import Any, get_args, get_origin, get_type_hints

from otel_llm.values.errors import NotReplayable
from otel_llm.values.playback import Recorded

AS_JSON = (None, Any, str, int, float, bool, dict, list, type(None))
"""Annotations that JSON meets by itself, and what a function without annotation has."""
ONE_BY_ONE = (Iterable, Iterator, Generator, AsyncIterable, AsyncIterator, AsyncGenerator)
"""Annotations of what gives its items one by one; on the tape it is a list."""
_NUMBERED = re.compile(r"\[Errno (\d+)\] (.*)", re.DOTALL)


def value_of(given: Recorded, function: Callable[..., Any]) -> Any:
    """What a function returned; raises what it raised.

    Raises `NotReplayable` when the result does not fit its annotation.
    """
    step, body = given.step, given.exchange.response_body or b"null"
    if step.error_type is not None:
        raise exception_of(given, function)
    return _read(body, _annotation(function))


def items_of(given: Recorded, function: Callable[..., Any]) -> list[Any]:
    """What a generator yielded, before it failed if it did; text that was yielded in pieces comes as one."""
    value = _read(given.exchange.response_body or b"null", _annotation(function))
    return value if isinstance(value, list) else [] if value is None else [value]


def _read(body: bytes, kind: Any) -> Any:
    value, pydantic = json.loads(body), sys.modules.get("pydantic")
    if kind in ONE_BY_ONE or get_origin(kind) in ONE_BY_ONE:
        kind = list[get_args(kind)[0]] if get_args(kind) and isinstance(value, list) else None  # type: ignore[misc]
    if pydantic is None or value is None or kind in AS_JSON:
        return value
    try:
        return pydantic.TypeAdapter(kind).validate_json(body)
    except Exception as error:
        raise NotReplayable(f"its recorded result cannot be read as {kind}: {str(error)[:200]}") from None


def exception_of(given: Recorded, function: Callable[..., Any]) -> BaseException:
    """An exception of the recorded class that says the recorded message. Raises `NotReplayable` when there can be none."""
    name, message = given.step.error_type or "Exception", given.step.error_message or ""
    module, _, qualified = (given.exchange.error_class or f":{name}").partition(":")
    places: list[Any] = [sys.modules[module]] if module in sys.modules else [getattr(function, "__globals__", {}), builtins]
    found = next(filter(None, (_inside(place, qualified) for place in places)), None)
    found = found or _loaded(module, qualified)
    if found is None:
        found = type(name.rpartition(".")[2] or "Error", (Exception,), {"__module__": module or __name__})
    error = _saying(found, message)
    if error is None:
        raise NotReplayable(f"its recorded exception {name} cannot be made again ({message[:100]})")
    return error


def builtin_error(name: str | None, message: str | None) -> Exception | None:
    """An exception of Python's own that says this, an `OSError` with its number; None where the name is of no such class."""
    found = getattr(builtins, name or "", None)
    if not isinstance(found, type) or not issubclass(found, Exception):
        return None
    number = _NUMBERED.fullmatch(message or "") if issubclass(found, OSError) else None
    error = found(int(number[1]), number[2]) if number is not None else _saying(found, message or "")
    return error if isinstance(error, Exception) else None


def _saying(found: type[BaseException], message: str) -> BaseException | None:
    """An exception of a class, or of one like it, that says these words; None where there can be none."""
    for kind in (found, *_speaking(found, message)):
        try:
            error: BaseException = kind.__new__(kind, message)
            error.args = (message,)
            if str(error) == message:
                return error
        except Exception:  # a class that cannot be made without its own arguments
            continue
    return None


def _speaking(kind: type[BaseException], message: str) -> list[type[BaseException]]:
    """The class with words of its own; none where it cannot be derived from."""
    said = {"__str__": lambda self: message, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    try:
        return [type(kind.__name__, (kind,), said)]
    except TypeError:
        return []


def _annotation(function: Callable[..., Any]) -> Any:
    try:
        return get_type_hints(function).get("return")
    except Exception:  # names that are only there for type checkers
        return None


def _inside(place: Any, qualified: str) -> type[BaseException] | None:
    """The exception class of this qualified name in a module, or among names."""
    found: Any = place
    for part in qualified.split("."):
        found = found.get(part) if isinstance(found, dict) else getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _loaded(module: str, qualified: str) -> type[BaseException] | None:
    """A class that only a function can reach, among all exceptions that are loaded."""
    waiting: list[type[BaseException]] = [BaseException]
    while waiting:
        kind = waiting.pop()
        if kind.__qualname__ == qualified and kind.__module__ == module:
            return kind
        waiting += type.__subclasses__(kind)
    return None
