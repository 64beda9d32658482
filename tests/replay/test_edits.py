"""The way from one sequence to another: it leads there, it is the shortest, and it is found in bounded time."""

from __future__ import annotations

import time
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.replay.compare.answers import diff_words
from otel_llm.replay.compare.edits import opcodes

letters = st.text(st.sampled_from("abc"), max_size=12)


def longest_common(old: str, new: str) -> int:
    best = {(i, j): 0 for i in range(len(old) + 1) for j in range(len(new) + 1)}
    for i, j in product(range(1, len(old) + 1), range(1, len(new) + 1)):
        best[i, j] = best[i - 1, j - 1] + 1 if old[i - 1] == new[j - 1] else max(best[i - 1, j], best[i, j - 1])
    return best[len(old), len(new)]


@settings(deadline=None, max_examples=300)
@given(letters, letters)
def test_the_steps_lead_from_old_to_new_by_the_shortest_way(old: str, new: str) -> None:
    steps, is_shortest = opcodes(old, new)

    assert "".join(old[i:j] for _, i, j, _, _ in steps) == old
    assert "".join(new[k:m] for _, _, _, k, m in steps) == new
    assert all(old[i:j] == new[k:m] for tag, i, j, k, m in steps if tag == "equal")
    assert sum(j - i for tag, i, j, _, _ in steps if tag == "equal") == longest_common(old, new)
    assert all(one[0] != other[0] for one, other in zip(steps, steps[1:], strict=False))
    assert is_shortest


def test_steps_are_written_as_difflib_writes_them() -> None:
    assert opcodes("xabcy", "xbcdy") == ([
        ("equal", 0, 1, 0, 1), ("delete", 1, 2, 1, 1), ("equal", 2, 4, 1, 3), ("insert", 4, 4, 3, 4), ("equal", 4, 5, 4, 5)], True)


def test_beyond_so_many_edits_what_lies_between_is_replaced() -> None:
    assert opcodes("xabcy", "xdefy", 5) == ([("equal", 0, 1, 0, 1), ("replace", 1, 4, 1, 4), ("equal", 4, 5, 4, 5)], False)


@pytest.mark.parametrize(("old", "new"), [
    ("a " * 3_000, "b " * 3_000), ("a," * 2_000, "a;" * 2_000), ("ab" * 3_000, "ba" * 3_000), ("a" * 9_000, "b" * 9_000)])
def test_what_is_hard_for_others_takes_a_moment(old: str, new: str) -> None:
    begun = time.process_time()

    opcodes(old, new)

    assert time.process_time() - begun < 3


def test_words_that_changed_side_by_side_are_one_change() -> None:
    assert diff_words("It left Oslo on Monday morning.", "It left Oslo at Friday noon.") == [
        ["=", "It left Oslo "], ["-", "on Monday morning"], ["+", "at Friday noon"], ["=", "."]]


def test_a_space_behind_a_change_is_no_part_of_it() -> None:
    assert diff_words("Noted. It left.", "In short: It left.") == [["-", "Noted."], ["+", "In short:"], ["=", " It left."]]


def test_a_new_line_between_two_changes_stays() -> None:
    assert diff_words("a\nb", "c\nd") == [["-", "a"], ["+", "c"], ["=", "\n"], ["-", "b"], ["+", "d"]]


def test_two_essays_that_share_nothing_but_spaces_are_compared_in_a_moment() -> None:
    begun = time.process_time()
    old, new = ("".join(f"{word}{n} " for n in range(1_500)) for word in "ab")

    words = diff_words(old, new)

    assert words == [["-", old], ["+", new]]
    assert time.process_time() - begun < 3
