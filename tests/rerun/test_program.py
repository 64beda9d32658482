"""A program against its recording, from the terminal: offline, unchanged, changed, forked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.errors import ConfigError, NotReplayable, ReplayDiverged
from otel_llm.values.session import Filter
from rerun.conftest import AGENT, Recorded, Terminal

CALLS = 9
TOOLS = 3


def agent(*words: str) -> list[str]:
    return ["--", sys.executable, str(AGENT), *words]


def report_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


class TestRerun:
    def test_an_unchanged_program_does_the_same_with_no_provider_no_key_and_no_network(
        self, recorded: Recorded, terminal: Terminal
    ) -> None:
        run = terminal("replay", "rerun", "agent-1", *agent())

        assert (run.returncode, run.stdout) == (0, recorded.output), run.stderr
        assert f"same: {CALLS} of {CALLS} calls answered from the recording, {TOOLS} tools answered\n" in run.stderr
        assert "tools ran: \n" in run.stderr
        assert recorded.sim.count.total() == recorded.requests

    def test_one_changed_line_of_the_prompt_is_named_with_its_step_and_its_field(self, recorded: Recorded, terminal: Terminal) -> None:
        run = terminal("replay", "rerun", "agent-1", "--no-record", "--json", *agent("You are rude."))

        report = report_of(run.stdout)
        calls = [step for step in SqliteStore(recorded.store).steps("agent-1") if step.kind == "call"]
        assert (run.returncode, report["outcome"], report["answered_calls"], report["unreached"]) == (1, "diverged", 0, CALLS)
        assert report["differences"] == [{
            "kind": "request", "label": "call 1 (chat gpt-4o-mini)", "source_span_id": calls[0].span_id, "note": "",
            "resolution": "stopped", "fields": [{
                "path": "messages.0.content", "change": "changed", "old": "You are helpful. Handbook: page about umbrellas",
                "new": "You are rude. Handbook: page about umbrellas"}]}]

    def test_lenient_goes_on_with_the_nearest_answers_and_names_every_difference(
        self, recorded: Recorded, terminal: Terminal
    ) -> None:
        run = terminal("replay", "rerun", "agent-1", "--no-record", "--policy", "lenient", "--json", *agent("You are rude."))

        report = report_of(run.stdout)
        assert (run.returncode, report["outcome"], report["answered_calls"]) == (1, "diverged", CALLS)
        assert sorted(d["label"] for d in report["differences"]) == [
            "call 1 (chat gpt-4o-mini)", "call 2 (chat gpt-4o-mini)", "call 3 (chat no-such-model)", "call 4 (chat gpt-4o-mini)",
            *(f"call {n} (chat gpt-4o)" for n in range(5, 10))]
        assert {tuple(f["path"] for f in d["fields"]) for d in report["differences"]} == {("messages.0.content",)}
        assert {d["resolution"] for d in report["differences"]} == {"recorded"}

    def test_what_it_does_without_the_recording_is_a_session_of_its_own_that_names_its_source(
        self, recorded: Recorded, terminal: Terminal
    ) -> None:
        run = terminal("replay", "rerun", "agent-1", *agent())

        new_id = run.stderr.rpartition("otel-llm show ")[2].split()[0]
        store = SqliteStore(recorded.store)
        (row,) = store.sessions(Filter(session=(new_id,)))
        old = {step.span_id for step in store.steps("agent-1")}
        assert (row.replay_of, row.calls, row.cost and row.cost.total, row.user_id) == ("agent-1", CALLS, 0, "ada")
        for step in store.steps(new_id):
            if step.kind in ("call", "tool", "retrieval"):
                span = store.span(step.span_id)
                assert span.attributes["otel_llm.replay.source.span_id"] in old
                assert span.attributes["otel_llm.replay.mode"] == "rerun"
                assert (span.attributes["jaeger.eval.trial_id"], span.attributes["jaeger.eval.iteration_index"]) == (new_id, 0)
                assert [link.span_id for link in span.links] == [span.attributes["otel_llm.replay.source.span_id"]]

    def test_a_program_that_recorded_nothing_has_no_session_to_show(self, terminal: Terminal) -> None:
        run = terminal("replay", "rerun", "agent-1", "--", sys.executable, "-c", "print('nothing')")
        as_json = terminal("replay", "rerun", "agent-1", "--no-record", "--json", *agent())

        assert "otel-llm show" not in run.stderr
        assert report_of(as_json.stdout)["new_session_id"] is None

    def test_a_call_that_is_like_none_is_quoted_by_its_last_words(self, terminal: Terminal) -> None:
        code = ("import openai; openai.OpenAI().completions.create(model='m', prompt='Say  this\\nand that.', "
                "extra_body={'tools': [{'type': 'function', 'function': {'name': 'get_price'}}]})")
        run = terminal("replay", "rerun", "agent-1", "--no-record", "--json", "--", sys.executable, "-c", code)

        (difference, *_) = report_of(run.stdout)["differences"]
        assert difference["note"] == "Say this and that. (is it in another session? --with takes that one in)"

    def test_caps_on_what_goes_live_are_refused_where_nothing_does(self, terminal: Terminal) -> None:
        run = terminal("replay", "rerun", "agent-1", "--max-calls", "3", *agent())

        assert (run.returncode, run.stdout) == (2, "")
        assert "give --policy record-new with them" in run.stderr

    def test_a_live_tool_runs(self, terminal: Terminal) -> None:
        run = terminal("replay", "rerun", "agent-1", "--no-record", "--live-tool", "weather", *agent())

        assert run.returncode == 0, run.stderr
        assert "tools ran: Oslo, Rome\n" in run.stderr

    def test_a_program_that_asks_less_has_diverged(self, terminal: Terminal) -> None:
        run = terminal("replay", "rerun", "agent-1", "--no-record", "--json", "--", sys.executable, "-c", "print('nothing')")

        assert run.returncode == 1
        assert [d["kind"] for d in report_of(run.stdout)["differences"]] == ["unasked"] * (CALLS + TOOLS)

    def test_a_program_that_fails_has_regressed(self, tmp_path: Path, terminal: Terminal) -> None:
        failing = tmp_path / "failing.py"
        failing.write_text(f"import runpy; runpy.run_path({str(AGENT)!r}, run_name='__main__'); raise SystemExit(3)")
        run = terminal("replay", "rerun", "agent-1", "--no-record", "--", sys.executable, str(failing))

        assert run.returncode == 1
        assert "regressed: 9 of 9" in run.stderr and "the program ended differently: it ended with exit code 3, not 0" in run.stderr

    def test_a_step_that_comes_to_something_else_has_regressed(self, tmp_path: Path, terminal: Terminal) -> None:
        other = tmp_path / "agent.py"
        other.write_text(AGENT.read_text().replace("return said + asyncio.run", "return ['!'] + said[1:] + asyncio.run"))
        run = terminal("replay", "rerun", "agent-1", "--no-record", "--", sys.executable, str(other))

        assert run.returncode == 1
        assert "workflow answer comes to something else\n  0: " in run.stderr

    @pytest.mark.parametrize("reach", ["urllib.request.urlopen('http://127.0.0.1:9/')",
                                       "socket.create_connection(('192.0.2.1', 80), 1)",
                                       "asyncio.run(asyncio.open_connection('127.0.0.1', 9))"])
    def test_nothing_else_reaches_the_network(self, terminal: Terminal, reach: str) -> None:
        code = f"import asyncio, socket, urllib.request\n{reach}"
        run = terminal("replay", "rerun", "agent-1", "--no-record", "--", sys.executable, "-c", code)

        assert "the program is being rerun and its network is closed" in run.stderr

    @pytest.mark.parametrize(("words", "code", "says"), [
        (["agent-1"], 2, "no program was given"), (["agent-1", "--", "/no/such/program"], 2, "cannot run '/no/such/program'"),
        (["agent-1", "--", "true"], 3, "no Python program in it"), (["nobody-1", "--", "true"], 2, "No session"),
        (["--", "true"], 2, "SESSION is missing, which stands before `--`"),
        (["--ignore", "x", "--", "nobody-1", "--", "true"], 2, "SESSION is missing, which stands before `--`"),
        (["agent-1", "--", sys.executable, "-I", "x.py"], 2, "through which a rerun begins"),
        (["agent-1", "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], 3, "was killed (exit code 137)")])
    def test_what_cannot_be_rerun_is_said(self, terminal: Terminal, words: list[str], code: int, says: str) -> None:
        run = terminal("replay", "rerun", *words)

        assert run.returncode == code, run.stderr
        assert says in run.stderr


class TestFork:
    def test_calls_before_the_fork_are_recorded_and_the_rest_live_with_the_changes(
        self, recorded: Recorded, terminal: Terminal
    ) -> None:
        before = recorded.sim.count.total()
        run = terminal("replay", "fork", "agent-1", "--at", "4", "--model", "gpt-4.1", *agent(), env={
            "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": recorded.sim.base_url})

        assert run.returncode == 0, run.stderr
        assert "forked: 3 of 9 calls answered from the recording, 6 live, 3 tools answered" in run.stderr
        sent = [json.loads(e.request_body)["model"] for e in recorded.sim.exchanges[before:]]
        assert sent == ["gpt-4.1"] * 6
        new_id = run.stderr.rpartition("otel-llm show ")[2].split()[0]
        store = SqliteStore(recorded.store)
        (row,) = store.sessions(Filter(session=(new_id,)))
        assert (row.replay_of, row.calls) == ("agent-1", CALLS)
        assert [step.model for step in store.steps(new_id) if step.kind == "call"][3:] == ["gpt-4.1"] * 6

    def test_a_session_shows_the_tree_of_its_branches(self, recorded: Recorded, terminal: Terminal) -> None:
        env = {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": recorded.sim.base_url}
        first = terminal("replay", "fork", "agent-1", "--at", "3", "--model", "gpt-4.1", "--set", "temperature=0", *agent(), env=env)
        child = first.stderr.rpartition("otel-llm show ")[2].split()[0]
        grandchild = terminal("replay", "rerun", child, *agent()).stderr.rpartition("otel-llm show ")[2].split()[0]

        shown = terminal("show", "agent-1").stdout.partition("\nbranches\n")[2]

        assert f"  {child}  fork at call 3, model gpt-4.1, temperature=0  9 calls · $" in shown
        assert f"\n  └ {grandchild}  rerun  " in shown.partition(child)[2]

    def test_without_a_call_it_goes_live_at_the_first_divergence(self, recorded: Recorded, terminal: Terminal) -> None:
        before = recorded.sim.count.total()
        run = terminal("replay", "fork", "agent-1", *agent("You are rude."), env={
            "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": recorded.sim.base_url})

        assert run.returncode == 0, run.stderr
        assert "forked: 0 of 9 calls answered from the recording, 9 live" in run.stderr
        assert recorded.sim.count.total() - before == CALLS

    def test_a_call_that_is_named_is_the_first_to_go_out(self, recorded: Recorded, terminal: Terminal) -> None:
        before = recorded.sim.count.total()
        run = terminal("replay", "fork", "agent-1:9", "--model", "gpt-4.1", *agent(), env={
            "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": recorded.sim.base_url})
        both = terminal("replay", "fork", "agent-1:9", "--at", "2", *agent())

        assert (run.returncode, recorded.sim.count.total() - before) == (0, 1), run.stderr
        assert (both.returncode, both.stdout) == (2, "")
        assert "agent-1:9 is call 9 of the recording, and --at says 2; give one of them" in both.stderr

    def test_that_never_went_live_says_so(self, terminal: Terminal) -> None:
        run = terminal("replay", "fork", "agent-1", "--model", "gpt-4.1", *agent(), env={"OPENAI_API_KEY": "sk-x"})

        assert run.returncode == 0
        assert run.stderr.endswith("Nothing went live: every call was answered from the recording. --at N says from which call on.\n")

    def test_a_cap_on_calls_is_kept(self, recorded: Recorded, terminal: Terminal) -> None:
        before = recorded.sim.count.total()
        run = terminal("replay", "fork", "agent-1", "--at", "2", "--max-calls", "1", *agent(), env={
            "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": recorded.sim.base_url})

        assert run.returncode == 1
        assert "Stopped at the cap of 1 live calls" in run.stderr
        assert recorded.sim.count.total() - before == 1

    def test_a_call_that_is_not_there_is_said_before_anything_starts(self, terminal: Terminal) -> None:
        run = terminal("replay", "fork", "agent-1", "--at", "11", "--yes", *agent())

        assert (run.returncode, "--at 11 is not usable; the recording has 9 calls" in run.stderr) == (2, True)


class TestInPython:
    @pytest.mark.parametrize("times", [10, pytest.param(100, marks=pytest.mark.slow)])
    def test_it_does_the_same_as_often_as_one_likes(self, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        from rerun import agent as program

        for _ in range(times):
            with otel_llm.replaying("agent-1", store=recorded.store) as rerun:
                said = program.answer("You are helpful.")
            assert ("\n".join(said) + "\n", rerun.report.outcome, rerun.report.answered_calls) == (recorded.output, "same", CALLS)
        assert program.RUNS == []

    def test_what_differs_is_raised_at_the_end_when_the_program_went_on(
        self, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        from rerun import agent as program

        with (pytest.raises(ReplayDiverged, match="call 1 .chat gpt-4o-mini. asks something else"),
              otel_llm.replaying("agent-1", store=recorded.store, policy="lenient")):
            program.answer("You are rude.")

    def test_one_rerun_at_a_time(self, recorded: Recorded) -> None:
        with (otel_llm.replaying("agent-1", store=recorded.store, check=False),
              pytest.raises(ConfigError, match="under way already"), otel_llm.replaying("agent-1", store=recorded.store)):
            pass

    def test_a_session_without_content_cannot_be_rerun(self, tmp_path: Path, sim: Any, client: Any) -> None:
        from support.chat import HELLO

        otel_llm.init(store=tmp_path, content=False)
        with otel_llm.session("bare"):
            client.chat.completions.create(**HELLO)
        otel_llm.shutdown()

        with (pytest.raises(NotReplayable, match="call 1: content off"), otel_llm.replaying("bare", store=tmp_path)):
            pass

    def test_the_network_is_open_again_afterwards(self, recorded: Recorded, client: Any) -> None:
        from support.chat import HELLO

        with otel_llm.replaying("agent-1", store=recorded.store, check=False):
            pass

        assert client.chat.completions.create(**HELLO).choices


class TestWhatIsMeant:
    def test_at_counts_replays_and_means_what_they_replay(self, terminal: Terminal) -> None:
        terminal("replay", "rerun", "agent-1", *agent("You are rude."))

        again = terminal("replay", "rerun", "@1", "--no-record", *agent())

        assert again.returncode == 0, again.stderr
        assert "@1 is a replay of agent-1, which is meant here." in again.stderr

    @pytest.mark.parametrize(("words", "code", "says"), [
        (["rerun", "agent-1:3"], 2, "agent-1:3 is a call; a program is run against a session: agent-1"),
        (["fork", "agent-1", "--at", "99"], 2, "--at 99 is not usable; the recording has 9 calls: 1 to 10")])
    def test_what_cannot_be_meant_is_said_at_once(self, terminal: Terminal, words: list[str], code: int, says: str) -> None:
        run = terminal("replay", *words, *agent())

        assert (run.returncode, run.stderr.strip()) == (code, f"otel-llm: {says}")

    @pytest.mark.parametrize("verb", [["rerun"], ["fork", "--at", "10"]], ids=lambda verb: verb[0])
    def test_a_live_tool_that_neither_the_recording_nor_the_program_has_is_named_at_the_end(
        self, terminal: Terminal, verb: list[str]
    ) -> None:
        """It is no error: the option says what may run, for all sessions of a program, and not each of them has every tool."""
        said = "Nothing ran by --live-tool wether: no tool of that name was called, nor is one in the recording, which has documents, weather."

        run = terminal("replay", *verb, "agent-1", "--live-tool", "wether", *agent(), env={"OPENAI_API_KEY": "sk-x"})
        as_json = terminal("replay", *verb, "agent-1", "--live-tool", "wether", "--live-tool", "weather", "--json", *agent(),
                           env={"OPENAI_API_KEY": "sk-x"})

        assert (run.returncode, run.stderr.partition("tools ran")[2].count(said)) == (0, 1), run.stderr
        assert (as_json.returncode, json.loads(as_json.stdout)["absent_tools"]) == (0, ["wether"])

    def test_a_live_tool_that_is_new_in_the_program_runs_and_nothing_is_said_of_it(self, terminal: Terminal, tmp_path: Path) -> None:
        other = tmp_path / "other.py"
        other.write_text(AGENT.read_text().replace('if __name__ ==', """
@otel_llm.tool
def brand_new() -> str:
    return "here"

print(brand_new(), file=sys.stderr)

if __name__ =="""))

        run = terminal("replay", "rerun", "agent-1", "--no-record", "--live-tool", "brand_new", "--", sys.executable, str(other))

        assert (run.returncode, "here\n" in run.stderr, "--live-tool" in run.stderr) == (0, True, False), run.stderr

    def test_a_fork_at_a_call_sends_nothing_before_it(self, recorded: Recorded, terminal: Terminal) -> None:
        before = recorded.sim.count.total()
        run = terminal("replay", "fork", "agent-1", "--at", "4", *agent("You are rude."), env={
            "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": recorded.sim.base_url})

        assert run.returncode == 1
        assert "call 1 (chat gpt-4o-mini) asks something else" in run.stderr
        assert recorded.sim.count.total() == before

    def test_a_call_too_many_is_called_that(self, tmp_path: Path, terminal: Terminal) -> None:
        more = tmp_path / "agent.py"
        more.write_text(AGENT.read_text().replace("range(5)", "[*range(5), 0]"))
        run = terminal("replay", "rerun", "agent-1", "--no-record", "--", sys.executable, str(more))

        assert run.returncode == 1
        assert "it is call 5 (chat gpt-4o), asked once more than it was recorded" in run.stderr

    def test_an_interrupted_program_is_130(self, tmp_path: Path, terminal: Terminal) -> None:
        program = tmp_path / "program.py"
        program.write_text("import os, signal\nos.kill(os.getppid(), signal.SIGINT)\n")
        run = terminal("replay", "rerun", "agent-1", "--no-record", "--", sys.executable, str(program))

        assert run.returncode == 130
