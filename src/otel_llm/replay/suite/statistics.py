"""The statistics of a suite: intervals, paired tests, a correction for many comparisons. Pure functions, standard library only.

    wilson      a pass rate from so many answers               score interval, Wilson 1927
    mcnemar     passed here and failed there, paired           exact conditional test, McNemar 1947
    difference  the difference of two paired pass rates        score interval, Tango 1998
    wilcoxon    paired figures: cost, latency, tokens          signed-rank test, Wilcoxon 1945
    change      by how much paired figures rose                percentile bootstrap, Efron 1979
    holm        p-values of several comparisons                step-down, Holm 1979

**What is independent.** Pass and fail are paired by call, and by sample where a call is asked several times. Under "this call
passes as often with the one as with the other" both answers of a pair are exchangeable, so the discordant pairs are fair coins,
whatever the calls are: the exact test is right for the calls that were chosen. The Wilson interval is too wide, never too
narrow, for the mean over these calls (sums of unlike coins vary less than sums of like ones). Nothing here speaks of calls that
were not chosen, unless they were chosen at random and asked once each.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import NormalDist, median

EXACT_UP_TO = 50
"""Differences up to which the signed-rank test counts all signs; beyond it the normal curve is as good."""
DRAWS = 2_000
MOST_DRAWN = 2_000_000
"""Figures that one bootstrap draws in all: of very many pairs it makes fewer draws."""

Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`."""

    low: float
    high: float


def wilson(passed: int, of: int, level: float = 0.95) -> Interval:
    """The score interval of a proportion. Of nothing it is 0 to 1.

        (p̂ + z²/2n ± z √(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n)

    Source: Wilson, JASA 22 (1927) 209; Newcombe, Statistics in Medicine 17 (1998) 857, method 3.
    """
    if not of:
        return Interval(0.0, 1.0)
    z = _z(level)
    share, scale = passed / of, 1 + z * z / of
    middle = share + z * z / (2 * of)
    reach = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    low, high = (middle - reach) / scale, (middle + reach) / scale
    return Interval(0.0 if passed == 0 else max(0.0, low), 1.0 if passed == of else min(1.0, high))


def mcnemar(lost: int, won: int) -> float:
    """The two-sided p-value of so many pairs that only the one passed (`lost`) and only the other (`won`).

        2 · P(X ≤ min(lost, won)),  X ~ Binomial(lost + won, ½)

    Source: McNemar, Psychometrika 12 (1947) 153; Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13 (2013) 91.
    """
    discordant = lost + won
    ways = tail = 1
    for count in range(min(lost, won)):
        ways = ways * (discordant - count) // (count + 1)
        tail += ways
    return min(1.0, float(2 * tail / 2**discordant))


def difference(lost: float, won: float, of: float, level: float = 0.95) -> Interval:
    """The interval of (won − lost) / of: by how much the pass rate of the other is higher. Of nothing it is −1 to 1.

    It holds every Δ that the score test does not reject, that is for which this is between −z and z:

        (won − lost − nΔ) / √(n(2q + Δ(1−Δ)))

    where q, the likeliest share of `lost` under Δ, is the larger root of
    2n q² − (lost + won − (2n − won + lost)Δ) q − lost Δ(1−Δ).

    Source: Tango, Statistics in Medicine 17 (1998) 891.
    """
    if not of:
        return Interval(-1.0, 1.0)
    z = _z(level)

    def score(delta: float) -> float:
        b = -won - lost + (2 * of - won + lost) * delta
        c = -lost * delta * (1 - delta)
        q = (math.sqrt(max(b * b - 8 * of * c, 0.0)) - b) / (4 * of)
        variance = of * (2 * q + delta * (1 - delta))
        above = won - lost - of * delta
        return above / math.sqrt(variance) if variance > 1e-12 else math.copysign(math.inf, above) if above else 0.0

    estimate = (won - lost) / of
    return Interval(_edge(lambda d: score(d) > z, -1.0, estimate), _edge(lambda d: score(d) >= -z, estimate, 1.0))


def _edge(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where a statement that holds from `low` on ceases to hold."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return (low + high) / 2


def wilcoxon(differences: Sequence[float]) -> float | None:
    """The two-sided p-value of paired differences; None when all are zero. Zeros are left out, ties share their mean rank.

    Up to `EXACT_UP_TO` differences every assignment of signs to the ranks is counted, ties included; beyond, it is the normal
    curve with corrections for ties and continuity.

    Source: Wilcoxon, Biometrics Bulletin 1 (1945) 80; Hollander and Wolfe, Nonparametric Statistical Methods (1999), 3.1.
    """
    given = sorted((each for each in differences if each), key=abs)
    if not given:
        return None
    doubled: list[int] = []
    ties = 0
    for _, group in groupby(given, key=abs):
        size = sum(1 for _ in group)
        doubled += [2 * len(doubled) + size + 1] * size
        ties += size**3 - size
    above = sum(rank for rank, each in zip(doubled, given, strict=True) if each > 0)
    smaller = min(above, sum(doubled) - above)
    if len(given) <= EXACT_UP_TO:
        return min(1.0, float(2 * sum(_sums(doubled)[: smaller + 1]) / 2 ** len(given)))
    count = len(given)
    mean, variance = count * (count + 1) / 4, count * (count + 1) * (2 * count + 1) / 24 - ties / 48
    z = (smaller / 2 - mean + 0.5) / math.sqrt(variance)
    return min(1.0, 2 * NormalDist().cdf(z))


def _sums(ranks: Sequence[int]) -> list[int]:
    """How many subsets of the ranks have each sum."""
    ways = [1] + [0] * sum(ranks)
    reached = 0
    for rank in ranks:
        reached += rank
        for total in range(reached, rank - 1, -1):
            ways[total] += ways[total - rank]
    return ways


def rise_of_totals(pairs: Pairs) -> float | None:
    """By which share the sum of the new figures is above that of the old; None when the old ones are nothing."""
    if not pairs:
        return None
    old, new = map(math.fsum, zip(*pairs, strict=True))
    return new / old - 1 if old else None


def rise_of_medians(pairs: Pairs) -> float | None:
    """By which share the median of the new figures is above that of the old; None when that is nothing."""
    if not pairs:
        return None
    old, new = map(median, zip(*pairs, strict=True))
    return new / old - 1 if old else None


def change(
    pairs: Pairs, rise: Callable[[Pairs], float | None], level: float = 0.95, *, seed: int = 0
) -> tuple[float, Interval] | None:
    """By how much paired figures rose, and its interval; None when nobody can say. The same figures give the same interval.

    Pairs are drawn with replacement, again and again; the interval holds the middle share of what comes out.

    Source: Efron, Annals of Statistics 7 (1979) 1; Efron and Tibshirani, An Introduction to the Bootstrap (1993), 13.3.
    """
    estimate = rise(pairs)
    if estimate is None:
        return None
    chance, count = random.Random(seed), len(pairs)
    draws = max(200, min(DRAWS, MOST_DRAWN // count))
    found = sorted(drawn for _ in range(draws) if (drawn := rise(chance.choices(pairs, k=count))) is not None)
    outside = (1 - level) / 2
    return estimate, Interval(_quantile(found, outside), _quantile(found, 1 - outside))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Between the two nearest (type 7 of Hyndman and Fan, as R, NumPy and SciPy do it)."""
    at = share * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, each fit to be held against alpha however many there are.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65.
    """
    adjusted = [0.0] * len(p_values)
    worst = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = worst
    return adjusted


def least(is_enough: Callable[[int], bool], most: int = 1_000_000) -> int | None:
    """The least number for which a statement holds that holds for all larger ones too; None when `most` is not enough."""
    high = 1
    while not is_enough(high):
        if high >= most:
            return None
        high = min(high * 2, most)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _z(level: float) -> float:
    """How many standard deviations around the mean of a normal curve hold this share of it."""
    return NormalDist().inv_cdf((1 + level) / 2)
