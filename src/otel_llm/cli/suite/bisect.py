"""`otel-llm replay bisect FILE.toml --check CHECK`: the first prompt version, or model, where a check begins to fail.

    otel-llm replay bisect refunds.toml --check contains=refund
    otel-llm replay bisect refunds.toml --threshold 0.9 --max-samples 200

The file is that of a suite; its prompts, models or variants are taken in their order. As few variants are asked as it takes, each
in a few sessions first and in more while the pass rate is not clear (`otel_llm.replay.suite.bisect`). Exit 0 when the check fails
nowhere, 1 when it does, 2 for wrong usage, 3 when a cap was reached, nothing can be replayed, or nobody can say where it begins.
"""

from __future__ import annotations

from dataclasses import replace

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.ids import TomlFile
from otel_llm.cli.output import Output, note
from otel_llm.cli.replay.judging import Judges
from otel_llm.cli.replay.reissue_plan import check_writable
from otel_llm.cli.suite.bisect_search import Search
from otel_llm.cli.suite.file import SuiteFile, read_suite
from otel_llm.cli.suite.plan import announce, announce_resumption, confirm, plan_trials, run_of, used_so_far
from otel_llm.cli.suite.sending import Office, evaluators_of
from otel_llm.evals.checks import judge_models
from otel_llm.replay.suite.bisect import Seen, Tally, enough, first_bad, judge
from otel_llm.report.bisect_lines import Bisect, bisect_lines, passed_text
from otel_llm.text.safe import json_text, line
from otel_llm.values.errors import ConfigError

USUAL_THRESHOLD = 0.5
NEARLY_ALL = 0.999


@click.command()
@click.argument("file", metavar="FILE.toml", type=TomlFile())
@click.option("--check", metavar="CHECK", help="The check that begins to fail (else the only one of the file).")
@click.option("--threshold", type=click.FloatRange(0, 1, min_open=True, max_open=True), metavar="RATE",
              help="A variant is bad below this pass rate (else rules.min_pass_rate, else 0.5).")
@click.option("--max-samples", type=click.IntRange(1, 100_000), metavar="N", help="Ask a variant in so many sessions at most.")
@click.option("--resume", "is_resumed", is_flag=True, help="Go on with the newest bisect of this suite.")
@click.option("--resend-in-doubt", "resend", is_flag=True,
              help="With --resume: also send calls that may have been answered and paid for.")
@click.option("--yes", "-y", "is_confirmed", is_flag=True, help="Send, and ask a judge, without asking you.")
@click.option("--json", "is_json", is_flag=True, help="All of it as one JSON object.")
@pass_app
def bisect(
    app: App, file: str, check: str | None, threshold: float | None, max_samples: int | None, is_resumed: bool, resend: bool,
    is_confirmed: bool, is_json: bool,
) -> None:  # fmt: skip
    """Find the first prompt version or model where a check begins to fail, asking as few as it takes.

    Exit 0 when it fails in none of them, 1 when one is named, 3 when nobody can say, or a cap was reached.
    """
    if resend and not is_resumed:
        raise ConfigError("--resend-in-doubt goes with --resume.")
    wanted = read_suite(file)
    if wanted.line is None:
        raise ConfigError(f"{file}: prompts and models are crossed here, and a bisect goes along one line; leave one of either.")
    suite, check = replace(wanted.suite, repeat=1), _check(wanted, check)
    variants, alpha = suite.asked(), suite.rules.alpha
    limit = threshold or min(suite.rules.min_pass_rate or USUAL_THRESHOLD, NEARLY_ALL)
    judges = Judges(app, judge_models([check]))
    (evaluator,) = evaluators_of(app, wanted, [check], judges)
    run = run_of(app, replace(wanted, suite=suite), "bisect", is_resumed=is_resumed)
    planned, left = plan_trials(app, run, suite, variants)
    most = max_samples or enough(limit, alpha)
    search = Search(run, planned, variants, most)
    check_writable(app)
    announce(suite, planned, left, search.need, at_most="at most ")
    before = used_so_far(app, search.trials if is_resumed else ())
    if is_resumed:
        announce_resumption(run, before)
    if not is_confirmed:
        confirm(search.need)
    office = Office(app, run, suite, search.need.calls, before, resend=resend)

    def ask(place: int) -> Seen:
        def sample(size: int) -> Tally:
            return search.sample(variants[place], size, office, judges, evaluator, is_confirmed=is_confirmed)

        seen = judge(place, sample, limit, alpha, most)
        note(f"{line(variants[place].name)}: {passed_text(seen)}, {seen.verdict}")
        return seen

    with app.store.journal.hold(run.run_id):
        office.keep()
        found = first_bad(len(variants), ask)
    result = Bisect(suite.name, run.run_id, check, limit, alpha, [variant.name for variant in variants], found,
                    office.purse.calls, office.purse.cost)
    output = Output(app)
    if is_json:
        output.write(json_text(result.as_json()))
    else:
        output.show(bisect_lines(result, width=output.width), whole=True)
    click.get_current_context().exit(result.exit_code)


def _check(wanted: SuiteFile, given: str | None) -> str:
    """The check of the file that is meant, by its text or the beginning of it, or one that the file has not."""
    checks = wanted.suite.checks
    if given is None:
        if len(checks) != 1:
            raise ConfigError(f"Name the check that begins to fail: --check {' or '.join(checks) or 'contains=TEXT'}")
        return checks[0]
    found = [each for each in checks if each == given] or [each for each in checks if each.startswith(given)]
    if len(found) > 1:
        raise ConfigError(f"--check {given!r} fits {' and '.join(found)}; give more of it")
    return found[0] if found else given
