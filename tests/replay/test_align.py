"""Which step corresponds to which: every step once, in order, and a session is aligned with itself step by step."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.replay.compare import align as module
from otel_llm.replay.compare.align import align
from otel_llm.values.session import Step

WORDS = ["order", "river", "Oslo", "rain", "snow"]


def step(text: str = "", *, kind: Any = "call", name: str = "chat m", model: str | None = "m", operation: str = "chat") -> Step:
    return Step(trace_id="t", span_id="s", parent_span_id=None, session_id="s", kind=kind, name=name,
                operation=operation if kind == "call" else None, state="ok", start_ns=0, end_ns=1, model=model, request_preview=text)


steps = st.lists(st.builds(
    step, st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join), kind=st.sampled_from(["call", "call", "tool"]),
    name=st.sampled_from(["a", "b"]), model=st.sampled_from(["m", "n"])), max_size=9)


@st.composite
def linked(draw: Any) -> tuple[list[Step], list[Step], dict[int, int]]:
    left, right = draw(steps), draw(steps)
    rows = draw(st.lists(st.integers(0, len(left) - 1), unique=True, max_size=len(right))) if left and right else []
    columns = draw(st.permutations(range(len(right))))
    return left, right, dict(zip(rows, columns, strict=False))


@settings(deadline=None, max_examples=150)
@given(linked())
def test_every_step_appears_exactly_once(case: tuple[list[Step], list[Step], dict[int, int]]) -> None:
    left, right, links = case

    pairs = align(left, right, links)

    assert [i for i, _ in pairs if i is not None] == list(range(len(left)))
    assert sorted(j for _, j in pairs if j is not None) == list(range(len(right)))
    assert (None, None) not in pairs
    assert {(i, j) for i, j in links.items()} <= set(pairs)


@settings(deadline=None, max_examples=150)
@given(steps, steps)
def test_without_links_the_order_of_both_sides_is_kept(left: list[Step], right: list[Step]) -> None:
    pairs = align(left, right, {})

    assert [i for i, _ in pairs if i is not None] == list(range(len(left)))
    assert [j for _, j in pairs if j is not None] == list(range(len(right)))


@settings(deadline=None, max_examples=150)
@given(steps, steps)
def test_only_steps_of_one_kind_are_paired(left: list[Step], right: list[Step]) -> None:
    pairs = [(left[i], right[j]) for i, j in align(left, right, {}) if i is not None and j is not None]

    assert [(a, b) for a, b in pairs if a.kind != b.kind or (a.kind == "tool" and a.name != b.name)] == []


@settings(deadline=None, max_examples=150)
@given(steps)
def test_a_session_is_aligned_with_itself_step_by_step(some: list[Step]) -> None:
    assert align(some, some, {}) == [(n, n) for n in range(len(some))]


def test_a_step_that_was_put_in_stands_alone() -> None:
    left = [step("where is my order"), step("thanks")]
    right = [step("where is my order please"), step("and the river"), step("thanks a lot")]

    assert align(left, right, {}) == [(0, 0), (None, 1), (1, 2)]


def test_a_step_that_went_stands_alone_and_another_model_is_no_other_step() -> None:
    left = [step("one two"), step("three"), step(kind="tool", name="find"), step("four")]
    right = [step("one two", model="n"), step("four", model="n")]

    assert align(left, right, {}) == [(0, 0), (1, None), (2, None), (3, 1)]


def test_a_call_that_asks_something_else_is_paired_by_its_place() -> None:
    left = [step("one"), step(kind="tool", name="find"), step('{"a": 1}'), step("end")]
    right = [step("one"), step(kind="tool", name="find"), step("nothing found"), step("end")]

    assert align(left, right, {}) == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_sessions_without_a_word_in_common_have_no_pair() -> None:
    assert align([step("one"), step("two")], [step("three")], {}) == [(0, None), (1, None), (None, 0)]


def test_links_that_cross_hold_and_stand_where_their_left_step_does() -> None:
    left, right = [step("a"), step("b"), step("c")], [step("b"), step("a"), step("x"), step("c")]

    assert align(left, right, {0: 1, 1: 0, 2: 3}) in (
        [(0, 1), (1, 0), (None, 2), (2, 3)], [(0, 1), (1, 0), (2, 3), (None, 2)])


def test_links_go_before_likeness() -> None:
    assert align([step("a")], [step("a"), step("b")], {0: 1}) == [(None, 0), (0, 1)]


def test_long_sessions_are_aligned_near_the_diagonal(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "MAX_CELLS", 4_000)
    left = [step(f"question {n} about thing {n}") for n in range(400)]
    right = [step("before anything")] + [step(f"question {n} on thing {n}") for n in range(400) if n != 200]

    pairs = align(left, right, {})

    assert pairs[0] == (None, 0)
    assert (200, None) in pairs
    assert all(j == i + 1 for i, j in pairs if i is not None and j is not None and i < 200)
    assert all(j == i for i, j in pairs if i is not None and j is not None and i > 200)
