"""What a destination sees of prompts and answers under each policy."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from forward.conftest import Place
from otel_llm.values.spandata import SpanData
from otel_llm.values.tape import CALL_END, CALL_START, FUNCTION
from store.frames_help import chat_request, chat_response, dump, message
from support.otlp_sink import OtlpSink

PROMPT, ANSWER = "A secret plan", "An answer to it"


def sent(places: Callable[..., Place], sink: OtlpSink, content: str | None, fill: Callable[[Place], Any]) -> SpanData:
    """The one span that arrives."""
    option = "" if content is None else f";content={content}"
    place = places(OTEL_LLM_FORWARD=f"there={sink.url}{option}")
    fill(place)
    assert place.forward()
    (span,) = sink.spans
    return span


def a_call(place: Place) -> None:
    place.call(PROMPT, ANSWER)


def test_nothing_is_added_by_default(places: Callable[..., Place], sink: OtlpSink) -> None:
    span = sent(places, sink, None, a_call)

    assert not [key for key in span.attributes if "messages" in key]
    assert PROMPT not in str(span)


def test_full_has_the_messages_as_json_strings(places: Callable[..., Place], sink: OtlpSink) -> None:
    span = sent(places, sink, "full", a_call)

    asked, answered = (json.loads(str(span.attributes[f"gen_ai.{way}.messages"])) for way in ("input", "output"))
    assert asked == [{"role": "user", "parts": [{"type": "text", "content": PROMPT}]}]
    assert answered[0]["parts"] == [{"type": "text", "content": ANSWER}]


def test_masked_has_their_shape(places: Callable[..., Place], sink: OtlpSink) -> None:
    span = sent(places, sink, "masked", a_call)

    assert json.loads(str(span.attributes["gen_ai.input.messages"])) == [
        {"role": "user", "parts": [{"type": "text", "content": f"[{len(PROMPT)} characters]"}]}]
    assert PROMPT not in str(span) and ANSWER not in str(span)


def test_masked_masks_what_the_span_carries_itself(places: Callable[..., Place], sink: OtlpSink) -> None:
    carried = {"gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "tool_call", "name": "f", "id": "1",
                                                                               "arguments": {"a": PROMPT}}]}]),
               "gen_ai.output.messages": "no JSON " + PROMPT, "gen_ai.tool.call.result": PROMPT, "gen_ai.prompt.variable.x": PROMPT}

    span = sent(places, sink, "masked", lambda place: place.record(1, "kept", **carried))

    assert span.attributes["text"] == "kept"
    assert json.loads(str(span.attributes["gen_ai.input.messages"]))[0]["parts"][0]["name"] == "f"
    assert PROMPT not in str(span)


QUOTES = {"gen_ai.prompt.0.content": PROMPT, "llm.input_messages.0.message.content": PROMPT, "input.value": PROMPT,
          "gen_ai.prompt.variable.city": PROMPT, "gen_ai.input.messages": PROMPT, "traceloop.entity.input": PROMPT}
"""Names under which instrumentors put prompts on spans."""


def test_none_takes_away_what_the_span_carries_itself(places: Callable[..., Place], sink: OtlpSink) -> None:
    """Of other instrumentors too, from events, and from the message of an error, which likes to quote."""
    span = sent(places, sink, "none", lambda place: place.failed(PROMPT, **QUOTES, **{"gen_ai.prompt.name": "p"}))

    assert PROMPT not in str(span)
    assert (span.attributes["gen_ai.prompt.name"], span.status_code, [event.name for event in span.events]) == (
        "p", "error", ["exception"])
    assert span.events[0].attributes["exception.type"] == "ValueError"


def test_masked_masks_what_other_instrumentors_write(places: Callable[..., Place], sink: OtlpSink) -> None:
    span = sent(places, sink, "masked", lambda place: place.failed(PROMPT, **QUOTES))

    assert PROMPT not in str(span)
    assert span.attributes["input.value"] == f"[{len(PROMPT)} characters]"


def test_span_leaves_what_the_span_carries_and_adds_nothing(places: Callable[..., Place], sink: OtlpSink) -> None:
    span = sent(places, sink, "span", lambda place: place.failed(PROMPT, **QUOTES))

    assert {key: span.attributes[key] for key in QUOTES} == QUOTES
    assert span.status_message == PROMPT


def test_span_adds_nothing(places: Callable[..., Place], sink: OtlpSink) -> None:
    assert PROMPT not in str(sent(places, sink, "span", a_call))


def test_the_standard_endpoint_gets_spans_as_they_are_unless_told_otherwise(places: Callable[..., Place], sink: OtlpSink) -> None:
    found = {}
    for policy in ("", "otlp;content=none"):
        place = places(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_LLM_FORWARD=policy)
        place.record(1, "kept", **QUOTES)
        assert place.forward()
        found[policy] = set(QUOTES) & sink.spans[-1].attributes.keys()

    assert found == {"": set(QUOTES), "otlp;content=none": set()}


@pytest.mark.parametrize("policy", ["none", "masked", "full", "span"])
def test_raw_bodies_go_nowhere(places: Callable[..., Place], sink: OtlpSink, policy: str) -> None:
    span = sent(places, sink, policy, lambda place: place.record(1, **{"otel_llm.request.body": "{}", "otel_llm.response.body": "{}"}))

    assert set(span.attributes) == {"text"}


def test_a_large_prompt_is_shortened_by_structure(places: Callable[..., Place], sink: OtlpSink) -> None:
    span = sent(places, sink, "full", lambda place: place.call("x" * 20_000_000, ANSWER))

    text = str(span.attributes["gen_ai.input.messages"])
    assert len(text) < 100_000
    assert "characters left out" in json.loads(text)[0]["parts"][0]["content"]


def test_a_tool_has_its_arguments_and_its_result(places: Callable[..., Place], sink: OtlpSink) -> None:
    def fill(place: Place) -> None:
        trace, span, at = place.tape.next()
        head = {"trace_id": trace, "span_id": span}
        place.spool.append(CALL_START, dump({**head, "parent_span_id": None, "name": "execute_tool f", "time_ns": at, "api": FUNCTION,
                                             "method": "CALL", "url": "", "content_type": "application/json",
                                             "attributes": {"gen_ai.operation.name": "execute_tool"}}), b'{"a":1}')
        place.spool.append(CALL_END, dump({**head, "time_ns": at + 5, "status": None, "content_type": "application/json",
                                           "complete": True}), b'"done"')
        place.tape.span(SpanData(trace, span, None, "execute_tool f", "internal", at, at + 5,
                                 {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "f"}))

    span = sent(places, sink, "full", fill)

    assert (span.attributes["gen_ai.tool.call.arguments"], span.attributes["gen_ai.tool.call.result"]) == ('{"a":1}', '"done"')


def test_two_destinations_have_a_policy_each(places: Callable[..., Place], sink: OtlpSink) -> None:
    with OtlpSink() as other:
        place = places(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_LLM_FORWARD=f"other={other.url};content=full")
        a_call(place)

        assert place.forward()

        assert "gen_ai.input.messages" not in sink.spans[0].attributes
        assert "gen_ai.input.messages" in other.spans[0].attributes
        assert sink.spans[0].span_id == other.spans[0].span_id


def test_a_call_whose_last_frame_is_on_the_way_is_waited_for(places: Callable[..., Place], sink: OtlpSink) -> None:
    """The span is written before the frame with the response; content must not depend on where a batch ends."""
    import time

    place = places(OTEL_LLM_FORWARD=f"there={sink.url};content=full")
    place.tape.process_start = time.time_ns()
    call = place.tape.start(chat_request(message("user", PROMPT)))
    place.tape.span(SpanData(call[0], call[1], None, "chat", "client", time.time_ns(), time.time_ns(), {}))

    place.once()
    before = len(sink.seen)
    place.tape.end(call, chat_response(ANSWER))
    assert place.forward()

    assert before == 0
    assert ANSWER in str(sink.spans[0].attributes["gen_ai.output.messages"])


def test_a_cost_that_the_span_was_not_told_comes_from_the_store(place: Place, sink: OtlpSink) -> None:
    place.call()

    place.forward()

    assert isinstance(sink.spans[0].attributes["otel_llm.cost.total"], float)
