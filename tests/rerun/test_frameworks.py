"""What frameworks on top of an SDK do to a rerun: they try again what was stopped, report home, trace themselves, and make forks
go where no recording is.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator
from otel_llm.values.errors import ReplayDiverged
from otel_llm.values.session import LISTED, Filter
from rerun.conftest import AGENT, Recorded, Terminal
from rerun.test_matching import _forked, ask, offline
from support.recording import recording


class TestAFork:
    def test_goes_live_at_its_call_when_the_program_asks_something_else_there(
        self, tmp_path: Path, sim: Simulator, client: Any
    ) -> None:
        with recording(tmp_path), otel_llm.session("s"):
            ask(client, "one")
            ask(client, "two")
        requests = sim.count.total()

        with _forked(tmp_path, tmp_path / "branch", at=2, model="gpt-4.1") as fork:
            ask(client, "one")
            ask(client, "changed")

        assert (fork.report.outcome, fork.report.answered_calls, fork.report.live_calls) == ("forked", 1, 1)
        assert sim.count.total() - requests == 1

    def test_goes_on_behind_the_last_recorded_call(self, tmp_path: Path, client: Any) -> None:
        with recording(tmp_path), otel_llm.session("s"):
            ask(client, "one")

        with _forked(tmp_path, tmp_path / "branch", at=2) as fork:
            ask(client, "one")
            ask(client, "more")

        assert (fork.report.outcome, fork.report.answered_calls, fork.report.live_calls) == ("forked", 1, 1)

    def test_stops_at_a_call_before_its_own_that_is_not_in_the_recording(self, tmp_path: Path, client: Any) -> None:
        with recording(tmp_path), otel_llm.session("s"):
            ask(client, "one")
            ask(client, "two")

        with _forked(tmp_path, tmp_path / "branch", at=2), pytest.raises(ReplayDiverged):
            ask(client, "changed")


def test_a_fork_stops_at_the_cap_on_cost_with_a_model_whose_price_nobody_has_asked_for_yet(
    recorded: Recorded, terminal: Terminal
) -> None:
    code = """
        import openai
        for _ in range(3):
            openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "echo: new"}])
    """
    run = terminal("replay", "fork", "agent-1", "--model", "gpt-4.1-nano", "--max-cost", "0.000016", "--yes", "--json", "--",
                   sys.executable, "-c", textwrap.dedent(code), env={"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": recorded.sim.base_url})

    report = json.loads(run.stdout)
    assert (run.returncode, report["live_calls"], report["live_cost_pico_usd"] > 0) == (1, 1, True), run.stderr
    assert "The next call would pass the cap on cost. 1 live call went out." in run.stderr


def test_a_difference_that_is_tried_again_stands_once_in_the_report(tmp_path: Path, client: Any) -> None:
    with recording(tmp_path), otel_llm.session("s"):
        ask(client, "one")

    with otel_llm.replaying("s", store=tmp_path, check=False) as rerun:
        for _ in range(4):
            with pytest.raises(ReplayDiverged):
                ask(offline(), "other")

    assert rerun.report.text.count("asks something else") == 1
    assert "asks something else (4 times)\n  messages.0.content" in rerun.report.text
    assert len(rerun.report.differences) == 4


def test_an_id_that_says_where_a_prompt_may_be_cached_is_no_difference(tmp_path: Path, client: Any) -> None:
    """openai-agents sends a new one with every run to OpenAI itself, and none to other endpoints."""
    with recording(tmp_path), otel_llm.session("s"):
        before = [ask(client, "one", extra_body={"prompt_cache_key": "agents-sdk:run:1"}), ask(client, "two")]

    with otel_llm.replaying("s", store=tmp_path) as rerun:
        after = [ask(offline(), "one", extra_body={"prompt_cache_key": "agents-sdk:run:2"}),
                 ask(offline(), "two", extra_body={"prompt_cache_key": "agents-sdk:run:2"})]
    assert (after, rerun.report.outcome) == (before, "same")

    with otel_llm.replaying("s", store=tmp_path, check=False) as rerun, pytest.raises(ReplayDiverged):
        ask(offline(), "changed", extra_body={"prompt_cache_key": "agents-sdk:run:2"})
    assert [change.path for change in rerun.report.differences[0].fields] == ["messages.0.content"]


FIELDS = {"metadata": {"run": {"id": "1"}, "team": "a"}, "user": "u-1", "messages": [
    {"role": "user", "content": "echo: one", "name": "n-1"}, {"role": "user", "content": "echo: two", "name": "n-1"}]}


def test_fields_that_are_new_in_every_run_can_be_left_out_of_sight(tmp_path: Path, client: Any) -> None:
    with recording(tmp_path), otel_llm.session("s"):
        before = ask(client, "", extra_body=FIELDS)
    new = json.loads(json.dumps(FIELDS).replace("n-1", "n-2").replace("u-1", "u-2").replace('"id": "1"', '"id": "2"'))

    with otel_llm.replaying("s", store=tmp_path, ignore=["metadata.run", "user", "messages.*.name"]) as rerun:
        after = ask(offline(), "", extra_body=new)
    assert (after, rerun.report.outcome) == (before, "same")

    with otel_llm.replaying("s", store=tmp_path, ignore=["metadata.run", "user", "messages.*.name"], check=False) as rerun:
        ask(offline(), "", extra_body=new)
        with pytest.raises(ReplayDiverged, match="asked once more than it was recorded"):
            ask(offline(), "", extra_body=new)

    with otel_llm.replaying("s", store=tmp_path, ignore=["metadata.run.id", "messages.0.name"], check=False) as rerun:
        with pytest.raises(ReplayDiverged):
            ask(offline(), "", extra_body=new)
    assert [change.path for change in rerun.report.differences[0].fields] == ["messages.1.name", "user"]


def test_a_field_to_ignore_without_a_name_is_refused(recorded: Recorded, terminal: Terminal) -> None:
    run = terminal("replay", "rerun", "agent-1", "--ignore", "metadata.", "--", sys.executable, str(AGENT))

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "otel-llm: --ignore 'metadata.' names no field; good: user, metadata.run_id, messages.*.name\n"


@pytest.mark.parametrize("set_by_the_user", [None, "http://localhost:9/v1"])
def test_a_program_that_looks_where_it_asks_finds_the_place_of_the_recording(
    tmp_path: Path, sim: Simulator, client: Any, monkeypatch: pytest.MonkeyPatch, set_by_the_user: str | None
) -> None:
    """As langchain-openai and litellm do, which ask OpenAI itself for more than they ask others."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    if set_by_the_user:
        monkeypatch.setenv("OPENAI_BASE_URL", set_by_the_user)
    with recording(tmp_path), otel_llm.session("s"):
        ask(client, "one")

    with otel_llm.replaying("s", store=tmp_path):
        inside = os.environ.get("OPENAI_BASE_URL")
        ask(offline(), "one")

    assert (inside, os.environ.get("OPENAI_BASE_URL")) == (set_by_the_user or sim.base_url, set_by_the_user)


def test_hosts_that_were_held_off_are_named_and_are_no_difference(tmp_path: Path, client: Any) -> None:
    with recording(tmp_path), otel_llm.session("s"):
        ask(client, "one")

    with otel_llm.replaying("s", store=tmp_path) as rerun:
        ask(offline(), "one")
        for _ in range(2):
            with pytest.raises(OSError):
                socket.create_connection(("telemetry.invalid", 443))

    assert (rerun.report.outcome, rerun.report.held_off) == ("same", ["telemetry.invalid"])
    assert "Held off the network: telemetry.invalid" in rerun.report.text


def test_what_a_framework_traces_of_itself_is_no_session_that_anybody_counts(tmp_path: Path, client: Any) -> None:
    with recording(tmp_path) as made:
        ask(client, "one")
        with made.provider.get_tracer("autogen-core").start_as_current_span("autogen publish"):
            pass

    with SqliteStore(tmp_path) as store:
        (row,) = store.sessions(Filter(kinds=LISTED))
        assert [found.kind for found in store.sessions(Filter())] == ["other", "original"]
        assert (row.title, store.resolve("@1").id) == ("echo: one", row.session_id)
