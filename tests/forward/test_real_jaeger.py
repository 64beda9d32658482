"""A real Jaeger behind the forwarder: span for span what the store has, content as asked, and back after a kill."""

from __future__ import annotations

import json
from typing import Any

import pytest

from forward.conftest import Program
from otel_llm.store.sqlite import SqliteStore
from support.backends import Running, eventually, jaeger, traces_in_jaeger

SERVICE = "shop"
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


def arrived(backend: Running, count: int) -> dict[str, dict[str, Any]]:
    return eventually(lambda: traces_in_jaeger(backend.query_url, SERVICE), until=lambda found: len(found) >= count)


@pytest.fixture
def environ() -> dict[str, str]:
    return {"OTEL_SERVICE_NAME": SERVICE}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_jaeger_has_span_for_span_what_the_store_has(program: Program, environ: dict[str, str], protocol: str) -> None:
    with jaeger() as backend:
        url = backend.otlp_url if protocol != "grpc" else f"http://{backend.grpc_endpoint}"
        ours = {**environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_LLM_FORWARD": "otlp;content=full"}

        program.run(3, CANARY, 1, text=ASK, **ours)
        program.otel_llm("forward", "run", "--until-empty", "--timeout", "20", **ours)

        found = arrived(backend, 6)
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


def test_a_jaeger_that_was_killed_gets_what_it_missed(program: Program, environ: dict[str, str]) -> None:
    with jaeger() as backend:
        ours = {**environ, "OTEL_EXPORTER_OTLP_ENDPOINT": backend.otlp_url}
        backend.kill()
        program.run(5, CANARY, 1, text=ASK, **ours)
        backend.start()

        done = program.otel_llm("forward", "run", "--until-empty", "--timeout", "40", **ours)

        found = arrived(backend, 10)
    assert done.returncode == 0
    assert sorted(found) == program.span_ids()
    assert CANARY.strip() not in json.dumps(found)


def test_a_prompt_of_20_mb_is_in_the_store_and_its_span_in_jaeger(program: Program, environ: dict[str, str]) -> None:
    with jaeger() as backend:
        ours = {**environ, "OTEL_EXPORTER_OTLP_ENDPOINT": backend.otlp_url, "OTEL_LLM_FORWARD": "otlp;content=full"}

        program.run(1, CANARY, 20_000_000 // len(CANARY), text=ASK, **ours)
        program.otel_llm("forward", "run", "--until-empty", "--timeout", "20", **ours)

        found = arrived(backend, 2)
    (call,) = [there for there in found.values() if there["name"].startswith("chat")]
    with SqliteStore(program.store) as store:
        assert len(store.exchange(call["spanId"]).request_body or b"") > 19_900_000
    assert len(call["attributes"]["gen_ai.input.messages"]) < 100_000
    assert "characters left out" in call["attributes"]["gen_ai.input.messages"]
