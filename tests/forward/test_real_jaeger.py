"""A real Jaeger behind the forwarder: span for span what the store has, content as asked, and back after a kill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from forward.conftest import LOAD, Program, ended
from otel_llm.store.sqlite import SqliteStore
from support.backends import Running, eventually, jaeger, traces_in_jaeger

ASK = """
import sys
import otel_llm; otel_llm.init()
import openai
client = openai.OpenAI(max_retries=0)
for n in range(int(sys.argv[1])):
    with otel_llm.workflow("answer"):
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": sys.argv[2] * int(sys.argv[3])}])
"""
CANARY = "echo: canary-4711 "


def arrived(backend: Running, count: int, service: str) -> dict[str, dict[str, Any]]:
    return eventually(lambda: traces_in_jaeger(backend.query_url, service), until=lambda found: len(found) >= count)


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """One Jaeger for all tests; each has a service of its own."""
    with jaeger() as backend:
        yield backend


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_jaeger_has_span_for_span_what_the_store_has(program: Program, shared: Running, protocol: str) -> None:
    url = shared.otlp_url if protocol != "grpc" else f"http://{shared.grpc_endpoint}"
    ours = {"OTEL_SERVICE_NAME": protocol, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_LLM_FORWARD": "otlp;content=full"}

    program.run(3, CANARY, 1, text=ASK, **ours)
    assert program.forward(**ours)

    found = arrived(shared, 6, protocol)
    assert sorted(found) == program.span_ids()
    with SqliteStore(program.store) as store:
        for span_id, there in found.items():
            span = store.span(span_id)
            assert (there["name"], there["traceId"], there.get("parentSpanId", "") or None) == (span.name, span.trace_id, span.parent_span_id)
            assert (int(there["startTimeUnixNano"]), int(there["endTimeUnixNano"])) == (span.start_ns, span.end_ns)
            assert {k: v for k, v in span.attributes.items() if isinstance(v, str)}.items() <= there["attributes"].items()
    (call, *_) = [there for there in found.values() if there["name"].startswith("chat")]
    assert json.loads(call["attributes"]["gen_ai.input.messages"])[0]["parts"][0]["content"] == CANARY
    assert json.loads(call["attributes"]["gen_ai.output.messages"])[0]["role"] == "assistant"


def test_a_jaeger_that_is_killed_under_load_has_all_that_it_had_not_acknowledged_and_all_that_follows(
    program: Program, shared: Running
) -> None:
    """What it had acknowledged went with its memory; the rest is there to the span, and nothing of it as content."""
    ours = {"OTEL_SERVICE_NAME": "shop", "OTEL_EXPORTER_OTLP_ENDPOINT": shared.otlp_url}
    process = program.start(0.1, CANARY, text=LOAD, **ours)
    arrived(shared, 20, "shop")

    shared.kill()
    eventually(lambda: program.waiting(), until=lambda one: one.failures > 0)
    acknowledged = program.sent_ids()
    shared.start()
    arrived(shared, 20, "shop")
    made, _ = ended(process)
    assert program.forward(**ours)

    everything = program.span_ids()
    found = arrived(shared, made - len(acknowledged), "shop")
    assert len(everything) == made
    assert sorted(found) == sorted(set(everything) - acknowledged)
    assert CANARY.strip() not in json.dumps(found)


def test_a_prompt_of_20_mb_is_in_the_store_and_its_span_in_jaeger(program: Program, shared: Running) -> None:
    ours = {"OTEL_SERVICE_NAME": "large", "OTEL_EXPORTER_OTLP_ENDPOINT": shared.otlp_url, "OTEL_LLM_FORWARD": "otlp;content=full"}

    program.run(1, CANARY, 20_000_000 // len(CANARY), text=ASK, **ours)
    assert program.forward(**ours)

    found = arrived(shared, 2, "large")
    (call,) = [there for there in found.values() if there["name"].startswith("chat")]
    with SqliteStore(program.store) as store:
        assert len(store.exchange(call["spanId"]).request_body or b"") > 19_900_000
    assert len(call["attributes"]["gen_ai.input.messages"]) < 100_000
    assert "characters left out" in call["attributes"]["gen_ai.input.messages"]
