"""`otel-llm replay fork SESSION --at 3 --model gpt-4.1 -- python app.py`: what would have happened if.

Calls before the third are answered from the recording; from there on the program runs live, with the changes given. Without
`--at` it goes live at the first call that is not in the recording. The branch is a session of its own, linked to the one that
it was forked from. What it may cost is said first, and confirmed by a person or by `--yes`.
"""

from __future__ import annotations

import click

from otel_llm.cli import numbers
from otel_llm.cli.app import App, pass_app
from otel_llm.cli.filters import read_usd
from otel_llm.cli.ids import id_argument
from otel_llm.cli.output import is_interactive, note
from otel_llm.cli.rerun_program import run_program, sessions_of
from otel_llm.replay.changes import Changes, read_setting
from otel_llm.replay.credentials import is_loopback, origin_of
from otel_llm.values.errors import ConfigError, NotFound
from otel_llm.values.session import Step


@click.command()
@id_argument(metavar="SESSION")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.option("--at", type=click.IntRange(min=1), metavar="N", help="The first call that goes out (as in SESSION:N).")
@click.option("--model", metavar="NAME", help="Live calls ask this model instead.")
@click.option("--set", "settings", multiple=True, metavar="KEY=JSON", help="Set a field of live calls; dotted keys reach inside.")
@click.option("--live-tool", "live_tools", multiple=True, metavar="NAME", help="Run this tool as it is; '*' is all.")
@click.option("--max-calls", type=click.IntRange(min=0), help="Let out at most so many calls.")
@click.option("--max-cost", metavar="USD", help="Let no more out once so much is spent.")
@click.option("--exit-code", "expected", type=int, default=0, show_default=True, help="How the program should end.")
@click.option("--yes", "-y", "is_confirmed", is_flag=True, help="Go live without asking.")
@click.option("--json", "form", flag_value="json", default=None, help="The report as JSON; the program prints on stderr.")
@pass_app
def fork(
    app: App, given: str, command: tuple[str, ...], at: int | None, model: str | None, settings: tuple[str, ...],
    live_tools: tuple[str, ...], max_calls: int | None, max_cost: str | None, expected: int, is_confirmed: bool, form: str | None,
) -> None:
    """Replay a session up to a call, then go on live with other models or parameters; the branch is a new session."""
    changes = Changes(model, dict(map(read_setting, settings)))
    cost = None if max_cost is None else read_usd(max_cost, "--max-cost")
    ids = sessions_of(app, (given,))
    if not command:
        raise ConfigError("no program was given; put it behind `--`: otel-llm replay fork @1 --at 3 -- python app.py")
    calls = [step for step in app.store.steps(ids[0]) if step.kind == "call"]
    _announce(app, calls, at, changes, is_confirmed=is_confirmed)
    rules = {"fork": True, "fork_at": at, "changes": changes.as_json(), "live_tools": live_tools, "max_calls": max_calls,
             "max_cost": cost}
    report = run_program(app, ids, command, rules, form=form, is_recorded=True, expected_exit=expected)
    click.get_current_context().exit(report.exit_code)


def _announce(app: App, calls: list[Step], at: int | None, changes: Changes, *, is_confirmed: bool) -> None:
    """What may go out and cost, on stderr. Raises `ConfigError` when nobody confirms."""
    left = calls[(at or 1) - 1 :]
    costs = [found.total for step in left
             if (found := app.price(step.provider, changes.model or step.response_model or step.model, step.usage)) is not None]
    about = f"about {numbers.cost(sum(costs))} by the recorded tokens" if costs else "unknown"
    where = f"From call {at} of {len(calls)} on" if at is not None else "From the first call on that is not in the recording"
    said = f"{where} the program runs live. Cost: {about}."
    note(said)
    if is_confirmed or all(_is_free(app, step) for step in left):
        return
    if not is_interactive():
        raise ConfigError(f"Nothing was started, because nobody confirmed. {said} Give --yes to go on.")
    if not click.confirm("Go live?", default=False, err=True):
        note("Nothing was started.")
        raise click.Abort


def _is_free(app: App, step: Step) -> bool:
    """True when a call went to this very machine."""
    try:
        return is_loopback(origin_of(app.store.exchange(step.span_id).url))
    except (ConfigError, NotFound):
        return False
