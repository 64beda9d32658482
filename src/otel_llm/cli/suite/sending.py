"""Sending what a suite or a bisect is short of, with a bar, and keeping the run so that it can be gone on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from otel_llm.cli.app import App
from otel_llm.cli.output import note
from otel_llm.cli.progress import Bar
from otel_llm.cli.replay.judging import Judges
from otel_llm.cli.suite.file import SuiteFile
from otel_llm.cli.suite.plan import Planned, runs_of, used_so_far
from otel_llm.cli.suite.runs import FOLDER
from otel_llm.evals.checks import read_checks
from otel_llm.evals.judge import RUBRIC
from otel_llm.evals.remembered import Remembered
from otel_llm.replay.reissue.orders import Means
from otel_llm.replay.reissue.outcomes import Outcome
from otel_llm.replay.suite.budget import Purse
from otel_llm.replay.suite.definition import Run, Suite
from otel_llm.replay.suite.judging import Found, found_of, judge
from otel_llm.replay.suite.readings import TrialReadings
from otel_llm.replay.suite.sending import Conducted, Conductor, Used
from otel_llm.replay.suite.trials import Trial
from otel_llm.text import numbers
from otel_llm.text.safe import line
from otel_llm.values.errors import ConfigError
from otel_llm.values.evaluation import Evaluator
from otel_llm.values.session import Step

KEPT_EVERY_NS = 10**9
"""How much of its time a run forgets when it is killed."""
SCORES = "scores.jsonl"
"""What judges said, in the folder of the runs."""


class Office:
    """What a run works with: its budget, its journal and its judges. `calls` is how many there are, `before` what was used."""

    def __init__(self, app: App, run: Run, suite: Suite, calls: int, before: Used, *, resend: bool = False) -> None:
        def waits(count: int) -> None:
            note(f"Waiting for {numbers.plural(count, 'session')} under way; interrupted once more, calls are in doubt.")

        self.app, self.run, self.suite, self._resend = app, run, suite, resend
        self.means = Means(app.store, app.sender, app.environ, app.price, waits=waits)
        self.purse = Purse(suite.caps, calls, before.sends, before.cost, run.elapsed_ns)

    def keep(self) -> None:
        """Write down the run as it is now."""
        self.run = replace(self.run, elapsed_ns=self.purse.elapsed_ns)
        runs_of(self.app).keep(self.run)

    def _keep_sometimes(self) -> None:
        if self.purse.elapsed_ns - self.run.elapsed_ns > KEPT_EVERY_NS:
            self.keep()

    def send(self, planned: Planned) -> Conducted:
        """Send what has no answer yet. An interruption says how to go on."""
        suite = self.suite
        total = sum(need.calls for _, need in planned) - used_so_far(self.app, (trial for trial, _ in planned)).answered
        try:
            with Bar("sending", total) as bar:
                def heard(trial: Trial, outcome: Outcome) -> None:
                    bar.step(line(trial.variant.name))

                return Conductor(self.means, self.purse, suite.is_threaded, suite.concurrency, suite.retries, self._resend,
                                 heard, self._keep_sometimes).conduct(planned)
        except BaseException:
            note(f"What was answered is kept. Go on with: otel-llm replay {self.run.kind} {suite.source} --resume")
            raise
        finally:
            self.keep()

    def judge(
        self, trials: Sequence[Trial], conducted: Conducted, judges: Judges, evaluators: Sequence[Evaluator], *,
        is_confirmed: bool,
    ) -> list[TrialReadings]:  # fmt: skip
        """The answers of trials, judged; several at a time unless a function of the user's is among the checks."""
        found = found_of(trials, self.means, conducted)
        has_own = any(evaluator.name.startswith("python:") for evaluator in evaluators)
        calls = self._steps(found) if judges.models else []
        with judges.asking(calls, is_confirmed=is_confirmed), Bar("judging", len(found)) as bar:
            return judge(found, self.means, evaluators, source=self.suite.source, progress=bar.step,
                         workers=1 if has_own else self.suite.concurrency)

    def _steps(self, found: Sequence[tuple[Trial, Found]]) -> list[Step]:
        """The calls whose answers are judged."""
        spans = {span for _, calls in found for span in calls.values() if span is not None}
        sessions = dict.fromkeys(trial.session_id for trial, calls in found if any(calls.values()))
        return [step for session in sessions for step in self.app.store.steps(session) if step.span_id in spans]


def evaluators_of(app: App, file: SuiteFile, checks: Sequence[str], judges: Judges) -> list[Evaluator]:
    """The checks; what a judge says is remembered, so that it is paid for once.

    Raises `ConfigError` for one that cannot be used, with its place when it is of the file.
    """
    try:
        made = read_checks(checks, client=judges.client, rubric=file.rubric)
    except ConfigError as error:
        raise ConfigError(f"{file.checks_at}: {error}" if set(checks) <= set(file.suite.checks) else str(error)) from error
    memory = Path(app.store_place()) / FOLDER / SCORES
    return [Remembered(each, memory, file.rubric or RUBRIC) if text.startswith("judge=") else each
            for text, each in zip(checks, made, strict=True)]
