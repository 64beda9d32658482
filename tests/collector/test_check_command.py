"""`otel-llm collector check`: one mistake, one finding, at its line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.terminal import Run, empty, otel_llm
from otel_llm.collector_config import Choices, lint, render

pytest.importorskip("yaml", reason="PyYAML is not installed")

NO_BINARY = {"PATH": "/nowhere", "XDG_CACHE_HOME": "/nowhere", "HOME": "/nowhere"}
LOCAL = render(Choices(headers={"jaeger": {"authorization": "JAEGER_AUTHORIZATION"}}))
GATEWAY = render(Choices(is_gateway=True, backends={"tempo": "https://tempo.example.org:4318"}, headers={"tempo": {"authorization": "TEMPO"}}))


def check(tmp_path: Path, text: str, *options: str, environ: dict[str, str] | None = None) -> Run:
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    return otel_llm(empty(), "collector", "check", str(tmp_path / "c.yaml"), *options, environ=NO_BINARY if environ is None else environ)


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(("rule", "text", "changes", "at", "said"), [
    ("renamed", LOCAL, [("otlp_http/jaeger", "otlphttp/jaeger")], "otlphttp/jaeger:", "otlphttp is called otlp_http today; write otlp_http/jaeger"),
    ("renamed", LOCAL, [("otlp_http/jaeger", "otlp/jaeger")], "otlp/jaeger:", "otlp is called otlp_grpc today"),
    ("renamed", LOCAL, [("span_metrics", "spanmetrics")], "spanmetrics:", "spanmetrics is called span_metrics today"),
    ("legacy-batch", LOCAL, [("processors: [memory_limiter]\n      exporters: [otlp_http/replay, span_", "processors: [memory_limiter, batch/one_by_one]\n      exporters: [otlp_http/replay, span_")],
     "[memory_limiter, batch/one_by_one]", "sending_queue.batch"),
    ("small-limit", LOCAL, [("        max_recv_msg_size_mib: 64\n", "")], "grpc:", "is not set, which means 4 MiB"),
    ("small-limit", LOCAL, [("max_recv_msg_size_mib: 64", "max_recv_msg_size_mib: 16")], "max_recv_msg_size_mib: 16", "is 16"),
    ("small-limit", LOCAL, [("        max_request_body_size: 67108864\n", "")], "http:", "which means 20 MiB"),
    ("forgetful-queue", GATEWAY, [("tempo.example.org:4318\n    timeout: 60s\n    headers:\n      authorization: ${env:TEMPO:-none}\n    retry_on_failure:\n      enabled: true\n      initial_interval: 1s\n      max_interval: 30s\n      max_elapsed_time: 0\n    sending_queue:\n      enabled: true\n      storage: file_storage/queues\n",
                                     "tempo.example.org:4318\n    timeout: 60s\n    headers:\n      authorization: ${env:TEMPO:-none}\n    retry_on_failure:\n      enabled: true\n      initial_interval: 1s\n      max_interval: 30s\n      max_elapsed_time: 0\n    sending_queue:\n      enabled: true\n")],
     "sending_queue:", "exporters.otlp_http/tempo: the queue lies in memory"),
    ("secret", LOCAL, [("authorization: ${env:JAEGER_AUTHORIZATION:-none}", "authorization: Bearer abc")], "authorization: Bearer abc", "holds a secret in clear"),
    ("secret", LOCAL, [("endpoint: ${env:JAEGER_ENDPOINT:-http://127.0.0.1:14318}", "endpoint: http://me:pass@127.0.0.1:14318")],
     "me:pass", "a password inside the address"),
    ("empty-header", LOCAL, [("${env:JAEGER_AUTHORIZATION:-none}", "${env:JAEGER_AUTHORIZATION}")], "authorization:", "write ${env:JAEGER_AUTHORIZATION:-none}"),
    ("clear-secret", GATEWAY, [("https://tempo.example.org", "http://tempo.example.org")], "endpoint: http://tempo", "sends a secret to http://tempo.example.org:4318 without TLS"),
    ("open-door", LOCAL, [("${env:COLLECTOR_LISTEN:-127.0.0.1}:4318", "0.0.0.0:4318")], "0.0.0.0:4318", "http listens on every address and asks for no token"),
    ("raw-body", LOCAL, [("otel_llm.request.body", "other.body")], "otlp_http/jaeger:", "exporters.otlp_http/jaeger gets raw bodies"),
    ("sampled-metrics", GATEWAY, [("exporters: [otlp_http/replay, span_metrics, ", "exporters: [otlp_http/replay, "), ("exporters: [forward/masked]", "exporters: [span_metrics, forward/masked]")],
     "span_metrics:", "stands behind tail_sampling (pipeline traces/viewers)"),
    ("sampled-store", GATEWAY, [("exporters: [otlp_http/replay, span_metrics", "exporters: [span_metrics"), ("exporters: [forward/masked]", "exporters: [otlp_http/replay, forward/masked]")],
     "otlp_http/replay:", "the replay store would miss calls"),
    ("id-dimension", LOCAL, [("      - name: error.type", "      - name: gen_ai.conversation.id")], "- name: gen_ai.conversation.id", "each makes a series"),
    ("id-dimension", LOCAL, [("      - name: error.type", "      - name: gen_ai.prompt.variable.city")], "gen_ai.prompt.variable.city", "each makes a series"),
    ("short-buckets", LOCAL, [("20s, 30s, 45s, 60s, 90s, 120s, 180s, 300s, 600s]", "15s]")], "buckets: [", "the last bucket ends at 15 s"),
    ("hasty-sampler", GATEWAY, [("decision_wait: 60s", "decision_wait: 10s")], "decision_wait: 10s", "agents take a minute"),
    ("hasty-sampler", GATEWAY, [("      sampled_cache_size: 500000\n", "")], "tail_sampling:", "has no decision_cache"),
    ("undefined", LOCAL, [("span_metrics, signal_to_metrics, forward/viewers]", "span_metrics, signal_to_metrics, forward/viewers, otlp_http/jager]")],
     "otlp_http/jager]", "'otlp_http/jager', which exporters does not define. Did you mean otlp_http/jaeger?"),
    ("undefined", LOCAL, [("extensions: [health_check, ", "extensions: [health_check, pprof, ")], "pprof", "service.extensions names 'pprof'"),
    ("unused", LOCAL, [("exporters:\n  otlp_http/replay", "exporters:\n  debug: {}\n  otlp_http/replay")], "debug: {}", "exporters.debug does nothing"),
    ("unused", LOCAL, [("extensions: [health_check, ", "extensions: [")], "health_check:", "service.extensions does not start it"),
    ("one-sided", LOCAL, [("signal_to_metrics, forward/viewers]", "forward/viewers]")], "signal_to_metrics:", "no pipeline names it as exporter"),
    ("memory-limiter", LOCAL, [("    traces/in:\n      receivers: [otlp]\n      processors: [memory_limiter]\n", "    traces/in:\n      receivers: [otlp]\n")], "traces/in:", "has no memory_limiter"),
    ("section", LOCAL, [("\nprocessors:\n", "\nprocesors: {}\n\nprocessors:\n")], "procesors:", "did you mean processors?"),
], ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "")
def test_a_mistake_is_found_where_it_is(tmp_path: Path, rule: str, text: str, changes: list[tuple[str, str]], at: str, said: str) -> None:
    text = changed(text, *changes)

    run = check(tmp_path, text, "--json")

    found = json.loads(run.out)
    assert (run.code, [f["rule"] for f in found]) == (1, [rule])
    assert said in found[0]["message"]
    assert at in text.splitlines()[found[0]["line"] - 1]


@pytest.mark.parametrize(("rule", "change", "said"), [
    ("retry-ends", ("      max_elapsed_time: 0\n", ""), "after 300 s, the default, spans are dropped"),
    ("retry-ends", ("max_elapsed_time: 0", "max_elapsed_time: 10m"), "after 10m spans are dropped"),
    ("retry-ends", ("retry_on_failure:\n      enabled: true", "retry_on_failure:\n      enabled: false"), "what fails once is dropped"),
    ("forgetful-queue", ("      storage: file_storage/queues\n", ""), "the queue lies in memory"),
    ("forgetful-queue", ("sending_queue:\n      enabled: true", "sending_queue:\n      enabled: false"), "without a queue"),
    ("dropping-queue", ("block_on_overflow: true", "block_on_overflow: false"), "a full queue drops spans"),
    ("dropping-queue", ("      sizer: bytes\n      queue_size", "      queue_size"), "counts requests"),
])
def test_what_loses_spans_is_said_of_every_exporter(rule: str, change: tuple[str, str], said: str) -> None:
    found = lint.check(changed(LOCAL, change))

    assert [f.rule for f in found if f.rule != "unused"] == [rule, rule]
    assert all(said in f.message for f in found if f.rule == rule)


def test_a_storage_that_is_not_started_is_found() -> None:
    found = lint.check(changed(LOCAL, ("extensions: [health_check, file_storage/queues]", "extensions: [health_check]")))

    assert {f.rule for f in found} == {"undefined", "unused"}
    assert "which service.extensions does not start" in found[0].message


def test_every_rule_has_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")

    assert [rule for rule in lint.RULES if f'("{rule}", ' not in text] == []


@pytest.mark.parametrize(("text", "line", "said"), [
    ("receivers:\n  otlp: [\n", 3, "This is no YAML"),
    ("a: 1\na: 2\n", 2, "'a' stands here twice, first in line 1"),
    ("receivers:\n\totlp: 1\n", 2, "no YAML"),
    ("a: 1\n---\nb: 2\n", 2, "no YAML"),
    ("? [a, b]\n: 1\n", 1, "a key that is no text"),
    ("a: &a [*a]\n", 1, "aliases multiply"),
    ("a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)), None, "aliases multiply"),
    ("a: " + "[" * 5000 + "]" * 5000, 1, "too deeply"),
    ("a: \x00\n", 1, "no YAML"),
], ids=["unclosed", "twice", "tab", "two documents", "odd key", "recursion", "alias bomb", "depth", "nul"])
def test_what_is_no_configuration_is_said_with_its_line(text: str, line: int | None, said: str) -> None:
    (found,) = lint.check(text)

    assert found.rule == "yaml" and said.lower() in found.message.lower()
    assert line is None or found.line == line


@pytest.mark.parametrize("text", ["", "[]\n", "just words\n", "receivers: 3\nservice: [x]\n", "service:\n  pipelines: {traces: null}\n",
                                  "service:\n  pipelines:\n    traces: {receivers: otlp, exporters: {a: b}}\n"])
def test_a_document_of_another_shape_has_no_pipelines_and_breaks_nothing(text: str) -> None:
    assert {f.rule for f in lint.check(text)} <= {"section", "memory-limiter"} and lint.check(text)


def test_findings_are_printed_as_places_that_editors_open(tmp_path: Path) -> None:
    run = check(tmp_path, changed(LOCAL, ("      - name: error.type", "      - name: user.id")))

    assert run.code == 1
    assert run.out.startswith(f"{tmp_path / 'c.yaml'}:") and run.out.endswith("[id-dimension]\n")
    assert run.err == f"1 finding in {tmp_path / 'c.yaml'}.\n"


def test_nothing_found_is_exit_0_and_says_whether_a_collector_agreed(tmp_path: Path) -> None:
    run = check(tmp_path, LOCAL)

    assert (run.code, run.out) == (0, "")
    assert "no otelcol was found to validate it" in run.err


@pytest.mark.parametrize("answer", ["", "Error: service::pipelines: wrong\n2026 collector server run finished with error\n"])
def test_a_collector_that_is_there_has_its_say(tmp_path: Path, answer: str) -> None:
    program = tmp_path / "otelcol"
    program.write_text(f"#!/bin/sh\n[ \"$1 $2\" = 'validate --config' ] || exit 9\nprintf '{answer}' >&2\n[ -z '{answer}' ]\n")
    program.chmod(0o755)

    run = check(tmp_path, LOCAL, "--jsonl", environ={**NO_BINARY, "OTEL_LLM_OTELCOL_BIN": str(program)})

    found = [json.loads(line) for line in run.out.splitlines()]
    expected = [{"line": None, "rule": "validate", "message": "service::pipelines: wrong"}] if answer else []
    assert (run.code, found) == (1 if answer else 0, expected if answer else [])


def test_a_variable_that_names_no_program_is_an_error(tmp_path: Path) -> None:
    run = check(tmp_path, LOCAL, environ={**NO_BINARY, "OTEL_LLM_OTELCOL_BIN": str(tmp_path)})

    assert (run.code, run.out) == (2, "")
    assert f"OTEL_LLM_OTELCOL_BIN='{tmp_path}' is no program" in run.err


def test_a_file_that_is_missing_or_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")

    missing, binary = (otel_llm(empty(), "collector", "check", str(tmp_path / name), environ=NO_BINARY) for name in ("none.yaml", "b.yaml"))

    assert (missing.code, binary.code) == (2, 2)
    assert "cannot be read: No such file or directory" in missing.err
    assert "is no text in UTF-8" in binary.err


def test_without_pyyaml_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)

    run = check(tmp_path, LOCAL)

    assert (run.code, run.out) == (2, "")
    assert "pip install 'otel-llm[collector]'" in run.err


def test_hostile_text_reaches_the_terminal_harmless(tmp_path: Path) -> None:
    run = check(tmp_path, 'exporters:\n  "x\\e[31m": {}\n')

    assert run.code == 1 and "\x1b" not in run.out


def test_writing_needs_no_yaml_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)

    run: Any = otel_llm(empty(), "collector", "config")

    assert run.code == 0 and "receivers:" in run.out
