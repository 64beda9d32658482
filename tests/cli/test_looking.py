"""What a newcomer sees of a session that was recorded for real: an agent with a tool, streams that were left, and failures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

import otel_llm
from cli.terminal import NOW, Run, app_of, on_store, on_terminal
from cli.terminal import otel_llm as on_memory
from otel_llm.cli.look.tail import watch
from otel_llm.testing import Simulator, error
from otel_llm.values.session import Filter
from replay.memory_store import T0, MemoryStore, S, Writer
from support.recording import Recording

MODEL = "gpt-4o-mini"


@otel_llm.tool
def weather(city: str, days: list[int] | None = None) -> Any:
    """Say what the sky does."""
    if city == "Atlantis":
        raise LookupError("no barometer in Atlantis")
    return {"city": city, "sky": "rain\x1b[31m", "hours": [1, 2, 3]} if days else f'{{"city": "{city}", "sky": "clear"}}'


@pytest.fixture
def trip(rec: Recording, client: Any, sim: Simulator) -> Recording:
    """One session: a question, a tool twice, a stream that was left, one that was read, a call that failed."""

    def ask(text: str, **more: Any) -> Any:
        return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}], **more)

    with otel_llm.session("trip"):
        ask("echo: one")
        weather("Oslo", [1, 2])
        with pytest.raises(LookupError):
            weather("Atlantis")
        with ask("a long story", stream=True) as stream:
            next(iter(stream))
        for _ in ask("a short story", stream=True):
            pass
        sim.script(error(404))
        with pytest.raises(Exception, match="404"):
            ask("never answered")
        ask("echo: two")
    return rec


def steps(rec: Recording) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(on_store(rec.directory, "show", "trip", "--json").out)
    return found


def tool(rec: Recording, place: int) -> str:
    """The span id of the first or second use of the tool."""
    return [str(step["span_id"]) for step in steps(rec) if step["kind"] == "tool"][place]


class TestAStreamThatWasLeftEarly:
    def test_the_state_says_so_everywhere(self, trip: Recording) -> None:
        calls = json.loads(on_store(trip.directory, "calls", "--json").out)[::-1]

        assert [call["state"] for call in calls] == ["ok", "incomplete", "ok", "error", "ok"]
        assert re.search(r"2 gpt-4o-mini\S* stream .* left early ", on_store(trip.directory, "show", "trip").out)
        assert "left early" in on_store(trip.directory, "show", "trip:2").out
        assert "✗ call 2 left early" in on_store(trip.directory, "show", "trip", "-m").out
        assert on_store(trip.directory, "call", "trip:2").out.splitlines()[0].endswith("left early")
        assert " left early " in on_terminal("calls", store=trip.directory, columns=120, environ={"NO_COLOR": "1"}).out

    def test_it_is_found_by_its_state_and_is_no_error(self, trip: Recording) -> None:
        found = on_store(trip.directory, "calls", "--status", "incomplete", "--json")

        assert len(json.loads(found.out)) == 1
        assert "error" not in found.err
        assert "2 errors" in on_store(trip.directory, "show", "trip").out.splitlines()[1]

    def test_what_is_around_it_did_not_recover_from_anything(self, rec: Recording, client: Any) -> None:
        with otel_llm.workflow("impatient"):
            with client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}], stream=True) as stream:
                next(iter(stream))

        out = on_store(rec.directory, "show", "@1").out

        assert ("left early" in out, "recovered" in out) == (True, False)


class TestATool:
    def test_arguments_and_result_are_laid_out_and_harmless(self, trip: Recording) -> None:
        for verb in ("show", "call"):
            run = on_store(trip.directory, verb, tool(trip, 0))

            assert run.out.split("\n")[3:] == [
                "arguments", "  {", '    "city": "Oslo",', '    "days": [', "      1,", "      2", "    ]", "  }", "", "result", "  {",
                '    "city": "Oslo",', '    "sky": "rain\\u001b[31m",', '    "hours": [', "      1,", "      2,", "      3", "    ]",
                "  }", ""]

    def test_json_in_a_text_is_laid_out_too_and_a_failure_is_said(self, trip: Recording) -> None:
        with otel_llm.session("trip"):
            weather("Rome")

        assert '  {\n    "city": "Rome",\n    "sky": "clear"\n  }\n' in on_store(trip.directory, "show", tool(trip, 2)).out
        assert "✗ LookupError: no barometer in Atlantis" in on_store(trip.directory, "show", tool(trip, 1)).out

    def test_as_json_it_has_the_fields_of_a_step_and_its_contents(self, trip: Recording) -> None:
        span_id = tool(trip, 0)
        shown, called = (json.loads(on_store(trip.directory, verb, span_id, "--json").out) for verb in ("show", "call"))

        assert shown == [called]
        assert (called["span_id"], called["kind"], called["arguments"]) == (span_id, "tool", {"city": "Oslo", "days": [1, 2]})
        assert called["result"]["hours"] == [1, 2, 3]

    def test_its_bytes_are_there_and_a_command_is_not(self, trip: Recording) -> None:
        raw = subprocess.run([sys.executable, "-m", "otel_llm.cli", "--store", str(trip.directory), "call", tool(trip, 0), "--raw",
                              "request"], capture_output=True, text=True)
        curl = on_store(trip.directory, "call", tool(trip, 0), "--curl")

        assert json.loads(raw.stdout) == {"city": "Oslo", "days": [1, 2]}
        assert (curl.code, "--curl is for calls" in curl.err) == (2, True)

    def test_a_foreign_span_has_them_as_attributes(self, rec: Recording) -> None:
        with rec.provider.get_tracer("theirs").start_as_current_span("execute_tool find", attributes={
                "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find",
                "gen_ai.tool.call.arguments": '{"q":"x"}', "gen_ai.tool.call.result": "two\nlines"}) as span:
            span_id = format(span.get_span_context().span_id, "016x")

        out = on_store(rec.directory, "show", span_id).out

        assert 'arguments\n  {\n    "q": "x"\n  }\n\nresult\n  two\n  lines\n' in out

    def test_a_line_is_cut_to_the_terminal_unless_all_of_it_is_wanted(self, rec: Recording) -> None:
        with otel_llm.session("trip"):
            weather("O" * 100)

        short, whole = (on_terminal("show", tool(rec, 0), *more, store=rec.directory, columns=50, environ={"NO_COLOR": "1"}).out
                        for more in ((), ("--full",)))

        assert max(cell_len(line) for line in short.splitlines()) == 50
        assert "O" * 100 not in short
        assert "O" * 100 in whole


@pytest.mark.parametrize(("words", "kind"), [
    ("LookupError", "tool"), ("no barometer in Atlantis", "tool"), ("NotFoundError", "call"), ('"Error code 404"', "call")])
def test_errors_are_found_by_their_words(trip: Recording, words: str, kind: str) -> None:
    (hit,) = json.loads(on_store(trip.directory, "search", words, "--json").out)

    assert (hit["kind"], hit["state"]) == (kind, "error")


class TestWidth:
    def test_on_60_columns_cost_and_state_are_there(self, trip: Recording) -> None:
        lines = on_terminal("show", "trip", store=trip.directory, columns=60, environ={"NO_COLOR": "1"}).out.splitlines()

        assert max(map(cell_len, lines)) <= 60
        assert lines[0].endswith("recovered")
        assert any(re.search(r"\$0\.0000\d+", line) for line in lines[1:3])
        assert [re.search(r"(left early|error|\$\S+| – )", line[14:]) is not None for line in lines if re.match(r"  \d ", line)] == [True] * 5

    def test_a_long_title_does_not_push_the_state_out(self, trip: Recording) -> None:
        store = MemoryStore()
        Writer(store, "sess-long", status="error").chat([{"role": "user", "content": "words " * 30}], "x")

        first = on_memory(store, "show", "@1").out.splitlines()[0]
        narrow = on_terminal("show", "user-chosen-session-name-3", scenario="many", columns=60, environ={"NO_COLOR": "1"}).out

        assert first.endswith("error")
        assert narrow.splitlines()[0].endswith("…  ok")

    def test_where_there_is_room_each_step_says_when_it_began(self, trip: Recording) -> None:
        wide = on_store(trip.directory, "show", "trip").out

        offsets = [re.search(r" \+(\S+) (ms|s) ", line) for line in wide.splitlines() if re.match(r"  (\d|tool) ", line)]
        assert len(offsets) == 7 and None not in offsets
        assert " +0 ms " in wide

    def test_an_offset_is_counted_from_the_beginning_of_the_session(self) -> None:
        store = MemoryStore()
        w = Writer(store, "sess-slow")
        w.chat([{"role": "user", "content": "x"}], "y")
        w.chat([{"role": "user", "content": "z"}], "y")

        assert [re.search(r"(\+\S+ \w+)", line)[1] for line in on_memory(store, "show", "@1").out.splitlines()  # type: ignore[index]
                if "gpt" in line and "→" in line and "·" not in line] == ["+0 ms", "+2.00 s"]


class TestLists:
    @pytest.fixture
    def store(self) -> MemoryStore:
        """Three sessions of one, three and two calls; the oldest is the dearest, the newest of unknown cost."""
        made = MemoryStore()
        for n, (count, cost, took) in enumerate([(1, 9_000_000, 640), (3, 1_000_000, 20_000), (2, None, 2)]):
            w = Writer(made, f"sess-{n}", prefix="abc"[n], start_ns=T0 + n * 100 * S)
            for at in range(count):
                begun = T0 + n * 100 * S + at * 30 * S
                w.chat([{"role": "user", "content": "x"}], "y", cost=cost, step={"start_ns": begun, "end_ns": begun + took * 10**6})
        return made

    @pytest.mark.parametrize(("options", "expected"), [
        ("", [2, 1, 0]), ("--sort time", [2, 1, 0]), ("--sort cost", [0, 1, 2]), ("--sort tokens", [1, 2, 0]),
        ("--sort duration", [1, 2, 0]), ("--sort calls", [1, 2, 0]), ("--min-duration 10s", [2, 1]), ("--min-duration 700ms", [2, 1]),
        ("--sort cost --min-duration 31s", [1]), ("--sort calls -n 1", [1])])
    def test_sessions_are_sorted_and_long_enough(self, store: MemoryStore, options: str, expected: list[int]) -> None:
        run = on_memory(store, "sessions", *options.split(), "--json")

        assert [row["session_id"] for row in json.loads(run.out)] == [f"sess-{n}" for n in expected]

    @pytest.mark.parametrize(("options", "expected"), [
        ("--sort cost -n 2", "a1 b3"), ("--sort duration -n 3", "b3 b2 b1"), ("--min-duration 0.5s", "b3 b2 b1 a1"),
        ("--sort tokens -n 1", "c2"), ("--min-duration 1h", "")])
    def test_calls_are_sorted_and_long_enough(self, store: MemoryStore, options: str, expected: str) -> None:
        run = on_memory(store, "calls", *options.split(), "--json")

        assert " ".join(f"{row['span_id'][0]}{row['span_id'][-1]}" for row in json.loads(run.out)) == expected

    def test_more_rows_than_a_page_are_sorted(self, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("otel_llm.cli.look.rows_order.PAGE", 2)

        run = on_memory(store, "calls", "--sort", "cost", "--json", "-n", "4")

        assert [row["span_id"][0] for row in json.loads(run.out)] == ["a", "b", "b", "b"]

    @pytest.mark.parametrize(("args", "said"), [
        ("sessions --sort size", "'time', 'cost', 'tokens', 'duration', 'calls'"),
        ("calls --min-duration soon", "--min-duration 'soon' is no length of time; good values: 90s, 2m, 1h, 500ms")])
    def test_a_bad_value_is_answered_with_the_good_ones(self, store: MemoryStore, args: str, said: str) -> None:
        run = on_memory(store, *args.split())

        assert (run.code, said in run.err) == (2, True)

    def test_a_list_that_a_duration_empties_says_so(self, store: MemoryStore) -> None:
        assert on_memory(store, "sessions", "--min-duration", "1d").err == "Nothing fits these conditions.\n"

    def test_a_replay_names_the_session_that_it_repeats(self, trip: Recording) -> None:
        on_store(trip.directory, "replay", "reissue", "trip:1")

        rows = on_store(trip.directory, "sessions", "--header").out.splitlines()
        screen = on_terminal("sessions", store=trip.directory, columns=80, environ={"NO_COLOR": "1"}).out.splitlines()

        assert [row.split("\t")[-1] for row in rows] == ["replay_of", "trip", "–"]
        assert ["replay of trip" in line for line in screen[1:3]] == [True, False]
        assert "REPLAY OF" not in screen[0]


class TestTail:
    def news(self, store: MemoryStore, change: Any) -> list[str]:
        """The first words of what `tail` prints when something happens after its first look."""

        def sleep(seconds: float) -> None:
            changes.pop(0)()

        def stop() -> None:
            raise KeyboardInterrupt

        changes = [lambda: change(store), lambda: None, stop]
        seen: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            for step in watch(app_of(store, sleep=sleep), store, Filter(), NOW):
                seen.append(step.request_preview)
        return seen

    def test_what_dead_programs_left_is_no_news(self) -> None:
        store = MemoryStore()
        dead: Any = {"state": "incomplete", "end_ns": None, "start_ns": NOW - 30 * S}
        Writer(store, "sess-dead", prefix="d").chat([{"role": "user", "content": "dead"}], "", step=dead)

        assert self.news(store, lambda store: Writer(store, "sess-new", start_ns=NOW).chat(
            [{"role": "user", "content": "new"}], "y")) == ["new"]

    def test_what_comes_late_from_before_the_beginning_is_no_news_either(self) -> None:
        assert self.news(MemoryStore(), lambda store: Writer(store, "sess-late", start_ns=NOW - 30 * S).chat(
            [{"role": "user", "content": "late"}], "y")) == []

    def test_what_was_still_running_is_news_also_when_its_program_dies(self) -> None:
        store = MemoryStore()
        made = Writer(store, "sess-running").chat([{"role": "user", "content": "running"}], "", step={
            "state": "running", "end_ns": None, "start_ns": NOW - 30 * S})

        def die(store: MemoryStore) -> None:
            store.all_steps[0] = type(made)(**{**{name: getattr(made, name) for name in made.__slots__}, "state": "incomplete"})

        assert self.news(store, die) == ["running"]

    def test_what_ran_before_and_ended_after_the_beginning_is_news(self) -> None:
        assert self.news(MemoryStore(), lambda store: Writer(store, "sess-long").chat([{"role": "user", "content": "long"}], "y", step={
            "start_ns": NOW - 30 * S, "end_ns": NOW + S})) == ["long"]


class TestOutputThatCannotBeWritten:
    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
    @pytest.mark.parametrize("command", ["sessions", "calls --json", "show @1", "call @1:1", "call @1:1 --raw request", "config"])
    def test_it_is_one_clear_line_and_4(self, trip: Recording, command: str) -> None:
        with open("/dev/full", "w") as full:
            done = subprocess.run([sys.executable, "-m", "otel_llm.cli", "--store", str(trip.directory), *command.split()],
                                  stdout=full, stderr=subprocess.PIPE, text=True)

        assert (done.returncode, done.stderr) == (4, "otel-llm: could not write the output: no space left on device\n")


def test_nothing_of_a_tool_drives_the_terminal(rec: Recording) -> None:
    with otel_llm.session("\x1b[2J-odd"):
        with pytest.raises(LookupError):
            weather("Atlantis")
        weather("\x1b]0;owned\x07\u202e", [1])
    runs: list[Run] = [on_store(rec.directory, "show", "@1"), on_store(rec.directory, "sessions"), on_store(rec.directory, "search", "weather")]
    runs += [on_store(rec.directory, verb, hit["span_id"]) for verb in ("show", "call")
             for hit in json.loads(on_store(rec.directory, "search", "weather", "--json").out)]

    assert len(runs) == 7
    assert not [run for run in runs if re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", run.out + run.err)]
