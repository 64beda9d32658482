"""The plan of a rerun, as it goes from the terminal to the processes of the program: what answers them, and by which rules."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from otel_llm.replay.requests.changes import Changes
from otel_llm.replay.rerun.player import Rules
from otel_llm.values.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rerun needs to know, as it goes from the terminal to the program: JSON with these fields.

    `ids` are those of sessions and traces, or paths of session files. `run` takes all of the Nth run in the first of them.
    `store` is the directory of the recording. `shared` is that in which the processes tell what they do. `is_recorded` lets the
    program record what it does, `is_closed` closes its network.
    """

    ids: tuple[str, ...]
    rules: Rules = field(default_factory=Rules)
    allowed_hosts: tuple[str, ...] = ()
    clock: bool = False
    seed: int | None = None
    run: int | None = None
    is_recorded: bool = True
    is_closed: bool = True
    store: str = ""
    shared: str = ""
    new_session_id: str = ""

    def as_json(self) -> str:
        """The plan as text."""
        return json.dumps({**asdict(self), "rules": {**asdict(self.rules), "changes": self.rules.changes.to_options()}})


def read_plan(path: str) -> Plan:
    """The plan in a file. Raises `ConfigError` when it is none."""
    try:
        value = json.loads(Path(path).read_text())
        rules = value["rules"]
        rules = Rules(**{**rules, "live_tools": tuple(rules["live_tools"]), "ignore": tuple(rules["ignore"]),
                         "changes": Changes.from_options(rules["changes"])})
        return Plan(**{**value, "rules": rules, "ids": tuple(value["ids"]), "allowed_hosts": tuple(value["allowed_hosts"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path} holds no plan of a rerun ({error}); `otel-llm replay rerun` makes it.") from None
