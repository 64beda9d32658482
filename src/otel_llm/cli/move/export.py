"""`otel-llm export …`: stored sessions to a file or an endpoint; the sub-verbs stand in `otel_llm.cli.verbs`.

What they share stands here: which sessions, and how progress is shown. Where the output goes: `otel_llm.cli.files`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from otel_llm.cli.app import App
from otel_llm.cli.filters import SESSION_STATUS, check_where, filter_options, make_filter
from otel_llm.cli.ids import SessionId, with_sessions
from otel_llm.cli.output import note
from otel_llm.cli.verbs import EXPORT_VERBS, VerbGroup
from otel_llm.text import numbers
from otel_llm.values.archive import Archive, Damaged
from otel_llm.values.errors import StoreDamaged, StoreError
from otel_llm.values.session import Filter

export = VerbGroup("export", EXPORT_VERBS, help="Send stored sessions on: to any OTLP endpoint, or to files.")

SHOWN_EVERY = 500
"""Steps between two signs of progress."""

Command = Callable[..., Any]


def which_sessions(command: Command) -> Command:
    """The ids and conditions that choose sessions, as parameters for `chosen`."""
    command = filter_options(statuses=SESSION_STATUS, session=False)(command)
    return click.argument("sessions", nargs=-1, metavar="[SESSION]…", type=SessionId())(command)


def chosen(app: App, sessions: Sequence[str], given: dict[str, Any]) -> tuple[Archive, Filter]:
    """The store as an archive, and the sessions that these ids and conditions mean; all when there are none."""
    where = make_filter(now_ns=app.now_ns(), statuses=SESSION_STATUS, **given)
    store = app.store
    check_where(store, given.get("where", ()))
    return archive(store), with_sessions(store, where, sessions)


def archive(store: object) -> Archive:
    """The store, when it can be exported and imported into."""
    if not isinstance(store, Archive):
        raise StoreError("This kind of store cannot be exported or imported into.")
    return store


class Progress:
    """A count on standard error that moves while somebody looks at it."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what, self._total = what, total
        self._is_shown = sys.stderr.isatty()
        self._next = SHOWN_EVERY
        self._has_line = False

    def __call__(self, count: int) -> None:
        if self._is_shown and count >= self._next:
            self._next = count + SHOWN_EVERY
            of = f" of {numbers.count(self._total)}" if self._total is not None else ""
            sys.stderr.write(f"\r{numbers.count(count)}{of} {self._what}")
            sys.stderr.flush()
            self._has_line = True

    def end(self) -> None:
        """Leave the line to what comes next."""
        if self._has_line:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._has_line = False


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Progress]:
    made = Progress(what, total)
    try:
        yield made
    finally:
        made.end()


def report_damage(damaged: Iterable[Damaged]) -> None:
    """Raise when steps could not be read; the others were exported."""
    found = list(damaged)
    for step in found[:10]:
        note(f"Step {step.span_id} of session {step.session_id} cannot be read: {step.reason}")
    if found:
        raise StoreDamaged(f"The export lacks {numbers.plural(len(found), 'step')} that could not be read. The rest is there; "
                           "`otel-llm doctor` says more about the store.")


def nothing_fits(has_conditions: bool) -> str:
    """What to say when there is nothing to export."""
    if has_conditions:
        return "Nothing fits these conditions."
    return "Nothing is recorded here yet; `otel-llm doctor` says where this store is."
