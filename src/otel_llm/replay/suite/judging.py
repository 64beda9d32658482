"""Judging a run: every trial read and checked, every variant held against the baseline."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from otel_llm.replay.reissue.orders import Means
from otel_llm.replay.suite.definition import Suite, names_of
from otel_llm.replay.suite.readings import Reading, TrialReadings, answers, read_trial
from otel_llm.replay.suite.results import Check, Difference, SuiteResult, VariantResult
from otel_llm.replay.suite.sending import Conducted
from otel_llm.replay.suite.trials import Trial
from otel_llm.replay.suite.verdicts import (
    checks_of,
    corrected,
    difference_of,
    figures_of,
    findings_of,
    paired,
    rate_of,
    verdict_of,
    worst_of,
)
from otel_llm.values.comparison import Comparison
from otel_llm.values.evaluation import Evaluator
from otel_llm.values.journal import CallKey

Found = Mapping[CallKey, str | None]


def judge(
    trials: Sequence[tuple[Trial, Found]], means: Means, evaluators: Sequence[Evaluator], *, source: str | None = None,
    workers: int = 1, progress: Callable[[], object] = lambda: None,
) -> list[TrialReadings]:  # fmt: skip
    """The answers of trials, judged, in their order. Evaluators are called from so many threads."""
    def one(task: tuple[Trial, Found]) -> TrialReadings:
        made = read_trial(*task, means, evaluators, source)
        progress()
        return made

    with ThreadPoolExecutor(workers) as pool:
        context = [contextvars.copy_context() for _ in trials]
        return list(pool.map(lambda at, task: at.run(one, task), context, trials))


def result_of(
    suite: Suite, run_id: str, judged: Sequence[TrialReadings], *, notes: Sequence[str] = (), stopped: str | None = None
) -> SuiteResult:
    """What the judged trials of all variants come to."""
    by_variant = {name: [each for each in judged if each.trial.variant.name == name] for name in names_of(suite.variants)}
    answers_of = {name: _merged(trials) for name, trials in by_variant.items()}
    baseline, others = answers_of[suite.baseline], [name for name in by_variant if name != suite.baseline]
    level = suite.rules.level
    is_recorded = next(variant.is_recorded for variant in suite.variants if variant.name == suite.baseline)
    pairs = {name: paired(baseline, answers_of[name]) for name in others}
    states = {name: [(old.state, new.state) for old, new in pairs[name]] for name in others}
    differences = dict(zip(others, corrected([difference_of(states[name], level) for name in others]), strict=True))
    checks = _checks(suite, answers_of, others)
    made: list[VariantResult] = []
    for name, trials in by_variant.items():
        new = answers_of[name]
        sessions = {each.trial.source: each.trial.session_id for each in trials if not each.trial.variant.is_recorded}
        rate = rate_of((reading.state for reading in new.values()), level)
        found = differences.get(name)
        variant = VariantResult(name, "baseline", sessions, rate, found, tuple(checks[name]))
        if found is not None:
            figures = figures_of(pairs[name], level)
            findings = findings_of(suite.rules, rate, found, difference_of(worst_of(states[name]), level), figures,
                                   is_recorded=is_recorded)
            variant = replace(variant, verdict=verdict_of(findings), figures=tuple(figures), findings=tuple(findings))
        made.append(variant)
    regressed = {variant.name for variant in made if variant.verdict == "regressed"}
    comparisons = [each for trials in by_variant.values() for each in trials if not each.trial.variant.is_recorded]
    return SuiteResult(
        suite, run_id, len({each.trial.source for each in judged}), tuple(made),
        tuple(each.comparison for each in comparisons if each.comparison is not None),
        tuple(_failing(each for each in comparisons if each.trial.variant.name in regressed)), tuple(notes), stopped)


def _merged(trials: Sequence[TrialReadings]) -> dict[CallKey, Reading]:
    return {key: reading for each in trials for key, reading in each.readings.items()}


def _checks(suite: Suite, answers_of: Mapping[str, Mapping[CallKey, Reading]], others: Sequence[str]) -> dict[str, list[Check]]:
    """Each variant's checks one by one, the p-values of each check corrected over the variants."""
    level, baseline = suite.rules.level, answers_of[suite.baseline]
    found = {name: checks_of(suite.checks, answers_of[name], baseline if name in others else None, level) for name in answers_of}
    for place in range(len(suite.checks)):
        differences: list[Difference | None] = corrected([found[name][place].difference for name in others])
        for name, new in zip(others, differences, strict=True):
            found[name][place] = replace(found[name][place], difference=new)
    return found


def _failing(trials: Iterator[TrialReadings]) -> Iterator[Comparison]:
    """The comparisons with the answers that failed alone; those without any are left out."""
    for each in trials:
        if each.comparison is None:
            continue
        pairs = tuple(pair for pair in each.comparison.pairs if each.has_failed(pair))
        if pairs:
            yield replace(each.comparison, pairs=pairs)


def found_of(trials: Sequence[Trial], means: Means, conducted: Conducted) -> list[tuple[Trial, Found]]:
    """The trials with the calls that they have, and the spans of the answers."""
    return [(trial, answers(trial, means, conducted)) for trial in trials]
