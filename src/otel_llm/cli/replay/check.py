"""`otel-llm replay check SESSION…`: how far sessions can be replayed, call by call, and why not further.

Exit 0 when all calls are exact, 1 when some are partial, 3 when some cannot be replayed.
"""

from __future__ import annotations

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.ids import SessionId, steps_of
from otel_llm.cli.output import Output, note
from otel_llm.cli.table import form_options, print_json, print_rows
from otel_llm.replay.replayable import CallReport, Level, SessionReport, check_steps
from otel_llm.text import numbers
from otel_llm.text.safe import line
from otel_llm.text.table import Column
from otel_llm.values.session import Step
from otel_llm.values.store import Store

STYLES: dict[Level, str] = {"exact": "ok", "partial": "recovered", "not": "error"}

Row = tuple[SessionReport, CallReport]


def columns() -> list[Column[Row]]:
    """The columns of the table."""
    return [
        Column("session_id", "SESSION", lambda r: r[0].session_id, lambda r: r[0].session_id, keep=1, most=28,
               style=lambda r: "id"),
        Column("call_number", "#", lambda r: numbers.count(r[1].number), lambda r: r[1].number, is_right=True),
        Column("span_id", "CALL", lambda r: r[1].step.span_id, lambda r: r[1].step.span_id, style=lambda r: "id"),
        Column("model", "MODEL", lambda r: _model(r[1].step), lambda r: _model(r[1].step), keep=2, most=28),
        Column("replayable", "REPLAYABLE", lambda r: r[1].level, lambda r: r[1].level, style=lambda r: STYLES[r[1].level]),
        Column("reasons", "WHY", _why, _why, keep=3, grows=True),
    ]


@click.command()
@click.argument("given", metavar="SESSION…", type=SessionId(), nargs=-1, required=True)
@form_options
@pass_app
def check(app: App, /, given: tuple[str, ...], form: str | None, header: bool) -> None:
    """Say for each call whether it can be replayed exactly, partly or not, and why; exit 1 for partly, 3 for not."""
    reports = [_report(app.store, each) for each in given]
    if form is not None:
        print_json(Output(app), (report.as_json() for report in reports), form)
    else:
        rows = [(report, call) for report in reports for call in report.calls]
        print_rows(app, rows, columns(), form=None, header=header, as_json=lambda row: row[1].as_json())
    for report in reports:
        note(f"{line(report.session_id)} is {report.summary}")
    levels = {call.level for report in reports for call in report.calls} | {r.level for r in reports if not r.calls}
    click.get_current_context().exit(3 if "not" in levels else 1 if "partial" in levels else 0)


def _report(store: Store, given: str) -> SessionReport:
    """On the session of an id; of a trace or a call those of its calls that are meant."""
    session_id, chosen = steps_of(store, given)
    meant = {step.span_id for step in chosen}
    whole = check_steps(store, session_id, store.steps(session_id))
    return SessionReport(session_id, tuple(call for call in whole.calls if call.step.span_id in meant))


def _model(step: Step) -> str:
    return step.response_model or step.model or step.name


def _why(row: Row) -> str:
    return "; ".join(reason.text for reason in row[1].reasons)
