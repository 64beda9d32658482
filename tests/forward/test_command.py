"""`otel-llm forward …` and what `doctor` says about it, over a real store."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from forward.conftest import Place
from otel_llm.cli.verbs import root
from otel_llm.store.sqlite import SqliteStore
from support.otlp_sink import OtlpSink, reply


@pytest.fixture
def otel_llm(place: Place, monkeypatch: pytest.MonkeyPatch) -> object:
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(root, ["--store", str(place.directory), *arguments], prog_name="otel-llm")

    return run


def test_status_says_where_spans_go_and_what_waits(place: Place, sink: OtlpSink, otel_llm: object) -> None:
    place.record(3)
    sink.script(reply(503, body=b"full", Content_Type="text/plain"))
    place.once()

    done = otel_llm("forward", "status", "--json")  # type: ignore[operator]

    (one,) = json.loads(done.stdout)
    assert {key: one[key] for key in ("name", "endpoint", "protocol", "content", "state", "waiting", "sent", "refused", "last_error")} == {
        "name": "otlp", "endpoint": f"{sink.url}/v1/traces", "protocol": "http", "content": "span", "state": "waiting", "waiting": 3,
        "sent": 0, "refused": 0, "last_error": "503: full"}


def test_letters_are_listed_and_sent_again(place: Place, sink: OtlpSink, otel_llm: object) -> None:
    (span_id,) = place.record(1)
    sink.script(reply(400, body=b"bad span", Content_Type="text/plain"))
    place.forward()

    letters = otel_llm("forward", "status", "--letters", "--jsonl")  # type: ignore[operator]
    again = otel_llm("forward", "retry")  # type: ignore[operator]
    run = otel_llm("forward", "run", "--until-empty")  # type: ignore[operator]

    assert {key: json.loads(letters.stdout)[key] for key in ("spans", "span_id", "reason")} == {
        "spans": 1, "span_id": span_id, "reason": "400: bad span"}
    assert again.stdout == "1 span waiting again\n"
    assert (run.exit_code, run.stdout) == (0, f"otlp\t{sink.url}/v1/traces\tsent 1\twaiting 0\trefused 0\n")


def test_a_run_that_ends_before_all_is_sent_exits_with_1(place: Place, sink: OtlpSink, otel_llm: object) -> None:
    place.record(1)
    sink.script(reply(503, retry_after=100))

    done = otel_llm("forward", "run", "--until-empty", "--timeout", "0.1")  # type: ignore[operator]

    assert done.exit_code == 1
    assert done.stderr.startswith("otlp: 503; 1 span waiting")


def test_dropping_asks_first(place: Place, otel_llm: object) -> None:
    place.record(2)

    asked = otel_llm("forward", "drop", "otlp")  # type: ignore[operator]
    done = otel_llm("forward", "drop", "otlp", "--yes")  # type: ignore[operator]
    unknown = otel_llm("forward", "drop", "jaeger", "--yes")  # type: ignore[operator]

    assert (asked.exit_code, "2 spans" in asked.stderr) == (2, True)
    assert done.stdout == "2 spans forgotten\n"
    assert unknown.exit_code == 2


def test_a_store_that_sends_nothing_on_says_how(place: Place, otel_llm: object) -> None:
    SqliteStore(place.directory).close()

    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in otel_llm("forward", "status").stderr  # type: ignore[operator]


def test_doctor_shows_destinations_backlog_and_the_last_error(place: Place, sink: OtlpSink, otel_llm: object) -> None:
    place.record(2)
    sink.script(reply(401))
    place.once()

    done = otel_llm("doctor")  # type: ignore[operator]

    (line,) = [line for line in done.stdout.splitlines() if "\tto otlp\t" in line]
    assert line.startswith("problem") and "2 spans waiting, 0 sent" in line and line.endswith("401")
