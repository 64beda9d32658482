"""How a reissue is to go, and what it works with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from otel_llm.replay.reissue.budget import Caps
from otel_llm.replay.reissue.outcomes import Outcome
from otel_llm.replay.reissue.plan import Price
from otel_llm.replay.requests.changes import Changes
from otel_llm.values.sender import Sender
from otel_llm.values.store import Store


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as a reissue needs it: the date for records, and a clock that only runs forward."""

    now_ns: Callable[[], int] = time.time_ns
    ticks_ns: Callable[[], int] = time.perf_counter_ns


@dataclass(frozen=True, slots=True)
class Orders:
    """How a reissue is to go. `interval_ns` lies between two calls; `retries` are for answers that nobody is paid for."""

    is_threaded: bool = False
    repeat: int = 1
    concurrency: int = 1
    interval_ns: int = 0
    retries: int = 2
    caps: Caps = Caps()
    api_key_env: str | None = None

    def to_options(self, changes: Changes) -> dict[str, Any]:
        """All of it, with what is changed, as JSON for the journal."""
        return {
            "changes": changes.to_options(), "threaded": self.is_threaded, "repeat": self.repeat, "concurrency": self.concurrency,
            "interval_ns": self.interval_ns, "retries": self.retries, "max_calls": self.caps.calls, "max_cost": self.caps.cost,
            "max_seconds": self.caps.seconds, "api_key_env": self.api_key_env}

    @classmethod
    def from_options(cls, value: Mapping[str, Any]) -> tuple[Orders, Changes]:
        """The orders and the changes that `to_options` wrote."""
        caps = Caps(value["max_calls"], value["max_cost"], value["max_seconds"])
        orders = cls(value["threaded"], value["repeat"], value["concurrency"], value["interval_ns"], value["retries"], caps,
                     value["api_key_env"])
        return orders, Changes.from_options(value["changes"])

    def with_caps(self, caps: Caps) -> Orders:
        """The same with other caps, where they are given."""
        old = self.caps
        return replace(self, caps=Caps(
            old.calls if caps.calls is None else caps.calls, old.cost if caps.cost is None else caps.cost,
            old.seconds if caps.seconds is None else caps.seconds))


@dataclass(frozen=True, slots=True)
class Means:
    """What a reissue works with. `waits` is told how many calls are still under way when it was interrupted, `came_late` what
    came of them when nobody takes outcomes any more.
    """

    store: Store
    sender: Sender
    environ: Mapping[str, str]
    price: Price
    clock: Clock = field(default_factory=Clock)
    waits: Callable[[int], None] = lambda count: None
    came_late: Callable[[Outcome], object] = lambda outcome: None
