"""Two texts as an excerpt: nothing is lost unsaid, and no text is too long."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.replay.compare.fields import FieldChange
from otel_llm.replay.compare.wording import CONTEXT, MAX_FIELD, Room, change_of, one_sided, text_diff
from otel_llm.values.comparison import Change, TextDiff

prose = st.text(st.sampled_from("ab \n.é"), max_size=60)


@settings(deadline=None)
@given(prose, prose)
def test_short_texts_are_held_whole(old: str, new: str) -> None:
    diff = text_diff(old, new, Room())

    assert (diff.old, diff.new, diff.same, diff.left_out) == (old, new, old == new, 0)


@settings(deadline=None)
@given(prose, prose, st.integers(0, 30))
def test_what_is_left_out_is_counted(old: str, new: str, limit: int) -> None:
    diff = text_diff(old, new, Room(), limit)

    kept = sum(len(text) * (2 if sign == "=" else 1) for sign, text in diff.words if sign != "…")
    assert kept + diff.left_out == len(old) + len(new)
    assert diff.same == (old == new)


def test_a_difference_far_inside_is_shown_with_its_surroundings() -> None:
    before, after = "word " * 10_000, " and so on" * 5_000

    diff = text_diff(f"{before}Monday{after}", f"{before}Friday{after}", Room())

    assert diff.words == (
        ("…", "99,400 characters"), ("=", ("word " * 60)), ("-", "Monday"), ("+", "Friday"), ("=", (" and so on" * 30)),
        ("…", "99,400 characters"))
    assert diff.left_out == 2 * 99_400
    assert CONTEXT == 300


def test_words_are_not_cut_in_the_middle() -> None:
    assert text_diff("left on Monday", "left on Money", Room()).words == (("=", "left on "), ("-", "Monday"), ("+", "Money"))
    assert text_diff("a running man", "a walking man", Room()).words == (
        ("=", "a "), ("-", "running"), ("+", "walking"), ("=", " man"))


@pytest.mark.parametrize(("old", "new"), [
    ("a" * 10**6, "a" * 10**6 + "b"), ("x\n" * 10**6, "y\n" * 10**6), ("\n" * 10**6, "\n" * (10**6 - 1) + "z"),
    ("ab" * 500_000, "ba" * 500_000), ("".join(chr(0x4E00 + n % 9000) for n in range(10**6)), "")])
def test_huge_texts_are_compared_in_reasonable_time_and_kept_small(old: str, new: str) -> None:
    begun = time.process_time()

    diff = text_diff(old, new, Room())

    assert not diff.same
    assert sum(len(text) for _, text in diff.words) < 20_000
    assert time.process_time() - begun < 5


def test_a_room_that_is_used_up_keeps_counts_only() -> None:
    room = Room(8)

    first, second = text_diff("aaaa", "bbbb", room), text_diff("cccc", "dddd", room)

    assert first.words == (("-", "aaaa"), ("+", "bbbb"))
    assert second == TextDiff((("…", "8 characters"),), False, 8)


def test_a_text_on_one_side() -> None:
    assert one_sided("gone for good", "-", Room(), 4) == TextDiff((("-", "gone"), ("…", "9 characters")), False, 9)


@pytest.mark.parametrize(("found", "made"), [
    (FieldChange("model", "a", "b"), Change("model", "a", "b")),
    (FieldChange("stop", None, ["x"], "added"), Change("stop", None, ["x"], "added")),
    (FieldChange("n", 1, True), Change("n", 1, True))])
def test_short_fields_stay_values(found: FieldChange, made: Change) -> None:
    assert change_of(found, Room()) == made


def test_a_large_value_is_the_beginning_of_its_json() -> None:
    change = change_of(FieldChange("tools", None, ["x" * 5_000], "added"), Room())

    assert change == Change("tools", None, '["' + "x" * (MAX_FIELD - 2), "added", left_out=3_004)


def test_a_long_text_has_the_words_that_differ() -> None:
    old = "You are the support agent of a small coffee shop. Be brief and kind."

    change = change_of(FieldChange("messages.0.content", old, old.replace("brief", "long")), Room())

    assert change.text is not None
    assert change.text.words[1:3] == (("-", "brief"), ("+", "long"))


def test_a_lone_surrogate_is_a_character_like_others() -> None:
    diff: Any = text_diff("\ud800 a", "\ud800 b", Room())

    assert diff.words == (("=", "\ud800 "), ("-", "a"), ("+", "b"))
