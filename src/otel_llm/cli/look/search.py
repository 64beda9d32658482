"""`otel-llm search TEXT`: calls and tools in whose content or error all these words stand; a "quoted phrase" in that order."""

from __future__ import annotations

from typing import Any

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.filters import CALL_STATUS, check_where, filter_options, make_filter
from otel_llm.cli.ids import with_sessions
from otel_llm.cli.look.rows import state_text, step_json, title_of
from otel_llm.cli.look.sessions import nothing
from otel_llm.cli.output import note
from otel_llm.cli.table import drop_order, form_options, print_rows
from otel_llm.text import numbers
from otel_llm.text.table import Column
from otel_llm.values.errors import ConfigError
from otel_llm.values.session import Hit


def hit_columns(now_ns: int) -> list[Column[Hit]]:
    """The columns of `search`."""
    return [
        Column("start", "TIME", lambda h: numbers.clock(h.step.start_ns, now_ns=now_ns),
               lambda h: numbers.timestamp(h.step.start_ns), keep=3, style=lambda h: "dim"),
        Column("span_id", "STEP", lambda h: h.step.span_id, lambda h: h.step.span_id, style=lambda h: "id"),
        Column("session_id", "SESSION", lambda h: h.step.session_id, lambda h: h.step.session_id, keep=1, most=28),
        Column("name", "WHAT", lambda h: title_of(h.step), lambda h: title_of(h.step), keep=2, most=28),
        Column("state", "STATUS", lambda h: state_text(h.step), lambda h: h.step.state, keep=4,
               style=lambda h: state_text(h.step)),
        Column("snippet", "WORDS", lambda h: h.snippet, lambda h: h.snippet, grows=True),
    ]


@click.command(epilog=drop_order(hit_columns(0)))
@click.argument("text", nargs=-1, required=True)
@filter_options(statuses=CALL_STATUS, session=True)
@click.option("-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="At most so many.")
@form_options
@pass_app
def search(
    app: App, /, text: tuple[str, ...], limit: int, form: str | None, header: bool, sessions: tuple[str, ...], **given: Any
) -> None:
    """Find calls and tools by the words in them: all words must stand there, a "quoted phrase" in that order."""
    words = " ".join(f'"{word}"' if len(text) > 1 and " " in word and '"' not in word else word for word in text)
    if not words.strip():
        raise ConfigError("There is nothing to search for; give a word or a \"quoted phrase\".")
    now = app.now_ns()
    check_where(app.store, given["where"])
    where = make_filter(now_ns=now, statuses=CALL_STATUS, **given)
    hits = list(app.store.search(words, with_sessions(app.store, where, sessions), limit=limit))
    if hits or form is not None:
        print_rows(app, hits, hit_columns(now), form=form, header=header,
                   as_json=lambda hit: {**step_json(hit.step), "snippet": hit.snippet})
    if hits:
        note(f"{numbers.plural(len(hits), 'hit')}{'; there may be more, see --limit' if len(hits) == limit else ''}")
    else:
        note(nothing(app, has_conditions=True))
