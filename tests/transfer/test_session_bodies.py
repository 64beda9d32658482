"""A body in a session file is written as people read it, and gives back its very bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.transfer.fields import BadLine
from otel_llm.transfer.session_bodies import Spelling, body_form, form_body
from otel_llm.transfer.session_layout import document

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6)
spelled = st.builds(
    lambda value, style, is_ascii, end: json.dumps(value, ensure_ascii=is_ascii, **style).encode("utf-8", "surrogatepass") + end,
    values, st.sampled_from([{"separators": (",", ":")}, {}, {"indent": 2}, {"indent": 4}, {"sort_keys": True}]), st.booleans(),
    st.sampled_from([b"", b"\n", b"\r\n", b" "]))
events = st.lists(st.tuples(st.sampled_from([b"data: ", b"event: a\ndata: ", b"data:", b": ", b"id: 1\ndata: "]), spelled | st.just(
    b"[DONE]"), st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n"])), max_size=4).map(lambda parts: b"".join(map(b"".join, parts)))


@pytest.mark.parametrize(("body", "form"), [
    (b'{"a":[1,"\xc3\xbc"]}', {"json": {"a": [1, "ü"]}}),
    (b'{"a": [1, "\\u00fc"]}\n', {"json": {"a": [1, "ü"]}, "spelling": "spaced ascii newline"}),
    (b'{\n  "a": [],\n  "b": 1.0\n}', {"json": {"a": [], "b": 1.0}, "spelling": "indented"}),
    (b"null", {"json": None}),
    (b'data: {"n":1}\n\ndata: {"n": 2}\n\ndata: [DONE]\n\n',
     {"events": [{"data": {"n": 1}}, 'data: {"n": 2}', "data: [DONE]"]}),
    (b'event: a\ndata: {"n": 1}\n\n: ping\n\ndata: {"cu',
     {"events": [{"event": "a", "data": {"n": 1}}, ": ping"], "spelling": "spaced", "rest": 'data: {"cu'}),
    (b"just words", {"text": "just words"}),
    (b"a\r\nb\n", {"text": ["a\r", "b", ""]}),
    (b"", {"text": ""}),
    (b'{"a": 1, "a": 2}', {"text": '{"a": 1, "a": 2}'}),
    (b'{"a": 1e3, "b": 1.10}', {"text": '{"a": 1e3, "b": 1.10}'}),
    (b"NaN", {"text": "NaN"}),
    (b'"\\ud800"', {"json": "\ud800", "spelling": "ascii"}),
    (b"\xff\x00", {"base64": "/wA="}),
    (b"[" * 300 + b"]" * 300, {"text": "[" * 300 + "]" * 300}),
    (b"[" * 20000, {"text": "[" * 20000}),
])
def test_a_body_has_the_form_that_is_easiest_to_read(body: bytes, form: dict[str, Any]) -> None:
    assert body_form(body) == form
    assert form_body(form, "x") == body


@given(st.binary(max_size=60) | spelled | events)
@settings(max_examples=200, deadline=None)
def test_any_body_comes_back_through_a_file(body: bytes) -> None:
    form = json.loads(document(body_form(body)))

    assert form_body(form, "x") == body


@given(values, st.builds(Spelling, st.booleans(), st.booleans(), st.booleans(), st.booleans()))
@settings(max_examples=100, deadline=None)
def test_json_in_a_known_spelling_is_written_as_json(value: Any, spelling: Spelling) -> None:
    try:
        body = spelling.write(value).encode()
    except (UnicodeEncodeError, ValueError):
        return  # what JSON, or UTF-8, has not

    assert "json" in body_form(body)


@pytest.mark.parametrize(("form", "said"), [
    ("text", "x is 'text', not an object with one of json, events, text, base64"),
    ({}, "x is {}, not an object"),
    ({"json": 1, "text": "1"}, "not an object with one of"),
    ({"json": 1, "speling": "spaced"}, "x.speling is not known beside json"),
    ({"json": 1, "spelling": "wide"}, "x.spelling has 'wide'; words are spaced, indented, ascii, newline"),
    ({"json": 1, "spelling": 3}, "x.spelling has '3'"),
    ({"json": "\ud800"}, "x.json cannot be written as it was spelled"),
    ({"json": float("nan")}, "x.json cannot be written as it was spelled"),
    ({"events": {}}, "x has events that are no list"),
    ({"events": [], "rest": 1}, "or a rest that is no text"),
    ({"events": [1]}, "x.events[0] is 1, neither text nor"),
    ({"events": [{"data": 1, "id": 2}]}, "x.events[0] is"),
    ({"text": ["a", 1]}, "x.text is ['a', 1], neither text nor a list of lines"),
    ({"base64": "é"}, "x is {'base64': 'é'}"),
    ({"base64": 7}, "x is {'base64': 7}"),
])
def test_a_form_that_cannot_be_used_is_named(form: Any, said: str) -> None:
    with pytest.raises(BadLine) as error:
        form_body(form, "x")

    assert said in str(error.value)


class TestTheLayout:
    def test_opens_up_what_does_not_fit_and_fills_rows_of_numbers(self) -> None:
        value = {"short": {"a": [1, True, None]}, "long": [{"name": "n" * 60}, {"name": "m" * 60}], "numbers": list(range(100, 145)),
                 "events": [{"data": "x" * 200}, 1], "empty": [{}, []]}

        assert document(value).decode() == f"""{{
  "short": {{"a": [1, true, null]}},
  "long": [
    {{"name": "{"n" * 60}"}},
    {{"name": "{"m" * 60}"}}
  ],
  "numbers": [
    {", ".join(map(str, range(100, 123)))},
    {", ".join(map(str, range(123, 145)))}
  ],
  "events": [
    {{"data": "{"x" * 200}"}},
    1
  ],
  "empty": [{{}}, []]
}}
"""

    @given(values.filter(lambda value: "NaN" not in json.dumps(value)))
    @settings(max_examples=200, deadline=None)
    def test_says_the_same_as_json(self, value: Any) -> None:
        assert json.loads(document(value)) == value
