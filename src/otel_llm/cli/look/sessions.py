"""`otel-llm sessions`: the list of sessions, newest first, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.filters import SESSION_STATUS, check_where, filter_options, make_filter
from otel_llm.cli.ids import with_sessions
from otel_llm.cli.look.rows import session_columns, session_json
from otel_llm.cli.look.rows_order import SESSION_ORDERS, listed, make_order, order_options
from otel_llm.cli.output import note
from otel_llm.cli.table import drop_order, form_options, print_rows
from otel_llm.replay.view import add
from otel_llm.text import numbers
from otel_llm.values.session import LISTED, Filter, SessionKind, SessionRow

NOT_LISTED = "what suites and judges made, and traces without a call, stand in --all"
MADE_BY_THE_DOZEN: tuple[SessionKind, ...] = ("trial", "judge", "other")


@click.command(epilog=drop_order(session_columns(0)))
@filter_options(statuses=SESSION_STATUS, session=False)
@order_options(SESSION_ORDERS)
@click.option("--all", "is_all", is_flag=True, help="Also what suites and judges made, and traces without a call.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="At most so many.")
@form_options
@pass_app
def sessions(
    app: App, /, limit: int, is_all: bool, form: str | None, header: bool, sort: str, min_duration: str | None, **given: Any
) -> None:
    """List sessions, newest first, with totals. A replay is marked with the session that it repeats; `@1` is the first one."""
    now = app.now_ns()
    check_where(app.store, given["where"])
    order = make_order(SESSION_ORDERS, sort, min_duration)
    where = with_sessions(app.store, make_filter(now_ns=now, statuses=SESSION_STATUS, **given))
    is_short = not is_all and not where.kinds
    where = replace(where, kinds=LISTED) if is_short else where
    rows, has_more = listed(lambda count, offset: app.store.sessions(where, limit=count, offset=offset), order, limit=limit,
                            key=lambda row: row.session_id)
    if rows or form is not None:
        print_rows(app, rows, session_columns(now), form=form, header=header, as_json=session_json)
    said = totals(rows, has_more=has_more) if rows else nothing(app, any(given.values()) or min_duration is not None)
    if is_short and _has_more(app, where, rows):
        said += f"; {NOT_LISTED}" if rows else f" {NOT_LISTED[0].upper()}{NOT_LISTED[1:]}."
    note(said)


def _has_more(app: App, where: Filter, rows: Sequence[SessionRow]) -> bool:
    """Whether there are other kinds too, in the time of what is listed; to look through a large store takes long."""
    since = max(where.since_ns or 0, min((row.first_ns for row in rows), default=0))
    return bool(app.store.sessions(replace(where, kinds=MADE_BY_THE_DOZEN, since_ns=since), limit=1))


def totals(rows: Sequence[SessionRow], *, has_more: bool) -> str:
    """One sentence that adds up a list; an unknown price is said, not counted as nothing."""
    known = [row.cost.total for row in rows if row.cost is not None]
    unpriced = sum(row.unpriced_calls for row in rows)
    tokens = [add(row.usage.input_tokens for row in rows), add(row.usage.output_tokens for row in rows)]
    parts = [
        numbers.plural(len(rows), "session"),
        numbers.plural(sum(row.calls for row in rows), "call"),
        numbers.tokens(*tokens),
        numbers.costs(sum(known) if known else None, unpriced),
    ]
    if errors := sum(row.errors for row in rows):
        parts.append(numbers.plural(errors, "error"))
    return " · ".join(parts) + ("; there are more, see --limit" if has_more else "")


def nothing(app: App, has_conditions: bool) -> str:
    """What to do when a list is empty."""
    if has_conditions and app.store.sessions(Filter(), limit=1):
        return "Nothing fits these conditions."
    return "Nothing is recorded here yet. `otel-llm demo` shows how it works; `otel-llm doctor` says where this store is."
