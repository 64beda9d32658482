"""A tool that a program does not call any more is a difference like a call that it does not make; each step is judged once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import otel_llm
from otel_llm.replay.rerun import matching
from rerun.programs import Program
from support.recording import recording

MAIL = """
import ask, otel_llm

@otel_llm.tool
def mail(to):
    return "sent"

@otel_llm.retrieval
def pages(about):
    return [about]

"""


@otel_llm.tool
def inner(number: int) -> int:
    return number


@otel_llm.tool
def outer(number: int) -> int:
    return inner(number)


@otel_llm.workflow
def work(number: int) -> dict[str, int]:
    return {"number": number * FACTOR[0]}


FACTOR = [1]


def test_a_tool_that_is_not_called_any_more_is_named(program: Program) -> None:
    recorded = program(MAIL + "ask.ask('one'); mail('ada'); mail('bob'); pages('oslo')")
    recorded.write(MAIL + "ask.ask('one'); mail('bob')")

    code, report = recorded.rerun()

    assert (code, report["outcome"]) == (1, "diverged")
    assert sorted((d["kind"], d["label"]) for d in report["differences"]) == [("unasked", "retrieval pages"), ("unasked", "tool mail")]


@pytest.mark.parametrize("live", [[], ["outer"], ["inner"], ["*"]])
def test_a_tool_inside_another_is_asked_with_it(tmp_path: Path, live: list[str]) -> None:
    with recording(tmp_path), otel_llm.session("s"):
        outer(1)

    with otel_llm.replaying("s", store=tmp_path, live_tools=live) as rerun:
        assert outer(1) == 1

    assert rerun.report.outcome == "same"


def test_what_two_processes_come_to_is_held_against_two_steps(program: Program) -> None:
    code = """
        import subprocess, sys
        child = '''
        import sys, otel_llm, ask

        @otel_llm.workflow
        def work():
            ask.ask(sys.argv[1])
            return sys.argv[2]

        work()
        '''.replace("\\n        ", "\\n")
        for words, result in {pairs!r}:
            subprocess.run([sys.executable, "-c", child, words, result], check=True)
    """
    recorded = program(code.format(pairs=[("one", "A"), ("two", "B")]))
    recorded.write(code.format(pairs=[("one", "A"), ("two", "A")]))

    status, report = recorded.rerun()

    assert (status, report["outcome"]) == (1, "regressed")
    assert [(d["kind"], d["label"], d["fields"]) for d in report["differences"]] == [
        ("result", "workflow work", [{"path": "", "change": "changed", "old": "B", "new": "A"}])]


def test_many_different_results_are_compared_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def counted(body: bytes) -> Any:
        read.append(body)
        return before(body)

    before = matching.without_secrets
    with recording(tmp_path), otel_llm.session("s"):
        for number in range(50):
            work(number + 1)
    monkeypatch.setattr(matching, "without_secrets", counted)
    monkeypatch.setattr(f"{__name__}.FACTOR", [1000])

    with otel_llm.replaying("s", store=tmp_path, check=False) as rerun:
        for number in range(50):
            work(number + 1)

    assert (rerun.report.outcome, len(rerun.report.differences)) == ("regressed", 50)
    assert len(read) <= 4 * 50
