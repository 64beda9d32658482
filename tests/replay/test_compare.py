"""How two answers differ."""

from __future__ import annotations

import base64
import json
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.adapters import by_name, read_call
from otel_llm.replay.compare.answers import (
    MAX_WORDS,
    Answer,
    answer_of,
    compare,
    diff_tools,
    diff_words,
    is_new_failure,
    vectors_of,
)
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
        "same": True, "compared": True, "text": {"same": True, "words": [["=", "hi"]]},
        "tool_calls": {"same": True, "changes": []}, "vectors": None,
        "status": {"old": 200, "new": 201}, "error_type": {"old": None, "new": None},
        "error_message": {"old": None, "new": None}, "model": {"old": "a", "new": "b"},
        "finish_reason": {"old": None, "new": None}, "input_tokens": {"old": 1, "new": 3}, "output_tokens": {"old": 2, "new": 4},
        "cost_pico_usd": {"old": 5, "new": None}, "duration_ns": {"old": 7, "new": 9}}
    assert json.loads(json.dumps(diff)) == diff


def test_an_answer_and_a_failure_are_never_the_same() -> None:
    assert not compare(Answer("", status=200), Answer("", status=429))["same"]
    assert not compare(Answer("", status=200), Answer("", status=None))["same"]
    assert compare(Answer("", status=429), Answer("", status=429))["same"]


def embedded(*vectors: object, body: bool = True) -> Answer:
    """The answer of an embeddings call, from its bytes."""
    text = json.dumps({"data": [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)], "model": "e"}).encode()
    adapter = by_name("openai_embeddings")
    assert adapter is not None
    call, _ = read_call(adapter, "openai", b'{"input": "x"}', text, "application/json", status=200)
    return answer_of(call, status=200, body=text if body else None)


class TestEmbeddings:
    def test_equal_vectors_are_the_same(self) -> None:
        diff = compare(embedded([0.6, 0.8], [1, 0]), embedded([0.6, 0.8], [1, 0]))

        assert (diff["same"], diff["compared"]) == (True, True)
        assert diff["vectors"]["same"] and abs(diff["vectors"]["cosine"] - 1) < 1e-9

    def test_other_vectors_differ_and_the_least_similar_pair_says_how_far(self) -> None:
        diff = compare(embedded([0.6, 0.8], [1, 0]), embedded([0.6, 0.8], [0, 2]))

        assert diff["same"] is False
        assert diff["vectors"] == {"same": False, "old": 2, "new": 2, "cosine": 0.0}
        assert json.loads(json.dumps(diff)) == diff

    def test_vectors_of_another_length_or_number_have_no_similarity(self) -> None:
        assert compare(embedded([1, 0]), embedded([1, 0, 0]))["vectors"] == {"same": False, "old": 1, "new": 1, "cosine": None}
        assert compare(embedded([1, 0]), embedded([1, 0], [0, 1]))["vectors"] == {
            "same": False, "old": 1, "new": 2, "cosine": None}

    def test_numbers_and_base64_of_the_same_vector_are_the_same(self) -> None:
        packed = base64.b64encode(struct.pack("<2f", 0.6, 0.8)).decode()

        assert compare(embedded([0.6, 0.8]), embedded(packed))["same"]

    def test_vectors_that_nobody_has_are_not_the_same(self) -> None:
        diff = compare(embedded([1, 0], body=False), embedded([1, 0], body=False))

        assert (diff["same"], diff["compared"]) == (False, False)

    @given(st.binary(max_size=60) | st.recursive(st.none() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(
        st.sampled_from(["data", "embedding", "index"]), v)).map(lambda v: json.dumps(v).encode()))
    def test_any_body_can_be_looked_at(self, body: bytes) -> None:
        found = vectors_of(body)

        assert found is None or all(isinstance(number, float) for vector in found for number in vector)


def test_where_nothing_was_recorded_nothing_is_the_same() -> None:
    nothing, unread = answer_of(None, status=None), answer_of(None, status=200)

    for old, new, compared in ((nothing, nothing, False), (unread, unread, False), (nothing, Answer("hi", status=200), True),
                               (unread, Answer("hi", status=200), False), (unread, Answer(status=500), True)):
        diff = compare(old, new)
        assert (diff["same"], diff["compared"]) == (False, compared)


def test_an_error_where_an_answer_was_is_a_new_failure() -> None:
    assert is_new_failure(compare(Answer("hi", status=200), Answer(status=404)))
    assert is_new_failure(compare(Answer("hi", status=200), Answer(status=None)))
    assert not is_new_failure(compare(Answer(status=404), Answer(status=404)))
    assert not is_new_failure(compare(Answer(status=429), Answer("hi", status=200)))
    assert not is_new_failure(compare(Answer("hi", status=200), Answer("ho", status=200)))
