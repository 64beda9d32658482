"""The terminal's contract, row by row."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import click
import pytest
from rich.cells import cell_len

from cli.program import build
from cli.terminal import NOW, empty, on_terminal, otel_llm, piped
from otel_llm.cli.look.rows import call_columns, session_columns
from otel_llm.cli.verbs import GROUPS, REPLAY_VERBS, VERBS, root
from otel_llm.values.errors import StoreDamaged
from otel_llm.values.session import SessionRow, Step
from replay.memory_store import T0, URL, MemoryStore, Writer, newcomer

ESCAPE = "\x1b"
COLOURS = re.compile("\x1b\\[[0-9;]*m")


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    newcomer(made)
    return made


# ---- CLI-1 ------------------------------------------------------------------------------------------------------------


def test_cli_1_help_has_its_groups_in_order_and_few_verbs() -> None:
    run = otel_llm(empty(), "--help")

    headings = [line[:-1] for line in run.out.splitlines() if re.fullmatch(r"[A-Z]\w+:", line) and line != "Options:"]
    assert run.code == 0
    assert headings == [group.capitalize() for group in GROUPS if any(verb.group == group for verb in VERBS)]
    assert len(VERBS) <= 18
    assert all(f"  {verb.name} " in run.out for verb in VERBS)


def test_cli_1_sub_verbs_stand_under_their_verb() -> None:
    run = otel_llm(empty(), "replay", "--help")

    assert run.code == 0
    assert all(f"  {verb.name} " in run.out and verb.help in run.out for verb in REPLAY_VERBS)


def options_of(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every option of a command and those below it that takes a value, with what stands for the value in its help."""
    context = click.Context(command)
    for param in command.params:
        if isinstance(param, click.Option) and not param.is_flag:
            yield (*path, param.opts[-1], param.make_metavar(context))
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        found = command.get_command(context, name)
        assert found is not None
        yield from options_of(found, (*path, name))


def test_cli_1_what_an_option_takes_has_a_word_and_not_the_name_of_a_type() -> None:
    types = {"TEXT", "INTEGER", "INTEGER RANGE", "FLOAT", "FLOAT RANGE"}

    assert [option for option in options_of(root) if option[-1] in types] == []


def spellings_of_yes(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """How each command that asks lets its user say yes beforehand."""
    for param in command.params:
        if "--yes" in param.opts:
            yield (*path, *sorted(param.opts))
    for name in command.list_commands(click.Context(command)) if isinstance(command, click.Group) else ():
        found = command.get_command(click.Context(command), name)
        assert found is not None
        yield from spellings_of_yes(found, (*path, name))


def test_cli_1_yes_has_the_same_two_spellings_wherever_something_is_asked() -> None:
    found = list(spellings_of_yes(root))

    assert ("demo", "--yes", "-y") in found and len(found) >= 8
    assert [spelling for spelling in found if spelling[-2:] != ("--yes", "-y")] == []


def test_cli_6_a_live_demo_that_nobody_can_confirm_is_wrong_usage_and_names_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://nowhere.invalid/v1")

    run = otel_llm(empty(), "demo", "--live")

    assert (run.code, run.out) == (2, "")
    assert "This sends up to 6 calls to http://nowhere.invalid/v1, about $" in run.err
    assert run.err.splitlines()[-1] == "otel-llm: Nothing was sent, because nobody confirmed. Give --yes to send."


@pytest.mark.parametrize(("verb", "said"), [
    ("suite", "Exit 0 when every variant passes, 1 when one regressed, 3 when there are not enough answers to say"),
    ("bisect", "Exit 0 when it fails in none of them, 1 when one is named, 3 when nobody can say, or a cap was reached.")])
def test_cli_1_where_the_exit_code_is_the_answer_the_help_says_so(verb: str, said: str) -> None:
    assert said in " ".join(otel_llm(empty(), "replay", verb, "--help").out.split())


def test_cli_1_bare_command_names_the_next_useful_command(store: MemoryStore) -> None:
    fresh, used = otel_llm(empty()), otel_llm(store)

    assert (fresh.code, used.code) == (0, 0)
    assert "otel-llm demo" in fresh.out
    assert "otel-llm show @1" in used.out
    assert "Where is order 4411?" in used.out


# ---- CLI-2 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [200, 80, 40, 12])
@pytest.mark.parametrize("command", ["sessions", "calls", "search 日本語のとても長い質問です", "config", "doctor",
                                     "tail --since 2025-01-01 -n 5", "show user-chosen-session-name-3"])
def test_cli_2_on_a_terminal_no_line_is_wider_than_the_screen(command: str, columns: int) -> None:
    run = on_terminal(*command.split(), scenario="many", columns=columns, environ={"NO_COLOR": "1"})

    notes = ("Waiting for calls", "session · ", "sessions · ", "calls · ", "hits")
    table = [line for line in run.out.splitlines() if not any(note in line for note in notes)]
    assert run.code == 0
    assert len(table) > 3
    assert [line for line in table if cell_len(line) > columns] == []


@pytest.mark.parametrize(("command", "columns"), [("sessions", session_columns(0)), ("calls", call_columns(0))],
                         ids=["sessions", "calls"])
def test_cli_2_columns_go_in_the_documented_order(command: str, columns: list[Any]) -> None:
    order = [column.title for column in sorted((c for c in columns if c.keep is not None), key=lambda c: c.keep)]

    shown = [COLOURS.sub("", on_terminal(command, scenario="many", columns=width).out) for width in range(30, 231, 40)]
    heads = [re.split(r"\s{2,}", next(line for line in out.splitlines() if "STATUS" in line).strip()) for out in shown]
    kept = [[title for title in order if any(title in head.split() or title == head for head in line)] for line in heads]

    assert all(line == order[len(order) - len(line) :] for line in kept)
    assert len(kept[0]) < len(kept[-1]) == len(order)
    described = " ".join(otel_llm(empty(), command, "--help").out.split())
    assert f"left out in this order: {', '.join(title.lower() for title in order)}." in described


def test_cli_2_elsewhere_it_is_tab_separated_without_colour_or_header(store: MemoryStore) -> None:
    plain, headed = otel_llm(store, "sessions"), otel_llm(store, "sessions", "--header")

    (row,) = plain.out.splitlines()
    names, again = headed.out.splitlines()
    assert again == row
    assert dict(zip(names.split("\t"), row.split("\t"), strict=True)) == {
        "last": "2025-03-02T14:03:19.640000Z", "session_id": "sess-newcomer01", "title": "Where is order 4411?", "turns": "5",
        "calls": "5", "input_tokens": "60", "output_tokens": "18", "duration_ms": "10640.0", "cost_usd": "0.000018",
        "status": "recovered", "models": "gpt-4o-mini", "user_id": "ada", "tags": "team=search", "replay_of": "–"}
    assert ESCAPE not in plain.out


def test_cli_2_tabs_and_line_ends_in_captured_text_do_not_make_columns_or_rows() -> None:
    for command in (["sessions"], ["calls"], ["search", "red"]):
        run = otel_llm(build("hostile"), *command, "--header")

        lines = run.out.splitlines()
        assert len(lines) == 2
        assert lines[0].count("\t") == lines[1].count("\t")


def test_cli_2_totals_are_a_note_and_no_row(store: MemoryStore) -> None:
    run = otel_llm(store, "sessions")

    assert run.err == "1 session · 5 calls · 60 → 18 tok · $0.000018 + 1 call of unknown cost · 1 error\n"


# ---- CLI-3 ------------------------------------------------------------------------------------------------------------

READING = (["sessions"], ["calls"], ["show", "@1"], ["show", "@1", "--messages"], ["show", "@1:1"], ["search", "order"],
           ["tail", "--since", "1d", "-n", "3"], ["config"], ["doctor"], ["replay", "diff", "@1:1", "@1:2"])


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_cli_3_every_reading_verb_prints_a_json_array_or_lines(store: MemoryStore, command: list[str]) -> None:
    array, lines = otel_llm(store, *command, "--json"), otel_llm(store, *command, "--jsonl")

    values = json.loads(array.out)
    assert isinstance(values, list)
    assert values
    assert [json.loads(line) for line in lines.out.splitlines()] == values


def test_cli_3_a_single_call_is_a_single_object(store: MemoryStore) -> None:
    value = json.loads(otel_llm(store, "call", "@1:4", "--json").out)

    assert value["span_id"] == "a000000000000005"
    assert value["request"]["body"]["messages"][-1] == {"role": "user", "content": "And in German?"}
    assert value["response"]["status"] == 200
    assert value["response"]["body"]["choices"][0]["message"]["content"] == "Am Montag."
    assert len(value["response"]["events"]) == 3
    assert value["response"]["chunks"] == [[80, 120_000], [90, 10_000]]


@pytest.mark.parametrize(("command", "kind"), [("sessions", SessionRow), ("calls", Step)])
def test_cli_3_fields_are_those_of_the_values_with_usage_and_cost_laid_flat(store: MemoryStore, command: str, kind: Any) -> None:
    (first, *_) = json.loads(otel_llm(store, command, "--json").out)

    own = [field.name for field in fields(kind) if field.name not in ("usage", "cost")]
    flat = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_write_input_tokens", "reasoning_output_tokens",
            "cost_usd", "cost_pico_usd"]
    assert set(first) == {*own, *flat, "duration_ns"}


def test_cli_3_money_is_exact_as_an_integer_and_readable_as_a_float(store: MemoryStore) -> None:
    (session,) = json.loads(otel_llm(store, "sessions", "--json").out)

    assert (session["cost_usd"], session["cost_pico_usd"]) == (0.000018, 18_000_000)


def test_cli_3_unknown_is_null_and_not_zero(store: MemoryStore) -> None:
    failed = json.loads(otel_llm(store, "calls", "--status", "error", "--json").out)[0]

    assert (failed["input_tokens"], failed["cost_usd"], failed["cost_pico_usd"]) == (None, None, None)


def test_cli_3_nothing_found_is_an_empty_array() -> None:
    assert [otel_llm(empty(), command, "--json").out for command in ("sessions", "calls")] == ["[]\n", "[]\n"]
    assert otel_llm(empty(), "sessions", "--jsonl").out == ""


def test_cli_3_json_keeps_hostile_text_and_shows_no_control_character() -> None:
    run = otel_llm(build("hostile"), "show", "@1", "--messages", "--json")

    from cli.program import HOSTILE

    assert json.loads(run.out)[0]["text"] == HOSTILE
    assert not any(ord(c) < 32 and c != "\n" or 0x7F <= ord(c) < 0xA0 or c == "\u202e" for c in run.out)


# ---- CLI-4 ------------------------------------------------------------------------------------------------------------


def test_cli_4_colour_follows_option_then_variables_then_terminal(store: MemoryStore) -> None:
    def has_colour(*args: str, **environ: str) -> bool:
        return ESCAPE in otel_llm(store, *args, "show", "@1", environ=environ).out

    assert not has_colour()
    assert has_colour(FORCE_COLOR="1")
    assert not has_colour(FORCE_COLOR="0")
    assert not has_colour(FORCE_COLOR="1", NO_COLOR="1")
    assert has_colour("--color", "always", NO_COLOR="1")
    assert not has_colour("--color", "never", FORCE_COLOR="1")


def test_cli_4_a_terminal_has_colour_unless_told_otherwise() -> None:
    assert ESCAPE in on_terminal("sessions").out
    assert ESCAPE not in on_terminal("sessions", environ={"NO_COLOR": "1"}).out
    assert ESCAPE not in on_terminal("sessions", environ={"TERM": "dumb"}).out


def test_cli_4_long_output_goes_through_the_pager(tmp_path: Any) -> None:
    pager = tmp_path / "page"
    pager.write_text("#!/bin/sh\necho PAGED with LESS=$LESS\ncat\n")
    pager.chmod(0o755)

    paged = on_terminal("show", "@1", environ={"PAGER": str(pager)})
    unpaged = on_terminal("--no-pager", "show", "@1", environ={"PAGER": str(pager)})

    assert "PAGED with LESS=FRX" in paged.out
    assert "sess-newcomer01" in paged.out
    assert "PAGED" not in unpaged.out
    assert "sess-newcomer01" in unpaged.out


def test_cli_4_a_pager_that_is_not_there_does_no_harm() -> None:
    run = on_terminal("show", "@1", environ={"PAGER": "no-such-pager-anywhere"})

    assert (run.code, "sess-newcomer01" in run.out) == (0, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_cli_4_completion_scripts_ask_this_program(shell: str) -> None:
    run = otel_llm(empty(), "completion", shell)

    assert run.code == 0
    assert f"_OTEL_LLM_COMPLETE={shell}_complete" in run.out
    assert run.err == ""


def test_cli_4_ids_are_completed_with_the_sessions_of_the_store() -> None:
    process = piped(environ={"_OTEL_LLM_COMPLETE": "bash_complete", "COMP_WORDS": "otel-llm show sess", "COMP_CWORD": "2"})
    out, err = process.communicate()

    assert (out.decode().split(), err) == (["plain,sess-newcomer01"], b"")


def test_cli_4_an_id_that_a_shell_would_run_is_not_completed() -> None:
    asked = {"_OTEL_LLM_COMPLETE": "bash_complete", "COMP_WORDS": "otel-llm show ", "COMP_CWORD": "2"}

    out, _ = piped(scenario="trap", environ=asked).communicate()

    assert out.decode().split() == ["plain,sess-fine"]


def test_cli_4_a_store_that_cannot_be_opened_completes_to_nothing() -> None:
    asked = {"_OTEL_LLM_COMPLETE": "bash_complete", "COMP_WORDS": "otel-llm show ", "COMP_CWORD": "2"}
    process = piped(environ={**asked, "OTEL_LLM_CONTENT": "perhaps"})
    out, err = process.communicate()

    assert (out.strip(), err) == (b"", b"")


# ---- CLI-5 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["sess-newcomer01", "sess", "sess-new", "@1"])
def test_cli_5_a_session_is_found_by_id_prefix_or_place(store: MemoryStore, given: str) -> None:
    run = otel_llm(store, "show", given)

    assert (run.code, run.out.split()[0]) == (0, "sess-newcomer01")


@pytest.mark.parametrize("given", ["@1:3", "sess-newcomer01:3", "a000000000000004"])
def test_cli_5_a_call_is_found_by_id_or_by_its_place_in_a_session(store: MemoryStore, given: str) -> None:
    assert json.loads(otel_llm(store, "call", given, "--json").out)["span_id"] == "a000000000000004"


def test_cli_5_an_ambiguous_prefix_lists_the_candidates(store: MemoryStore) -> None:
    run = otel_llm(store, "call", "a0000000000000")

    assert (run.code, run.out) == (2, "")
    assert "a000000000000001" in run.err
    assert "a000000000000006" in run.err
    assert "more characters" in run.err


@pytest.mark.parametrize("command", ["show", "call", "replay reissue"])
def test_cli_5_a_near_miss_suggests(store: MemoryStore, command: str) -> None:
    run = otel_llm(store, *command.split(), "sess-newcomer02")

    assert run.code == 2
    assert "'sess-newcomer02'" in run.err
    assert "Did you mean sess-newcomer01?" in run.err


def test_cli_5_an_empty_store_says_what_to_do(store: MemoryStore) -> None:
    run = otel_llm(empty(), "show", "@1")

    assert (run.code, "otel-llm sessions" in run.err) == (2, True)


# ---- CLI-6 ------------------------------------------------------------------------------------------------------------


def test_cli_6_difference_is_1_and_sameness_0(store: MemoryStore) -> None:
    assert otel_llm(store, "replay", "diff", "@1:2", "@1:2").code == 0
    assert otel_llm(store, "replay", "diff", "@1:2", "@1:5").code == 1


def test_cli_6_wrong_usage_is_2(store: MemoryStore) -> None:
    wrong = ("nope", "sessions --nope", "show", "calls --status maybe", "sessions --limit 0")
    runs = [otel_llm(store, *args.split()) for args in wrong]

    assert [run.code for run in runs] == [2] * 5
    assert all(run.out == "" and run.err for run in runs)


def test_cli_6_what_cannot_be_replayed_is_3(store: MemoryStore) -> None:
    store.exchanges["a000000000000001"] = replace(store.exchanges["a000000000000001"], request_body=None, omitted="content off")

    run = otel_llm(store, "replay", "reissue", "@1:1", "--base-url", "http://127.0.0.1:9/v1")

    assert run.code == 3
    assert "content off" in run.err


def test_cli_6_trouble_with_the_store_is_4() -> None:
    class Damaged(MemoryStore):
        def sessions(self, *args: Any, **kwargs: Any) -> Any:
            raise StoreDamaged("/data/store/store.sqlite is no store. Move it away, or choose another --store.")

    run = otel_llm(Damaged(), "sessions")

    assert (run.code, run.out) == (4, "")
    assert run.err == "otel-llm: /data/store/store.sqlite is no store. Move it away, or choose another --store.\n"


def test_cli_6_an_interrupted_run_is_130() -> None:
    run = on_terminal("tail", act=lambda process: os.kill(process.pid, signal.SIGINT))

    assert run.code == 130
    assert "Traceback" not in run.out


def test_cli_6_a_reader_that_leaves_is_no_error() -> None:
    process = piped("calls", "--json", scenario="many")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()

    err = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(20) == 0
    assert "Broken" not in err
    assert "Traceback" not in err


# ---- CLI-7 ------------------------------------------------------------------------------------------------------------


class Busy(MemoryStore):
    """A store in which a call ends between two looks."""

    def __init__(self) -> None:
        super().__init__()
        self.to_come: list[Any] = []

    def sleep(self, seconds: float) -> None:
        if not self.to_come:
            raise KeyboardInterrupt
        self.to_come.pop(0)()


def test_cli_7_tail_prints_one_line_a_call_as_it_ends() -> None:
    store = Busy()
    w = Writer(store, "sess-live00001", start_ns=NOW)
    running: list[Step] = []
    Writer(store, "sess-before0001", start_ns=T0, prefix="b").chat([{"role": "user", "content": "long ago"}], "yes")

    def begin() -> None:
        made = w.chat([{"role": "user", "content": "hello"}], "Hello\nyou", cost=34_000_000)
        running.append(made)
        store.all_steps[-1] = replace(made, state="running", end_ns=None)

    def end() -> None:
        store.all_steps[-1] = running[0]

    store.to_come = [begin, end, lambda: w.chat([{"role": "user", "content": "again"}], None, status=429), lambda: None]
    run = otel_llm(store, "tail", sleep=store.sleep)

    assert run.code == 130
    assert [line.split("\t")[1:] for line in run.out.splitlines()] == [
        ["sess-live00001", "gpt-4o-mini", "10", "5", "640.0", "0.000034", "ok", "Hello you"],
        ["sess-live00001", "gpt-4o-mini", "–", "–", "640.0", "–", "error", "RateLimitError Too many requests"]]


def test_cli_7_tail_stops_after_so_many_calls(store: MemoryStore) -> None:
    run = otel_llm(store, "tail", "--since", "1d", "--limit", "2")

    assert (run.code, len(run.out.splitlines())) == (0, 2)


def test_cli_7_a_comma_means_or_and_repeating_means_and(store: MemoryStore) -> None:
    for prefix, team in (("b", "billing"), ("c", "sales")):
        w = Writer(store, f"sess-{team}", tags={"team": team}, prefix=prefix)
        w.chat([{"role": "user", "content": "x"}], None, status=500)

    run = otel_llm(store, "tail", "--since=1d", "-n2", "--where", "team=search,billing", "--where", "status=error", "--json")

    found = [(call["tags"]["team"], call["state"]) for call in json.loads(run.out)]
    assert found == [("billing", "error"), ("search", "error")]


def test_cli_7_on_a_terminal_a_line_has_everything() -> None:
    run = on_terminal("tail", "--since", "2025-01-01", "-n", "5", columns=140, environ={"NO_COLOR": "1"})

    line = next(line for line in run.out.splitlines() if "Montag" in line)
    assert re.search(r"sess-newcomer01\s+gpt-4o-mini\s+30\s+3\s+640 ms\s+\$0.0000045\s+ok\s+Am Montag\.", line)


# ---- CLI-9 ------------------------------------------------------------------------------------------------------------


def test_cli_9_show_gives_a_session_as_turns_and_steps(store: MemoryStore) -> None:
    out = otel_llm(store, "show", "@1").out

    assert [line.strip() for line in out.splitlines() if re.match(r"\d [A-Z]", line)] == [
        "1 Where is order 4411?", "2 Say it in French.", "3 And in German?", "4 Thanks!"]
    assert re.search(r"4 gpt-4o-mini stream +\+8\.00 s +640 ms +30 → 3 tok +\$0\.0000045 +first 120 ms +Am Montag\.", out)
    assert re.search(r"3 gpt-4o-mini .*error +RateLimitError Too many requests", out)
    assert "tool lookup_order" in out


def test_cli_9_messages_stand_once_and_in_order(store: MemoryStore) -> None:
    run = otel_llm(store, "show", "@1", "--messages", "--json")

    entries = json.loads(run.out)
    said = [(entry["turn"], entry["role"] or "failure", (entry["text"] or "").split("\n")[0]) for entry in entries]
    assert said == [
        (1, "system", "Be brief."), (1, "user", "Where is order 4411?"), (1, "assistant", ""), (1, "tool", ""),
        (1, "assistant", "It left on Monday."), (2, "user", "Say it in French."), (2, "failure", ""),
        (3, "user", "And in German?"), (3, "assistant", "Am Montag."), (4, "user", "Thanks!"),
        (4, "assistant", "You are welcome.")]


def test_cli_9_show_takes_a_trace_too(store: MemoryStore) -> None:
    run = otel_llm(store, "show", store.all_steps[0].trace_id)

    assert (run.code, "gpt-4o-mini" in run.out) == (0, True)


def test_cli_9_show_gives_a_call_as_chat(store: MemoryStore) -> None:
    out = otel_llm(store, "show", "@1:2").out

    assert out.index("Be brief.") < out.index("→ lookup_order") < out.index("← {") < out.index("It left on Monday.")


def test_cli_9_r_is_the_answer_only_and_x_its_code_block(store: MemoryStore) -> None:
    assert otel_llm(store, "show", "@1:2", "-r").out == "It left on Monday.\n"
    assert otel_llm(store, "show", "@1", "-x").out == "print('bye')\n"
    assert otel_llm(store, "show", "@1:2", "-x").code == 2


def test_cli_9_call_gives_the_exact_bytes(store: MemoryStore) -> None:
    for which in ("request", "response"):
        process = piped("call", "@1:4", "--raw", which)
        out, _ = process.communicate()

        exchange = store.exchanges["a000000000000005"]
        assert out == (exchange.request_body if which == "request" else exchange.response_body)


def test_cli_9_call_gives_a_command_and_a_program(store: MemoryStore) -> None:
    curl, python = otel_llm(store, "call", "@1:1", "--curl").out, otel_llm(store, "call", "@1:1", "--python").out

    assert curl.startswith(f"curl {URL} \\\n")
    assert '-H "Authorization: Bearer $OPENAI_API_KEY"' in curl
    assert "client.chat.completions.create(" in python
    assert "os.environ[\"OPENAI_API_KEY\"]" in python
    compile(python, "call.py", "exec")


def test_cli_9_diff_shows_the_words_in_colour_or_in_marks(store: MemoryStore) -> None:
    w = Writer(store, "sess-other000001", prefix="b")
    w.chat([{"role": "user", "content": "x"}], "It left on Friday.")

    plain = otel_llm(store, "replay", "diff", "@1:2", "sess-other000001:1")
    coloured = otel_llm(store, "--color", "always", "replay", "diff", "@1:2", "sess-other000001:1")

    assert "It left on [-Monday-]{+Friday+}." in plain.out
    assert "[-" not in COLOURS.sub("", coloured.out)
    assert "\x1b[31m\x1b[9mMonday\x1b[0m\x1b[32mFriday\x1b[0m" in coloured.out.replace("\x1b[31;9m", "\x1b[31m\x1b[9m")


# ---- CLI-10 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_cli_10_version_and_help_import_no_verb_and_nothing_heavy(option: str) -> None:
    code = (f"import sys\nfrom otel_llm.cli import main\ntry:\n    main([{option!r}])\nexcept SystemExit: pass\n"
            "print(*sys.modules, file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stderr.split())
    heavy = {"rich", "sqlite3", "opentelemetry", "asyncio", "openai", "genai_prices", "http.client",
             "otel_llm.replay", "otel_llm.adapters"}
    assert loaded & heavy == set()
    assert {f"otel_llm.cli.{verb.name}" for verb in VERBS} & loaded == set()


# ---- CLI-11 -----------------------------------------------------------------------------------------------------------


class Broken(MemoryStore):
    def sessions(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a fault of ours \x1b[31m")


def test_cli_11_a_fault_of_ours_is_one_sentence_and_debug_shows_the_rest() -> None:
    short, long = otel_llm(Broken(), "sessions"), otel_llm(Broken(), "--debug", "sessions")

    assert (short.code, long.code) == (4, 4)
    assert short.err == ("otel-llm: Unexpected RuntimeError: a fault of ours ␛[31m "
                         "Run the same command with --debug to see where.\n")
    assert "Traceback" in long.err


@pytest.mark.parametrize(("args", "said"), [
    ("session", "No command 'session'. Did you mean sessions"),
    ("xyzzy", "Commands are sessions, show, calls"),
    ("sessions --lmit 3", "--limit"),
    ("sessions --quux", "Options are --all, --header, --json"),
    ("sessions --color sometimes", "'auto', 'always', 'never'"),
    ("calls --status maybe", "status 'maybe' is not usable; good values: ok, error, running, incomplete"),
    ("sessions --status incomplete", "good values: ok, error, recovered, running"),
    ("sessions --since yesterday", "--since 'yesterday' is no time; good values: 30m, 2h, 3d, 1w"),
    ("sessions --min-cost much", "--min-cost 'much' is no amount of money; good values: dollars such as"),
    ("sessions --where team", "--where 'team' is not usable; good values: KEY=VALUE"),
    ("sessions --tag =x", "--tag '=x' is not usable"),
    ("calls --where status=ok --where status=error", "write status=ok,error"),
    ("replay reissue @1 --set temperature", "--set 'temperature' is not usable; good values: key=JSON"),
    ("replay reissue @1 --set x={", "begins like JSON and is none"),
    ("replay reissue @1 --base-url localhost:8000", "good values: http://host[:port]/path"),
    ("replay reissue @1 --max-time soon", "good values: 90s, 2m, 1h"),
    ("call @1:1 --raw body", "'request', 'response'"),
    ("call @1:1 --raw", "'' is not one of 'request', 'response'."),
    ("call @1:1 --raw --json", "'' is not one of 'request', 'response'."),
    ("sessions --where bogus=1", "--where 'bogus=1' is not usable: there is no field 'bogus', and nothing here has such a tag; good "
                                 "values: a tag, or one of session, user, model, provider, status, operation, prompt"),
    ("calls --where bogus=1", "there is no field 'bogus'"),
    ("search x --where bogus=1", "there is no field 'bogus'"),
    ("call @1", "@1 is a session; its calls are @1:1 … @1:5."),
    ("call sess-newcomer01", "sess-newcomer01 is a session; its calls are sess-newcomer01:1 … sess-newcomer01:5."),
    ("completion tcsh", "'bash', 'zsh', 'fish'"),
])
def test_cli_11_a_bad_value_is_answered_with_the_good_ones(store: MemoryStore, args: str, said: str) -> None:
    run = otel_llm(store, *args.split())

    assert (run.code, run.out) == (2, "")
    assert said in run.err
    assert len(run.err.strip().splitlines()) == 1


def test_cli_11_a_bad_value_in_the_environment_is_said() -> None:
    run = otel_llm(empty(), "sessions", environ={"OTEL_LLM_CONTENT": "perhaps"})

    assert run.code == 2
    assert "OTEL_LLM_CONTENT='perhaps' is not usable; good values: true or false" in run.err


def test_options_of_every_command_may_stand_behind_the_verb(store: MemoryStore) -> None:
    run = otel_llm(store, "config", "--json", "--store", "/elsewhere", "--color", "never")

    place = next(entry for entry in json.loads(run.out) if entry["setting"] == "store")
    assert (place["value"], place["source"]) == ("/elsewhere", "--store")
