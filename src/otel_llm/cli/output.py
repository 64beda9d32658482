"""Where text goes: whether it has colour, how wide it may be, and whether a pager shows it.

Text is made of lines, and a line of pieces: `(text, style)`, where a style is a word of the table below or empty. What is
captured has passed `otel_llm.text.safe` before it becomes a piece. Standard output holds the answer and nothing else; notes and
progress go to standard error. Output that cannot be written (a full disk behind `>`) is trouble like that with the store.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from otel_llm.cli.app import App
from otel_llm.text.lines import Line, cut
from otel_llm.text.safe import safe
from otel_llm.values.errors import OtelLLMError

ENVIRONMENT: Mapping[str, str] = {
    "NO_COLOR": "no colour in the terminal",
    "FORCE_COLOR": "colour in the terminal even where the output is no terminal",
    "PAGER": "program that shows long output; `less -FRX` when unset, `cat` for none",
    "COLUMNS": "width of the terminal, where it cannot be asked",
}
"""Variables that the terminal reads besides those of `otel_llm.values.settings`."""

STYLES: Mapping[str, Mapping[str, Any]] = {
    "id": {"fg": "cyan"},
    "dim": {"dim": True},
    "bold": {"bold": True},
    "ok": {"fg": "green"},
    "error": {"fg": "red"},
    "recovered": {"fg": "yellow"},
    "running": {"fg": "blue"},
    "incomplete": {"fg": "red"},
    "left early": {"fg": "yellow"},
    "added": {"fg": "green"},
    "removed": {"fg": "red", "strikethrough": True},
    "user": {"fg": "blue", "bold": True},
    "assistant": {"fg": "green", "bold": True},
    "tool": {"fg": "magenta", "bold": True},
    "system": {"fg": "yellow", "bold": True},
}


class Output:
    """Standard output as this run of the terminal may use it. `width` is None where nobody looks at lines."""

    def __init__(self, app: App) -> None:
        self.is_terminal = sys.stdout.isatty()
        self.has_color = _has_color(app, is_terminal=self.is_terminal)
        self.width = max(shutil.get_terminal_size().columns, 10) if self.is_terminal else None
        self._app = app

    def line(self, pieces: Line, *, whole: bool = False) -> str:
        """A line as text, cut to the width of the terminal unless it must stay whole (prose, which the terminal wraps)."""
        if self.width is not None and not whole:
            pieces = cut(pieces, self.width)
        if not self.has_color:
            return "".join(text for text, _ in pieces)
        return "".join(click.style(text, **STYLES[style]) if style in STYLES else text for text, style in pieces)

    def show(self, lines: Iterable[Line], *, paged: bool = False, whole: bool = False) -> None:
        """Print lines; on a terminal through the pager when `paged`."""
        if not paged:
            for pieces in lines:
                self.write(self.line(pieces, whole=whole))
            return
        self.page([self.line(pieces, whole=whole) for pieces in lines])

    def page(self, lines: Sequence[str]) -> None:
        """Print finished lines through the pager, where there is one and it is wanted."""
        pager = self._pager()
        text = "\n".join(lines)
        if pager is None or not _paged(pager, text, self._app.environ):
            self.write(text)

    def write(self, text: str) -> None:
        """Finished text to standard output, at once, so that `tail` is live and a reader that has left is noticed."""
        with writing():
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def write_bytes(self, data: bytes) -> None:
        """Bytes as they are to standard output."""
        with writing():
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def _pager(self) -> list[str] | None:
        if not self.is_terminal or not self._app.use_pager:
            return None
        given = self._app.environ.get("PAGER")
        words = shlex.split(given) if given is not None else ["less"]
        if not words or words == ["cat"] or shutil.which(words[0]) is None:
            return None
        return words


@contextmanager
def writing() -> Iterator[None]:
    """Turn an output that takes no more into an error of ours; a reader that has left stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        try:  # what is still buffered goes nowhere, or Python would complain about it while it exits
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
        except (OSError, ValueError):
            pass
        reason = (error.strerror or str(error)).lower()
        raise OtelLLMError(f"could not write the output: {reason}") from error


def _has_color(app: App, *, is_terminal: bool) -> bool:
    if app.color != "auto":
        return app.color == "always"
    if app.environ.get("NO_COLOR"):
        return False
    if app.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return is_terminal and app.environ.get("TERM") != "dumb"


def _paged(pager: list[str], text: str, environ: Mapping[str, str]) -> bool:
    """Let the pager show the text; False when it cannot be started."""
    sys.stdout.flush()
    try:
        process = subprocess.Popen(pager, stdin=subprocess.PIPE, env={"LESS": "FRX", "LV": "-c", **environ})
    except OSError:
        return False
    try:
        process.communicate((text + "\n").encode("utf-8", "backslashreplace"))
    except BrokenPipeError:
        pass
    except KeyboardInterrupt:
        process.wait()
    return True


def note(text: str) -> None:
    """A remark for the person at the terminal, on standard error."""
    click.echo(safe(text), err=True)


def is_interactive() -> bool:
    """True when there is somebody who can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()
