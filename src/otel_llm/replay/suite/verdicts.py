"""From answers to verdicts: one way of deciding for every rule.

A rule holds a figure, known within an interval at the confidence 1 − alpha, against a limit. With the whole interval on the
good side the variant passes, on the bad side it regressed; else there are not enough answers to say, and it is said how many it
would take. A pass rate below the baseline's counts as a regression when the paired test, corrected for the number of variants,
finds it, unless the interval shows it to be within the drop that is allowed. Answers that nobody could judge are in no rate; a
variant passes only if it would with all of them failed.

Where the baseline is the recording there is one answer a call to pair with, so that of several samples the first one is paired.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from otel_llm.replay.suite.definition import Rules
from otel_llm.replay.suite.readings import FIGURES, Reading, State
from otel_llm.replay.suite.results import Check, Difference, FigureChange, Finding, Rate, Reasons, Verdict
from otel_llm.replay.suite.statistics import (
    change,
    difference,
    holm,
    least,
    mcnemar,
    rise_of_medians,
    rise_of_totals,
    wilcoxon,
    wilson,
)
from otel_llm.values.journal import CallKey

Answers = Mapping[CallKey, Reading]
MIN_PAIRS = 6
"""With fewer pairs no signed-rank test can reach 5 %, and no interval of figures means anything."""
_RISES = {"latency": rise_of_medians}


def rate_of(states: Iterable[State], level: float) -> Rate:
    """The pass rate of answers, or of what a check says of them."""
    states = list(states)
    passed, of = states.count("passed"), states.count("passed") + states.count("failed")
    return Rate(passed, of, states.count("unknown"), wilson(passed, of, level))


def difference_of(pairs: Iterable[tuple[State, State]], level: float) -> Difference:
    """Paired states of the baseline and the variant; pairs with an unknown one are left out. `p_adjusted` is `p` as yet."""
    both = [(old, new) for old, new in pairs if {old, new} <= {"passed", "failed"}]
    lost, won = both.count(("passed", "failed")), both.count(("failed", "passed"))
    p = mcnemar(lost, won)
    return Difference(len(both), lost, won, difference(lost, won, len(both), level), p, p)


def paired(baseline: Answers, variant: Answers) -> list[tuple[Reading, Reading]]:
    """The answers to the same calls; samples that only one side has are not paired."""
    return [(old, variant[key]) for key, old in baseline.items() if key in variant]


def corrected(found: Sequence[Difference | None]) -> list[Difference | None]:
    """The differences of several variants with their p-values corrected for how many they are."""
    there = [each for each in found if each is not None]
    adjusted = iter(holm([each.p for each in there]))
    return [None if each is None else replace(each, p_adjusted=next(adjusted)) for each in found]


def checks_of(names: Sequence[str], variant: Answers, baseline: Answers | None, level: float) -> list[Check]:
    """Each check by itself."""
    return [Check(
        name, rate_of((reading.state_of(name) for reading in variant.values()), level), reasons_of(name, variant.values()),
        None if baseline is None else difference_of(
            ((old.state_of(name), new.state_of(name)) for old, new in paired(baseline, variant)), level)) for name in names]


def reasons_of(check: str, readings: Iterable[Reading]) -> Reasons:
    """Why a check could not judge answers."""
    return tuple(Counter(each.why_undecided(check) for each in readings if each.state_of(check) == "unknown").most_common())


def figures_of(pairs: Sequence[tuple[Reading, Reading]], level: float) -> list[FigureChange]:
    """The figures that both sides of some pairs know."""
    found: list[FigureChange] = []
    for name in FIGURES:
        both = [(old.figures[name], new.figures[name]) for old, new in pairs if name in old.figures and name in new.figures]
        if not both:
            continue
        old, new = zip(*both, strict=True)
        rise = _RISES.get(name, rise_of_totals)
        made = change(both, rise, level) if len(both) >= MIN_PAIRS else None
        estimate, interval = (rise(both), None) if made is None else made
        found.append(FigureChange(
            name, len(both), median(old), median(new), math.fsum(old), math.fsum(new), estimate, interval,
            wilcoxon([after - before for before, after in both])))
    return found


def findings_of(
    rules: Rules, rate: Rate, found: Difference, worst: Difference, figures: Sequence[FigureChange], *, is_recorded: bool = False
) -> list[Finding]:
    """What each rule says of a variant. `worst` is the difference if all answers that nobody could judge had failed;
    `is_recorded` says that the baseline is the recording, which has one answer a call.
    """
    made = [_drop(rules, found, worst)]
    if rules.min_pass_rate is not None:
        made.append(_rate(rules.min_pass_rate, rate, rules.level))
    for name, limit in (("cost", rules.max_cost_increase), ("latency", rules.max_latency_increase)):
        if limit is not None:
            made.append(_increase(name, limit, next((figure for figure in figures if figure.name == name), None)))
    return [replace(each, needed_of="calls") if is_recorded and each.rule != "min_pass_rate" else each for each in made]


def worst_of(pairs: Iterable[tuple[State, State]]) -> list[tuple[State, State]]:
    """The pairs as if what is not known had passed with the baseline and failed with the variant."""
    return [("passed" if old == "unknown" else old, "failed" if new == "unknown" else new) for old, new in pairs]


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """The worst that a rule says."""
    said = [finding.verdict for finding in findings]
    return "regressed" if "regressed" in said else "inconclusive" if "inconclusive" in said else "pass"


def _drop(rules: Rules, found: Difference, worst: Difference) -> Finding:
    limit = -rules.max_pass_rate_drop
    unknown = worst.pairs - found.pairs
    made = Finding("max_pass_rate_drop", "inconclusive", limit, found.change, found.interval, unknown)
    if not found.pairs:
        return made
    if found.interval.low > limit:
        return replace(made, verdict="pass" if worst.interval.low > limit else "inconclusive")
    if found.lost > found.won and found.p_adjusted < rules.alpha:
        return replace(made, verdict="regressed")
    of, times = found.pairs, found.p_adjusted / found.p if found.p else 1.0

    def is_enough(more: int) -> bool:
        lost, won = (count * (of + more) / of for count in (found.lost, found.won))
        is_worse = found.lost > found.won and times * mcnemar(round(lost), round(won)) < rules.alpha
        return is_worse or difference(lost, won, of + more, rules.level).low > limit

    return replace(made, needed=_needed(of, is_enough, 20_000))


def _rate(limit: float, rate: Rate, level: float) -> Finding:
    made = Finding("min_pass_rate", "inconclusive", limit, rate.share, rate.interval, rate.unknown)
    if rate.share is None:
        return made
    if rate.interval.high < limit:
        return replace(made, verdict="regressed")
    if rate.interval.low >= limit:
        worst = wilson(rate.passed, rate.of + rate.unknown, level)
        return replace(made, verdict="pass" if worst.low >= limit else "inconclusive")
    share = rate.share

    def is_enough(more: int) -> bool:
        interval = wilson(round(share * (rate.of + more)), rate.of + more, level)
        return interval.low >= limit or interval.high < limit

    return replace(made, needed=_needed(rate.of, is_enough))


def _increase(name: str, limit: float, figure: FigureChange | None) -> Finding:
    made = Finding(f"max_{name}_increase", "inconclusive", limit)
    if figure is None or figure.change is None or figure.interval is None:
        return replace(made, needed=MIN_PAIRS if figure is not None and figure.change is not None else None)
    made = replace(made, value=figure.change, interval=figure.interval)
    if figure.interval.high <= limit:
        return replace(made, verdict="pass")
    if figure.interval.low > limit:
        return replace(made, verdict="regressed")
    away = figure.change - limit
    reach = figure.change - figure.interval.low if away > 0 else figure.interval.high - figure.change
    return replace(made, needed=math.ceil(figure.pairs * (reach / away) ** 2) if away else None)


def _needed(of: int, is_enough: Callable[[int], bool], most: int = 1_000_000) -> int | None:
    more = least(is_enough, most)
    return None if more is None else of + more
