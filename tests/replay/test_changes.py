"""What a reissue changes in a request, and how little else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.replay.requests.changes import Changes, edit, read_setting
from otel_llm.values.errors import ConfigError, NotReplayable

BODY = b'{"model": "a", "messages": [{"role": "user", "content": "h\\u00e9"}], "temperature": 1.0, "n": 1}'
values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=5)


@given(st.binary())
def test_without_changes_the_very_bytes_go_out(body: bytes) -> None:
    assert edit(body, {}) is body


def test_a_change_to_what_is_already_there_is_none() -> None:
    assert edit(BODY, {"model": "a", "n": 1}) is BODY


def test_a_changed_value_leaves_order_spacing_and_escapes_alone() -> None:
    assert edit(BODY, {"model": "b"}) == BODY.replace(b'"a"', b'"b"')
    assert edit('{"a":"é","b":1}'.encode(), {"b": 2}) == '{"a":"é","b":2}'.encode()


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(min_size=1).filter(lambda key: "." not in key), values, min_size=1, max_size=5), values)
def test_everything_else_keeps_its_value(body: dict[str, object], new: object) -> None:
    key = next(iter(body))

    edited = json.loads(edit(json.dumps(body).encode(), {key: new}))

    assert edited == {**body, key: new}
    assert list(edited) == list(body)


def test_dotted_keys_reach_inside_and_make_what_is_missing() -> None:
    edited = json.loads(edit(BODY, {"messages.0.content": "x", "response_format.type": "json_object"}))

    assert edited["messages"] == [{"role": "user", "content": "x"}]
    assert edited["response_format"] == {"type": "json_object"}


def test_true_is_not_one() -> None:
    assert json.loads(edit(BODY, {"n": True}))["n"] is True


@pytest.mark.parametrize(("body", "edits", "said"), [
    (b"not json", {"a": 1}, "no JSON"), (b"[1]", {"a": 1}, "no JSON object"), (BODY, {"messages.9.content": 1}, "list of 1"),
    (BODY, {"messages.x": 1}, "list of 1"), (BODY, {"model.x": 1}, "there is a str")])
def test_what_cannot_be_changed_says_why(body: bytes, edits: dict[str, object], said: str) -> None:
    with pytest.raises(NotReplayable, match=said):
        edit(body, edits)


@pytest.mark.parametrize(("text", "setting"), [
    ("temperature=0", ("temperature", 0)), ("stop=null", ("stop", None)), ("service_tier=flex", ("service_tier", "flex")),
    ('a.b={"c": [1]}', ("a.b", {"c": [1]})), ("x=", ("x", "")), ("x=a=b", ("x", "a=b")), ('x="0"', ("x", "0"))])
def test_a_setting_is_json_or_else_text(text: str, setting: tuple[str, object]) -> None:
    assert read_setting(text) == setting


@pytest.mark.parametrize("text", ["temperature", "=1", "a..b=1", "x={", 'x="', "x=[1", "x=NaN"])
def test_a_setting_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_setting(text)


def test_changes_are_kept_as_they_were_given() -> None:
    assert Changes("b", {"n": 2}, "http://x/v1").as_json() == {"model": "b", "set": {"n": 2}, "base_url": "http://x/v1"}
    assert Changes().as_json() == {}
