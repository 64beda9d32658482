"""`otel-llm forward status`: the endpoints that spans of this store go to, what waits for each, and what they refused."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.move.forward import opened
from otel_llm.cli.output import note
from otel_llm.cli.table import drop_order, form_options, print_rows
from otel_llm.text import numbers
from otel_llm.text.table import Column

if TYPE_CHECKING:
    from otel_llm.store.forward.queue import Letter, Waiting

NOTHING = "Nothing is sent on from this store. Set OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_LLM_FORWARD, and record something."


def columns(now_ns: int) -> list[Column[Waiting]]:
    """The columns of the endpoints."""
    return [
        Column("name", "NAME", lambda w: w.name, lambda w: w.name, style=lambda w: "id"),
        Column("endpoint", "ENDPOINT", lambda w: w.endpoint, lambda w: w.endpoint, most=60),
        Column("protocol", "PROTOCOL", lambda w: w.protocol, lambda w: w.protocol, keep=1),
        Column("content", "CONTENT", lambda w: w.content, lambda w: w.content, keep=2),
        Column("state", "STATE", lambda w: w.state, lambda w: w.state,
               style=lambda w: {"ok": "ok", "misplaced": "error", "waiting": "running", "throttled": "running"}.get(w.state, "")),
        Column("waiting", "WAITING", lambda w: numbers.count(w.waiting), lambda w: w.waiting, is_right=True),
        Column("sent", "SENT", lambda w: numbers.count(w.sent), lambda w: w.sent, is_right=True, keep=6),
        Column("refused", "REFUSED", lambda w: numbers.count(w.refused), lambda w: w.refused, is_right=True),
        Column("lost", "LOST", lambda w: numbers.count(w.lost), lambda w: w.lost, is_right=True, keep=5),
        Column("retry", "NEXT", lambda w: _next(w, now_ns), _retry_at, keep=4),
        Column("last_error", "LAST ERROR", _error, lambda w: w.last_error, keep=3, grows=True),
    ]


LETTERS: list[Column[Letter]] = [
    Column("time", "TIME", lambda m: numbers.clock(m.time_ns), lambda m: numbers.timestamp(m.time_ns), keep=1,
           style=lambda m: "dim"),
    Column("name", "NAME", lambda m: m.name, lambda m: m.name, style=lambda m: "id"),
    Column("spans", "SPANS", lambda m: numbers.count(m.spans), lambda m: m.spans, is_right=True),
    Column("span_id", "FIRST SPAN", lambda m: m.span_id or numbers.UNKNOWN, lambda m: m.span_id, keep=2),
    Column("reason", "REASON", lambda m: m.reason, lambda m: m.reason, grows=True),
]


def _next(one: Waiting, now_ns: int) -> str:
    if not one.waiting or one.retry_ns <= now_ns:
        return numbers.UNKNOWN
    return f"in {numbers.duration(one.retry_ns - now_ns)}"


def _retry_at(one: Waiting) -> str | None:
    return numbers.timestamp(one.retry_ns) if one.retry_ns else None


def _error(one: Waiting) -> str:
    return "" if one.last_error is None else f"{numbers.clock(one.last_error_ns)} {one.last_error}"


@click.command(epilog=drop_order(columns(0)))
@click.argument("name", required=False)
@click.option("--letters", is_flag=True, help="List what was refused, the newest first.")
@form_options
@pass_app
def status(app: App, name: str | None, letters: bool, form: str | None, header: bool) -> None:
    """List the OTLP endpoints of this store and what waits for them; NAME means those of a name."""
    with opened(app) as forwarding:
        if letters:
            found = forwarding.letters(name)
            print_rows(app, found, LETTERS, form=form, header=header, as_json=asdict)
            note(_sum(found))
            return
        rows = forwarding.waiting(name)
        if rows or form is not None:
            print_rows(app, rows, columns(app.now_ns()), form=form, header=header, as_json=asdict)
        if not rows:
            note(NOTHING)
        for one in rows:
            if one.waiting and (variables := forwarding.missing(one)):
                note(f"{one.name}: no headers are set here ({' or '.join(variables)}); if the endpoint wants a key, set them.")
        if any(one.refused for one in rows):
            note("`otel-llm forward status --letters` lists what was refused, `otel-llm forward retry` sends it again.")


def _sum(found: list[Letter]) -> str:
    if not found:
        return "Nothing was refused."
    return f"{numbers.plural(sum(letter.spans for letter in found), 'span')} in {numbers.plural(len(found), 'refused request')}"
