"""The whole way in one run: an instrumented program, the real Collector, and at its ends Jaeger, `otel-llm serve` and a file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from collector.test_flow import CALL, CONTENT, RAW, essence, http, send
from otel_llm.collector_config import Choices, render
from otel_llm.semconv import names
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator
from otel_llm.values.session import Filter
from server.serving import serving
from support.backends import eventually, free_ports, jaeger, otelcol, traces_in_jaeger

PROGRAM = """
import sys, openai, otel_llm
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider(resource=Resource.create({"service.name": "fan-out"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=sys.argv[1] + "/v1/traces")))
otel_llm.instrument(tracer_provider=provider)
client = openai.OpenAI(base_url=sys.argv[2], api_key="k")
with otel_llm.session("s-1", user="ada"), otel_llm.workflow("answer"):
    for n in range(5):
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: number {n}"}])
provider.shutdown()
"""


def test_an_instrumented_program_reaches_jaeger_the_replay_store_and_a_file(tmp_path: Path, sim: Simulator) -> None:
    ports = free_ports()
    with jaeger() as shop, serving(tmp_path / "replay") as replay:
        choices = Choices(jaeger=shop.otlp_url, replay=f"http://{replay.place}", ports=ports, file="spans.jsonl")
        with otelcol(render(choices), ports=ports) as hop:
            subprocess.run([sys.executable, "-c", PROGRAM, hop.otlp_url, sim.base_url], check=True,
                           env={"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY", "OTEL_LLM_STORE": str(tmp_path / "own")})
            in_jaeger = eventually(lambda: traces_in_jaeger(shop.query_url, "fan-out"), until=lambda found: len(found) == 6)
            with SqliteStore(tmp_path / "replay") as store:
                steps = eventually(lambda: [step for s in store.sessions(Filter()) for step in store.steps(s.session_id)],
                                   until=lambda found: len(found) == 6)
                (session,) = store.sessions(Filter())
                spans = {step.span_id: store.span(step.span_id) for step in steps}
            lines = eventually(lambda: (hop.directory / "spans.jsonl").read_text().splitlines(),
                               until=lambda found: sum(line.count('"spanId"') for line in found) == 6)

    in_file = {span["spanId"]: span for line in lines for r in json.loads(line)["resourceSpans"]
               for scope in r["scopeSpans"] for span in scope["spans"]}
    stored = {i: (s.trace_id, s.parent_span_id or "", s.name, s.start_ns, s.end_ns) for i, s in spans.items()}
    assert {i: essence(s) for i, s in in_jaeger.items()} == {i: essence(s) for i, s in in_file.items()} == stored
    assert (session.session_id, session.user_id, session.calls) == ("s-1", "ada", 5)
    assert session.usage.output_tokens and session.cost and session.title == "echo: number 0"
    llm = [s["attributes"] for s in in_jaeger.values() if s["name"].startswith("chat")]
    assert sorted(json.loads(a[names.GEN_AI_OUTPUT_MESSAGES])[0]["parts"][0]["content"] for a in llm) == [f"number {n}" for n in range(5)]


def test_raw_bodies_stop_before_the_viewers_and_reach_the_store(tmp_path: Path) -> None:
    kept, ports = InMemorySpanExporter(), free_ports()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with provider.get_tracer("shop").start_as_current_span("chat gpt-4o-mini", attributes={**CALL, **CONTENT}):
        pass

    with jaeger() as shop, serving(tmp_path / "replay") as replay:
        with otelcol(render(Choices(jaeger=shop.otlp_url, replay=f"http://{replay.place}", ports=ports)), ports=ports) as hop:
            send(http(hop), list(kept.get_finished_spans()))
            in_jaeger = eventually(lambda: traces_in_jaeger(shop.query_url, "unknown_service:python") or traces_in_jaeger(
                shop.query_url, "unknown_service"))
            with SqliteStore(tmp_path / "replay") as store:
                (call,) = eventually(lambda: store.calls(Filter()))
                exchange = store.exchange(call.span_id)

    assert RAW not in json.dumps(in_jaeger)
    assert exchange.request_body == RAW.encode() and exchange.response_body == RAW.encode()


def test_the_store_takes_a_span_once_however_often_it_is_sent(tmp_path: Path) -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    for _ in range(20):
        with provider.get_tracer("shop").start_as_current_span("chat gpt-4o-mini", attributes=CALL):
            pass

    with serving(tmp_path / "replay") as replay:
        for _ in range(3):
            send(OTLPSpanExporter(endpoint=f"http://{replay.place}/v1/traces"), list(kept.get_finished_spans()))
        with SqliteStore(tmp_path / "replay") as store:
            calls = eventually(lambda: store.calls(Filter(), limit=100), until=lambda found: len(found) >= 20)

    assert len(calls) == 20
