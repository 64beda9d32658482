"""`otel-llm replay reissue`: nobody is charged unasked, and what came back is shown."""

from __future__ import annotations

import json

import pytest

from cli.terminal import on_terminal, otel_llm
from replay.memory_store import Answering, MemoryStore, newcomer

LOCAL = ("--base-url", "http://127.0.0.1:8000/v1")
KEY = {"OPENAI_API_KEY": "sk-canary"}


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    newcomer(made)
    return made


def test_without_a_terminal_and_without_yes_nothing_is_sent_and_the_estimate_is_said(store: MemoryStore) -> None:
    sender = Answering(["Hi."])

    run = otel_llm(store, "replay", "reissue", "@1", "--model", "gpt-4.1", sender=sender, environ=KEY)

    assert (run.code, run.out, sender.sent) == (2, "", [])
    assert "5 calls to https://api.openai.com" in run.err
    assert "By the recorded tokens it costs about $0.00078, and 1 call of unknown cost." in run.err
    assert "Give --yes to send." in run.err


def test_with_yes_the_differences_are_printed_and_the_new_session_named(store: MemoryStore) -> None:
    run = otel_llm(store, "replay", "reissue", "@1:2", "--yes", sender=Answering(["It left on Friday."]), environ=KEY)

    assert run.code == 0
    assert "It left on [-Monday-]{+Friday+}." in run.out
    assert "cost          $0.0000045 → $0.000018" in run.out
    assert "1 call sent, 0 answered the same, 1 differently; $0.000018. The new session: otel-llm show sess-" in run.err
    assert "sk-canary" not in run.out + run.err
    assert [record.source_span_id for record in store.kept] == ["a000000000000003"]


def test_a_loopback_endpoint_needs_no_confirmation(store: MemoryStore) -> None:
    sender = Answering(["Hi."])

    run = otel_llm(store, "replay", "reissue", "@1", *LOCAL, sender=sender)

    assert (run.code, len(sender.sent)) == (0, 5)


def test_results_as_json_are_nothing_but_json(store: MemoryStore) -> None:
    sender = Answering(["It left on Monday."])

    run = otel_llm(store, "replay", "reissue", "@1", *LOCAL, "--set", "temperature=0", "--json", sender=sender)

    results = json.loads(run.out)
    assert [(r["source_span_id"], r["diff"]["same"]) for r in results][1] == ("a000000000000003", True)
    assert {r["source_session_id"] for r in results} == {"sess-newcomer01"}
    assert results[0]["changes"] == {"set": {"temperature": 0}, "base_url": "http://127.0.0.1:8000/v1"}
    assert (results[0]["cost_usd"], results[0]["cost_pico_usd"]) == (0.000018, 18_000_000)


def test_a_cap_ends_it_with_3_after_saying_what_was_done(store: MemoryStore) -> None:
    run = otel_llm(store, "replay", "reissue", "@1", *LOCAL, "--max-calls", "2", sender=Answering(["Hi."]))

    assert run.code == 3
    assert "2 calls sent" in run.err
    assert "Raise --max-calls" in run.err


def test_an_unknown_price_is_said_plainly(store: MemoryStore) -> None:
    run = otel_llm(store, "replay", "reissue", "@1:1", *LOCAL, "--model", "llama-local", sender=Answering(["Hi."]))

    assert run.code == 0
    assert "What it costs is unknown." in run.err


def test_on_a_terminal_it_asks_and_no_means_no() -> None:
    run = on_terminal("replay", "reissue", "@1", environ={**KEY, "NO_COLOR": "1"}, typed=b"n\n")

    assert run.code == 130
    assert "Send? [y/N]" in run.out
    assert "Nothing was sent." in run.out


def test_on_a_terminal_yes_sends() -> None:
    run = on_terminal("replay", "reissue", "@1:2", environ={**KEY, "NO_COLOR": "1"}, typed=b"y\n")

    assert run.code == 0
    assert "1 call sent" in run.out
