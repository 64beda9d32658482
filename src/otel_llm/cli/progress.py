"""How far a long piece of work has come: a bar on a terminal, nothing elsewhere.

The bar stands on standard error, below what is printed. Where standard output is the same terminal, the bar steps aside for
each line of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """A bar of so many steps; a context manager. It is shown when standard error is a terminal, unless it shall not be."""

    def __init__(self, what: str, total: int, *, is_shown: bool = True, has_color: bool = True) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        if not (is_shown and sys.stderr.isatty()):
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False), console=Console(stderr=True, no_color=not has_color), transient=True,
            redirect_stdout=False, redirect_stderr=False)
        self._task = self._progress.add_task(what, total=total, note="")

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def step(self, note: str = "") -> None:
        """One step further."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=1, note=note)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Something else is printed on the terminal meanwhile."""
        if self._progress is None or not sys.stdout.isatty():
            yield
            return
        self._progress.stop()
        yield
        self._progress.start()
