"""`otel-llm doctor` asks the endpoints that spans go to, and says what to do about one that takes none."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

import pytest

from cli.terminal import empty, otel_llm
from otel_llm.cli.move.endpoints import advice
from otel_llm.values.destination import Destination
from support.otlp_sink import OtlpSink, hang, reply

PAGE = reply(200, body=b"<html></html>", Content_Type="text/html")


def about_endpoints(**environ: str) -> dict[str, tuple[str, str]]:
    """State and text by subject."""
    done = otel_llm(empty(), "doctor", "--json", environ=environ)
    assert done.code == 0
    found: list[dict[str, Any]] = json.loads(done.out)
    return {f["subject"]: (f["state"], f["text"]) for f in found}


def test_an_endpoint_that_takes_spans_is_ok_and_was_sent_none() -> None:
    with OtlpSink() as sink:
        state, text = about_endpoints(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)["otlp"]

        assert (state, text.partition(";")[0]) == ("ok", f"spans also go to {sink.url}/v1/traces, which takes them")
        assert [(seen.path, seen.spans) for seen in sink.seen] == [("/v1/traces", [])]


def test_one_that_finds_fault_with_a_request_of_no_spans_is_there_as_well() -> None:
    with OtlpSink() as sink:
        sink.script(reply(400, body=b"no spans"))

        assert about_endpoints(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)["otlp"][0] == "ok"


@pytest.mark.parametrize(("answer", "words"), [
    (reply(401, body=b"who are you?"), ["401: who are you?", "OTEL_EXPORTER_OTLP_HEADERS"]),
    (reply(404), ["404", "4318", "4317", "16686"]),
    (PAGE, ["no OTLP receiver answers there", "16686"]),
    (reply(503, body=b"full"), ["503: full"]),
], ids=["no key", "wrong path", "a page", "busy"])
def test_a_refusal_is_a_problem_with_what_to_do(answer: Any, words: list[str]) -> None:
    with OtlpSink() as sink:
        sink.script(answer)

        state, text = about_endpoints(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)["otlp"]

        assert (state, [w for w in words if w not in text]) == ("problem", [])


def test_a_key_that_was_sent_is_named_as_the_wrong_one() -> None:
    with OtlpSink() as sink:
        sink.script(reply(403))

        _, text = about_endpoints(OTEL_LLM_FORWARD=f"vendor={sink.url};headers=VENDOR_HEADERS", VENDOR_HEADERS="authorization=x")["vendor"]

        assert "VENDOR_HEADERS is wrong" in text and sink.seen[0].headers["authorization"] == "x"


def test_a_dead_endpoint_says_that_nobody_listens() -> None:
    state, text = about_endpoints(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")["otlp"]

    assert state == "problem" and "http://127.0.0.1:9/v1/traces" in text and "nobody listens there" in text


def test_a_host_that_has_no_address_is_said() -> None:
    state, text = about_endpoints(OTEL_EXPORTER_OTLP_ENDPOINT="http://no-such-host.invalid:4318")["otlp"]

    assert state == "problem" and "host name" in text


def test_one_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_llm.cli.move.endpoints.TIMEOUT_S", 0.2)
    with OtlpSink() as sink:
        sink.script(hang())

        state, text = about_endpoints(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)["otlp"]

    assert state == "problem" and "no answer in time" in text


def test_http_sent_to_a_grpc_port_is_recognised() -> None:
    """A gRPC server resets a connection on which HTTP/1 is spoken."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def refuse() -> None:
            with contextlib.suppress(OSError):  # the test is over
                for _ in range(2):
                    server.accept()[0].close()

        threading.Thread(target=refuse, daemon=True).start()
        state, text = about_endpoints(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.getsockname()[1]}")["otlp"]

    assert state == "problem" and "OTEL_EXPORTER_OTLP_PROTOCOL" in text


@pytest.mark.parametrize(("protocol", "words", "todo"), [
    ("http", "ConnectionResetError: [Errno 104] Connection reset by peer", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
    ("grpc", "UNAVAILABLE: failed to connect to all addresses; last error: INTERNAL: ipv4:127.0.0.1:4318: Failed parsing HTTP/2 "
             "(Expected SETTINGS frame as the first frame, got frame type 80) (Trying to connect an http1.x server (HTTP status 400))",
     "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
    ("grpc", "UNAVAILABLE: failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:4999: Failed to connect to remote "
             "host: Connection refused", "nobody listens there"),
    ("grpc", "UNAUTHENTICATED: no key", "it wants a key"),
    ("http", "TLS: SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "http:// instead of https://"),
    ("http", "503: full", ""),
])
def test_what_servers_and_sockets_say_is_understood(protocol: Any, words: str, todo: str) -> None:
    found = advice(words, Destination("otlp", "http://h", protocol), {})

    assert todo in found and bool(found) == bool(todo)


def test_an_endpoint_that_is_no_url_is_a_problem_and_the_others_are_still_asked() -> None:
    with OtlpSink() as sink:
        found = about_endpoints(OTEL_EXPORTER_OTLP_ENDPOINT="localhost:4318", OTEL_LLM_FORWARD=f"jaeger={sink.url}")

    assert found["otlp"][0] == "problem" and "http://HOST:PORT" in found["otlp"][1]
    assert found["jaeger"][0] == "ok"


def test_options_for_an_endpoint_that_is_not_set_are_a_problem() -> None:
    state, text = about_endpoints(OTEL_LLM_FORWARD="otlp;content=full")["otlp"]

    assert state == "problem" and "OTEL_EXPORTER_OTLP_ENDPOINT is not set" in text


@pytest.mark.parametrize(("environ", "words"), [
    ({}, "without prompts and answers; OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY adds them"),
    ({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}, "with prompts and answers"),
    ({"OTEL_LLM_FORWARD": "otlp;content=masked"}, "prompts and answers masked"),
    ({"OTEL_LLM_FORWARD": "otlp;content=full"}, "with prompts and answers"),
    ({"OTEL_LLM_FORWARD": "otlp;content=full", "OTEL_LLM_CONTENT": "false"}, "without prompts and answers, which are not recorded"),
])
def test_what_it_sees_of_prompts_is_said(environ: dict[str, str], words: str) -> None:
    with OtlpSink() as sink:
        _, text = about_endpoints(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, **environ)["otlp"]

    assert text.partition("which takes them; ")[2] == words


def test_a_password_in_the_url_is_not_shown() -> None:
    with OtlpSink() as sink:
        found = about_endpoints(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url.replace("//", "//user:pass@"))

    assert "pass" not in found["otlp"][1].replace("password", "")
