"""Sessions against each other: which steps correspond, what each pair comes to, and the totals.

    chosen    the sides: sessions, traces or single calls, as a user named them
    aligned   which step goes with which (`otel_llm.replay.lineage` where it is known, `otel_llm.replay.compare.align` elsewhere)
    compared  the `Comparison` that reports are made from

A reissue sends calls only, so where one side has nothing but calls that are known to repeat those of the other, the tools and
workflows around them are left out, and a note says how many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from otel_llm.replay.compare.align import Aligned, align
from otel_llm.replay.compare.pairs import Comparing
from otel_llm.replay.compare.wording import Room
from otel_llm.replay.lineage import links, sources
from otel_llm.replay.reading import recorded
from otel_llm.replay.view import Totals, add
from otel_llm.values.comparison import Comparison, DecidedBy, Pair, Side, StepRef
from otel_llm.values.evaluation import Evaluator
from otel_llm.values.session import Step
from otel_llm.values.store import Store


@dataclass(frozen=True, slots=True)
class Chosen:
    """One side: the steps of a session that are compared. `is_one` says that a single step was named."""

    session_id: str
    label: str
    steps: tuple[Step, ...]
    is_one: bool = False


@dataclass(frozen=True, slots=True)
class AlignedSide:
    """One other side beside side 0: the steps of both that are compared, and how they correspond."""

    number: int
    left: tuple[Step, ...]
    right: tuple[Step, ...]
    pairs: Aligned
    note: str = ""

    @property
    def calls(self) -> int:
        """How many pairs of calls there are."""
        return sum(i is not None and j is not None and self.left[i].kind == "call" for i, j in self.pairs)


def aligned(store: Store, chosen: Sequence[Chosen]) -> list[AlignedSide]:
    """How the steps of each other side correspond to those of the first."""
    first, *others = chosen
    own = sources(store, first.session_id, first.steps)
    return [_aligned(store, first, own, other, number) for number, other in enumerate(others, 1)]


def _aligned(store: Store, first: Chosen, own: Mapping[str, str], other: Chosen, number: int) -> AlignedSide:
    left, right, note = first.steps, other.steps, ""
    if first.is_one and other.is_one and left[0].kind == right[0].kind:
        return AlignedSide(number, left, right, [(0, 0)])
    theirs = sources(store, other.session_id, right)
    if links(left, own, right, theirs) and first.session_id != other.session_id:
        only_calls = [all(step.kind == "call" for step in side) for side in (left, right)]
        if only_calls[0] != only_calls[1]:
            count = sum(step.kind != "call" for step in (*left, *right))
            left, right = (tuple(step for step in side if step.kind == "call") for side in (left, right))
            note = f"{count} {'step that is no call was' if count == 1 else 'steps that are no calls were'} not compared: " \
                   f"{other.session_id if only_calls[1] else first.session_id} has calls only."
    return AlignedSide(number, left, right, align(left, right, links(left, own, right, theirs)), note)


def compared(
    store: Store,
    chosen: Sequence[Chosen],
    sides: Sequence[AlignedSide],
    *,
    title: str,
    evaluators: Sequence[Evaluator] = (),
    decided_by: DecidedBy = "difference",
    progress: Callable[[int], object] = lambda done: None,
) -> Comparison:
    """The comparison of sides that are aligned. `progress` is told after each pair how many are done."""
    room = Room()
    pairs: list[Pair] = []
    for side in sides:
        comparing = Comparing(store, side.number, evaluators, room)
        ours = _refs(store, chosen[0], side.left)
        theirs = _refs(store, chosen[side.number], side.right)
        for i, j in side.pairs:
            pairs.append(_pair(comparing, side, i, j, ours, theirs))
            progress(len(pairs))
    return Comparison(
        title=title,
        sides=tuple(_side(one, sides[number - 1].right if number else one.steps) for number, one in enumerate(chosen)),
        pairs=tuple(pairs),
        notes=tuple(dict.fromkeys(side.note for side in sides if side.note)),
        decided_by=decided_by,
    )


def _pair(
    comparing: Comparing, side: AlignedSide, i: int | None, j: int | None, ours: Sequence[StepRef], theirs: Sequence[StepRef]
) -> Pair:
    if i is None or j is None:
        step, ref = (side.left[i], ours[i]) if i is not None else (side.right[j or 0], theirs[j or 0])
        return comparing.alone(step, ref, is_left=i is not None)
    old, new, refs = side.left[i], side.right[j], (ours[i], theirs[j])
    if old.kind == "call" and new.kind == "call":
        return comparing.calls(recorded(comparing.store, old), recorded(comparing.store, new), refs)
    return comparing.steps(old, new, refs)


def _refs(store: Store, chosen: Chosen, steps: Sequence[Step]) -> list[StepRef]:
    """The steps by their ids, calls with their number in the whole session."""
    calls = (step for step in store.steps(chosen.session_id) if step.kind == "call")
    numbers = {step.span_id: number for number, step in enumerate(calls, 1)}
    return [StepRef(step.session_id, step.span_id, numbers.get(step.span_id)) for step in steps]


def _side(chosen: Chosen, steps: Sequence[Step]) -> Side:
    totals = Totals.of(steps)
    figures: dict[str, Any] = {name: getattr(totals, name) for name in Totals.__slots__}
    return Side(
        chosen.session_id, chosen.label, min((step.start_ns for step in steps), default=None), len(steps),
        duration_ns=add(step.duration_ns for step in steps if step.kind == "call"), **figures)
