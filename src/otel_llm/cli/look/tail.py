"""`otel-llm tail`: calls as they happen, one line each, when they are over.

The store is asked twice a second. A call is in the list from its start on, and is printed once it has ended, so that the
window that is asked for begins at the oldest call that still runs; calls that never end leave it after an hour. Without
`--since` a call is news when it ended after the beginning, or was running then; what programs that died before have left
is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.filters import CALL_STATUS, filter_options, make_filter
from otel_llm.cli.ids import with_sessions
from otel_llm.cli.look.rows import step_json, tail_columns
from otel_llm.cli.output import Output, note
from otel_llm.cli.table import form_options, print_json
from otel_llm.text.lines import Piece, clip, width_of
from otel_llm.text.safe import line
from otel_llm.text.table import GAP, Column, tab_separated
from otel_llm.values.session import Filter, Step
from otel_llm.values.store import Store

EVERY_S = 0.5
PAGE = 200
LATE_NS = 60 * 10**9
"""A call may reach the store so long after its start, when it was short and its process was slow to write."""
STUCK_NS = 3600 * 10**9

_WIDTHS = {"start": 8, "session_id": 18, "model": 18, "input_tokens": 6, "output_tokens": 6, "duration_ms": 8, "cost_usd": 10,
           "state": 10}


@click.command()
@filter_options(statuses=CALL_STATUS, session=True)
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="Stop after so many calls.")
@form_options
@pass_app
def tail(app: App, /, limit: int | None, form: str | None, header: bool, sessions: tuple[str, ...], **given: Any) -> None:
    """Watch calls as they happen, one line each; Ctrl-C ends it. With --since it begins with earlier ones."""
    now = app.now_ns()
    where = with_sessions(app.store, make_filter(now_ns=now, statuses=CALL_STATUS, **given), sessions, must_exist=False)
    output = Output(app)
    columns = tail_columns(now)
    if output.is_terminal:
        note("Waiting for calls; Ctrl-C ends it.")
    if header and form is None and output.width is None:
        output.write("\t".join(column.name for column in columns))
    steps = _first(watch(app, app.store, where, now), limit)
    if form is not None:
        print_json(output, map(step_json, steps), form)
        return
    for step in steps:
        if output.width is None:
            output.write(tab_separated(step, columns))
        else:
            output.show([live_line(step, tail_columns(app.now_ns()), output.width)])


def watch(app: App, store: Store, where: Filter, start_ns: int) -> Iterator[Step]:
    """Calls that fit, each once, as they end; without `since`, those that end from now on. Never returns by itself."""
    done: dict[str, int] = {}
    ran: set[str] = set()
    since = where.since_ns
    anyhow = replace(where, status=())  # what will fit when it has ended is not known before
    if since is None:
        since = start_ns - STUCK_NS
        ran = {step.span_id for step in _calls(store, replace(anyhow, since_ns=since)) if step.state == "running"}
    while True:
        seen = _calls(store, replace(anyhow, since_ns=since))
        for step in sorted(seen, key=lambda step: step.end_ns or step.start_ns):
            if step.span_id not in done and step.state != "running":
                done[step.span_id] = step.start_ns
                if where.status and step.state not in where.status:
                    continue
                if where.since_ns is not None or step.span_id in ran or (step.end_ns or step.start_ns) >= start_ns:
                    yield step
        now = app.now_ns()
        running = [step.start_ns for step in seen if step.state == "running" and now - step.start_ns < STUCK_NS]
        since = max(since, min([now - LATE_NS, *running]))
        done = {span_id: begun for span_id, begun in done.items() if begun >= since}
        app.sleep(EVERY_S)


def _calls(store: Store, where: Filter) -> list[Step]:
    """All calls in the window, a page at a time."""
    found: list[Step] = []
    while True:
        page = store.calls(where, limit=PAGE, offset=len(found))
        found += page
        if len(page) < PAGE:
            return found


def _first(steps: Iterator[Step], limit: int | None) -> Iterator[Step]:
    for count, step in enumerate(steps, 1):
        yield step
        if count == limit:
            return


def live_line(step: Step, columns: list[Column[Step]], width: int) -> list[Piece]:
    """One line whose columns stand where those of the line before stood; on a narrow terminal the first to go go first."""
    kept = list(columns)
    while sum(_WIDTHS.get(c.name, 0) + len(GAP) for c in kept) + 12 > width and any(c.keep is not None for c in kept[:-1]):
        kept.remove(min((c for c in kept[:-1] if c.keep is not None), key=lambda c: c.keep or 0))
    pieces: list[Piece] = []
    for column in kept:
        wide = _WIDTHS.get(column.name, 0)
        text = line(column.shown(step))
        text = clip(text, wide) if wide and not column.is_right else text
        space = " " * max(wide - width_of(text), 0)
        pieces += [(space + text if column.is_right else text + space, column.style(step)), (GAP, "")]
    return pieces[:-1]
