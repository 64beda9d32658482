"""The terminal at the end of the whole line: real SDK, real HTTP, real store, and the calls sent again over real HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.terminal import Run
from otel_llm.cli.verbs import root
from otel_llm.testing import Simulator, error
from support.recording import Recording

MODEL = "gpt-4o-mini"


def run(rec: Recording, *args: str) -> Run:
    result = CliRunner().invoke(root, ["--store", str(rec.directory), *args], prog_name="otel-llm")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Run(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def talked(rec: Recording, client: Any, sim: Simulator) -> Recording:
    """The newcomer's session, as an application without any session code would make it."""
    messages: list[Any] = [{"role": "system", "content": "Be brief."}]

    def ask(text: str, **more: Any) -> None:
        messages.append({"role": "user", "content": text})
        answer = client.chat.completions.create(model=MODEL, messages=messages, **more)
        if more.get("stream"):
            words = "".join(c.choices[0].delta.content or "" for c in answer if c.choices)
            messages.append({"role": "assistant", "content": words})
        else:
            messages.append(answer.choices[0].message.model_dump(exclude_none=True))

    ask("echo: one")
    sim.script(error(429))
    with pytest.raises(Exception, match="429"):
        ask("echo: never answered")
    messages.pop()
    ask("echo: two", stream=True, stream_options={"include_usage": True})
    ask("echo: ünïcödé 日本語")
    return rec


def test_one_conversation_is_one_session_with_its_recovered_error(talked: Recording) -> None:
    (session,) = json.loads(run(talked, "sessions", "--json").out)

    assert (session["calls"], session["turns"], session["errors"], session["status"]) == (4, 4, 1, "recovered")
    assert session["title"] == "echo: one"
    assert session["inferred"] is True


def test_its_messages_come_once_and_in_order(talked: Recording) -> None:
    entries = json.loads(run(talked, "show", "@1", "--messages", "--json").out)

    asked = [(e["turn"], e["role"] or "failure") for e in entries]
    assert asked == [(1, "system"), (1, "user"), (1, "assistant"), (2, "user"), (2, "failure"), (3, "user"), (3, "assistant"),
                     (4, "user"), (4, "assistant")]


def test_turns_in_the_list_and_in_the_tree_agree(talked: Recording) -> None:
    (session,) = json.loads(run(talked, "sessions", "--json").out)
    steps = json.loads(run(talked, "show", "@1", "--json").out)

    assert max(step["turn"] for step in steps) == session["turns"]
    assert sum(step["cost_pico_usd"] or 0 for step in steps) == session["cost_pico_usd"]
    assert sum(step["input_tokens"] or 0 for step in steps) == session["input_tokens"]


def test_a_stream_shows_its_first_chunk(talked: Recording) -> None:
    out = run(talked, "show", "@1").out

    assert " stream" in out
    assert "first " in out


def test_words_are_found_and_lead_to_their_call(talked: Recording) -> None:
    hits = json.loads(run(talked, "search", "日本語", "--json").out)

    assert [hit["kind"] for hit in hits] == ["call"]
    assert run(talked, "call", hits[0]["span_id"], "--json").code == 0


def test_the_shell_prints_exactly_what_went_over_the_wire(talked: Recording, sim: Simulator) -> None:
    calls = json.loads(run(talked, "calls", "--json").out)[::-1]

    for step, sent in zip(calls, sim.exchanges, strict=True):
        request = json.loads(run(talked, "call", step["span_id"], "--json").out)["request"]
        assert request["body"] == json.loads(sent.request_body)
        assert request["url"] == f"{sim.base_url}/chat/completions"


def test_an_unchanged_reissue_sends_equal_bodies_over_http(talked: Recording, sim: Simulator) -> None:
    before = [exchange.request_body for exchange in sim.exchanges]

    done = run(talked, "replay", "reissue", "@1")

    assert done.code == 0, done.err
    assert [exchange.request_body for exchange in sim.exchanges][len(before) :] == before
    assert "4 calls sent, 3 answered the same, 1 differently" in done.err


def test_a_reissue_is_a_session_of_its_own_that_names_its_source(talked: Recording) -> None:
    (source,) = json.loads(run(talked, "sessions", "--json").out)

    results = json.loads(run(talked, "replay", "reissue", "@1", "--model", "gpt-4.1", "--json").out)

    made = {result["session_id"] for result in results}
    rows = {row["session_id"]: row for row in json.loads(run(talked, "sessions", "--json").out)}
    assert set(rows) == {source["session_id"], *made}
    assert {rows[name]["replay_of"] for name in made} == {source["session_id"]}
    assert {rows[name]["calls"] for name in made} == {4}
    assert rows[source["session_id"]]["calls"] == 4
    kept = talked.store.replays(source["session_id"])
    assert {record.span_id for record in kept} == {result["span_id"] for result in results}


def test_a_call_and_its_reissue_can_be_compared_later(talked: Recording) -> None:
    (result,) = json.loads(run(talked, "replay", "reissue", "@1:1", "--json").out)

    same = run(talked, "replay", "diff", result["source_span_id"], result["span_id"])
    other = run(talked, "replay", "diff", result["source_span_id"], "@2:3")

    assert (same.code, other.code) == (0, 1)


def test_an_endpoint_that_is_not_there_is_3_and_a_sentence(talked: Recording) -> None:
    done = run(talked, "replay", "reissue", "@1:1", "--base-url", "http://127.0.0.1:9/v1")

    assert done.code == 3
    assert "No response came from http://127.0.0.1:9" in done.err
    assert "Traceback" not in done.err


def test_tail_shows_what_is_there(talked: Recording) -> None:
    done = run(talked, "tail", "--since", "1h", "--limit", "4")

    assert (done.code, len(done.out.splitlines())) == (0, 4)


def test_doctor_and_config_name_the_store(talked: Recording) -> None:
    assert str(talked.directory) in run(talked, "doctor").out
    assert str(talked.directory) in run(talked, "config").out


def test_a_directory_that_is_no_store_is_4_and_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"this is no database at all, not even nearly" * 100)

    done = CliRunner().invoke(root, ["--store", str(tmp_path), "sessions"])

    assert done.exit_code == 4
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr
