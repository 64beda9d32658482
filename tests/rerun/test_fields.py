"""Differences of two JSON values, field by field."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given

from knowledge.strategies import values
from otel_llm.replay.compare.fields import FieldChange, body_changes, field_changes, leaves


@pytest.mark.parametrize(("old", "new", "expected"), [
    ({"a": 1}, {"a": 2}, [("a", "changed", 1, 2)]),
    ({"a": {"b": [1, {"c": "x"}]}}, {"a": {"b": [1, {"c": "y"}]}}, [("a.b.1.c", "changed", "x", "y")]),
    ({"a": 1}, {"b": 1}, [("a", "removed", 1, None), ("b", "added", None, 1)]),
    ([1, 2, 3], [1, 9, 2, 3], [("1", "added", None, 9)]),
    ([1, 2, 3], [1, 3], [("1", "removed", 2, None)]),
    ({"on": True}, {"on": 1}, [("on", "changed", True, 1)]),
    ({"on": None}, {}, [("on", "removed", None, None)]),
    ("a", ["a"], [("", "changed", "a", ["a"])]),
    ({"n": 1}, {"n": 1.0}, []),
])
def test_differences_have_a_path_and_both_values(old: Any, new: Any, expected: list[Any]) -> None:
    found = [(change.path, change.change, change.old, change.new) for change in field_changes(old, new)]

    assert found == expected


@given(values, values)
def test_nothing_differs_exactly_when_the_values_are_equal(old: Any, new: Any) -> None:
    assert field_changes(old, copy.deepcopy(old)) == []
    same = json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    if same:
        assert field_changes(old, new) == []
    elif not field_changes(old, new):
        assert old == new  # 1 and 1.0


def test_bodies_share_the_values_that_are_equal_at_the_same_place() -> None:
    one = b'{"model": "m", "messages": [{"role": "user", "content": "a"}], "tools": []}'
    other = b'{"messages": [{"content": "b", "role": "user"}], "tools": [], "model": "n", "n": 1}'

    assert [len(leaves(one) & leaves(body)) for body in (one, other, b"a", None)] == [4, 2, 0, 0]


def test_what_is_no_json_is_compared_as_text() -> None:
    assert body_changes(b"\xffabc", b"abc") == [FieldChange("", "\N{REPLACEMENT CHARACTER}abc", "abc")]
