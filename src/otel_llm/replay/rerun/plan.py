"""The plan of a rerun, as it goes from the terminal to the processes of the program: what answers them, and by which rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from otel_llm.replay.requests.changes import Changes
from otel_llm.replay.rerun.player import Rules
from otel_llm.values.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rerun needs to know, as it goes from the terminal to the program: JSON with these fields.

    `store` is the directory of the recording. `shared` is that in which its processes tell what they do. `is_recorded` lets
    the program record what it does, `is_closed` closes its network.
    """

    store: str
    ids: tuple[str, ...]
    new_session_id: str
    shared: str
    policy: str = "strict"
    speed: str = "instant"
    live_tools: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    fork: bool = False
    fork_at: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    max_calls: int | None = None
    max_cost: int | None = None
    only_local: bool = False
    is_recorded: bool = True
    is_closed: bool = True
    clock: bool = False
    seed: int | None = None
    run: int | None = None
    ignore: tuple[str, ...] = ()

    def as_json(self) -> str:
        """The plan as text."""
        return json.dumps(asdict(self))

    @property
    def rules(self) -> Rules:
        """The rules in it."""
        changes = Changes(self.changes.get("model"), self.changes.get("set") or {})
        policy: Any = self.policy
        speed: Any = self.speed
        return Rules(policy, self.live_tools, speed, self.fork, self.fork_at, changes, self.max_calls, self.max_cost,
                     self.only_local, self.ignore)


def read_plan(path: str) -> Plan:
    """The plan in a file. Raises `ConfigError` when it is none."""
    try:
        value = json.loads(Path(path).read_text())
        return Plan(**{**value, "ids": tuple(value["ids"]), "live_tools": tuple(value["live_tools"]),
                       "allowed_hosts": tuple(value["allowed_hosts"]), "ignore": tuple(value["ignore"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} holds no plan of a rerun ({error}); `otel-llm replay rerun` makes it.") from None
