"""`otel-llm calls`: the list of LLM calls, newest first."""

from __future__ import annotations

from typing import Any

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.filters import CALL_STATUS, check_where, filter_options, make_filter
from otel_llm.cli.ids import with_sessions
from otel_llm.cli.look.rows import call_columns, step_json
from otel_llm.cli.look.rows_order import CALL_ORDERS, listed, make_order, order_options
from otel_llm.cli.look.sessions import nothing
from otel_llm.cli.output import note
from otel_llm.cli.table import drop_order, form_options, print_rows
from otel_llm.replay.view import Totals
from otel_llm.text import numbers


@click.command(epilog=drop_order(call_columns(0)))
@filter_options(statuses=CALL_STATUS, session=True)
@order_options(CALL_ORDERS)
@click.option("-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="At most so many.")
@form_options
@pass_app
def calls(
    app: App, /, limit: int, form: str | None, header: bool, sessions: tuple[str, ...], sort: str, min_duration: str | None,
    **given: Any,
) -> None:  # fmt: skip
    """List LLM calls, newest first."""
    now = app.now_ns()
    check_where(app.store, given["where"])
    order = make_order(CALL_ORDERS, sort, min_duration)
    where = with_sessions(app.store, make_filter(now_ns=now, statuses=CALL_STATUS, **given), sessions)
    rows, has_more = listed(lambda count, offset: app.store.calls(where, limit=count, offset=offset), order, limit=limit,
                            key=lambda step: step.span_id)
    if rows or form is not None:
        print_rows(app, rows, call_columns(now), form=form, header=header, as_json=step_json)
    if not rows:
        note(nothing(app, bool(sessions) or min_duration is not None or any(given.values())))
        return
    sums = Totals.of(rows)
    parts = [
        numbers.plural(sums.calls, "call"),
        numbers.tokens(sums.input_tokens, sums.output_tokens),
        numbers.costs(sums.cost_pico_usd, sums.unpriced),
    ]
    parts += [numbers.plural(sums.errors, "error")] if sums.errors else []
    note(" · ".join(parts) + ("; there are more, see --limit" if has_more else ""))
