"""How fast calls go out: so many a second or a minute, evenly."""

from __future__ import annotations

import re
from dataclasses import dataclass

from otel_llm.values.errors import ConfigError

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|sec|second|min|m|minute|h|hour)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(slots=True)
class Pace:
    """When the next call may go out. `interval_ns` lies between two calls; 0 is no limit."""

    interval_ns: int = 0
    _next_ns: int | None = None

    def wait_ns(self, now_ns: int) -> int:
        """How long the next call has to wait from now."""
        return 0 if self._next_ns is None else max(0, self._next_ns - now_ns)

    def went(self, now_ns: int) -> None:
        """A call goes out now."""
        self._next_ns = now_ns + self.interval_ns


def read_rate(text: str) -> int:
    """The nanoseconds between two calls at a rate such as `5/s`, `60/min`. Raises `ConfigError`."""
    match = _RATE.fullmatch(text.strip().lower())
    if match is None or float(match[1]) <= 0:
        raise ConfigError(f"--rate {text!r} is not usable; good values: 5/s, 60/min, 0.5/s")
    return round(_SECONDS[match[2][0]] * 1e9 / float(match[1]))
