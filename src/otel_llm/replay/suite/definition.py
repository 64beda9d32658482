"""A suite: recorded sessions, asked again in several variants, and how the variants compare.

The recorded answers can be a variant too, which costs nothing. One variant is the baseline; each of the others is held against
it, call by call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from otel_llm.replay.reissue.budget import Caps
from otel_llm.replay.requests.changes import Changes
from otel_llm.values.errors import ConfigError

RECORDED = "recorded"
"""The name of the variant that is the recorded answers."""
MAX_DROP = 0.1


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of asking. `is_recorded` says that nothing is asked: the answers are those of the recording."""

    name: str
    changes: Changes = Changes()
    api_key_env: str | None = None
    is_recorded: bool = False

    def to_options(self) -> dict[str, Any]:
        """What makes the answers, as JSON. Where the key comes from does not."""
        return {"name": self.name, "recorded": self.is_recorded, "changes": self.changes.to_options()}


@dataclass(frozen=True, slots=True)
class Rules:
    """What a variant must hold to pass. None asks for nothing.

    `max_pass_rate_drop` is in shares of all calls (0.1 is ten points) below the baseline; the increases are shares of the
    baseline's figure: of the total cost, of the median latency.
    """

    alpha: float = 0.05
    min_pass_rate: float | None = None
    max_pass_rate_drop: float = MAX_DROP
    max_cost_increase: float | None = None
    max_latency_increase: float | None = None

    @property
    def level(self) -> float:
        """The confidence that belongs to alpha."""
        return 1 - self.alpha


@dataclass(frozen=True, slots=True)
class Suite:
    """All that a suite file asks for but which sessions. `baseline` is the name of a variant."""

    name: str
    variants: tuple[Variant, ...]
    baseline: str
    repeat: int = 1
    """How often each call is asked."""
    is_threaded: bool = False
    checks: tuple[str, ...] = ()
    rules: Rules = Rules()
    caps: Caps = Caps()
    concurrency: int = 4
    retries: int = 2
    source: str | None = None
    """The file, as it was named."""

    def asked(self) -> tuple[Variant, ...]:
        """The variants that somebody has to be asked for."""
        return tuple(variant for variant in self.variants if not variant.is_recorded)

    def to_options(self) -> dict[str, Any]:
        """What of the suite makes the answers; a run can be gone on with as long as it stays."""
        return {"repeat": self.repeat, "threaded": self.is_threaded,
                "variants": [variant.to_options() for variant in self.variants]}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a suite, as it is kept. `options` are those of the suite, `sessions` were chosen when it began."""

    run_id: str
    suite: str
    kind: str
    options: Mapping[str, Any]
    sessions: tuple[str, ...]
    time_ns: int
    elapsed_ns: int = 0

    def check(self, suite: Suite) -> None:
        """Raise `ConfigError` when the suite is another by now, with what differs."""
        now = suite.to_options()
        if (differing := [name for name in now if self.options.get(name) != now[name]]):
            raise ConfigError(f"{', '.join(differing)} of {suite.source or suite.name} changed since {self.run_id} began, so "
                              "that it cannot be gone on with. Begin a new run (without --resume), or put it back.")


@dataclass(frozen=True, slots=True)
class Pick:
    """Which sessions. `given` are the conditions as `otel-llm sessions` takes them; `ids` are taken as they are."""

    ids: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    limit: int = 50
    order: str = "newest"
    seed: int = 0


def names_of(variants: Sequence[Variant]) -> list[str]:
    """Their names, in order."""
    return [variant.name for variant in variants]
