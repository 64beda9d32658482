"""`otel-llm replay fork SESSION --at 3 --model gpt-4.1 -- python app.py`: what would have happened if.

Calls before the third are answered from the recording, and one of them that is not in it stops the program; from the third on
it runs live, with the changes given. `SESSION:3` says the same as `SESSION --at 3`; without either it goes live at the first call
that is not in the recording. The branch is a session of its own, linked to the one that it was forked from. What it may cost is
said first, and confirmed by a person or by `--yes`.
"""

from __future__ import annotations

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.filters import read_usd
from otel_llm.cli.ids import id_argument
from otel_llm.cli.output import note
from otel_llm.cli.replay import going_live
from otel_llm.cli.replay.program import Program, run_program, sessions_of
from otel_llm.cli.reports import Reports
from otel_llm.replay.requests.changes import Changes, read_setting
from otel_llm.replay.rerun.plan import Plan
from otel_llm.replay.rerun.player import Rules
from otel_llm.replay.rerun.recording import load
from otel_llm.transfer.session_file import is_session_file
from otel_llm.values.errors import ConfigError


@click.command(cls=Program)
@id_argument(metavar="SESSION")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.option("--run", "run", type=int, metavar="N", help="Answer from all that the Nth run in SESSION recorded.")
@click.option("--with", "more", multiple=True, metavar="SESSION", help="This session belongs to the recording too.")
@click.option("--ignore", "ignored", multiple=True, metavar="FIELD",
              help="A field of requests that is new in every run, as metadata.run_id or messages.*.name.")
@click.option("--at", type=click.IntRange(min=1), metavar="N", help="The first call that goes out (as in SESSION:N).")
@click.option("--model", metavar="NAME", help="Live calls ask this model instead.")
@click.option("--set", "settings", multiple=True, metavar="KEY=JSON", help="Set a field of live calls; dotted keys reach inside.")
@click.option("--live-tool", "live_tools", multiple=True, metavar="NAME", help="Run this tool as it is; '*' is all.")
@click.option("--max-calls", type=click.IntRange(min=0), metavar="N", help="Let out at most so many calls.")
@click.option("--max-cost", metavar="USD", help="Stop before live calls cost more than this.")
@click.option("--exit-code", "expected", type=int, default=0, show_default=True, metavar="N", help="How the program should end.")
@click.option("--yes", "-y", "is_confirmed", is_flag=True, help="Go live without asking.")
@click.option("--json", "form", flag_value="json", default=None, help="The report as JSON; the program prints on stderr.")
@pass_app
def fork(
    app: App, given: str, command: tuple[str, ...], run: int | None, more: tuple[str, ...], ignored: tuple[str, ...],
    at: int | None, model: str | None, settings: tuple[str, ...], live_tools: tuple[str, ...], max_calls: int | None,
    max_cost: str | None, expected: int, is_confirmed: bool, form: str | None,
) -> None:
    """Replay a session up to a call, then go on live with other models or parameters; the branch is a new session."""
    session, call = _call_of(app, given)
    changes = Changes(model, dict(map(read_setting, settings)))
    cost = None if max_cost is None else read_usd(max_cost, "--max-cost")
    ids = sessions_of(app, (session, *more))
    if not command:
        raise ConfigError("no program was given; put it behind `--`: otel-llm replay fork @1 --at 3 -- python app.py")
    entries = load(app.store, ids, run).calls
    calls = [entry.step for entry in sorted(entries, key=lambda entry: entry.number)]
    number = next((entry.number for entry in entries if entry.step.span_id == call), None)
    if number is not None and at not in (None, number):
        raise ConfigError(f"{given} is call {number} of the recording, and --at says {at}; give one of them")
    at = number or at
    if at is not None and at > len(calls) + 1:
        raise ConfigError(f"--at {at} is not usable; the recording has {len(calls)} calls: 1 to {len(calls) + 1}")
    where = f"From call {at} of {len(calls)} on" if at is not None else "From the first call on that is not in the recording"
    is_confirmed = going_live.confirm(app, where, calls[(at or 1) - 1 :], model, is_confirmed=is_confirmed)
    rules = Rules(live_tools=live_tools, fork=True, fork_at=at, changes=changes, max_calls=max_calls, max_cost=cost,
                  only_local=not is_confirmed, ignore=ignored)
    report = run_program(app, Plan(ids, rules, run=run), command, Reports(form), expected_exit=expected)
    if not report.live_calls and not report.exit_code:
        note("Nothing went live: every call was answered from the recording. --at N says from which call on.")
    click.get_current_context().exit(report.exit_code)


def _call_of(app: App, given: str) -> tuple[str, str | None]:
    """The session that is named, and the span id of the call, if it is one that is named."""
    if is_session_file(given):
        return given, None
    ref = app.store.resolve(given)
    return (ref.session_id, ref.id) if ref.kind == "call" and ref.session_id is not None else (given, None)
