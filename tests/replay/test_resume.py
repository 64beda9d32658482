"""Going on with a reissue: no answered call is bought twice, whenever its process was killed; caps hold over all of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from cli.terminal import on_store
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator
from otel_llm.values.errors import StoreUnwritable
from otel_llm.values.journal import CallKey, Entry, EntryState
from replay.agents import HOW, MODEL, OSLO, SYSTEM, TAKE, Stage, chat_agent, responses_agent, user
from support.killing import Killed
from support.provider import Provider

CALL_PICO_USD = 4_500_000
"""What a call of 10 and 5 tokens costs with the model of these tests."""


def record_calls(stage: Stage, count: int) -> None:
    with stage.record({"?": "Yes."}) as client:
        for n in range(count):
            client.chat.completions.create(model=MODEL, messages=[user(f"call {n}")])


def asked(stage: Stage) -> Counter[str]:
    """How often each recorded call was asked again."""
    return Counter(body["messages"][-1]["content"] for body in stage.provider.asked)


def journal(directory: Path) -> tuple[str, list[Entry]]:
    """The new session, and what the journal says of its calls; empty when nothing was begun."""
    with SqliteStore(directory) as store:
        found = store.connection.execute("SELECT session_id FROM reissue").fetchall()
        return (found[0][0], store.journal.entries(found[0][0])) if found else ("", [])


def set_state(directory: Path, number: int, state: EntryState) -> None:
    """Make the journal say something else of a call, as if its process had died earlier."""
    session_id, entries = journal(directory)
    with SqliteStore(directory) as store:
        store.journal.settle(session_id, replace(entries[number], state=state, span_id=None))


class TestAfterAKill:
    @pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.slow)])
    def test_no_call_is_bought_twice_and_no_cap_is_passed(self, stage: Stage, kills: int) -> None:
        """SIGKILL at random moments, resumed each time until it ends by itself; then anew, until there were so many kills.

        Half of the reissues have a cap on calls, half one on cost, so that it is the sum over all processes that counts.
        """
        count, total, doubts, seed = 18, 0, 0, 0
        record_calls(stage, count)
        source = stage.directory
        with SqliteStore(source) as store:
            store.catch_up()
        while total < kills:
            seed += 1
            place = source.with_name(f"store-{seed}")
            copytree(source, place)
            stage.provider.asked.clear()
            stage.provider.latency_s = 0.02
            most = 12 if seed % 2 else count
            caps = ("--max-calls", "12") if seed % 2 else ("--max-cost", "0.0000675")
            killed, code = Killed(place, stage.provider, seed), None
            while code is None:
                session_id, _ = journal(place)
                again = ("--resume", session_id) if session_id else ("source", "--concurrency", "3", *caps)
                code = killed.run(["replay", "reissue", *again], most_calls=4)
            _, entries = journal(place)
            sent = asked(stage)
            answered = {e.key.source_span_id for e in entries if e.state == "answered"}
            doubtful = [e for e in entries if e.state == "sending"]
            assert max(sent.values()) == 1
            assert sum(sent.values()) <= most
            assert sum(sent.values()) * CALL_PICO_USD <= 67_500_000 + CALL_PICO_USD or seed % 2
            assert len(answered) <= sum(sent.values()) <= len(answered) + len(doubtful)
            assert all(e.key.source_span_id in killed.last for e in doubtful[:5])
            assert code == 3
            total, doubts = total + killed.kills, doubts + len(doubtful)
        stage.provider.latency_s = 0.0
        print(f"{total} kills in {seed} reissues; {doubts} calls were left in doubt, 0 were bought twice")

    @pytest.mark.slow
    @pytest.mark.parametrize("more", [(), ("--system", "Be kind."), ("--provider", "openai_chat")], ids=" ".join)
    def test_threaded_sessions_come_out_the_same_however_often_they_were_killed(
        self, stage: Stage, sim: Simulator, more: tuple[str, ...]
    ) -> None:
        """Against the simulator, which answers equal requests equally: killed or not, the same requests are sent in the end."""
        questions = ["What is the weather in Oslo?", "echo: one", "What is the weather in Rome?", "echo: two"]
        with stage.record() as client:
            client = client.with_options(base_url=sim.base_url)
            for _ in range(3):
                chat_agent(client, questions)
                responses_agent(client, questions, is_stateful=True)
        with SqliteStore(stage.directory) as store:
            store.catch_up()

        def sent(place: Path, seed: int | None) -> set[bytes]:
            copytree(stage.directory, place)
            sim.exchanges.clear()
            killed, code = Killed(place, sim, seed or 0), None if seed is not None else -1
            while code is None:
                session_id, _ = journal(place)
                again = ("--resume", session_id) if session_id else ("source", "--threaded", "--concurrency", "3", *more)
                code = killed.run(["replay", "reissue", *again], most_calls=6)
            while code:
                session_id, _ = journal(place)
                again = ("--resume", session_id, "--resend-in-doubt") if session_id else ("source", "--threaded", *more)
                code = on_store(place, "replay", "reissue", *again).code
            return {exchange.request_body for exchange in sim.exchanges} - {b""}  # a client that died before it sent its body

        expected = sent(stage.directory.with_name("whole"), None)

        assert len(expected) > 10
        for seed in range(5):
            assert sent(stage.directory.with_name(f"killed-{seed}"), seed) == expected

    def test_an_answer_that_only_the_tape_has_settles_its_call(self, stage: Stage) -> None:
        record_calls(stage, 3)
        stage.reissue("--max-calls", "2")
        set_state(stage.directory, 1, "sending")
        session_id, _ = journal(stage.directory)

        done = stage.reissue("--resume", session_id, "--max-calls", "3", "--json")

        assert f"Going on with {session_id}: 2 calls answered (1 of them found on the tape), 1 to send." in done.err
        assert (done.code, asked(stage)) == (0, {"call 0": 1, "call 1": 1, "call 2": 1})
        assert [(r["state"], r["diff"]["same"]) for r in json.loads(done.out)] == [("answered", True)] * 2
        assert [(e.state, e.sends, e.cost) for e in journal(stage.directory)[1]] == [("answered", 1, CALL_PICO_USD)] * 3

    def test_a_call_in_doubt_is_listed_and_sent_again_only_when_that_is_said(self, stage: Stage) -> None:
        record_calls(stage, 2)
        stage.provider.decide = lambda body: None if body["messages"][-1]["content"] == "call 1" else "Yes."
        first = stage.reissue()
        stage.provider.decide = lambda body: "Yes."
        session_id, entries = journal(stage.directory)

        left = stage.reissue("--resume", session_id)
        again = stage.reissue("--resume", session_id, "--resend-in-doubt")
        over = stage.reissue("--resume", session_id)

        assert [(e.state, e.cost) for e in entries] == [("answered", CALL_PICO_USD), ("sending", CALL_PICO_USD)]
        assert [run.code for run in (first, left, again, over)] == [3, 3, 0, 0]
        assert f"In doubt: {entries[1].key.source_span_id} was sent, and no answer is recorded." in left.err
        assert f"otel-llm replay reissue --resume {session_id} --resend-in-doubt sends them again." in left.err
        assert asked(stage) == {"call 0": 1, "call 1": 2}
        assert [(e.state, e.sends, e.cost) for e in journal(stage.directory)[1]] == [
            ("answered", 1, CALL_PICO_USD), ("answered", 2, 2 * CALL_PICO_USD)]
        assert "Nothing is left to send." in over.err


class TestGoingOn:
    def test_new_answers_from_before_flow_on(self, stage: Stage) -> None:
        with stage.record({HOW: OSLO, "rain in Oslo": "It rains.", TAKE: "An umbrella."}) as client:
            chat_agent(client, [HOW, TAKE])
        rules: dict[str, Any] = {HOW: OSLO, "rain in Oslo": "RAIN!", TAKE: "Boots."}
        stage.reissue("--threaded", "--model", "gpt-4.1", "--max-calls", "2", rules=rules)
        session_id, _ = journal(stage.directory)

        done = stage.reissue("--resume", session_id, "--max-calls", "9")

        (sent,) = [body for body in stage.provider.asked if body["messages"][-1] == user(TAKE)]
        new = stage.histories[1][2]["tool_calls"][0]["id"]
        assert (done.code, len(stage.provider.asked), sent["model"]) == (0, 3, "gpt-4.1")
        assert [m.get("tool_call_id") or m["content"] if m["role"] != "assistant" or "content" in m else m["tool_calls"][0]["id"]
                for m in sent["messages"]] == [SYSTEM["content"], HOW, new, new, "RAIN!", TAKE]

    def test_refusals_are_sent_again_and_answers_are_not(self, stage: Stage) -> None:
        record_calls(stage, 3)
        stage.provider.decide = lambda body: {"call 0": 401, "call 1": 404}.get(body["messages"][-1]["content"], "Yes.")
        first = stage.reissue("--retries", "0")
        stage.provider.decide = lambda body: "Yes."
        session_id, _ = journal(stage.directory)

        done = stage.reissue("--resume", session_id)

        assert (first.code, done.code) == (1, 0)
        assert asked(stage) == {"call 0": 2, "call 1": 1, "call 2": 1}
        assert "1 call sent, 1 answered the same, 0 differently, 2 answered before" in done.err

    def test_an_endpoint_that_was_down_is_asked_when_it_is_back(self, stage: Stage, provider: Provider) -> None:
        record_calls(stage, 2)
        first = stage.reissue("--base-url", "http://127.0.0.1:9/v1", "--retries", "0")
        session_id, entries = journal(stage.directory)

        second = stage.reissue("--resume", session_id, "--retries", "0")

        assert (first.code, second.code, provider.asked) == (3, 3, [])
        assert [(e.state, e.sends, e.cost) for e in entries] == [("failed", 0, 0), ("waiting", 0, 0)]

    def test_the_cap_of_the_beginning_holds_until_another_one_is_given(self, stage: Stage) -> None:
        record_calls(stage, 4)
        stage.reissue("--max-calls", "1")
        session_id, _ = journal(stage.directory)

        same = stage.reissue("--resume", session_id)
        more = stage.reissue("--resume", session_id[:9], "--max-calls", "3")

        assert (same.code, more.code, len(stage.provider.asked)) == (3, 3, 3)
        assert "Stopped at the cap of 1 calls. 1 of 4 calls were sent." in same.err
        assert "Stopped at the cap of 3 calls. 3 of 4 calls were sent." in more.err
        assert f"The rest, with a higher cap where one was reached: otel-llm replay reissue --resume {session_id}\n" in more.err

    def test_calls_that_were_recorded_since_are_not_sent(self, stage: Stage) -> None:
        record_calls(stage, 2)
        stage.reissue("--max-calls", "1")
        record_calls(stage, 3)
        session_id, _ = journal(stage.directory)

        done = stage.reissue("--resume", session_id, "--max-calls", "9")

        assert (done.code, len(stage.provider.asked)) == (0, 1)

    def test_one_that_nobody_began_is_not_found_and_the_nearest_are_named(self, stage: Stage) -> None:
        record_calls(stage, 1)
        stage.reissue()
        session_id, _ = journal(stage.directory)

        done = stage.reissue("--resume", "sess-nothing")

        assert (done.code, len(stage.provider.asked)) == (2, 1)
        assert f"No reissue 'sess-nothing' in this store. Did you mean {session_id}?" in done.err

    def test_while_another_process_is_at_work_nothing_is_sent(self, stage: Stage) -> None:
        record_calls(stage, 2)
        stage.reissue("--max-calls", "1")
        session_id, _ = journal(stage.directory)

        with SqliteStore(stage.directory) as store, store.journal.hold(session_id):
            done = stage.reissue("--resume", session_id, "--max-calls", "9")

        assert (done.code, len(stage.provider.asked)) == (4, 1)
        assert f"Another process is at work on the reissue {session_id}." in done.err


class TestJournal:
    KEY = CallKey("a" * 16, 0)

    def test_only_one_of_two_gets_to_send_a_call(self, stage: Stage) -> None:
        record_calls(stage, 1)
        stage.reissue("--base-url", "http://127.0.0.1:9/v1", "--retries", "0")
        session_id, (entry,) = journal(stage.directory)

        with SqliteStore(stage.directory) as one, SqliteStore(stage.directory) as other:
            got = [store.journal.claim(session_id, entry.key, cost=3) for store in (one, other)]
            resent = other.journal.claim(session_id, entry.key, cost=3, resend=True)

        assert (got, resent) == ([True, False], True)
        assert [(e.state, e.sends, e.cost) for e in journal(stage.directory)[1]] == [("sending", 2, 6)]

    def test_a_lock_goes_with_its_holder(self, tmp_path: Path) -> None:
        with SqliteStore(tmp_path) as store:
            with store.journal.hold("sess-x"), pytest.raises(StoreUnwritable, match="at work on the reissue sess-x"):
                with store.journal.hold("sess-x"):
                    raise AssertionError
            with store.journal.hold("sess-x"):
                pass

        assert list(tmp_path.glob("*.lock")) == []
