"""Spans on their way: a real SDK, a real Collector with the configurations that we ship, a real Jaeger.

The replay store's place is taken by a loopback receiver that can refuse, be silent and come back.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode, Tracer

from otel_llm.collector_config import Choices, render
from otel_llm.semconv import names
from support.backends import (
    COLLECTOR,
    Running,
    Sink,
    eventually,
    free_ports,
    jaeger,
    metrics_at,
    otelcol,
    program,
    trace_in_jaeger,
    traces_in_jaeger,
)

CANARY = "sk-proj-canary0123456789abcdefghij"
MAIL = "jane.doe@mail.example.org"
RAW = "raw-body-that-no-viewer-may-see"
MESSAGES = json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"My key is {CANARY}, write to {MAIL}"}]}])
ANSWER = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Done."}], "finish_reason": "stop"}])
CALL = {
    names.GEN_AI_OPERATION_NAME: "chat", names.GEN_AI_PROVIDER_NAME: "openai", names.GEN_AI_REQUEST_MODEL: "gpt-4o-mini",
    names.GEN_AI_USAGE_INPUT_TOKENS: 10, names.GEN_AI_USAGE_OUTPUT_TOKENS: 5, names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: 7,
    names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: 0.3, names.GEN_AI_PROMPT_NAME: "greeting", names.GEN_AI_PROMPT_VERSION: "3",
    names.OTEL_LLM_COST_TOTAL: 0.001, names.OTEL_LLM_TAG_PREFIX + "team": "search",
}
CONTENT = {names.GEN_AI_INPUT_MESSAGES: MESSAGES, names.GEN_AI_OUTPUT_MESSAGES: ANSWER, names.OTEL_LLM_REQUEST_BODY: RAW, names.OTEL_LLM_RESPONSE_BODY: RAW}


@pytest.fixture(scope="module")
def shop() -> Iterator[Running]:
    """Jaeger, shared by the tests that leave it alone; each has a service name of its own."""
    with jaeger() as running:
        yield running


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as made:
        yield made


@contextmanager
def recorded(service: str) -> Iterator[tuple[Tracer, InMemorySpanExporter]]:
    """Spans that the SDK made and nobody has sent yet."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({names.SERVICE_NAME: service}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    yield provider.get_tracer("shop"), kept
    provider.shutdown()


def calls(service: str, number: int, change: Callable[[int], dict[str, Any]] = lambda i: {}, *, failing: range = range(0)) -> list[ReadableSpan]:
    """Traces of one call each."""
    with recorded(service) as (tracer, kept):
        for i in range(number):
            with tracer.start_as_current_span("chat gpt-4o-mini", attributes={**CALL, **change(i)}) as span:
                if i in failing:
                    span.set_status(Status(StatusCode.ERROR, f"refused {CANARY}"))
        return list(kept.get_finished_spans())


def send(exporter: SpanExporter, spans: list[ReadableSpan], *, at_once: int = 100) -> None:
    """Everything acknowledged, or the test ends here."""
    for begin in range(0, len(spans), at_once):
        assert exporter.export(spans[begin:begin + at_once]) is SpanExportResult.SUCCESS
    exporter.shutdown()


def http(running: Running, **options: Any) -> OTLPSpanExporter:
    return OTLPSpanExporter(endpoint=f"{running.otlp_url}/v1/traces", **options)


def ids(spans: list[ReadableSpan]) -> set[str]:
    return {format(span.context.span_id, "016x") for span in spans}


def series(found: dict[str, float], name: str, **labels: str) -> float:
    """The sum over the series of a metric that carry these labels."""
    return sum(value for key, value in found.items() if re.match(rf"{name}\{{", key) and all(f'{k}="{v}"' in key for k, v in labels.items()))


def test_every_span_arrives_at_every_end_with_ids_times_and_content(shop: Running, sink: Sink) -> None:
    with recorded("everywhere") as (tracer, kept):
        for i in range(100):
            with tracer.start_as_current_span("invoke_agent support", attributes={names.GEN_AI_OPERATION_NAME: "invoke_agent"}):
                with tracer.start_as_current_span("chat gpt-4o-mini", attributes={**CALL, **CONTENT, names.GEN_AI_CONVERSATION_ID: f"c{i}"}):
                    pass
        sent = list(kept.get_finished_spans())
    ports = free_ports()
    choices = Choices(jaeger=shop.otlp_url, replay=sink.url, ports=ports, file="spans.jsonl")

    with otelcol(render(choices), ports=ports) as hop:
        send(http(hop), sent)
        in_jaeger = eventually(lambda: traces_in_jaeger(shop.query_url, "everywhere"), until=lambda found: len(found) >= len(sent))
        eventually(lambda: len(sink.spans()), until=lambda n: n >= len(sent))
        lines = eventually(lambda: (hop.directory / "spans.jsonl").read_text().splitlines(), until=lambda found: sum(line.count('"spanId"') for line in found) >= len(sent))

    expected = {format(s.context.span_id, "016x"): (format(s.context.trace_id, "032x"), format(s.parent.span_id, "016x") if s.parent else "", s.name, s.start_time, s.end_time)
                for s in sent}
    in_file = {span["spanId"]: span for line in lines for r in json.loads(line)["resourceSpans"] for scope in r["scopeSpans"] for span in scope["spans"]}
    assert {i: essence(span) for i, span in in_jaeger.items()} == expected
    assert {i: essence(span) for i, span in in_file.items()} == expected
    assert {i: span["traceId"] for i, span in sink.spans().items()} == {i: e[0] for i, e in expected.items()}
    llm = [span["attributes"] for span in in_jaeger.values() if span["name"].startswith("chat")]
    assert all(isinstance(a[names.GEN_AI_INPUT_MESSAGES], str) and json.loads(a[names.GEN_AI_INPUT_MESSAGES])[0]["role"] == "user" for a in llm)
    assert all(json.loads(a[names.GEN_AI_OUTPUT_MESSAGES]) == json.loads(ANSWER) for a in llm)
    assert {a["gen_ai.usage.cache_creation.input_tokens"] for a in llm} == {7}
    assert all(span["attributes"][names.OTEL_LLM_REQUEST_BODY] == RAW for span in sink.spans().values() if span["name"].startswith("chat"))


def essence(span: dict[str, Any]) -> tuple[str, str, str, int, int]:
    return span["traceId"], span.get("parentSpanId", ""), span["name"], int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])


def test_the_pages_of_jaeger_get_the_content_as_json_text(shop: Running, sink: Sink) -> None:
    ports = free_ports()
    (span,) = calls("pages", 1, lambda i: CONTENT)

    with otelcol(render(Choices(jaeger=shop.otlp_url, replay=sink.url, ports=ports)), ports=ports) as hop:
        send(http(hop), [span])
        page = eventually(lambda: trace_in_jaeger(shop.query_url, format(span.context.trace_id, "032x")))

    tags = {tag["key"]: tag for tag in page["data"][0]["spans"][0]["tags"]}
    assert tags[names.GEN_AI_INPUT_MESSAGES]["type"] == "string" and json.loads(tags[names.GEN_AI_INPUT_MESSAGES]["value"])
    assert tags[names.GEN_AI_OPERATION_NAME]["value"] == "chat"


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a gateway reads: a certificate for loopback, its key, and the tokens of two senders."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: a gateway needs a certificate")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # requests lets them win over a certificate that was given
        monkeypatch.delenv(name, raising=False)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", tmp_path / "tls.key", "-out", tmp_path / "tls.crt"], check=True, capture_output=True)
    (tmp_path / "tokens").write_text("first-token\nsecond-token\n")
    return {"GATEWAY_CERT_FILE": str(tmp_path / "tls.crt"), "GATEWAY_KEY_FILE": str(tmp_path / "tls.key"), "GATEWAY_TOKENS_FILE": str(tmp_path / "tokens")}


def test_a_gateway_keeps_what_matters_of_1000_traces_and_counts_all(shop: Running, sink: Sink, certificate: dict[str, str]) -> None:
    def change(i: int) -> dict[str, Any]:
        special = {500: {names.OTEL_LLM_COST_TOTAL: 2.5}, 501: {names.OTEL_LLM_KEEP: True}, 502: {names.ERROR_TYPE: "timeout"}}
        return {**CONTENT, **special.get(i, {})}

    ports = free_ports()
    spans = calls("gateway", 1000, change, failing=range(0, 1000, 50))
    must = ids(spans[0:1000:50]) | ids(spans[500:503])
    choices = Choices(is_gateway=True, jaeger=shop.otlp_url, replay=sink.url, ports=ports, decision_wait="1s", metrics_interval="500ms")
    headers = {"authorization": "Bearer second-token"}

    with otelcol(render(choices), ports=ports, environ=certificate):
        send(OTLPSpanExporter(endpoint=f"https://127.0.0.1:{ports.http}/v1/traces", certificate_file=certificate["GATEWAY_CERT_FILE"], headers=headers), spans)
        eventually(lambda: len(sink.spans()), until=lambda n: n == 1000)
        counted = eventually(lambda: metrics_at(ports.metrics), until=lambda m: series(m, "traces_span_metrics_calls_total") == series(m, "otel_llm_time_to_first_chunk_seconds_count") == 1000)
        kept = eventually(lambda: settled(lambda: traces_in_jaeger(shop.query_url, "gateway")), until=lambda found: must <= set(found))

    assert must <= set(kept)
    assert 60 <= len(kept) <= 190, "about 10 % of 977, and 23"
    assert series(counted, "traces_span_metrics_calls_total", status_code="STATUS_CODE_ERROR") == 20
    assert series(counted, "traces_span_metrics_duration_seconds_count", gen_ai_prompt_version="3", otel_llm_tag_team="search") == 1000
    assert series(counted, "otel_llm_cost_total", gen_ai_request_model="gpt-4o-mini") == pytest.approx(999 * 0.001 + 2.5)
    assert series(counted, "otel_llm_tokens_input_total", service_name="gateway") == 10_000
    seen = json.dumps(kept)
    assert CANARY not in seen and RAW not in seen and MAIL not in seen
    assert all(found["attributes"][names.OTEL_LLM_REQUEST_BODY] == RAW for found in sink.spans().values())
    print(f"\n1,000 traces, 20 errors, 10 %: {len(kept)} in Jaeger with all 20 errors, {len(sink.spans())} in the store's place, "
          f"{series(counted, 'traces_span_metrics_calls_total'):g} counted")


def settled(look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `look` gives when it gives as much twice in a row and anything at all."""
    first = look()
    second = look()
    return second if first and len(first) == len(second) else {}


def test_a_gateway_lets_nobody_in_without_a_token_or_without_tls(sink: Sink, certificate: dict[str, str]) -> None:
    ports = free_ports()
    trusted = ssl.create_default_context(cafile=certificate["GATEWAY_CERT_FILE"])
    secure, plain = f"https://127.0.0.1:{ports.http}/v1/traces", f"http://127.0.0.1:{ports.http}/v1/traces"

    with otelcol(render(Choices(is_gateway=True, replay=sink.url, ports=ports)), ports=ports, environ=certificate):
        answers = [status(secure, None, trusted), status(secure, "third-token", trusted), status(plain, "first-token", None),
                   status(secure, "first-token", trusted)]

    assert answers == [401, 401, 400, 200]


def status(url: str, token: str | None, context: ssl.SSLContext | None) -> int:
    """The status of an empty OTLP request."""
    headers = {"Content-Type": "application/x-protobuf", **({"Authorization": f"Bearer {token}"} if token else {})}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, b"", headers), context=context, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_each_backend_sees_as_much_as_its_policy_says(sink: Sink) -> None:
    ports = free_ports()
    secret_header = "Bearer of the second backend"
    spans = calls("policies", 20, lambda i: {**CONTENT, names.GEN_AI_PROMPT_VARIABLE_PREFIX + "mail": MAIL}, failing=range(20))

    with Sink() as nothing, Sink() as masked, Sink() as full:
        choices = Choices(replay=sink.url, jaeger=masked.url, backends={"a": nothing.url, "b": full.url}, content_of={"a": "none", "b": "full"},
                          headers={"b": {"authorization": "B_AUTHORIZATION"}}, ports=ports)
        with otelcol(render(choices), ports=ports, environ={"B_AUTHORIZATION": secret_header}) as hop:
            send(http(hop), spans)
            for end in (sink, nothing, masked, full):
                eventually(end.spans, until=lambda found: len(found) == 20)

    see_none, see_masked, see_full, see_all = (json.dumps(end.spans()) for end in (nothing, masked, full, sink))
    assert [ids(spans) == set(end.spans()) for end in (nothing, masked, full, sink)] == [True] * 4
    assert [text in see_none for text in ("My key is", "Done.", MAIL, CANARY, RAW, "refused")] == [False] * 6
    assert [text in see_masked for text in ("My key is", "Done.", MAIL, CANARY, RAW, "refused ****")] == [True, True, False, False, False, True]
    assert [text in see_full for text in ("My key is", "Done.", MAIL, CANARY, RAW, "refused ****")] == [True, True, True, False, False, True]
    assert [text in see_all for text in ("My key is", "Done.", MAIL, CANARY, RAW, f"refused {CANARY}")] == [True] * 6
    assert all(span["attributes"][names.GEN_AI_PROMPT_NAME] == "greeting" for span in nothing.spans().values())
    assert json.loads(next(iter(masked.spans().values()))["attributes"][names.GEN_AI_INPUT_MESSAGES])[0]["role"] == "user"
    assert {h.get("authorization") for h in full.headers} == {secret_header}
    assert {h.get("authorization") for end in (nothing, masked, sink) for h in end.headers} == {None}


def test_backends_and_collector_may_die_and_nothing_is_lost(sink: Sink) -> None:
    ports = free_ports()
    spans = calls("outage", 300, lambda i: CONTENT)
    quick = re.sub(r"max_interval: 30s", "max_interval: 1s", render(Choices(jaeger="http://JAEGER", replay=sink.url, ports=ports)))

    with jaeger() as store, otelcol(quick.replace("http://JAEGER", store.otlp_url), ports=ports) as hop:
        store.kill()
        sink.answer = 503
        send(http(hop), spans[:100])
        hop.kill()
        hop.start()
        send(http(hop), spans[100:200])
        sink.answer = 429
        hop.stop()
        hop.start()
        store.start()
        sink.answer = 200
        send(http(hop), spans[200:])
        in_jaeger = eventually(lambda: traces_in_jaeger(store.query_url, "outage"), until=lambda found: len(found) >= 300)
        eventually(sink.spans, until=lambda found: len(found) >= 300)

    assert set(in_jaeger) == set(sink.spans()) == ids(spans)


def test_a_prompt_of_20_mb_reaches_the_store_and_viewers_get_a_note(sink: Sink) -> None:
    ports = free_ports()
    text = "x" * 20_000_000
    long = json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}])
    (span,) = calls("long", 1, lambda i: {names.GEN_AI_INPUT_MESSAGES: long, names.OTEL_LLM_REQUEST_BODY: text, "foreign.text": text[:300_000]})

    with Sink() as viewer:
        with otelcol(render(Choices(jaeger=viewer.url, replay=sink.url, ports=ports)), ports=ports) as hop:
            send(http(hop, timeout=60), [span])
            (stored,) = eventually(lambda: list(sink.spans().values()))
            (seen,) = eventually(lambda: list(viewer.spans().values()))

    assert stored["attributes"][names.GEN_AI_INPUT_MESSAGES] == long and stored["attributes"][names.OTEL_LLM_REQUEST_BODY] == text
    note = json.loads(seen["attributes"][names.GEN_AI_INPUT_MESSAGES])
    assert note == [{"role": "user", "parts": [{"type": "text", "content": f"{len(long)} bytes, too long for a viewer; the replay store has all of it"}]}]
    assert names.OTEL_LLM_REQUEST_BODY not in seen["attributes"] and len(seen["attributes"]["foreign.text"]) == 262_144


def test_a_batch_of_many_megabytes_passes_over_grpc(sink: Sink) -> None:
    ports = free_ports()
    spans = calls("wide", 8, lambda i: {names.GEN_AI_INPUT_MESSAGES: "y" * 1_000_000})

    with otelcol(render(Choices(replay=sink.url, ports=ports)), ports=ports) as hop:
        send(GrpcExporter(endpoint=hop.grpc_endpoint, insecure=True), spans)
        eventually(sink.spans, until=lambda found: len(found) == 8)


def test_a_compressed_bomb_is_refused_and_the_collector_lives(sink: Sink) -> None:
    ports = free_ports()
    bomb = gzip.compress(b"\x00" * 200_000_000, compresslevel=9)

    with otelcol(render(Choices(replay=sink.url, ports=ports)), ports=ports) as hop:
        request = urllib.request.Request(f"{hop.otlp_url}/v1/traces", bomb, {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=20)
        refused.value.close()
        send(http(hop), calls("bombed", 1))
        eventually(sink.spans)

    assert 400 <= refused.value.code < 500


def test_what_a_backend_refuses_for_good_is_counted_where_the_alert_looks(sink: Sink) -> None:
    ports = free_ports()
    sink.answer = 401

    with otelcol(render(Choices(jaeger=sink.url, replay=sink.url, ports=ports)), ports=ports) as hop:
        send(http(hop), calls("refused", 5))
        counted = eventually(lambda: metrics_at(ports.own_metrics), until=lambda m: series(m, "otelcol_exporter_send_failed_spans") == 10)

    assert series(counted, "otelcol_exporter_send_failed_spans", exporter="otlp_http/replay") == 5
    assert '"otelcol_exporter_send_failed_spans(_total)?"' in (COLLECTOR / "rules.yaml").read_text()
    assert '"otelcol_receiver_refused_spans(_total)?"' in (COLLECTOR / "rules.yaml").read_text()
    assert "otelcol_receiver_refused_spans" in {key.partition("{")[0] for key in counted}


def test_sums_are_exact_when_many_send_at_once(sink: Sink) -> None:
    """`deltatocumulative` drops what comes out of order, which concurrent requests do unless they are put in a row."""
    ports = free_ports()
    batches = [calls("many", 50) for _ in range(16)]

    with otelcol(render(Choices(replay=sink.url, ports=ports, metrics_interval="500ms")), ports=ports) as hop:
        with ThreadPoolExecutor(16) as pool:
            for done in [pool.submit(send, http(hop), batch, at_once=2) for batch in batches]:
                done.result()
        counted = eventually(lambda: metrics_at(ports.metrics), until=lambda m: series(m, "traces_span_metrics_calls_total") == 800 <= series(m, "otel_llm_time_to_first_chunk_seconds_count"))

    assert series(counted, "otel_llm_tokens_input_total") == 8000
    assert series(counted, "otel_llm_tokens_output_total") == 4000
    assert series(counted, "otel_llm_cost_total") == pytest.approx(0.8)
    assert series(counted, "otel_llm_time_to_first_chunk_seconds_count") == 800


def test_rules_and_dashboard_ask_for_metrics_that_exist(sink: Sink) -> None:
    ports = free_ports()
    panels = json.loads((COLLECTOR / "grafana" / "dashboards" / "otel-llm.json").read_text())["panels"]
    asked = metrics_of([target["expr"] for panel in panels for target in panel.get("targets", [])] + [(COLLECTOR / "rules.yaml").read_text()])

    with otelcol(render(Choices(replay=sink.url, ports=ports, metrics_interval="500ms")), ports=ports) as hop:
        send(http(hop), calls("names", 10, failing=range(1)))
        served = eventually(lambda: {key.partition("{")[0] for key in (*metrics_at(ports.metrics), *metrics_at(ports.own_metrics))},
                            until=lambda found: "traces_span_metrics_calls_total" in found and "otel_llm_cost_total" in found)

    assert asked - served == set()
    assert {"traces_span_metrics_calls_total", "traces_span_metrics_duration_seconds_bucket", "otel_llm_cost_total", "otel_llm_tokens_input_total",
            "otel_llm_time_to_first_chunk_seconds_bucket", "otelcol_exporter_queue_size"} <= asked


def metrics_of(expressions: list[str]) -> set[str]:
    bare = [re.sub(r"by \([^)]*\)|\{[^}]*\}", "", expression) for expression in expressions]
    return {name for text in bare for name in re.findall(r"\b(?:traces_span_metrics|otel_llm|otelcol)_\w+", text)}


def test_a_marked_trace_survives_sampling_at_zero_percent(sink: Sink) -> None:
    ports = free_ports()
    spans = calls("zero", 50, lambda i: {names.OTEL_LLM_KEEP: i == 7})

    with Sink() as viewer:
        with otelcol(render(Choices(jaeger=viewer.url, replay=sink.url, ports=ports, sampling=0, decision_wait="500ms")), ports=ports) as hop:
            send(http(hop), spans)
            kept = eventually(viewer.spans)
            eventually(sink.spans, until=lambda found: len(found) == 50)

    assert set(kept) == ids(spans[7:8])


def test_a_variant_of_the_shipped_files_runs_as_it_is(sink: Sink) -> None:
    """The text in the repository, with nothing replaced but ports."""
    ports = free_ports()
    text = (COLLECTOR / "config.yaml").read_text(encoding="utf-8")
    usual = replace(ports, grpc=4317, http=4318, metrics=8889, health=13133, own_metrics=8888)
    for name in ("grpc", "http", "metrics", "health"):
        text = text.replace(f":{getattr(usual, name)}\n", f":{getattr(ports, name)}\n")
    text = text.replace("port: 8888\n", f"port: {ports.own_metrics}\n")

    with otelcol(text, ports=ports, environ={"REPLAY_ENDPOINT": sink.url, "JAEGER_ENDPOINT": sink.url}) as hop:
        send(http(hop), calls("shipped", 3))
        eventually(sink.spans, until=lambda found: len(found) == 3)


def test_programs_are_found_by_variable_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = tmp_path / "my-otelcol"
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    monkeypatch.setenv("OTEL_LLM_OTELCOL_BIN", str(made))

    assert program("otelcol") == made


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_without_a_program_a_test_is_skipped_or_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, required: str, outcome: Any) -> None:
    for name, value in {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "OTEL_LLM_REQUIRE_BINARIES": required}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OTEL_LLM_JAEGER_BIN", raising=False)

    with pytest.raises(outcome, match="jaeger is not installed: collector/build.sh jaeger builds it"):
        program("jaeger")
