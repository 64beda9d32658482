"""Metrics, events and content on spans: what other backends see when they ask for it."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

import otel_llm
from otel_llm.testing import Simulator, error
from support.chat import HELLO
from support.recording import recording

ASKED = [{"role": "user", "parts": [{"type": "text", "content": "echo: one two three"}]}]
ANSWERED = [{"role": "assistant", "parts": [{"type": "text", "content": "one two three"}]}]


def test_a_call_is_measured(rec: Any, client: Any) -> None:
    client.chat.completions.create(**HELLO)
    list(client.chat.completions.create(**HELLO, stream=True, stream_options={"include_usage": True}))

    points = rec.metrics()
    assert set(points) == {"gen_ai.client.operation.duration", "gen_ai.client.token.usage",
                           "gen_ai.client.operation.time_to_first_chunk", "gen_ai.client.operation.time_per_output_chunk"}
    assert [p.count for p in points["gen_ai.client.operation.duration"]] == [2]
    tokens = {p.attributes["gen_ai.token.type"]: p.sum for p in points["gen_ai.client.token.usage"]}
    assert tokens == {"input": sum((c.attributes or {})["gen_ai.usage.input_tokens"] for c in rec.calls),
                      "output": sum((c.attributes or {})["gen_ai.usage.output_tokens"] for c in rec.calls)}


def test_a_failed_call_is_measured_with_its_error(rec: Any, client: Any, sim: Simulator) -> None:
    sim.script(error(400))
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**HELLO)

    (point,) = rec.metrics()["gen_ai.client.operation.duration"]
    (event,) = rec.events
    assert point.attributes["error.type"] == "BadRequestError"
    assert event.event_name == "gen_ai.client.operation.exception"
    assert event.attributes["exception.type"] == "BadRequestError"


def test_content_is_not_on_spans_unless_asked_for(rec: Any, client: Any) -> None:
    client.chat.completions.create(**HELLO)

    assert "one two three" not in repr(rec.attributes) and rec.events == []


@pytest.mark.parametrize(("mode", "on_span", "on_event"), [
    ("SPAN_ONLY", True, False), ("EVENT_ONLY", False, True), ("SPAN_AND_EVENT", True, True)])
def test_content_goes_where_the_variable_says(tmp_path: Any, client: Any, mode: str, on_span: bool, on_event: bool) -> None:
    with recording(tmp_path, content_on_spans=mode) as rec:
        client.chat.completions.create(**HELLO)

        spoken = [rec.attributes.get(f"gen_ai.{side}.messages") for side in ("input", "output")]
        assert [json.loads(t) if t else None for t in spoken] == ([ASKED, ANSWERED] if on_span else [None, None])
        assert len(rec.events) == int(on_event)
        if on_event:
            (event,) = rec.events
            assert event.event_name == "gen_ai.client.inference.operation.details"
            assert json.loads(json.dumps(event.attributes["gen_ai.input.messages"], default=list)) == ASKED


def test_tools_show_their_content_on_spans_only_when_asked(tmp_path: Any) -> None:
    with recording(tmp_path, content_on_spans="SPAN_ONLY") as rec:
        with otel_llm.tool("add", arguments={"a": 1}) as step:
            step.result(3)
        with otel_llm.workflow("w", input="question") as step:
            step.result("answer")

        tool, workflow = (dict(s.attributes or {}) for s in rec.spans)
        assert (tool["gen_ai.tool.call.arguments"], tool["gen_ai.tool.call.result"]) == ('{"a":1}', "3")
        assert json.loads(workflow["gen_ai.output.messages"])[0]["parts"][0]["content"] == '"answer"'


def test_a_known_model_has_its_price_on_the_span(rec: Any, client: Any) -> None:
    client.chat.completions.create(**HELLO)

    cost = {k: v for k, v in rec.attributes.items() if k.startswith("otel_llm.cost.")}
    assert cost["otel_llm.cost.total"] == pytest.approx(cost["otel_llm.cost.input"] + cost["otel_llm.cost.output"])
    assert 0 < cost["otel_llm.cost.total"] < 0.001


def test_what_a_sampler_may_want_is_there_at_the_start(rec: Any, client: Any) -> None:
    client.chat.completions.create(**HELLO)

    start = rec.collector.started[rec.call.context.span_id]
    assert {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "server.address", "server.port"} <= set(start)
