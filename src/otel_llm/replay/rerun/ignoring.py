"""Fields of a request that a rerun does not look at, because they are new in every run.

A field is named by its place in the body, as reports name it: `metadata.run_id`, `messages.*.name`; `*` is any one name or
number. What is below a field goes with it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from otel_llm.values.errors import ConfigError

ROUTING = ("prompt_cache_key",)
"""Fields that say which machine may have seen a request before, and nothing that a model is told. Frameworks put an id there
that is new in every run (openai-agents: `agents-sdk:run:…`)."""


class Ignored:
    """The fields that are not looked at: those given, and `ROUTING`. Raises `ConfigError` for what names no field."""

    def __init__(self, fields: Collection[str] = ()) -> None:
        for name in fields:
            if not all(name.split(".")):
                raise ConfigError(f"--ignore {name!r} names no field; good: user, metadata.run_id, messages.*.name")
        self._paths = [tuple(name.split(".")) for name in (*ROUTING, *fields)]

    def without(self, value: Any) -> Any:
        """The body of a request, as it is compared."""
        for path in self._paths:
            value = _without(value, path)
        return value

    def covers(self, place: str) -> bool:
        """Whether a place in a body is in one of the fields."""
        parts = place.split(".")
        return any(len(path) <= len(parts) and all(one in ("*", part) for one, part in zip(path, parts, strict=False))
                   for path in self._paths)


def _without(value: Any, path: tuple[str, ...]) -> Any:
    name, *below = path
    if isinstance(value, dict):
        return {key: _without(inner, tuple(below)) if name in ("*", key) else inner for key, inner in value.items()
                if below or name not in ("*", key)}
    if isinstance(value, list):
        return [_without(inner, tuple(below)) if name in ("*", str(number)) else inner for number, inner in enumerate(value)
                if below or name not in ("*", str(number))]
    return value
