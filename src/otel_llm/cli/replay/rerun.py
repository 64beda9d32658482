"""`otel-llm replay rerun SESSION -- python app.py`: a program against its recording, with no provider and no network.

    otel-llm replay rerun @1 -- python app.py
    otel-llm replay rerun tests/sessions/refund.session -- python app.py
    otel-llm replay rerun ticket-17 --policy lenient --live-tool today -- pytest -q tests/test_agent.py

Exit 0 when the program did the same, 1 when it did not (it asked something else, or came to something else), 2 usage, 3 when
the recording does not suffice.
"""

from __future__ import annotations

from typing import Any

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.filters import read_usd
from otel_llm.cli.ids import id_argument
from otel_llm.cli.replay import going_live
from otel_llm.cli.replay.program import Program, run_program, sessions_of
from otel_llm.cli.reports import Reports, report_options
from otel_llm.replay.rerun.plan import Plan
from otel_llm.replay.rerun.player import POLICIES, Policy, Rules, Speed
from otel_llm.replay.rerun.recording import load
from otel_llm.transfer.session_file import is_session_file
from otel_llm.values.errors import ConfigError


@click.command(cls=Program)
@id_argument(metavar="SESSION", or_file=True)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.option("--run", "run", type=int, metavar="N", help="Answer from all that the Nth run in SESSION recorded.")
@click.option("--with", "more", multiple=True, metavar="SESSION", help="This session belongs to the recording too.")
@click.option("--policy", type=click.Choice(POLICIES), default="strict", show_default=True,
              help="What a call gets that is not in the recording: an error, the nearest answer, or a live one.")
@click.option("--live-tool", "live_tools", multiple=True, metavar="NAME", help="Run this tool as it is; '*' is all.")
@click.option("--ignore", "ignored", multiple=True, metavar="FIELD",
              help="A field of requests that is new in every run, as metadata.run_id or messages.*.name.")
@click.option("--allow-host", "hosts", multiple=True, metavar="HOST", help="Let the program reach this host.")
@click.option("--speed", type=click.Choice(("instant", "recorded")), default="instant", show_default=True,
              help="How fast answers come.")
@click.option("--clock", is_flag=True, help="Let the time of day begin where the recording began.")
@click.option("--seed", type=int, metavar="N", help="Let random numbers and uuid4 begin as in `otel-llm run --seed N`.")
@click.option("--exit-code", "expected", type=int, default=0, show_default=True, metavar="N", help="How the program should end.")
@click.option("--max-calls", type=click.IntRange(min=0), metavar="N", help="With record-new: let out at most so many calls.")
@click.option("--max-cost", metavar="USD", help="With record-new: stop before live calls cost more than this.")
@click.option("--yes", "-y", "is_confirmed", is_flag=True, help="With record-new: go live without asking.")
@click.option("--no-record", "is_recorded", is_flag=True, flag_value=False, default=True, help="Leave no session behind.")
@report_options(json="The report as JSON; the program prints on stderr.", html=False, junit="Write JUnit XML: one test case.",
                github="Annotations of GitHub Actions; the program prints on stderr.")
@pass_app
def rerun(
    app: App, /, given: str, command: tuple[str, ...], run: int | None, more: tuple[str, ...], policy: Policy,
    live_tools: tuple[str, ...], ignored: tuple[str, ...], hosts: tuple[str, ...], speed: Speed, clock: bool, seed: int | None,
    expected: int, max_calls: int | None, max_cost: str | None, is_confirmed: bool, is_recorded: bool, **asked: Any,
) -> None:
    """Run a program against its recording, offline, and say whether it did the same."""
    if policy != "record-new" and (max_calls is not None or max_cost is not None):
        raise ConfigError("--max-calls and --max-cost are for what goes live; give --policy record-new with them")
    cost = None if max_cost is None else read_usd(max_cost, "--max-cost")
    reports = Reports(**asked)
    reports.check()
    ids = sessions_of(app, (given, *more), files=True)
    if policy == "record-new" and command:
        calls = [] if any(map(is_session_file, ids)) else [entry.step for entry in load(app.store, ids, run).calls]
        is_confirmed = going_live.confirm(app, "At calls that are not in the recording", calls, None, is_confirmed=is_confirmed)
    rules = Rules(policy, live_tools, speed, max_calls=max_calls, max_cost=cost, only_local=not is_confirmed, ignore=ignored)
    plan = Plan(ids, rules, hosts, clock, seed, run, is_recorded)
    report = run_program(app, plan, command, reports, expected_exit=expected)
    click.get_current_context().exit(report.exit_code)
