"""What is sent is in the store: from the SDK's exporters, in every coding and form, with the bytes of its calls."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from opentelemetry import trace
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_llm import otlp
from otel_llm.replay.view import messages
from otel_llm.store.exporter import ReplayProcessor
from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.session import Filter
from otel_llm.values.spandata import SpanData
from server.serving import JSON, PROTOBUF, Serving, gzipped, serving, span, spans

FOREIGN = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 200, "gen_ai.conversation.id": "conv-7",
    "gen_ai.input.messages": json.dumps([
        {"role": "user", "parts": [{"type": "text", "content": "Where is my marmalade order?"}]}]),
    "gen_ai.output.messages": json.dumps([
        {"role": "assistant", "parts": [{"type": "text", "content": "It left the warehouse yesterday."}], "finish_reason": "stop"}]),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("receiving") / "store", "--grpc-port", "0", OTEL_LLM_REDACT="1") as made:
        yield made


@pytest.fixture
def store(server: Serving) -> Iterator[SqliteStore]:
    with SqliteStore(server.store) as opened:
        yield opened


def exporter(server: Serving, kind: str) -> SpanExporter:
    if kind.startswith("grpc"):
        from grpc import Compression
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc(endpoint=server.grpc, insecure=True, compression=Compression.Gzip if kind.endswith("gzip") else None)
    from opentelemetry.exporter.otlp.proto.http import Compression as Coding
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    coding = {"http": Coding.NoCompression, "http gzip": Coding.Gzip, "http deflate": Coding.Deflate}[kind]
    return OTLPSpanExporter(endpoint=f"{server.url}/v1/traces", compression=coding)


def as_exported(made: SpanData) -> SpanData:
    """The SDK's own exporters leave the trace flags (sampled, random) out."""
    links = tuple(replace(link, flags=link.flags & ~0xFF) for link in made.links)
    return replace(made, flags=made.flags & ~0xFF, links=links)


@pytest.mark.parametrize("kind", ["http", "http gzip", "http deflate", "grpc", "grpc gzip"])
def test_spans_of_the_sdk_are_in_the_store_as_if_recorded_in_process(
    server: Serving, store: SqliteStore, tmp_path: Path, kind: str
) -> None:
    spool = Spool(tmp_path / "own" / "spool")
    provider = TracerProvider(resource=Resource({"service.name": "shop"}, "https://schema.example/r"), shutdown_on_exit=False)
    provider.add_span_processor(ReplayProcessor(spool))
    provider.add_span_processor(SimpleSpanProcessor(exporter(server, kind)))
    tracer = provider.get_tracer("lib", "1", "https://schema.example/s", {"a": 1})
    far = SpanContext(7, 9, is_remote=True, trace_flags=TraceFlags(1))

    with tracer.start_as_current_span("outer", links=[Link(far, {"l": True})]) as outer:
        with tracer.start_as_current_span("inner", kind=SpanKind.CLIENT, attributes={
                "s": "ü\U0001f600", "i": 2**62, "f": 0.1, "b": False, "list": ("x", "y"), "a.b": "dotted"}) as inner:
            inner.add_event("said", {"n": 1})
            inner.set_status(Status(StatusCode.ERROR, "broken"))
    provider.shutdown()
    spool.close()

    with SqliteStore(tmp_path / "own") as own:
        for made in (outer, inner):
            span_id = trace.format_span_id(made.get_span_context().span_id)
            assert store.span(span_id) == as_exported(own.span(span_id))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd", "identity", "GZIP"])
@pytest.mark.parametrize("kind", [PROTOBUF, JSON, "application/json; charset=utf-8"])
def test_every_coding_and_form_is_taken_and_answered_in_the_same_form(
    server: Serving, store: SqliteStore, coding: str, kind: str
) -> None:
    number = 100 + zlib.crc32((coding + kind).encode()) % 10**6
    pack = {"gzip": gzipped, "deflate": zlib.compress, "zstd": zstandard.ZstdCompressor().compress, "identity": bytes}[coding.lower()]
    encode = otlp.encode if kind == PROTOBUF else otlp.encode_json

    answer = server.post(pack(encode([span(number)])), kind=kind, coding=coding)

    assert (answer.status, answer.headers["content-type"]) == (200, kind.partition(";")[0])
    assert answer.body == (b"" if kind == PROTOBUF else b"{}")
    assert store.span(span(number).span_id) == span(number)


def test_a_foreign_chat_span_is_read_into_the_same_values(server: Serving, store: SqliteStore) -> None:
    made = span(11, attributes=FOREIGN)
    server.post(otlp.encode([made]))

    (row,) = store.sessions(Filter(session=("conv-7",)))
    (step,) = store.calls(Filter(session=("conv-7",)))

    assert (row.title, row.calls) == ("Where is my marmalade order?", 1)
    assert (step.provider, step.model, step.response_model) == ("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert (step.usage.input_tokens, step.usage.output_tokens, step.finish_reason) == (1000, 200, "stop")
    assert step.cost is not None and step.cost.total == 270_000_000  # 1000 at $0.15 and 200 at $0.60 a million, in pico-dollars
    assert (step.request_preview, step.response_preview) == ("Where is my marmalade order?", "It left the warehouse yesterday.")
    assert [hit.step.span_id for hit in store.search("marmalade warehouse", Filter())] == [made.span_id]
    assert store.span(made.span_id) == made
    assert [entry.message.text for entry in messages(store, [step])] == [
        "Where is my marmalade order?", "It left the warehouse yesterday."]


REQUEST = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Which  tea?"}]}, indent=1)
RESPONSE = json.dumps({
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Oolong, naturally."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}})
CALL = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
    "openai.api.type": "chat_completions", "server.address": "api.openai.com", "url.path": "/v1/chat/completions"}


@pytest.mark.parametrize("as_bytes", [False, True])
def test_bodies_on_a_span_come_back_from_the_store_as_exact_bytes(server: Serving, store: SqliteStore, as_bytes: bool) -> None:
    made = span(20 + as_bytes, attributes=CALL)
    bodies: dict[str, Any] = {"otel_llm.request.body": REQUEST, "otel_llm.response.body": RESPONSE}
    if as_bytes:
        bodies = {key: text.encode() for key, text in bodies.items()}

    server.post(otlp.encode([replace(made, attributes={**CALL, **bodies})]))

    exchange = store.exchange(made.span_id)
    assert (exchange.request_body, exchange.response_body) == (REQUEST.encode(), RESPONSE.encode())
    assert (exchange.api, exchange.url, exchange.status) == ("openai_chat", "https://api.openai.com/v1/chat/completions", 200)
    assert (exchange.exactness, exchange.complete) == ("exact", True)
    assert store.span(made.span_id) == made
    (step,) = [s for s in store.calls(Filter()) if s.span_id == made.span_id]
    assert (step.usage.output_tokens, step.response_preview) == (4, "Oolong, naturally.")


def test_a_failed_stream_on_a_span_is_a_failed_incomplete_stream(server: Serving, store: SqliteStore) -> None:
    stream = 'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hal"}}]}\n\n'
    made = span(24, status_code="error", attributes={**CALL, "error.type": "ReadError"})

    server.post(otlp.encode([replace(made, attributes={
        **made.attributes, "otel_llm.request.body": REQUEST, "otel_llm.response.body": stream})]))

    exchange = store.exchange(made.span_id)
    assert (exchange.response_body, exchange.response_type, exchange.complete) == (stream.encode(), "text/event-stream", False)
    assert [s.error_type for s in store.calls(Filter()) if s.span_id == made.span_id] == ["ReadError"]


def test_secrets_are_replaced_before_anything_is_written(server: Serving, store: SqliteStore) -> None:
    secret = "sk-proj-0123456789abcdefghijklmnopqrstuv"
    made = span(25, attributes={**CALL, "note": f"use {secret}"}, status_message=f"bad key {secret}")

    server.post(otlp.encode([replace(made, attributes={
        **made.attributes, "otel_llm.request.body": REQUEST.replace("tea", secret), "otel_llm.response.body": RESPONSE})]))

    exchange = store.exchange(made.span_id)
    assert (exchange.exactness, exchange.redacted) == ("partial", 1)
    assert store.span(made.span_id).attributes["note"] == "use [redacted:openai_key]"
    files = [path.read_bytes() for path in server.store.rglob("*") if path.is_file()]
    assert not any(secret.encode() in content for content in files)


def test_a_prompt_of_20_mb_arrives(server: Serving, store: SqliteStore) -> None:
    prompt = "All work and no play makes Jack a dull boy. " * 450_000
    made = span(30, attributes={**CALL, "otel_llm.request.body": json.dumps({"model": "m", "messages": [
        {"role": "user", "content": prompt}]}), "otel_llm.response.body": RESPONSE})

    answer = server.post(gzipped(otlp.encode([made])), coding="gzip")

    assert answer.status == 200
    assert store.exchange(made.span_id).request_body == str(made.attributes["otel_llm.request.body"]).encode()


class TestPartialSuccess:
    BAD = {"traceId": "ab", "spanId": "cd" * 8}

    def test_one_bad_span_does_not_cost_the_others(self, server: Serving, store: SqliteStore) -> None:
        request = json.loads(otlp.encode_json(spans([40, 41])))
        request["resourceSpans"][0]["scopeSpans"][0]["spans"].insert(1, self.BAD)

        answer = server.post(json.dumps(request), kind=JSON)

        assert answer.status == 200
        assert answer.json == {"partialSuccess": {
            "rejectedSpans": "1", "errorMessage": "1 of 3 spans are no OTLP. The traceId 'ab' is not 32 hex digits that are not all zero."}}
        assert [store.span(span(n).span_id).name for n in (40, 41)] == ["chat 40", "chat 41"]
        assert {loss.reason: loss.count for loss in store.losses()} == {"received span refused": 1}

    def test_the_same_in_protobuf(self, server: Serving, store: SqliteStore) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        request = ExportTraceServiceRequest.FromString(otlp.encode(spans([42, 43])))
        request.resource_spans[0].scope_spans[0].spans[0].span_id = b"short"

        answer = server.post(request.SerializeToString())

        said = ExportTraceServiceResponse.FromString(answer.body).partial_success
        assert (answer.status, said.rejected_spans) == (200, 1)
        assert "span id" in said.error_message
        assert store.span(span(43).span_id) == span(43, attributes={**span(43).attributes, "filling": ""})

    def test_nothing_but_bad_spans_is_a_bad_request(self, server: Serving) -> None:
        answer = server.post(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [self.BAD, self.BAD]}]}]}), kind=JSON)

        assert answer.status == 400


class TestLogsAndMetrics:
    def test_logs_are_counted_and_the_sender_is_told_that_they_are_not_kept(self, server: Serving) -> None:
        request = ExportLogsServiceRequest()
        records = request.resource_logs.add().scope_logs.add().log_records
        records.add(event_name="gen_ai.evaluation.result")
        records.add(event_name="shop.sold")

        answer = server.post(request.SerializeToString(), "/v1/logs")

        said = ExportTraceServiceResponse.FromString(answer.body).partial_success
        assert (answer.status, said.rejected_spans) == (200, 2)
        assert said.error_message == "otel-llm keeps spans only: 2 log records were not kept (1 of GenAI). Send logs elsewhere."

    def test_metrics_in_json_as_well(self, server: Serving) -> None:
        points = {"gauge": {"dataPoints": [{}, {}]}}
        request = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [
            {"name": "gen_ai.client.token.usage", **points}, {"name": "x", **points}]}]}]}

        answer = server.post(json.dumps(request), "/v1/metrics", kind=JSON)

        assert answer.json["partialSuccess"]["rejectedDataPoints"] == "4"
        assert "1 of GenAI" in answer.json["partialSuccess"]["errorMessage"]

    def test_metrics_in_protobuf_count_points_of_every_kind(self, server: Serving) -> None:
        request = ExportMetricsServiceRequest()
        metrics = request.resource_metrics.add().scope_metrics.add().metrics
        for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
            getattr(metrics.add(name="x"), kind).data_points.add()

        answer = server.post(request.SerializeToString(), "/v1/metrics")

        assert ExportTraceServiceResponse.FromString(answer.body).partial_success.rejected_spans == 5

    @pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
    def test_nothing_at_all_is_a_success(self, server: Serving, path: str) -> None:
        assert (server.post(b"", path).status, server.post("{}", path, kind=JSON).status) == (200, 200)


def test_the_servers_own_counters_are_prometheus_text(server: Serving) -> None:
    before = server.counter("spans_total")
    server.post(otlp.encode(spans([60, 61, 62])))

    answer = server.ask("GET", "/metrics")

    assert server.counter("spans_total") - before == 3
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in answer.body.decode().splitlines():
        assert line.startswith("#") or float(line.rpartition(" ")[2]) >= 0


def test_healthz_says_ok_and_how_far_the_index_is_behind(server: Serving) -> None:
    answer = server.ask("GET", "/healthz")

    assert answer.status == 200
    assert answer.json["status"] == "ok"
    assert answer.json["spool_bytes"] > 0
    assert answer.json["index_lag_s"] >= 0
