"""How two answers differ."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.replay.compare import MAX_WORDS, Answer, compare, diff_tools, diff_words
from otel_llm.values.call import Cost, Usage


@settings(deadline=None)
@given(st.text(), st.text())
def test_a_word_diff_holds_both_texts_whole(old: str, new: str) -> None:
    words = diff_words(old, new)

    assert "".join(text for sign, text in words if sign != "+") == old
    assert "".join(text for sign, text in words if sign != "-") == new


@given(st.text())
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    assert [sign for sign, _ in diff_words(text, text)] == (["="] if text else [])


def test_one_word_that_changed_is_one_change() -> None:
    assert diff_words("It left on Monday, I think.", "It left on Friday, I think.") == [
        ["=", "It left on "], ["-", "Monday"], ["+", "Friday"], ["=", ", I think."]]


def test_a_very_long_text_is_compared_by_lines_in_reasonable_time() -> None:
    old = "\n".join(f"line {n} of many words" for n in range(MAX_WORDS))
    new = old.replace("line 7 ", "line seven ")

    words = diff_words(old, new)

    assert [text for sign, text in words if sign == "-"] == ["line 7 of many words\n"]


def test_tool_arguments_are_compared_as_json() -> None:
    assert diff_tools([("find", '{"a": 1, "b": 2}')], [("find", '{"b":2,"a":1}')]) == []


def test_tools_that_changed_came_and_went_are_told_apart() -> None:
    old = [("find", '{"q": "x"}'), ("mail", "{}")]
    new = [("find", '{"q": "y"}'), ("call", "not json")]

    assert diff_tools(old, new) == [
        {"change": "changed", "name": "find", "old": {"q": "x"}, "new": {"q": "y"}},
        {"change": "removed", "name": "mail", "old": {}, "new": None},
        {"change": "added", "name": "call", "old": None, "new": "not json"}]


def test_figures_are_reported_and_do_not_decide() -> None:
    old = Answer("hi", status=200, model="a", usage=Usage(1, 2), cost=Cost(5), duration_ns=7)
    new = Answer("hi", status=201, model="b", usage=Usage(3, 4), cost=None, duration_ns=9)

    diff = compare(old, new)

    assert diff == {
        "same": True, "text": {"same": True, "words": [["=", "hi"]]}, "tool_calls": {"same": True, "changes": []},
        "status": {"old": 200, "new": 201}, "error_type": {"old": None, "new": None}, "model": {"old": "a", "new": "b"},
        "finish_reason": {"old": None, "new": None}, "input_tokens": {"old": 1, "new": 3}, "output_tokens": {"old": 2, "new": 4},
        "cost_pico_usd": {"old": 5, "new": None}, "duration_ns": {"old": 7, "new": 9}}
    assert json.loads(json.dumps(diff)) == diff


def test_an_answer_and_a_failure_are_never_the_same() -> None:
    assert not compare(Answer("", status=200), Answer("", status=429))["same"]
    assert not compare(Answer("", status=200), Answer("", status=None))["same"]
    assert compare(Answer("", status=429), Answer("", status=429))["same"]
