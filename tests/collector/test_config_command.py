"""`otel-llm collector config`: what its options do, and what it refuses."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.terminal import empty, otel_llm
from otel_llm.collector_config import Choices, lint, render
from otel_llm.collector_config.emit import Noted, emit
from otel_llm.collector_config.render import build
from otel_llm.collector_config.viewers import PERSONAL, SECRETS, content_keys
from otel_llm.semconv import names

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")


def config(*options: str) -> Any:
    run = otel_llm(empty(), "collector", "config", *options)
    assert (run.code, run.err) == (0, "")
    return yaml.safe_load(run.out)


@pytest.mark.parametrize(("options", "said"), [
    ("--jaeger localhost:4317", "--jaeger 'localhost:4317' is no address; good values: http://host:port"),
    ("--replay ftp://x", "--replay 'ftp://x' is no address"),
    ("--jaeger http://[::1", "is no address"),
    ("--jaeger http://x:99999", "is no address"),
    ("--jaeger grpc://x", "good values: grpc://host:port"),
    ("--otlp tempo", "--otlp 'tempo' is not usable; good values: NAME=URL"),
    ("--otlp Tempo=https://x", "'Tempo' is no name for a backend"),
    ("--otlp jaeger=https://x", "neither jaeger nor replay"),
    ("--otlp a=https://x --otlp a=https://y", "--otlp a is given twice"),
    ("--otlp a=https://me:hush@x", "carries a user, a query or a fragment"),
    ("--otlp a=https://x?key=hush", "carries a user, a query or a fragment"),
    ("--header tempo:authorization=T", "No backend is called 'tempo'; good values: jaeger, replay"),
    ("--header jaeger:authorization=hush", "the name of an environment variable, in capitals"),
    ("--header jaeger", "good values: NAME:KEY=VARIABLE"),
    ("--clickhouse localhost", "--clickhouse is no address of ClickHouse"),
    ("--clickhouse clickhouse://me:hush@x:9000", "CLICKHOUSE_USER and CLICKHOUSE_PASSWORD"),
    ("--clickhouse tcp://x:9000?password=hush", "CLICKHOUSE_USER and CLICKHOUSE_PASSWORD"),
    ("--content some", "--content 'some' is not usable; good values: none, masked, full"),
    ("--content tempo=none", "No backend is called 'tempo'"),
    ("--content replay=none", "The replay store gets everything"),
    ("--sampling 101", "--sampling 101 is no percentage; good values: 0 to 100"),
    ("--sampling nan", "is no percentage"),
    ("--sampling many", "'many' is not a valid float"),
    ("--decision-wait 60", "--decision-wait '60' is no duration; good values: 500ms, 15s"),
    ("--metrics-interval 0s", "--metrics-interval '0s' is no duration"),
])
def test_what_would_not_work_is_refused_with_what_would(options: str, said: str) -> None:
    run = otel_llm(empty(), "collector", "config", *options.split())

    assert (run.code, run.out) == (2, "")
    assert said in run.err
    assert "hush" not in run.err


def test_the_scheme_decides_how_a_backend_is_spoken_to() -> None:
    made = config("--otlp", "a=grpc://10.0.0.1:4317", "--otlp", "b=grpcs://b.example.org:443", "--otlp", "c=https://c.example.org/otlp/")

    exporters = made["exporters"]
    assert exporters["otlp_grpc/a"]["endpoint"] == "10.0.0.1:4317" and exporters["otlp_grpc/a"]["tls"] == {"insecure": True}
    assert exporters["otlp_grpc/b"]["endpoint"] == "b.example.org:443" and "tls" not in exporters["otlp_grpc/b"]
    assert exporters["otlp_http/c"]["endpoint"] == "https://c.example.org/otlp"


def test_a_header_is_read_from_the_environment_and_never_empty() -> None:
    made = config("--otlp", "tempo=https://t.example.org", "--header", "tempo:authorization=TEMPO_AUTHORIZATION", "--header", "replay:x-key=KEY")

    assert made["exporters"]["otlp_http/tempo"]["headers"] == {"authorization": "${env:TEMPO_AUTHORIZATION:-none}"}
    assert made["exporters"]["otlp_http/replay"]["headers"] == {"x-key": "${env:KEY:-none}"}


def test_backends_of_another_policy_have_pipelines_of_their_own() -> None:
    pipelines = config("--otlp", "a=https://a.example.org", "--otlp", "b=https://b.example.org", "--content", "none", "--content", "b=full")["service"]["pipelines"]

    assert pipelines["traces/none"]["exporters"] == ["otlp_http/jaeger", "otlp_http/a"]
    assert pipelines["traces/full"]["exporters"] == ["otlp_http/b"]
    assert "traces/masked" not in pipelines
    assert pipelines["logs/none"]["exporters"] == ["otlp_http/a"]


def test_stores_branch_off_before_everything_that_takes_away() -> None:
    pipelines = config("--gateway", "--clickhouse", "clickhouse://h:9000/llm", "--file", "/data/spans.jsonl")["service"]["pipelines"]

    assert pipelines["traces/in"] == {
        "receivers": ["otlp"], "processors": ["memory_limiter"],
        "exporters": ["otlp_http/replay", "clickhouse", "file", "span_metrics", "signal_to_metrics", "forward/viewers"]}


@pytest.mark.parametrize(("options", "percent"), [((), None), (("--gateway",), 10), (("--sampling", "2.5"), 2.5), (("--gateway", "--sampling", "100"), None)])
def test_viewers_are_sampled_where_asked_for(options: tuple[str, ...], percent: float | None) -> None:
    processors = config(*options)["processors"]

    sampler = processors.get("tail_sampling")
    assert (sampler and sampler["policies"][-1]["probabilistic"]["sampling_percentage"]) == percent


def test_a_span_that_is_too_large_to_split_still_fits_into_a_batch_to_the_replay_store() -> None:
    exporters = build(Choices())["exporters"]

    assert exporters["otlp_http/replay"]["sending_queue"]["batch"]["max_size"] >= 60 << 20


CHOICES = st.builds(
    Choices, is_gateway=st.booleans(), jaeger=st.sampled_from([None, "http://j:4318", "grpc://j:4317", "grpcs://j:4317"]),
    backends=st.dictionaries(st.sampled_from(["tempo", "a", "b-2"]), st.sampled_from(["https://x.example.org", "grpcs://x.example.org:4317"]), max_size=3),
    headers=st.dictionaries(st.sampled_from(["replay"]), st.dictionaries(st.sampled_from(["authorization", "x-a"]), st.just("VAR"), min_size=1), max_size=1),
    clickhouse=st.sampled_from([None, "tcp://127.0.0.1:9000/x"]), file=st.sampled_from([None, "/tmp/a b.jsonl"]),
    content=st.sampled_from(["none", "masked", "full"]), content_of=st.dictionaries(st.just("jaeger"), st.sampled_from(["none", "full"]), max_size=1),
    sampling=st.one_of(st.none(), st.integers(0, 100).map(float)))


@given(CHOICES)
def test_every_choice_gives_a_file_without_findings_that_says_what_was_built(choices: Choices) -> None:
    text = render(choices)

    assert lint.check(text) == []
    assert yaml.safe_load(text) == plain(build(choices))
    assert render(choices) == text


SCALAR = st.one_of(st.text(), st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(
    ["no", "1e3", "0x1f", "12:30:45", "~", "a: b", "a #b", "- x", "{x}", "${env:X:-y}", "\n", "2026-11-25", "'", '"', "\u2028", "=", "<<"]))
ENTRY = st.dictionaries(st.text(min_size=1), st.one_of(SCALAR, st.lists(SCALAR, min_size=1, max_size=3)), max_size=3)


@given(st.dictionaries(st.text(min_size=1), st.one_of(SCALAR, ENTRY, st.lists(st.one_of(SCALAR, ENTRY), min_size=1, max_size=3)), min_size=1, max_size=3))
def test_what_is_written_is_read_back(document: dict[str, Any]) -> None:
    assert yaml.safe_load(emit(document)) == document


def plain(value: Any) -> Any:
    if isinstance(value, Noted):
        return plain(value.value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("key", [
    names.GEN_AI_INPUT_MESSAGES, names.GEN_AI_OUTPUT_MESSAGES, names.GEN_AI_SYSTEM_INSTRUCTIONS, names.GEN_AI_TOOL_CALL_RESULT,
    names.GEN_AI_PROMPT_VARIABLE_PREFIX + "city", names.EXCEPTION_MESSAGE, names.OTEL_LLM_ERROR_MESSAGE, "gen_ai.prompt.0.content", "gen_ai.completion",
    "llm.prompts", "llm.input_messages.0.message.content", "input.value", "output.value", "traceloop.entity.input", "ai.prompt.messages", "ai.response.text"])
def test_the_policy_none_takes_away_every_key_that_quotes(key: str) -> None:
    assert re.search(content_keys(), key)


@pytest.mark.parametrize("key", [
    names.GEN_AI_PROMPT_NAME, names.GEN_AI_PROMPT_VERSION, names.GEN_AI_REQUEST_MODEL, names.GEN_AI_USAGE_INPUT_TOKENS, names.GEN_AI_TOOL_NAME,
    names.ERROR_TYPE, names.OTEL_LLM_COST_TOTAL, "ai.model.id", "llm.model_name", "input.valuedate", "input.mime_type"])
def test_the_policy_none_leaves_what_describes(key: str) -> None:
    assert not re.search(content_keys(), key)


@pytest.mark.parametrize(("text", "kept"), [
    ("key sk-proj-abcdefghij0123456789 end", "key **** end"), ('"\\nsk-ant-' + "a1" * 20 + '"', '"****"'), ("ghp_" + "a1" * 20, "****"),
    ("AKIAIOSFODNN7EXAMPLE", "****"), ("Bearer abcdefghijklmnop1234", "****"), ("eyJhbGciOi1.eyJzdWIiOi1.SflKxwRJSM1", "****"),
    ("-----BEGIN RSA PRIVATE KEY-----\\nMIIE\\nabc=\\n-----END RSA PRIVATE KEY-----", "****"),
    ("risk-free task-abcdefghijklmnopqrstuvw", "risk-free task-abcdefghijklmnopqrstuvw")])
def test_credentials_are_masked(text: str, kept: str) -> None:
    for pattern in SECRETS:
        text = re.sub(pattern, "****", text)

    assert text == kept


@pytest.mark.parametrize(("text", "kept"), [
    ("write to a.b+c@mail.example.org now", "write to **** now"), ("card 4111 1111 1111 1111.", "card ****."), ("+49 30 1234567", "****"),
    ("DE89 3704 0044 0532 0130 00", "****"), ("123-45-6789", "****"), ("at 1795582380246 ms, order 4411, 2026-11-25", "at 1795582380246 ms, order 4411, 2026-11-25")])
def test_personal_data_is_masked(text: str, kept: str) -> None:
    for pattern in PERSONAL:
        text = re.sub(pattern, "****", text)

    assert text == kept


def test_printing_a_configuration_takes_no_time() -> None:
    began = time.process_time()
    for _ in range(20):
        render(Choices(is_gateway=True))

    assert (time.process_time() - began) / 20 < 0.05
