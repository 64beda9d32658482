"""A session as a tree: parents' figures are the sums of their leaves, a failure inside marks what stands around it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.replay.view import Totals, tree, view
from otel_llm.values.call import Cost, Usage
from otel_llm.values.session import Step
from replay.memory_store import MemoryStore, Writer, newcomer


def step(number: int, parent: int | None = None, **fields: Any) -> Step:
    return Step(trace_id="t", span_id=f"{number}", parent_span_id=None if parent is None else f"{parent}", session_id="s",
                kind=fields.pop("kind", "call"), name="n", operation=None, state=fields.pop("state", "ok"), start_ns=number,
                end_ns=number + 1, **fields)


def outline(store: MemoryStore, session_id: str) -> list[str]:
    rows = view(store, session_id).rows()
    return ["  " * row.depth + (f"{row.turn}. {row.title}" if row.node is None else row.node.step.name) for row in rows]


def test_turns_are_headings_before_calls_that_stand_alone() -> None:
    store = MemoryStore()
    newcomer(store)

    assert outline(store, "sess-newcomer01") == [
        "1. Where is order 4411?", "chat gpt-4o-mini", "lookup_order", "chat gpt-4o-mini", "2. Say it in French.",
        "chat gpt-4o-mini", "3. And in German?", "chat gpt-4o-mini", "4. Thanks!", "chat gpt-4o-mini"]


def test_a_turn_in_a_span_of_its_own_is_headed_before_that_span() -> None:
    store = MemoryStore()
    w = Writer(store, "sess-x")
    for word in ("a", "b"):
        agent = w.step("agent", f"agent {word}")
        w.chat([{"role": "user", "content": word}], "ok", parent=agent.span_id)

    assert outline(store, "sess-x") == ["1. a", "agent a", "  chat gpt-4o-mini", "2. b", "agent b", "  chat gpt-4o-mini"]


def test_turns_inside_one_span_are_headed_there() -> None:
    store = MemoryStore()
    w = Writer(store, "sess-x")
    flow = w.step("workflow", "flow")
    for word in ("a", "b"):
        w.chat([{"role": "user", "content": word}], "ok", parent=flow.span_id)

    assert outline(store, "sess-x") == ["flow", "  1. a", "  chat gpt-4o-mini", "  2. b", "  chat gpt-4o-mini"]


def test_what_the_store_knows_of_turns_is_taken_without_reading_a_message() -> None:
    store = MemoryStore()
    w = Writer(store, "sess-x")
    for word, opens in (("a", True), ("b", False), ("c", True)):
        w.chat([{"role": "user", "content": word}], "ok", step={"opens_turn": opens})
    store.exchanges.clear()

    assert outline(store, "sess-x") == ["1. a", "chat gpt-4o-mini", "chat gpt-4o-mini", "2. c", "chat gpt-4o-mini"]


def test_a_parents_figures_are_the_sums_of_its_leaves_and_unknown_is_not_zero() -> None:
    priced = step(2, 1, usage=Usage(10, 5), cost=Cost(100))
    unknown = step(3, 1)
    (root,) = tree([step(1, kind="agent", usage=Usage(99, 99)), priced, unknown], {})

    assert root.totals == Totals(calls=2, errors=0, input_tokens=10, output_tokens=5, cost_pico_usd=100, unpriced=1)
    assert tree([unknown], {})[0].totals.cost_pico_usd is None


def test_a_failure_inside_marks_what_stands_around_it_as_recovered() -> None:
    (root,) = tree([step(1, kind="workflow"), step(2, 1, kind="agent"), step(3, 2, state="error"), step(4, 1)], {})

    marks = {node.step.span_id: node.mark for node in root.walk()}

    assert marks == {"1": "recovered", "2": "recovered", "3": "error", "4": "ok"}


@settings(deadline=None)
@given(st.integers(1, 60), st.integers())
def test_every_step_is_in_the_tree_once_whatever_its_parent(count: int, seed: int) -> None:
    pick = random.Random(seed)
    steps = [step(n, pick.choice([None, *range(count + 3)]), usage=Usage(1, 2), cost=Cost(3)) for n in range(count)]

    roots = tree(steps, {})

    seen = [node.step.span_id for root in roots for node in root.walk()]
    assert sorted(seen) == sorted(s.span_id for s in steps)
    assert sum(root.totals.calls for root in roots) == count
    assert sum(root.totals.cost_pico_usd or 0 for root in roots) == 3 * count


def test_a_trace_as_deep_as_it_likes_is_shown() -> None:
    steps = [step(n, n - 1 if n else None, kind="other") for n in range(20_000)]

    (root,) = tree(steps, {})

    assert sum(1 for _ in root.walk()) == 20_000


def test_one_trace_of_a_session_keeps_the_numbers_of_its_calls() -> None:
    store = MemoryStore()
    w = Writer(store, "sess-x")
    w.chat([{"role": "user", "content": "a"}], "A", trace=1)
    second = w.chat([{"role": "user", "content": "b"}], "B", trace=2)

    seen = view(store, "sess-x", trace_id=second.trace_id)

    assert [(row.turn, row.node.number) for row in seen.rows() if row.node] == [(2, 2)]
    assert seen.totals == Totals.of([replace(second)])
