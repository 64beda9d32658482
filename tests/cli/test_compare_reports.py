"""`otel-llm replay compare`: checks, judges, and reports for people and machines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import otel_llm
from cli.terminal import on_terminal
from cli.terminal import otel_llm as in_memory
from cli.two_sessions import compared, outline, run, talk
from otel_llm.testing import Simulator, raw
from replay.memory_store import MemoryStore, Writer
from support.recording import Recording

WORDS = "echo: the parcel left the shop on {}"


@pytest.fixture
def two(rec: Recording, client: Any) -> Recording:
    """Two sessions whose only answer differs in a word."""
    talk(client, "one", WORDS.format("Monday"), tool=False)
    talk(client, "two", WORDS.format("Friday"), tool=False)
    return rec


def writer(store: MemoryStore, name: str, *answers: str | bytes | None) -> None:
    """A session whose calls ask the same and are answered so; bytes are the body of the response, None is no response."""
    w = Writer(store, name, prefix="abcdef"[len(store.rows)])
    for number, answer in enumerate(answers):
        asked = [{"role": "user", "content": f"question {number}"}]
        if isinstance(answer, bytes):
            w.chat(asked, "", response=answer)
        else:
            w.chat(asked, answer, status=200 if answer is not None else None)


# ---- checks --------------------------------------------------------------------------------------------------------------


def test_checks_are_listed_with_their_scores(two: Recording) -> None:
    value = compared(two, "one", "two", "--check", "similarity>=0.8", "--check", "contains=Monday", "--check", "similarity")

    (pair,) = value["pairs"]
    assert pair["scores"] == [
        {"name": "similarity>=0.8", "value": 0.8571, "passed": True, "explanation": ""},
        {"name": "contains=Monday", "value": None, "passed": False, "explanation": "'Monday' is not in it"},
        {"name": "similarity", "value": 0.8571, "passed": None, "explanation": ""}]


@pytest.mark.parametrize(("args", "code"), [
    (["--check", "similarity>=0.8"], 1), (["--check", "similarity>=0.8", "--checks-decide"], 0),
    (["--check", "similarity>=0.9", "--checks-decide"], 1), (["--check", "similarity", "--checks-decide"], 1),
    (["--check", "similarity>=0.8", "--check", "exact", "--checks-decide"], 1)])
def test_where_checks_decide_a_difference_is_no_failure(two: Recording, args: list[str], code: int) -> None:
    assert run(two, "replay", "compare", "one", "two", *args).code == code


def test_a_check_that_fails_on_the_same_answer_is_1(two: Recording) -> None:
    done = run(two, "replay", "compare", "one", "one", "--check", "regex=Saturday")

    assert done.code == 1
    assert done.out.startswith("one and one  checks failed\n")


def test_a_function_that_raises_is_no_pass(two: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_checks.py").write_text("def boom(recorded, new, request): raise RuntimeError(request.messages[-1].text)")
    monkeypatch.chdir(tmp_path)

    value = compared(two, "one", "one", "--check", "python:my_checks:boom")

    assert value["exit_code"] == 1
    assert value["pairs"][0]["scores"][0] == {
        "name": "python:my_checks:boom", "value": None, "passed": None,
        "explanation": f"it raised RuntimeError: {WORDS.format('Monday')}"}


def test_a_function_that_takes_something_else_is_2_and_told_what_it_must_take(
    two: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_short_checks.py").write_text("def short(new): return True")
    monkeypatch.chdir(tmp_path)

    done = run(two, "replay", "compare", "one", "two", "--check", "python:my_short_checks:short")

    assert (done.code, done.out) == (2, "")
    assert done.err == ("otel-llm: check python:my_short_checks:short takes (new); it has to take (recorded, new, request): the "
                        "recorded answer, the new one and what was asked.\n")


def test_a_check_that_could_not_decide_is_not_said_to_have_failed(
    two: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_vague_checks.py").write_text("def vague(recorded, new, request): return None")
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "r.html"

    done = run(two, "replay", "compare", "one", "one", "--check", "python:my_vague_checks:vague", "--html", str(page))

    assert done.code == 1
    assert done.out.startswith("one and one  checks undecided\n")
    assert "  check undecided  " in done.out and "1 undecided check\n" in done.out
    assert "failed" not in done.out
    assert ">check undecided</span>" in page.read_text() and "check failed" not in page.read_text()


@pytest.mark.parametrize("args", [
    ["--check", "regex=("], ["--check", "nothing"], ["--check", "python:no_such:f"], ["--check", "schema=/no/such"],
    ["--checks-decide"], ["--judge-prompt", "x"], ["--check", "judge=m", "--judge-prompt", "/no/such"],
    ["--json", "--github"][:1] + ["--junit", "-"], ["--junit", "-", "--html", "-"], ["--html", "/"]])
def test_what_cannot_be_meant_is_2_and_a_sentence(two: Recording, args: list[str]) -> None:
    done = run(two, "replay", "compare", "one", "two", *args)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("otel-llm: ")
    assert "Traceback" not in done.err


# ---- judges --------------------------------------------------------------------------------------------------------------


def test_a_judge_is_asked_and_recorded(two: Recording, sim: Simulator, tmp_path: Path) -> None:
    verdict = {"explanation": "another day", "score": 0.2, "passed": False}
    sim.script(raw(json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4.1", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": json.dumps(verdict)}, "finish_reason": "stop"}]}).encode()))
    (tmp_path / "rubric.txt").write_text("The day must be the same.")

    done = run(two, "replay", "compare", "one", "two", "--check", "judge=gpt-4.1", "--judge-prompt", str(tmp_path / "rubric.txt"),
               "--json", environ={"OPENAI_BASE_URL": sim.base_url})

    assert done.code == 1
    assert json.loads(done.out)["pairs"][0]["scores"] == [
        {"name": "judge=gpt-4.1", "value": 0.2, "passed": False, "explanation": "another day"}]
    assert f"Judging: 1 question to gpt-4.1 at {sim.base_url.removesuffix('/v1')}. It costs about $0.00" in done.err
    (session,) = re.findall(r"otel-llm show (judge-\w+)", done.err)
    (asked,) = json.loads(run(two, "show", session, "--messages", "--json").out)[:1]
    assert asked["parts"][0]["content"].startswith("The day must be the same.")


def test_nobody_is_paid_to_judge_unasked(two: Recording) -> None:
    done = run(two, "replay", "compare", "one", "two", "--check", "judge=gpt-4.1", environ={"OPENAI_API_KEY": "sk-canary"})

    assert done.code == 2
    assert "Nothing was asked, because nobody confirmed: 1 question to gpt-4.1 at https://api.openai.com." in done.err
    assert "sk-canary" not in done.out + done.err


def test_a_judge_without_a_key_is_3(two: Recording) -> None:
    done = run(two, "replay", "compare", "one", "two", "--check", "judge=m", "--yes", environ={"OPENAI_API_KEY": ""})

    assert done.code == 3
    assert "OPENAI_API_KEY is not set" in done.err


def test_a_judge_as_a_program_of_its_own_is_recorded_too(two: Recording, sim: Simulator) -> None:
    """Outside of tests nothing is instrumented yet when a judge is asked."""
    environ = {**os.environ, "OPENAI_BASE_URL": sim.base_url}

    done = subprocess.run(
        [sys.executable, "-m", "otel_llm.cli", "--store", str(two.directory), "replay", "compare", "one", "two", "--check",
         "judge=gpt-4o-mini", "--json"], env=environ, capture_output=True, text=True)

    assert json.loads(done.stdout)["pairs"][0]["scores"][0]["value"] is not None, done.stderr
    (session,) = re.findall(r"otel-llm show (judge-\w+)", done.stderr)
    assert json.loads(run(two, "sessions", "--all", "--tag", "purpose=judge", "--json").out)[0]["session_id"] == session


# ---- reports -------------------------------------------------------------------------------------------------------------


def test_reports_are_written_beside_what_is_printed(two: Recording, tmp_path: Path) -> None:
    page, xml = tmp_path / "r.html", tmp_path / "r.xml"

    done = run(two, "replay", "compare", "one", "two", "--html", str(page), "--junit", str(xml))

    assert done.code == 1
    assert "[-Monday-]{+Friday+}" in done.out
    assert "<ins>Friday</ins>" in page.read_text()
    assert ET.fromstring(xml.read_bytes()).get("failures") == "1"
    assert f"Wrote {xml}." in done.err and f"Wrote {page}." in done.err


def test_a_report_to_standard_output_is_all_that_stands_there(two: Recording) -> None:
    done = run(two, "replay", "compare", "one", "two", "--junit", "-")

    assert ET.fromstring(done.out.encode()).get("tests") == "1"


def cases(rec: Recording, *ids: str) -> set[tuple[str | None, str | None]]:
    """Class and name of each case, by which CI systems know it again."""
    root = ET.fromstring(run(rec, "replay", "compare", *ids, "--junit", "-").out.encode())
    return {(case.get("classname"), case.get("name")) for case in root.iter("testcase")}


def test_a_case_of_junit_is_called_the_same_for_every_replay(rec: Recording, client: Any) -> None:
    talk(client, "one", WORDS.format("Monday"), tool=False)
    found = []
    for _ in range(2):
        replay = json.loads(run(rec, "replay", "reissue", "one", "--repeat", "2", "--json").out)[0]["session_id"]
        found += [cases(rec, "one"), cases(rec, "one", replay)]

    name = f"1 gpt-4o-mini-2024-07-18: {WORDS.format('Monday')}"
    assert found == [{("otel-llm.one replay 1", name), ("otel-llm.one replay 2", name)}] * 4


@pytest.mark.parametrize(("ids", "name"), [
    (("one", "two"), "one and two"), (("@1", "@2"), "@1 and @2"), (("one:1", "two:1"), "one:1 and two:1")])
def test_a_case_of_junit_is_of_the_sessions_as_they_were_named(two: Recording, ids: tuple[str, ...], name: str) -> None:
    assert {each for each, _ in cases(two, *ids)} == {f"otel-llm.{name}"}


@pytest.mark.parametrize("option", ["--html", "--junit"])
def test_a_report_that_cannot_be_written_is_said_before_a_judge_is_asked(
    two: Recording, sim: Simulator, tmp_path: Path, option: str
) -> None:
    place, before = tmp_path / "no" / "r.html", sim.count.total()

    done = run(two, "replay", "compare", "one", "two", "--check", "judge=gpt-4o-mini", option, str(place),
               environ={"OPENAI_BASE_URL": sim.base_url})

    assert (done.code, done.out, sim.count.total()) == (2, "", before)
    assert done.err == f"otel-llm: {option} {place} cannot be written: No such file or directory.\n"


def test_captured_text_is_never_a_command_of_github(rec: Recording, client: Any) -> None:
    talk(client, "one", "echo: hello\n::error::owned\n##[error]owned", tool=False)
    talk(client, "two", "echo: hello\n::add-mask::owned", tool=False)

    lines = run(rec, "replay", "compare", "one", "two", "--github").out.splitlines()

    word = lines[0].removeprefix("::stop-commands::")
    end = lines.index(f"::{word}::")
    assert any("owned" in line for line in lines[1:end])
    assert len(lines[end + 1 :]) == 2
    assert all(line.startswith("::error title=") for line in lines[end + 1 :])


def test_on_a_terminal_of_80_columns_the_steps_fit_and_have_colour() -> None:
    run = on_terminal("replay", "compare", "a000000000000001", "a000000000000003", columns=80)

    assert run.code == 1
    assert "\x1b[31m" in run.out


# ---- what is hard --------------------------------------------------------------------------------------------------------


def test_html_in_an_answer_is_text_in_the_page(rec: Recording, client: Any, tmp_path: Path) -> None:
    talk(client, "one", "echo: <script>alert(1)</script>", tool=False)
    talk(client, "two", "echo: <script>alert(2)</script>", tool=False)

    run(rec, "replay", "compare", "one", "two", "--html", str(tmp_path / "r.html"))

    page = (tmp_path / "r.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(<del>1</del>)&lt;/script&gt;" in page


def test_huge_answers_make_small_reports(rec: Recording, client: Any, tmp_path: Path) -> None:
    for name, word in (("one", "Monday"), ("two", "Friday")):
        talk(client, name, "echo: " + "lorem ipsum " * 40_000 + word + " dolor sit" * 40_000, tool=False)
    page, xml = tmp_path / "r.html", tmp_path / "r.xml"

    done = run(rec, "replay", "compare", "one", "two", "--html", str(page), "--junit", str(xml), "--json")

    (pair,) = json.loads(done.out)["pairs"]
    assert (pair["status"], pair["text"]["left_out"]) == ("different", 2 * (480_000 + 400_000 - 600))
    assert "Monday" in page.read_text()
    assert max(len(done.out), page.stat().st_size, xml.stat().st_size) < 40_000


def test_many_large_differences_have_one_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    from otel_llm.replay.compare import wording

    monkeypatch.setattr(wording.Room.__init__, "__defaults__", (20_000,))
    store = MemoryStore()
    writer(store, "sess-one", *("a " * 3_000,) * 20)
    writer(store, "sess-two", *("b " * 3_000,) * 20)

    value = json.loads(in_memory(store, "replay", "compare", "sess-one", "sess-two", "--json").out)

    kept = sum(len(words) for pair in value["pairs"] for sign, words in pair["text"]["words"] if sign != "…")
    assert kept <= 20_000
    assert [pair["status"] for pair in value["pairs"]] == ["different"] * 20
    assert value["pairs"][-1]["text"]["left_out"] == 12_000


def test_bodies_that_are_no_utf_8_and_no_json_are_compared_as_far_as_they_can_be_read() -> None:
    store = MemoryStore()
    writer(store, "sess-one", "fine", b"\xff\xfe not json", None)
    writer(store, "sess-two", "fine", b"\xff\xfe other", None)

    done = in_memory(store, "replay", "compare", "sess-one", "sess-two", "--json")

    assert done.code in (1, 3)
    assert outline(json.loads(done.out))[0] == "same call 1 question 0"
    assert json.loads(done.out)["pairs"][1]["status"] != "same"


def test_a_request_that_is_too_deep_is_compared_as_text() -> None:
    store = MemoryStore()
    for name, end in (("sess-one", b"1"), ("sess-two", b"2")):
        w = Writer(store, name, prefix="ab"[len(store.rows)])
        w.chat([{"role": "user", "content": "x"}], "y", body=b'{"model": "m", "deep": ' + b"[" * 5_000 + end + b"]" * 5_000 + b"}")

    done = in_memory(store, "replay", "compare", "sess-one", "sess-two", "--json")

    (pair,) = json.loads(done.out)["pairs"]
    assert [change["path"] for change in pair["request"]] == [""]


def test_control_characters_of_a_session_do_nothing_to_the_terminal() -> None:
    run = on_terminal("replay", "compare", "sess-hostile0001", "sess-hostile0001", scenario="hostile", columns=60)

    assert "\x1b[2J" not in run.out
    assert "\u202e" not in run.out


def test_a_thousand_steps_are_compared_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    for name in ("sess-one", "sess-two"):
        w = Writer(store, name, prefix="ab"[len(store.rows)])
        monkeypatch.setattr(w, "sum_up", lambda: None)
        for number in range(1_000):
            w.chat([{"role": "user", "content": f"question {number}"}], f"answer {number}" if number % 100 else name)
        monkeypatch.undo()
        w.sum_up()

    done = in_memory(store, "replay", "compare", "sess-one", "sess-two")

    assert done.code == 1
    assert "990 same, 10 different" in done.out
    assert "… 97 more steps, all the same" in done.out


def test_every_public_word_of_the_check_option_is_in_its_help() -> None:
    out = " ".join(in_memory(MemoryStore(), "replay", "compare", "--help").out.split())

    assert "similarity[>=0.9]" in out and "judge=MODEL" in out
    assert "FUNCTION(recorded, new, request)" in out
    assert otel_llm.__version__
