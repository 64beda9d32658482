"""Files that commands write: each has another name until it is whole, so that an interruption leaves what was there before."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from otel_llm.cli.output import writing
from otel_llm.values.errors import ConfigError

STDOUT = "-"


def check_output(place: str, option: str) -> None:
    """Raise `ConfigError` when a file cannot be written there, before work is done for it that costs something."""
    if place == STDOUT:
        return
    goal = _goal(place, option)
    if goal.exists() and not goal.is_file():
        return
    young = _young(goal)
    _opened(young, os.O_WRONLY | os.O_CREAT, option, place).close()
    young.unlink()


@contextmanager
def output_file(place: str, option: str = "-o") -> Iterator[BinaryIO]:
    """A file that appears when it is whole, readable by its owner alone; or standard output for `-`.

    `option` is what named it. Raises `ConfigError` when it cannot be written.
    """
    if place == STDOUT:
        with writing():
            sys.stdout.flush()
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    goal = _goal(place, option)
    if goal.exists() and not goal.is_file():  # a pipe, /dev/stdout
        with _opened(goal, os.O_WRONLY, option, place) as file:
            yield file
        return
    young = _young(goal)
    try:
        with _opened(young, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, option, place) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(young, goal)
    except BaseException:
        young.unlink(missing_ok=True)
        raise


def _goal(place: str, option: str) -> Path:
    goal = Path(place)
    if goal.is_dir():
        raise ConfigError(f"{place} is a directory; give a file, such as {option} {goal / 'export'}.")
    return goal


def _young(goal: Path) -> Path:
    """The name that a file has until it is whole."""
    return goal.with_name(f".{goal.name}.{os.getpid()}.part")


def _opened(path: Path, flags: int, option: str, place: str) -> BinaryIO:
    try:
        return os.fdopen(os.open(path, flags | os.O_CLOEXEC, 0o600), "wb")
    except OSError as error:
        raise ConfigError(f"{option} {place} cannot be written: {error.strerror or error}.") from None
