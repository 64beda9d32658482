"""What a rerun has given and noted, by all processes of a program together.

They share a directory. A step is *claimed* in it by a file that only one of them can make, so that workers which ask the same get
one answer each. What happens is *told* there, a line at once, and so a process that ends by `os._exit` or a signal is judged by
what it did, and a fork need not know that it is one.

    claim-SPAN_ID      somebody has got this step (claim-live-N: the Nth live call went out)
    told-PID.jsonl     {"begin": {…}} {"add": {"answered_calls": 1}} {"difference": {…}} {"failed": "…", "exit_code": 3}
                       {"ran": "lookup"} {"over": true} {"held": 75000000}, so much more, or less, for calls under way
    lock               whoever holds it decides whether a live call may go out
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from otel_llm.values.errors import NotReplayable

Event = Mapping[str, Any]


class Account:
    """The account of the processes that share a directory."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._read: dict[str, int] = {}
        self._totals: Counter[str] = Counter()

    @property
    def is_open(self) -> bool:
        """True while somebody listens to what is told."""
        return self._folder.is_dir()

    def claim(self, name: str) -> bool:
        """True for the first process that claims this. Raises `NotReplayable` in one that has outlived the rerun."""
        try:
            os.close(os.open(self._folder / f"claim-{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        except FileNotFoundError:
            raise _over() from None
        return True

    def tell(self, event: Event) -> None:
        """A line that outlives this process, however it ends."""
        place = self._folder / f"told-{os.getpid()}.jsonl"
        try:
            out = os.open(place, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        except FileNotFoundError:  # the rerun is over, and nobody listens
            return
        try:
            os.write(out, json.dumps(event).encode() + b"\n")
        finally:
            os.close(out)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process at a time is in here. The lock is of a kind that a fork does not inherit and death gives back."""
        try:
            file = (self._folder / "lock").open("wb")
        except FileNotFoundError:
            raise _over() from None
        with file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            yield

    def total(self, name: str) -> int:
        """What all processes have added to a count, or what they hold (`held`). What was read once is not read again."""
        for place in self._folder.glob("told-*.jsonl"):
            start = self._read.get(place.name, 0)
            with place.open("rb") as file:
                file.seek(start)
                lines = file.read()
            whole = lines[: lines.rfind(b"\n") + 1]
            self._read[place.name] = start + len(whole)
            for line in whole.splitlines():
                event = _event(line, place)
                self._totals.update(event.get("add", {}))
                self._totals["held"] += event.get("held", 0)
        return self._totals[name]

    def others(self) -> Iterable[dict[str, Any]]:
        """What other processes have told."""
        return self.told(but=f"told-{os.getpid()}.jsonl")

    def told(self, but: str = "") -> Iterator[dict[str, Any]]:
        """All that happened, process by process; a line that death cut short is left out."""
        for place in sorted(place for place in self._folder.glob("told-*.jsonl") if place.name != but):
            for line in place.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    yield _event(line, place)

    def claimed(self) -> set[str]:
        """The span ids of all steps that were given."""
        return {place.name.removeprefix("claim-") for place in self._folder.glob("claim-*")}


def _over() -> NotReplayable:
    return NotReplayable("The rerun is over, so nobody answers this process any more.")


def _event(line: bytes, place: Path) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise NotReplayable(f"{place.name} in the directory of the rerun is damaged, so nobody knows what the program did. "
                            "Does it write there?")
    return value
