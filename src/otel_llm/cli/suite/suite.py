"""`otel-llm replay suite FILE.toml`: recorded sessions in several variants, and whether one regressed.

    otel-llm replay suite refunds.toml
    otel-llm replay suite refunds.toml --yes --junit report.xml --html report.html
    otel-llm replay suite refunds.toml --resume

The file says which sessions, variants, checks and rules (`otel_llm.cli.suite.file`). What it would send and cost is said first,
and confirmed where somebody may be paid. An interrupted run is gone on with by `--resume`; a whole one is judged once more,
also by other checks or rules, without sending anything. Exit 0 when every variant passes, 1 when one regressed, 2 for wrong
usage, 3 when a cap was reached, nothing can be replayed, or there are not enough answers to say.
"""

from __future__ import annotations

from typing import Any

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.ids import TomlFile
from otel_llm.cli.output import Output, note
from otel_llm.cli.replay.judging import Judges
from otel_llm.cli.replay.reissue_plan import check_writable
from otel_llm.cli.reports import Reports, report_options
from otel_llm.cli.suite.file import keys_help, read_suite
from otel_llm.cli.suite.plan import Left, announce, announce_resumption, confirm, plan_trials, run_of, used_so_far
from otel_llm.cli.suite.sending import Office, evaluators_of
from otel_llm.evals.checks import judge_models
from otel_llm.replay.suite.judging import result_of
from otel_llm.replay.suite.sending import Conducted
from otel_llm.replay.suite.trials import total, trial_of
from otel_llm.report.suite_lines import suite_lines
from otel_llm.report.suite_pages import suite_github, suite_html, suite_junit
from otel_llm.text import numbers
from otel_llm.values.errors import ConfigError


@click.command(epilog=keys_help())
@click.argument("file", metavar="FILE.toml", type=TomlFile())
@click.option("--resume", "is_resumed", is_flag=True, help="Go on with the newest run of this suite.")
@click.option("--resend-in-doubt", "resend", is_flag=True,
              help="With --resume: also send calls that may have been answered and paid for.")
@click.option("--yes", "-y", "is_confirmed", is_flag=True, help="Send, and ask a judge, without asking you.")
@report_options(json="All of it as one JSON object.", github="Annotations of GitHub Actions too.",
                junit="Write JUnit XML: a test case a rule and variant.")
@pass_app
def suite(app: App, /, file: str, is_resumed: bool, resend: bool, is_confirmed: bool, **given: Any) -> None:
    """Ask recorded sessions again in several variants (prompts, models, parameters); say which regressed.

    Exit 0 when every variant passes, 1 when one regressed, 3 when there are not enough answers to say, or a cap was reached.
    """
    reports = Reports(**given)
    reports.check()
    if resend and not is_resumed:
        raise ConfigError("--resend-in-doubt goes with --resume.")
    wanted = read_suite(file)
    asked = wanted.suite
    judges = Judges(app, judge_models(asked.checks))
    evaluators = evaluators_of(app, wanted, asked.checks, judges)
    run = run_of(app, wanted, "suite", is_resumed=is_resumed)
    planned, left = plan_trials(app, run, asked, asked.asked())
    check_writable(app)
    need, mine = total([need for _, need in planned]), [trial for trial, _ in planned]
    before = used_so_far(app, mine if is_resumed else ())
    if is_resumed:
        announce_resumption(run, before)
    to_send = need.share(max(0, need.calls - before.answered))
    announce(asked, planned, left, to_send)
    if not is_confirmed and to_send.calls:
        confirm(to_send)
    office = Office(app, run, asked, need.calls, before, resend=resend)
    with app.store.journal.hold(run.run_id):
        office.keep()
        note(f"The run is {run.run_id}. Its sessions: otel-llm sessions --all --tag suite_run={run.run_id}")
        conducted = office.send(planned)
        if conducted.stopped is not None and not used_so_far(app, mine).answered:
            raise conducted.stopped
        sources = dict.fromkeys(trial.source for trial, _ in planned)
        trials = [trial_of(run, variant, source, asked.repeat) for variant in asked.variants for source in sources]
        judged = office.judge(trials, conducted, judges, evaluators, is_confirmed=is_confirmed)
    result = result_of(asked, run.run_id, judged, notes=_notes(conducted, left, file),
                       stopped=None if conducted.stopped is None else str(conducted.stopped))
    reports.write(lambda: suite_junit(result), lambda: suite_html(result))
    output = Output(app)
    reports.show(output, as_json=result.as_json, github=suite_github(result),
                 lines=lambda is_read: suite_lines(result, width=output.width if is_read else None))
    click.get_current_context().exit(result.exit_code)


def _notes(conducted: Conducted, left: list[Left], file: str) -> list[str]:
    """What is missing from the answers."""
    made: list[str] = []
    if left:
        made.append(f"{numbers.plural(len(left), 'session')} left out, which cannot be asked again in every variant.")
    if conducted.refused and conducted.stopped is None:
        made.append(f"{numbers.plural(conducted.refused, 'call was', 'calls were')} refused (429, 503) and have no answer: "
                    f"otel-llm replay suite {file} --resume sends them again.")
    if conducted.in_doubt:
        made.append(f"{numbers.plural(conducted.in_doubt, 'call is', 'calls are')} in doubt: sent, and no answer is recorded. "
                    f"otel-llm replay suite {file} --resume --resend-in-doubt sends them again.")
    halted = [each for each in conducted.unsent.values() if each.is_needed and not each.in_doubt]
    if halted:
        made.append(f"{numbers.plural(len(halted), 'call')} could not be sent: {halted[0].reason}.")
    return made
