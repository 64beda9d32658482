"""What suites and judges make by the dozen does not stand between a person and the sessions of a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.two_sessions import run, talk
from otel_llm.testing import Simulator
from replay_suite.recorded_sessions import answer, suite, write_suite
from support.recording import Recording


@pytest.fixture
def store(rec: Recording, client: Any, sim: Simulator, tmp_path: Path) -> Recording:
    """Two sessions, a replay of the first, then a suite about them with a judge: four trials, and what the judge was asked."""
    talk(client, "one", "echo: hello", tool=False)
    talk(client, "two", "echo: bye", tool=False)
    assert run(rec, "replay", "reissue", "one").code == 0
    verdict = json.dumps({"explanation": "Fine.", "score": 1.0, "passed": True})
    sim.script(answer(verdict, when=lambda body: body["model"] == "gpt-judge", times=9))
    file = write_suite(tmp_path, 'models = ["gpt-4o-mini", "gpt-4.1-mini"]\nchecks = ["judge=gpt-judge"]\n')
    assert suite(rec.directory, file, OPENAI_BASE_URL=sim.base_url).code == 3
    return rec


def listed(rec: Recording, *args: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(rec, *args, "--json").out)
    return found


def test_a_list_has_what_a_person_made_and_says_that_there_is_more(store: Recording) -> None:
    done = run(store, "sessions", "--json")

    assert [(row["kind"], row["replay_of"]) for row in json.loads(done.out)] == [
        ("replay", "one"), ("original", None), ("original", None)]
    assert done.err.endswith("; what suites and judges made, and traces without a call, stand in --all\n")


def test_all_of_them_are_listed_when_that_is_asked_for(store: Recording) -> None:
    done = run(store, "sessions", "--all", "--json")

    kinds = [row["kind"] for row in json.loads(done.out)]
    assert {kind: kinds.count(kind) for kind in kinds} == {"judge": 1, "trial": 4, "replay": 1, "original": 2}
    assert "--all" not in done.err


def test_where_only_they_fit_that_is_said(store: Recording) -> None:
    done = run(store, "sessions", "--tag", "suite=suite")

    assert (done.out, done.err) == ("", "Nothing fits these conditions. What suites and judges made, and traces without a call, stand in --all.\n")


def test_at_n_counts_what_is_listed(store: Recording) -> None:
    rows = listed(store, "sessions")

    shown = [listed(store, "show", f"@{number}")[0]["session_id"] for number in (1, 2, 3)]

    assert shown == [row["session_id"] for row in rows]
    assert run(store, "show", "@4").err == "otel-llm: No session '@4' in this store. Did you mean @3?\n"


def test_originals_are_neither_replays_nor_trials_nor_judges(store: Recording) -> None:
    sessions, calls = listed(store, "sessions", "--originals"), listed(store, "calls", "--originals")

    assert [row["session_id"] for row in sessions] == ["two", "one"]
    assert {row["session_id"] for row in calls} == {"one", "two"}
    assert listed(store, "sessions", "--originals", "--all") == sessions


def test_after_a_judge_the_first_session_is_still_the_one_that_was_compared(
    rec: Recording, client: Any, sim: Simulator
) -> None:
    talk(client, "one", "echo: hello", tool=False)
    assert run(rec, "replay", "reissue", "one").code == 0

    codes = [run(rec, "replay", "compare", "@1", "--check", "judge=gpt-4o-mini", environ={"OPENAI_BASE_URL": sim.base_url}).code
             for _ in range(2)]

    assert codes == [0, 0]
    assert len(listed(rec, "sessions", "--all")) == 4


def test_a_program_with_a_tag_of_the_same_name_is_no_judge_of_ours(rec: Recording, client: Any) -> None:
    import otel_llm

    with otel_llm.tags(purpose="judge", suite_run="nightly"):
        talk(client, "mine", "echo: hello", tool=False)

    assert [(row["session_id"], row["kind"]) for row in listed(rec, "sessions")] == [("mine", "original")]
