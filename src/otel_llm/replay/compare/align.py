"""Which step of one session corresponds to which step of another.

A replayed step knows the step that it repeats, so that such a pair needs no guess. What is left between the pairs that are known
is aligned as a sequence, by Needleman and Wunsch's algorithm: of all ways to pair the steps without changing their order, the
one whose pairs are most alike in sum. It is preferred to `difflib`, which knows equal and unequal only: an agent that asks
something slightly different, or another model, would fall apart into steps that went and steps that came.

Two calls can be paired when they do the same operation, other steps when kind and name are equal. How alike two such steps are
is told by their model and the first words of what was asked (of a tool: its arguments). A pair of steps that share no word stands
where their places fit; sessions in which every pair is like that have no step in common, and nothing is paired.

Equal beginnings and ends are paired at once. The rest takes time with the product of the lengths; beyond `MAX_CELLS` only places
near the diagonal are looked at.

Source: S. Needleman, C. Wunsch, A general method applicable to the search for similarities (1970)
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from otel_llm.values.session import Step

MAX_CELLS = 1_000_000
"""Pairs of steps that are compared at most."""

_WORD = re.compile(r"\w+")
_BOTH, _LEFT, _RIGHT = 0, 1, 2

Aligned = list[tuple[int | None, int | None]]


@dataclass(frozen=True, slots=True)
class _Looks:
    """What is compared of a step."""

    key: tuple[str, str | None]
    model: str | None
    text: str
    words: frozenset[str]

    @classmethod
    def of(cls, step: Step) -> _Looks:
        what = step.operation if step.kind == "call" else step.name
        return cls((step.kind, what), step.model, step.request_preview, frozenset(_WORD.findall(step.request_preview.lower())))

    def shared(self, other: _Looks) -> float:
        """The share of words in common, from 0 to 1."""
        if self.text == other.text:
            return 1.0
        union = len(self.words | other.words)
        return len(self.words & other.words) / union if union else 0.0

    def likeness(self, other: _Looks) -> float:
        """How well two steps go together; 0 when they do not. A step is most like itself."""
        return 0.0 if self.key != other.key else 1.0 + 0.25 * (self.model == other.model) + 2.0 * self.shared(other)


def align(left: Sequence[Step], right: Sequence[Step], links: Mapping[int, int]) -> Aligned:
    """Pairs of positions; None where a step has no counterpart. Every position stands in exactly one pair.

    `links` are the pairs that are known, left to right. The left steps keep their order; so do the right ones, except where links
    cross (calls that ran side by side), and those stand where their left step does.
    """
    ours, theirs = [_Looks.of(step) for step in left], [_Looks.of(step) for step in right]
    found = dict(links)
    known, taken = set(links), set(links.values())
    in_order = _longest_in_order(sorted(links.items()))
    before = (-1, -1)
    for anchor in [*in_order, (len(left), len(right))]:
        rows = [i for i in range(before[0] + 1, anchor[0]) if i not in known]
        columns = [j for j in range(before[1] + 1, anchor[1]) if j not in taken]
        for row, column in _sequence([ours[i] for i in rows], [theirs[j] for j in columns]):
            found[rows[row]] = columns[column]
        before = anchor
    if not links and not any(ours[i].shared(theirs[j]) for i, j in found.items()):
        found = {}
    crossing = set(links.items()) - set(in_order)
    return _merged(len(left), len(right), found, {i for i, _ in crossing})


def _longest_in_order(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The most pairs whose right positions rise with their left ones (patience sorting)."""
    ends: list[int] = []
    last: list[int] = []
    previous: list[int | None] = []
    for index, (_, column) in enumerate(pairs):
        place = bisect_left(ends, column)
        previous.append(last[place - 1] if place else None)
        ends[place : place + 1] = [column]
        last[place : place + 1] = [index]
    chosen: list[tuple[int, int]] = []
    at = last[-1] if last else None
    while at is not None:
        chosen.append(pairs[at])
        at = previous[at]
    return chosen[::-1]


def _merged(rows: int, columns: int, found: Mapping[int, int], crossing: set[int]) -> Aligned:
    """The pairs in order of the left, steps that are on the right alone before the pair that follows them there."""
    matched, merged, column = set(found.values()), Aligned(), 0

    def alone(until: int) -> Iterator[tuple[None, int]]:
        return ((None, j) for j in range(column, until) if j not in matched)

    for i in range(rows):
        j = found.get(i)
        if j is not None and i not in crossing:
            merged += alone(j)
            column = j + 1
        merged.append((i, j))
    return [*merged, *alone(columns)]


def _sequence(left: Sequence[_Looks], right: Sequence[_Looks]) -> Iterator[tuple[int, int]]:
    """The best pairs of two sequences, in order."""
    shorter = min(len(left), len(right))
    head = next((n for n in range(shorter) if left[n] != right[n]), shorter)
    tail = next((n for n in range(shorter - head) if left[-1 - n] != right[-1 - n]), shorter - head)
    yield from ((n, n) for n in range(head))
    for i, j in _best(left[head : len(left) - tail], right[head : len(right) - tail]):
        yield head + i, head + j
    yield from ((len(left) - n, len(right) - n) for n in range(tail, 0, -1))


def _best(left: Sequence[_Looks], right: Sequence[_Looks]) -> list[tuple[int, int]]:
    """Needleman and Wunsch on a band around the diagonal, which is as wide as everything where that is little."""
    rows, columns = len(left), len(right)
    if not rows or not columns:
        return []
    half = columns if rows * columns <= MAX_CELLS else max(MAX_CELLS // (2 * rows), columns // rows + 1)
    spans = [(max(0, i * columns // rows - half), min(columns, i * columns // rows + half)) for i in range(rows + 1)]
    above: dict[int, float] = dict.fromkeys(range(spans[0][0], spans[0][1] + 1), 0.0)
    moves = [bytearray([_RIGHT]) * len(above)]
    for i in range(1, rows + 1):
        low, high = spans[i]
        ours, here, made = left[i - 1], dict[int, float](), bytearray()
        for j in range(low, high + 1):
            best, move = above.get(j, -1.0), _LEFT
            if j > low and here[j - 1] > best:
                best, move = here[j - 1], _RIGHT
            if j and j - 1 in above and (likeness := ours.likeness(right[j - 1])) and above[j - 1] + likeness >= best:
                best, move = above[j - 1] + likeness, _BOTH
            here[j] = best
            made.append(move)
        above = here
        moves.append(made)
    pairs: list[tuple[int, int]] = []
    i, j = rows, columns
    while i and j:
        move = moves[i][j - spans[i][0]]
        if move == _BOTH:
            pairs.append((i - 1, j - 1))
        i -= move in (_BOTH, _LEFT)
        j -= move in (_BOTH, _RIGHT)
    return pairs[::-1]
