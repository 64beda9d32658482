"""Runs of suites on disk, so that an interrupted one can be gone on with: one small JSON file a run, in the store's directory.

    suites/<run>.json   {"format": 1, "run_id", "suite", "kind": "suite" | "bisect", "options", "sessions", "time_ns",
                         "elapsed_ns"}

What was sent and answered does not stand here: that is in the journal of each reissue (`otel_llm.values.journal`). The sessions
that a run makes have ids that follow from the run, the variant and the recorded session, so nothing else has to be remembered.
Every file appears whole under its name, or not at all; `options` hold texts of prompts, so it is for its owner alone.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from otel_llm.replay.suite.definition import Run
from otel_llm.values.errors import NotFound, StoreDamaged, StoreUnwritable

FOLDER = "suites"
FORMAT = 1


def new_run_id(kind: str) -> str:
    """The id of a run that begins."""
    return f"{kind}-{secrets.token_hex(6)}"


class Runs:
    """The runs in a store's directory."""

    def __init__(self, store: Path) -> None:
        self._folder = store / FOLDER

    def keep(self, run: Run) -> None:
        """Write down a run as it is now. Raises `StoreUnwritable`."""
        goal = self._folder / f"{run.run_id}.json"
        young = goal.with_suffix(f".{os.getpid()}.part")
        data = json.dumps({"format": FORMAT, **asdict(run)}, ensure_ascii=False).encode("utf-8", "surrogatepass")
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with os.fdopen(os.open(young, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(young, goal)
        except OSError as error:
            young.unlink(missing_ok=True)
            raise StoreUnwritable(f"{goal} cannot be written: {error.strerror or error}.") from error

    def newest(self, suite: str, kind: str) -> Run:
        """The run of a suite that began last. Raises `NotFound`."""
        found = [run for run in self._all() if run.kind == kind]
        of_suite = [run for run in found if run.suite == suite]
        if not of_suite:
            raise NotFound(f"run of the {kind}", suite, dict.fromkeys(run.suite for run in found))
        return max(of_suite, key=lambda run: run.time_ns)

    def _all(self) -> Iterator[Run]:
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            try:
                value = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
                if value.pop("format") == FORMAT:
                    yield Run(**{**value, "sessions": tuple(value["sessions"])})
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise StoreDamaged(f"{path} is no run of a suite: {error}. Remove it to go on.") from error
