"""Asking a variant of a bisect so often: which sessions it is asked in, and what is known of its answers.

Sessions are asked in an order by chance, the same each time, so that the first few stand for all; when all have been asked they
are asked again. Each is a trial of its own in the journal, so that a bisect that is gone on with takes what was answered.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count, islice

from otel_llm.cli.replay.judging import Judges
from otel_llm.cli.suite.plan import Planned
from otel_llm.cli.suite.sending import Office
from otel_llm.replay.suite.bisect import Tally, questions
from otel_llm.replay.suite.definition import Run, Variant
from otel_llm.replay.suite.readings import Reading
from otel_llm.replay.suite.trials import Need, Trial, total, trial_of
from otel_llm.replay.suite.verdicts import reasons_of
from otel_llm.values.evaluation import Evaluator


class Search:
    """The trials of a bisect. `planned` has every session in every variant once; `most` is how often a variant is asked."""

    def __init__(self, run: Run, planned: Planned, variants: Sequence[Variant], most: int) -> None:
        self._run, self._variants = run, variants
        self._needs = {(trial.variant.name, trial.source): need for trial, need in planned}
        sources = sorted({trial.source for trial, _ in planned})
        random.Random(0).shuffle(sources)
        self._units = list(islice(((source, turn) for turn in count() for source in sources), most))
        self._readings: dict[str, list[Reading]] = {variant.name: [] for variant in variants}
        self._asked: dict[str, int] = dict.fromkeys(self._readings, 0)

    @property
    def trials(self) -> list[Trial]:
        """Every trial that there may be."""
        return [trial for variant in self._variants for trial, _ in self._of(variant, 0, len(self._units))]

    @property
    def need(self) -> Need:
        """What it takes at most."""
        every = total([need for variant in self._variants for _, need in self._of(variant, 0, len(self._units))])
        return every.share(every.calls * questions(len(self._variants)) // len(self._variants))

    def sample(
        self, variant: Variant, size: int, office: Office, judges: Judges, evaluator: Evaluator, *, is_confirmed: bool
    ) -> Tally:
        """Ask a variant until it was asked so often; what its answers come to. Raises what stopped it."""
        fresh = self._of(variant, self._asked[variant.name], size)
        self._asked[variant.name] = size
        conducted = office.send(fresh)
        if conducted.stopped is not None:
            raise conducted.stopped
        judged = office.judge([trial for trial, _ in fresh], conducted, judges, [evaluator], is_confirmed=is_confirmed)
        mine = self._readings[variant.name]
        mine += [reading for each in judged for reading in each.readings.values()]
        states = [reading.checks.get(evaluator.name, reading.state) for reading in mine]
        passed = states.count("passed")
        return Tally(passed, passed + states.count("failed"), reasons_of(evaluator.name, mine))

    def _of(self, variant: Variant, start: int, end: int) -> Planned:
        return [(trial_of(self._run, variant, source, 1, turn), self._needs[variant.name, source])
                for source, turn in self._units[start:end]]
