"""How far a session can be replayed, and what is missing where it cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from cli.terminal import on_store
from cli.terminal import otel_llm as terminal
from otel_llm.replay.replayable import check
from otel_llm.testing import Simulator, cut, error
from replay.agents import HOW, MODEL, OSLO, SYSTEM, TAKE, Stage, chat_agent, user
from replay.memory_store import MemoryStore, Writer, newcomer
from support.recording import recording

FIRST = "a000000000000001"


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    newcomer(made)
    return made


def found(store: MemoryStore, session_id: str = "sess-newcomer01") -> list[tuple[str, list[str]]]:
    return [(call.level, [reason.code for reason in call.reasons]) for call in check(store, session_id).calls]


class TestReport:
    def test_a_session_of_which_everything_is_there_is_exact(self, store: MemoryStore) -> None:
        report = check(store, "sess-newcomer01")

        assert found(store) == [("exact", [])] * 5
        assert (report.level, report.summary) == ("exact", "exact")

    @pytest.mark.parametrize(("exchange", "step", "level", "code"), [
        ({"request_body": None, "response_body": None, "omitted": "content off"}, {}, "not", "content_off"),
        ({"request_body": None, "omitted": "too large"}, {}, "not", "too_large"),
        ({"request_body": None, "omitted": "redaction failed"}, {}, "not", "redaction_failed"),
        ({"request_body": None, "omitted": "streamed upload"}, {}, "not", "upload"),
        ({"request_body": None, "omitted": "not recorded", "api": "generic", "method": ""}, {}, "not", "no_bytes"),
        ({"redacted": 2}, {}, "partial", "redacted"),
        ({"response_body": None, "omitted": "too large"}, {}, "partial", "answer_missing"),
        ({"complete": False}, {}, "partial", "cut"),
        ({"complete": False, "left": True}, {}, "partial", "left"),
        ({"status": None, "response_body": None, "complete": False}, {"end_ns": None, "state": "incomplete"}, "partial", "in_doubt"),
        ({"status": None, "response_body": None, "complete": False}, {"end_ns": None, "state": "running"}, "partial", "running"),
        ({"status": None, "response_body": None, "complete": False}, {"state": "error"}, "exact", ""),
        ({"status": None, "response_body": None, "complete": False}, {"state": "error", "error_type": "BudgetExceeded"}, "partial",
         "not_sent"),
        ({"api": "generic"}, {}, "partial", "unreadable"),
        ({"method": "GET", "api": "openai_fetch_response"}, {}, "partial", "fetch"),
    ])
    def test_what_is_missing_is_said(
        self, store: MemoryStore, exchange: dict[str, Any], step: dict[str, Any], level: str, code: str
    ) -> None:
        """On the second call, whose answer is words."""
        second = "a000000000000003"
        store.exchanges[second] = replace(store.exchanges[second], **exchange)
        store.all_steps = [replace(s, **step) if s.span_id == second else s for s in store.all_steps]

        assert found(store)[1] == (level, [code] if code else [])

    def test_a_tool_call_without_a_result_is_partial_and_names_it(self) -> None:
        store = MemoryStore()
        w = Writer(store, "s")
        w.chat([user(HOW)], {"role": "assistant", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}]})

        (call,) = check(store, "s").calls

        assert [(r.code, r.text) for r in call.reasons] == [
            ("no_tool_result", 'nothing recorded answers weather({"city":"Oslo"})')]

    def test_a_session_is_as_good_as_its_calls_together(self, store: MemoryStore) -> None:
        store.exchanges[FIRST] = replace(store.exchanges[FIRST], request_body=None, omitted="content off")
        partial = check(store, "sess-newcomer01")
        for span_id, exchange in store.exchanges.items():
            store.exchanges[span_id] = replace(exchange, request_body=None, omitted="content off")
        nothing = check(store, "sess-newcomer01")

        assert (partial.level, partial.summary) == ("partial", "partial: 4 exact, 1 not replayable (content off)")
        assert (nothing.level, nothing.summary) == ("not", "not replayable (content off)")


class TestCommand:
    @pytest.mark.parametrize(("exchange", "code", "level"), [
        ({}, 0, "exact"), ({"redacted": 1}, 1, "partial"), ({"request_body": None, "omitted": "content off"}, 3, "not")])
    def test_the_exit_code_says_how_far(self, store: MemoryStore, exchange: dict[str, Any], code: int, level: str) -> None:
        store.exchanges[FIRST] = replace(store.exchanges[FIRST], **exchange)

        run = terminal(store, "replay", "check", "@1", "--json")

        (report,) = json.loads(run.out)
        assert (run.code, report["calls"][0]["replayable"]) == (code, level)
        assert set(report) == {"session_id", "replayable", "exact", "partial", "not", "calls"}
        assert [json.loads(line) for line in terminal(store, "replay", "check", "@1", "--jsonl").out.splitlines()] == [report]

    def test_elsewhere_than_on_a_terminal_it_is_a_row_a_call(self, store: MemoryStore) -> None:
        store.exchanges[FIRST] = replace(store.exchanges[FIRST], redacted=1)

        run = terminal(store, "replay", "check", "@1", "--header")

        rows = [line.split("\t") for line in run.out.splitlines()]
        assert rows[:2] == [
            ["session_id", "call_number", "span_id", "model", "replayable", "reasons"],
            ["sess-newcomer01", "1", FIRST, "gpt-4o-mini", "partial", "secrets were replaced in it (1)"]]
        assert len(rows) == 6
        assert run.err == "sess-newcomer01 is partial: 4 exact, 1 partial (redacted)\n"

    def test_a_session_without_calls_cannot_be_replayed(self, store: MemoryStore) -> None:
        Writer(store, "sess-tools").step("tool", "only")

        run = terminal(store, "replay", "check", "sess-tools")

        assert (run.code, run.err) == (3, "sess-tools is not replayable: there is no call in it\n")

    def test_a_call_alone_is_judged_with_what_came_after_it(self, store: MemoryStore) -> None:
        run = terminal(store, "replay", "check", "@1:1", "--json")

        assert [call["call_number"] for call in json.loads(run.out)[0]["calls"]] == [1]
        assert run.code == 0

    def test_show_says_it_in_a_line(self, store: MemoryStore) -> None:
        assert "replayable: exact\n" in terminal(store, "show", "@1").out


class TestRecorded:
    """What programs really leave behind."""

    def test_a_chat_with_tools_is_exact_and_its_failures_too(self, stage: Stage) -> None:
        with stage.record({HOW: OSLO, "rain in Oslo": "Rain.", TAKE: 404}) as client:
            with pytest.raises(Exception, match="404"):
                chat_agent(client, [HOW, TAKE])

        run = on_store(stage.directory, "replay", "check", "source")

        assert (run.code, run.err) == (0, "source is exact\n")

    def test_a_tool_that_was_run_answers_its_call_also_when_the_program_went_no_further(self, stage: Stage) -> None:
        @otel_llm.tool
        def weather(city: str) -> str:
            return f"rain in {city}"

        with stage.record({HOW: OSLO}) as client:
            client.chat.completions.create(model=MODEL, messages=[SYSTEM, user(HOW)])
            without = on_store(stage.directory, "replay", "check", "source").code
            weather(city="Oslo")

        assert (without, on_store(stage.directory, "replay", "check", "source").code) == (1, 0)

    def test_a_stream_that_broke_and_one_that_was_left_are_partial(self, stage: Stage, sim: Simulator) -> None:
        asked: dict[str, Any] = {"model": MODEL, "messages": [user("echo: one two three four")], "stream": True}
        with stage.record() as client:
            client = client.with_options(base_url=sim.base_url)
            sim.script(cut(after_bytes=600))
            with pytest.raises(Exception, match="Connection error|closed|incomplete"):
                list(client.chat.completions.create(**asked))
            with client.chat.completions.create(**asked) as stream:
                next(iter(stream))

        (report,) = json.loads(on_store(stage.directory, "replay", "check", "source", "--json").out)

        assert [[r["code"] for r in call["reasons"]] for call in report["calls"]] == [["cut"], ["left"]]

    def test_content_off_cannot_be_replayed(self, stage: Stage, tmp_path: Path, sim: Simulator) -> None:
        import openai

        sim.script(error(500))
        with recording(tmp_path / "off", content=False), openai.OpenAI(base_url=sim.base_url, api_key="k", max_retries=0) as client:
            with pytest.raises(Exception, match="500"):
                client.chat.completions.create(model=MODEL, messages=[user("Hi.")])
            client.chat.completions.create(model=MODEL, messages=[user("Hi.")])

        run = on_store(tmp_path / "off", "replay", "check", "@1", "--json")

        assert run.code == 3
        assert [[r["code"] for r in call["reasons"]] for call in json.loads(run.out)[0]["calls"]] == [["content_off"]]
