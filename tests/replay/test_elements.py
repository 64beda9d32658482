"""The history in a request body: the same messages, whichever way one comes to them."""

from __future__ import annotations

import pytest

from knowledge.recorded import CASES, Case
from otel_llm.replay.elements import PLACES, elements_of, json_object, segments_of
from otel_llm.replay.tools import likeness


@pytest.mark.parametrize("case", [c for c in CASES if c.adapter.name in PLACES and json_object(c.request)],
                         ids=lambda case: f"{case.adapter.name}/{case.path.name}")
def test_elements_amount_to_the_messages_that_the_adapter_reads(case: Case) -> None:
    body = json_object(case.request)
    assert body is not None

    elements = elements_of(case.adapter.name, body)
    segments = segments_of(case.adapter.name, elements)

    assert tuple(segment.message for segment in segments) == case.adapter.request(body).messages
    assert [n for segment in segments for n in range(segment.start, segment.end)] == list(range(len(elements)))


@pytest.mark.parametrize(("one", "other", "are_alike"), [
    ('{"a":1,"b":[2]}', '{ "b": [2.0], "a": 1e0 }', True), ("", "{}", True), ('{"a":1}', '{"a":true}', False),
    ('{"a":"ü"}', '{"a":"\\u00fc"}', True), ("{broken", "{broken", True), ('{"a":1}', '{"a":"1"}', False)])
def test_tool_calls_are_alike_when_their_arguments_are_equal_as_json(one: str, other: str, are_alike: bool) -> None:
    assert (likeness("f", one) == likeness("f", other)) is are_alike
    assert likeness("f", one) != likeness("g", one)
