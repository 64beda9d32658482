"""A session as a tree: turns, and in them the steps with their timing, tokens and cost.

The steps of a session are a forest: what has no parent in the session is a root. Turns lie across it, since an application
may run each turn in a span of its own, all of them in one, or none at all. So a turn is no level of the tree but a heading: it
stands before the outermost step in which that turn, and no other, begins.

A parent's figures are the sums of its leaves; only calls have tokens and money, and a figure that no call knows is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from otel_llm.replay.conversation import Entry, conversation, turns_opened
from otel_llm.replay.reading import recorded
from otel_llm.values.session import SessionRow, Step
from otel_llm.values.store import Store

MAX_CALLS_READ = 300
"""Where the store does not know the turns they are found in the messages; of a longer session not, rather than after a minute."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over calls. A token or cost sum is None when no call knows the figure; `unpriced` counts calls of unknown cost.

    `errors` counts what went wrong: a failure that goes up through the steps around it is one, and a stream that its program
    left early is none.
    """

    calls: int = 0
    errors: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_pico_usd: int | None = None
    unpriced: int = 0

    @classmethod
    def of(cls, steps: Iterable[Step]) -> Totals:
        """The sums of these steps; tokens and cost count of calls only, errors of all."""
        steps = list(steps)
        calls = [step for step in steps if step.kind == "call"]
        failed = [step for step in steps if is_failed(step)]
        passing_on = {step.parent_span_id for step in failed if step.parent_span_id != step.span_id}
        return cls(
            calls=len(calls),
            errors=sum(step.span_id not in passing_on for step in failed),
            input_tokens=add(step.usage.input_tokens for step in calls),
            output_tokens=add(step.usage.output_tokens for step in calls),
            cost_pico_usd=add(step.cost.total if step.cost else None for step in calls),
            unpriced=sum(step.cost is None for step in calls),
        )


def is_failed(step: Step) -> bool:
    """True when something went wrong; leaving a stream is what a program may do."""
    return step.state in ("error", "incomplete") and not is_left_early(step)


def is_left_early(step: Step) -> bool:
    """True when the program left a stream before its end; a call that never ended has no end either."""
    return step.state == "incomplete" and step.end_ns is not None


def add(figures: Iterable[int | None]) -> int | None:
    """The sum of the figures that are known; None when none is."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Node:
    """One step and what happened inside it. `number` counts the calls of the session from 1; other steps have none.

    `mark` is the step's own state, or `recovered` when the step is fine and something inside it failed.
    """

    step: Step
    children: tuple[Node, ...]
    totals: Totals
    mark: Literal["ok", "error", "running", "incomplete", "recovered"]
    number: int | None = None
    turns: int = 0
    """How many turns begin in it."""
    first_turn: int | None = None

    def walk(self) -> Iterator[Node]:
        """This node and all below it, parents first, in order of start."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tree: a step, or the heading of a turn (`node` is then None)."""

    depth: int
    node: Node | None = None
    turn: int | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class SessionView:
    """A whole session, or one trace of it: `trace_id` says which, and times, turns, models and status in `session` are then its.

    `session` is None when the store has no row of it.
    """

    session: SessionRow | None
    roots: tuple[Node, ...]
    totals: Totals
    turns: Mapping[str, tuple[int, str]]
    """Span id of each call that opens a turn: number of the turn, the user's words."""
    trace_id: str | None = None

    def rows(self) -> Iterator[Row]:
        """The lines of the tree, top to bottom; the turn of a step is that of the last heading above it."""
        titles = dict(self.turns.values())
        stack = [(root, 0) for root in reversed(self.roots)]
        turn: int | None = None
        while stack:
            node, depth = stack.pop()
            is_heading = node.turns == 1 or node.step.span_id in self.turns
            if is_heading and node.first_turn is not None and node.first_turn != turn:
                turn = node.first_turn
                yield Row(depth, turn=turn, title=titles.get(turn, ""))
            yield Row(depth, node=node, turn=turn)
            stack.extend((child, depth + 1) for child in reversed(node.children))


def view(store: Store, session_id: str, session: SessionRow | None = None, *, trace_id: str | None = None) -> SessionView:
    """The tree of a session, or of one trace in it."""
    steps = store.steps(session_id)
    numbers = {step.span_id: n for n, step in enumerate((s for s in steps if s.kind == "call"), 1)}
    opened = turns(steps)
    if opened is None:
        opened = turns_opened(messages(store, steps)) if len(numbers) <= MAX_CALLS_READ else {}
    shown = [step for step in steps if trace_id is None or step.trace_id == trace_id]
    if session is not None and trace_id is not None:
        session = _of_trace(session, shown, opened)
    return SessionView(session, tree(shown, numbers, opened), Totals.of(shown), opened, trace_id)


def _of_trace(session: SessionRow, shown: Sequence[Step], opened: Mapping[str, object]) -> SessionRow:
    """The row of a session with what of it can be said of one trace."""
    calls = [step for step in shown if step.kind == "call"]
    ends = [*calls[-1:], *[step for step in shown if step.parent_span_id is None][-1:]]
    status: Literal["ok", "error", "recovered", "running"] = "ok"
    if any(step.state == "running" for step in shown):
        status = "running"
    elif any(map(is_failed, shown)):
        status = "error" if any(map(is_failed, ends)) else "recovered"
    return replace(
        session, status=status, turns=sum(step.span_id in opened for step in shown),
        first_ns=min((step.start_ns for step in shown), default=session.first_ns),
        last_ns=max((step.end_ns or step.start_ns for step in shown), default=session.last_ns),
        models=tuple(dict.fromkeys(model for step in calls if (model := step.model or step.response_model))))


def turns(steps: Iterable[Step]) -> dict[str, tuple[int, str]] | None:
    """Span id of each call that opens a turn, with its number and its words, as the store knows them; None when it does not."""
    calls = [step for step in steps if step.kind == "call"]
    if all(step.opens_turn is None for step in calls):
        return None
    opening = [step for step in calls if step.opens_turn]
    return {step.span_id: (number, step.request_preview) for number, step in enumerate(opening, 1)}


def messages(store: Store, steps: Iterable[Step]) -> Iterator[Entry]:
    """The conversation of a session, from its steps."""
    return conversation(recorded(store, step) for step in steps if step.kind == "call")


def tree(
    steps: Sequence[Step], numbers: Mapping[str, int], opened: Mapping[str, tuple[int, str]] | None = None
) -> tuple[Node, ...]:
    """The forest that the steps form by their parents; a step whose parent is not among them is a root.

    Built from the leaves up without recursion: a trace may be as deep as it likes. A step that is its own ancestor, which no
    SDK emits and a file may hold, is a root.
    """
    by_id = {step.span_id: step for step in steps}
    children: dict[str | None, list[Step]] = {}
    for step in steps:
        parent = step.parent_span_id if step.parent_span_id in by_id and step.parent_span_id != step.span_id else None
        children.setdefault(parent, []).append(step)
    order: list[Step] = []
    seen: set[str] = set()
    for start in [*children.get(None, []), *steps]:
        stack = [start]
        while stack:
            step = stack.pop()
            if step.span_id in seen:
                continue
            seen.add(step.span_id)
            order.append(step)
            stack.extend(reversed(children.get(step.span_id, [])))
    nodes: dict[str, Node] = {}
    taken: set[str] = set()
    for step in reversed(order):
        inside = [nodes[child.span_id] for child in children.get(step.span_id, []) if child.span_id in nodes]
        taken.update(child.step.span_id for child in inside)
        own_turn = (opened or {}).get(step.span_id, (None, ""))[0]
        nodes[step.span_id] = _node(step, tuple(inside), numbers.get(step.span_id), own_turn)
    return tuple(nodes[step.span_id] for step in order if step.span_id not in taken)


def _node(step: Step, children: tuple[Node, ...], number: int | None, own_turn: int | None) -> Node:
    own = Totals.of([step])
    parts = [own, *(child.totals for child in children)]
    totals = Totals(
        calls=sum(part.calls for part in parts),
        errors=sum(child.totals.errors for child in children) + (own.errors and not any(is_failed(c.step) for c in children)),
        input_tokens=add(part.input_tokens for part in parts),
        output_tokens=add(part.output_tokens for part in parts),
        cost_pico_usd=add(part.cost_pico_usd for part in parts),
        unpriced=sum(part.unpriced for part in parts),
    )
    failed_inside = step.state == "ok" and any(child.totals.errors for child in children)
    begun = [own_turn, *(child.first_turn for child in children)]
    return Node(
        step,
        children,
        totals,
        "recovered" if failed_inside else step.state,
        number,
        turns=(own_turn is not None) + sum(child.turns for child in children),
        first_turn=next((turn for turn in begun if turn is not None), None),
    )
