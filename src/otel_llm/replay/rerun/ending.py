"""How the error that ends a program in a rerun is shown: where the program asked, without what lies between there and the tape.

The report says what was asked and what was recorded. Of the traceback a reader wants the line of the program's own that asked,
and not the dozen frames of an SDK and of otel-llm below it. Only what Python itself prints at the end is shortened, and only for
errors of a replay: an error that the program catches is whole, and so is one that a hook of its own gets.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import TracebackType

from otel_llm.values.errors import ReplayError

_FOREIGN = (*filter(None, map(sysconfig.get_path, ("stdlib", "purelib", "platlib"))), str(Path(__file__).parents[2]))
"""Where Python, libraries and otel-llm lie."""


def show_where_it_asked() -> None:
    """Let an error of a replay that nobody catches be printed short, by whatever hook prints errors now."""
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, ReplayError) and trace is not None:
            trace = _own(trace) or trace
            error.__traceback__ = trace
        before(kind, error, trace)

    sys.excepthook = hook


def _own(trace: TracebackType) -> TracebackType | None:
    """A copy of a traceback down to the last frame that is no library's; None when none is."""
    at: TracebackType | None = trace
    entries: list[TracebackType] = []
    while at is not None:
        entries.append(at)
        at = at.tb_next
    while entries and entries[-1].tb_frame.f_code.co_filename.startswith(_FOREIGN):
        entries.pop()
    made: TracebackType | None = None
    for entry in reversed(entries):
        made = TracebackType(made, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return made
