"""Recorded calls sent again over real HTTP: what is changed, what counts as the same, what keeps a reissue from beginning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from cli.terminal import on_store
from otel_llm.store import schema
from otel_llm.testing import Simulator, error
from otel_llm.values.errors import StoreUnwritable
from support.recording import Recording

CHAT, EMBEDDING = "gpt-4o-mini", "text-embedding-3-small"


@pytest.fixture
def mixed(rec: Recording, client: Any) -> Recording:
    """A session of a question, the embedding of two texts, and another question."""
    with otel_llm.session("mixed"):
        client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": "echo: one"}])
        client.embeddings.create(model=EMBEDDING, input=["a river", "a lake"])
        client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": "echo: two"}])
    return rec


def asked(sim: Simulator) -> list[str]:
    """The models of all requests so far."""
    return [json.loads(exchange.request_body)["model"] for exchange in sim.exchanges]


def test_another_model_is_for_the_conversation_and_what_was_left_is_said(mixed: Recording, sim: Simulator) -> None:
    done = on_store(mixed.directory, "replay", "reissue", "mixed", "--model", "gpt-4.1", "--set", "temperature=0", "--json")

    assert asked(sim)[3:] == ["gpt-4.1", EMBEDDING, "gpt-4.1"]
    assert sim.exchanges[4].request_body == sim.exchanges[1].request_body
    span_id = json.loads(on_store(mixed.directory, "call", "mixed:2", "--json").out)["span_id"]
    assert f"Left as recorded: 1 embeddings call ({span_id}). What was changed (model, temperature) is for the conversation." in done.err
    assert [result["changes"] for result in json.loads(done.out)] == [
        {"model": "gpt-4.1", "set": {"temperature": 0}}, {}, {"model": "gpt-4.1", "set": {"temperature": 0}}]


def test_an_embeddings_call_that_was_chosen_by_itself_is_changed(mixed: Recording, sim: Simulator) -> None:
    on_store(mixed.directory, "replay", "reissue", "mixed:2", "--model", "text-embedding-3-large")

    assert asked(sim)[3:] == ["text-embedding-3-large"]


def test_vectors_that_are_equal_are_the_same_and_others_say_how_far(mixed: Recording, client: Any) -> None:
    (again,) = json.loads(on_store(mixed.directory, "replay", "reissue", "mixed:2", "--json").out)
    with otel_llm.session("other"):
        client.embeddings.create(model=EMBEDDING, input=["a river", "a mountain"])

    same = on_store(mixed.directory, "replay", "diff", "mixed:2", again["span_id"])
    other = on_store(mixed.directory, "replay", "diff", "mixed:2", "other:1", "--json")

    assert (again["diff"]["same"], again["diff"]["vectors"]["same"], same.code, other.code) == (True, True, 0, 1)
    (found,) = json.loads(other.out)
    assert (found["vectors"]["old"], found["vectors"]["new"]) == (2, 2)
    assert 0 < found["vectors"]["cosine"] < 0.99


def test_an_error_where_an_answer_was_is_a_difference(mixed: Recording, sim: Simulator) -> None:
    sim.script(error(404))
    failed = on_store(mixed.directory, "replay", "reissue", "mixed:1")
    answered = on_store(mixed.directory, "replay", "reissue", "mixed:1")

    assert (failed.code, answered.code) == (1, 0)
    assert "status        200 → 404" in failed.out
    assert "1 call sent, 0 answered the same, 1 differently (1 with an error)" in failed.err


def test_calls_of_which_nothing_is_known_are_not_the_same(mixed: Recording, client: Any) -> None:
    """An endpoint that no adapter reads: there are bytes, and nobody knows what they say."""
    with otel_llm.session("lists"):
        client.models.list()
        client.models.list()
    (first, second) = json.loads(on_store(mixed.directory, "calls", "--session", "lists", "--json").out)

    done = on_store(mixed.directory, "replay", "diff", first["span_id"], second["span_id"], "--json")

    (found,) = json.loads(done.out)
    assert (done.code, found["same"], found["compared"]) == (1, False, False)


def test_a_store_that_cannot_be_written_is_found_out_before_anything_is_sent(
    mixed: Recording, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_store(mixed.directory, "sessions")
    before = len(sim.exchanges)
    monkeypatch.setattr(schema, "connect", _refuse)

    done = on_store(mixed.directory, "replay", "reissue", "mixed")

    assert (done.code, done.out, len(sim.exchanges)) == (4, "", before)
    assert f"Nothing was sent, because the answers could not be kept: {mixed.directory} is read-only here." in done.err


def test_a_spool_that_cannot_be_written_is_found_out_too(
    mixed: Recording, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(sim.exchanges)
    monkeypatch.setattr("otel_llm.cli.replay.reissue_plan.os.access", lambda path, mode: Path(path).name != "spool")

    done = on_store(mixed.directory, "replay", "reissue", "mixed")

    assert (done.code, len(sim.exchanges)) == (4, before)
    assert f"{mixed.directory / 'spool'} is read-only here" in done.err


def _refuse(directory: Path) -> Any:
    raise StoreUnwritable("attempt to write a readonly database")
