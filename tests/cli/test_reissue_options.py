"""`otel-llm replay reissue`: what is wrong is said before anything is sent, and an interruption loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import otel_llm as otel_llm_api
from cli.terminal import on_store, on_terminal, otel_llm
from replay.memory_store import Answering, MemoryStore, newcomer
from support.provider import Provider

pytest.importorskip("openai", reason="the openai SDK is not installed")

from replay.agents import MODEL, Stage, user  # noqa: E402
from replay.test_resume import asked, journal, record_calls  # noqa: E402

LOCAL = ("--base-url", "http://127.0.0.1:8000/v1")


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    newcomer(made)
    return made


@pytest.fixture
def stage(tmp_path: Path) -> Any:
    with Provider() as provider:
        yield Stage(tmp_path / "store", provider)


@pytest.mark.parametrize(("arguments", "words"), [
    ([], "Name a SESSION or a CALL to send again, or go on with --resume SESSION; one of the two."),
    (["@1", "--resume", "sess-x"], "one of the two"),
    (["@1", "--resend-in-doubt"], "--resend-in-doubt goes with --resume SESSION."),
    (["--resume", "sess-x", "--model", "m", "--prompt", "p@1=FILE"], "--model, --prompt cannot stand beside --resume"),
    (["@1", "--prompt", "support=FILE"], "good values: NAME@VERSION=FILE, such as support@7=support.txt"),
    (["@1", "--prompt", "p@1=nowhere.txt"], "--prompt: the file 'nowhere.txt' cannot be read: No such file or directory"),
    (["@1", "--system", "@nowhere.txt"], "--system: the file 'nowhere.txt' cannot be read"),
    (["@1", "--rate", "fast"], "--rate 'fast' is not usable; good values: 5/s, 60/min, 0.5/s"),
    (["@1", "--provider", "anthropic"], "'anthropic' is not one of 'openai_chat', 'openai_responses'"),
    (["@1", "--concurrency", "0"], "0 is not in the range 1<=x<=64"),
    (["@1", "--repeat", "0"], "0 is not in the range"),
    (["--resume", "sess-nothing"], "No reissue 'sess-nothing' in this store."),
])
def test_a_slip_is_2_with_the_good_values_and_nothing_is_sent(
    store: MemoryStore, tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "new.txt").write_text("New.")
    sender = Answering(["Hi."])

    run = otel_llm(store, "replay", "reissue", *(a.replace("FILE", str(tmp_path / "new.txt")) for a in arguments), sender=sender)

    assert (run.code, run.out, sender.sent) == (2, "", [])
    assert words in run.err


@pytest.mark.parametrize(("named", "said"), [
    (("support", "2"), "Its calls come from support@2."), (None, "None of its calls comes from a prompt that has a name.")])
def test_a_prompt_that_no_call_comes_from_is_refused_before_anything_is_sent(
    stage: Stage, tmp_path: Path, named: tuple[str, str] | None, said: str
) -> None:
    (tmp_path / "new.txt").write_text("New.")
    with stage.record({"?": "Yes."}) as client, (otel_llm_api.prompt_ref(*named) if named else nullcontext()):
        client.chat.completions.create(model=MODEL, messages=[user("Hi.")])

    done = stage.reissue("--prompt", f"foo@2={tmp_path / 'new.txt'}", "--yes")

    assert (done.code, done.out, stage.provider.asked) == (2, "", [])
    assert done.err.endswith(f"No call of source that can be sent comes from the prompt 'foo', so --prompt changes nothing. {said}\n")


def test_a_budget_that_is_too_small_sends_nothing(store: MemoryStore) -> None:
    sender = Answering(["Hi."])

    run = otel_llm(store, "replay", "reissue", "@1", *LOCAL, "--max-cost", "0.000001", sender=sender)

    assert (run.code, sender.sent) == (3, [])
    assert "The next call would pass the cap on cost. 0 of 5 calls were sent. Raise --max-cost to send the rest." in run.err


def test_a_missing_key_is_said_before_a_session_is_begun(store: MemoryStore) -> None:
    run = otel_llm(store, "replay", "reissue", "@1", "--yes")

    assert (run.code, store.journal.undertakings) == (3, {})
    assert "OPENAI_API_KEY is not set" in run.err
    assert "The new session" not in run.err


def test_the_new_session_is_named_before_anything_is_sent(store: MemoryStore) -> None:
    run = otel_llm(store, "replay", "reissue", "@1", *LOCAL, "--json")

    (session_id,) = {result["session_id"] for result in json.loads(run.out)}
    assert f"The new session is {session_id}. After an interruption: otel-llm replay reissue --resume {session_id}\n" in run.err


def test_the_estimate_is_for_all_repeats(store: MemoryStore) -> None:
    run = otel_llm(store, "replay", "reissue", "@1:1", "--repeat", "3", environ={"OPENAI_API_KEY": "k"})

    assert run.code == 2
    assert "1 call to https://api.openai.com, model gpt-4o-mini, unchanged, 3 times each. By the recorded tokens it costs about $0.000045." in run.err


def test_on_a_terminal_a_bar_shows_how_far_it_is_and_a_pipe_gets_none() -> None:
    shown = on_terminal("replay", "reissue", "@1", *LOCAL, environ={"NO_COLOR": "1"})

    assert shown.code == 0
    assert "sending" in shown.out and "5/5" in shown.out
    assert "5 calls sent" in shown.out


def test_what_asks_no_model_is_skipped_and_that_is_no_failure(stage: Stage) -> None:
    with stage.record({"?": "Yes."}) as client:
        client.chat.completions.create(model=MODEL, messages=[user("Hi.")])
        client.post("/moderations", cast_to=object, body={"input": "x", "model": MODEL})

    done = stage.reissue()

    assert (done.code, len(stage.provider.asked)) == (0, 1)
    assert "is no call to a model that otel-llm can read" in done.err


def test_an_interruption_waits_for_what_is_under_way_and_can_be_gone_on_with(stage: Stage) -> None:
    record_calls(stage, 6)
    stage.provider.latency_s = 0.2
    process = subprocess.Popen(
        [sys.executable, "-m", "otel_llm.cli", "--store", str(stage.directory), "replay", "reissue", "source", "--concurrency", "2"],
        env={name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while len(stage.provider.asked) < 2:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    stage.provider.latency_s = 0.0
    session_id, entries = journal(stage.directory)

    done = stage.reissue("--resume", session_id)

    assert process.returncode == 130
    assert "Waiting for 2 calls under way; interrupted once more, they are in doubt." in err
    assert [e.state for e in entries] == ["answered"] * 2 + ["waiting"] * 4
    assert [f"{e.key.source_span_id} → {e.span_id}" in out for e in entries[:2]] == [True, True]
    assert f"2 calls sent, 2 answered the same, 0 differently; $0.0000090. The new session: otel-llm show {session_id}" in err
    assert f"otel-llm replay reissue --resume {session_id}" in err
    assert (done.code, set(asked(stage).values())) == (0, {1})


@pytest.mark.parametrize("command", [
    "show FILE", "call FILE", "calls --session FILE", "export jsonl FILE", "export session FILE", "replay check FILE",
    "replay reissue FILE --yes", "replay compare FILE", "replay diff FILE source", "replay fork FILE -- true"])
def test_a_file_is_to_be_imported_first(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    record_calls(stage, 1)
    monkeypatch.chdir(tmp_path)
    on_store(stage.directory, "export", "session", "source", "-o", "trip.session")

    done = on_store(stage.directory, *command.replace("FILE", "trip.session").split())

    assert (done.code, done.out, stage.provider.asked) == (2, "", [])
    assert done.err == ("otel-llm: trip.session is a file, and this wants what is in the store. First: otel-llm import trip.session; "
                        "then name the session by its id.\n")


def test_replays_can_be_left_out_of_every_list(stage: Stage) -> None:
    record_calls(stage, 2)
    stage.reissue()

    def listed(*args: str) -> list[str]:
        found = on_store(stage.directory, *args, "--json").out
        return [each["session_id"] for each in json.loads(found)]

    assert [len(set(listed("sessions"))), listed("sessions", "--originals")] == [2, ["source"]]
    assert [len(set(listed("calls"))), listed("calls", "--originals")] == [2, ["source"] * 2]
    assert [len(set(listed("search", "call"))), listed("search", "call", "--originals")] == [2, ["source"] * 2]


def test_a_branch_says_which_of_its_costs_are_unknown(stage: Stage) -> None:
    with stage.record({"?": "Yes."}) as client:
        for name in (MODEL, "llama-local"):
            client.chat.completions.create(model=name, messages=[user("Hi.")])
    stage.reissue()
    stage.reissue("--model", "llama-local")

    branches = on_store(stage.directory, "show", "source").out.partition("branches\n")[2]

    assert "reissue  2 calls · $0.0000045 + 1 call of unknown cost · ok\n" in branches
    assert "reissue, model llama-local  2 calls · – + 2 calls of unknown cost · ok" in branches
