"""The figures at the head of `show`: of what is shown, and of nothing else."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from cli.terminal import on_store
from otel_llm.testing import Simulator, error
from otel_llm.values.session import Filter
from support.recording import Recording, recording

MODEL = "gpt-4o-mini"
CLOCK = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d\d:\d\d:\d\d"
TIME = r"[\d.]+ m?s"


def ask(client: Any, text: str, model: str = MODEL) -> str:
    made = client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])
    return str(made.choices[0].message.content)


def head(rec: Recording, given: str) -> list[str]:
    """What stands above the tree."""
    return on_store(rec.directory, "show", given).out.partition("\n\n")[0].splitlines()


def fits(patterns: list[str], lines: list[str]) -> bool:
    return len(patterns) == len(lines) and all(re.fullmatch(p, found) for p, found in zip(patterns, lines, strict=True))


def test_of_a_trace_all_figures_are_those_of_the_trace(rec: Recording, client: Any, sim: Simulator) -> None:
    @otel_llm.workflow
    def turn(*texts: str, model: str) -> None:
        for text in texts:
            ask(client, text, model)

    with otel_llm.session("trip", user="ada"):
        turn("echo: one", "echo: two", model=MODEL)
        sim.script(error(404))
        with pytest.raises(Exception, match="404"):
            turn("echo: three", model="gpt-4.1")
    first, second = dict.fromkeys(step.trace_id for step in rec.store.steps("trip"))

    found = [head(rec, given) for given in ("trip", first, second)]

    assert fits([r"trip  echo: one  error",
                 rf"3 turns · 3 calls · 1 error · 18 → 2 tok · \$[\d.]+ · {TIME} · gpt-4o-mini · gpt-4\.1 · user ada",
                 CLOCK, "replayable: exact"], found[0])
    assert fits([rf"trace {first}  of trip  ok", rf"2 turns · 2 calls · 18 → 2 tok · \$[\d.]+ · {TIME} · gpt-4o-mini · user ada",
                 CLOCK], found[1])
    assert fits([rf"trace {second}  of trip  error", rf"1 turn · 1 call · 1 error · – → – tok · \$0 · {TIME} · gpt-4\.1 · user ada",
                 CLOCK], found[2])


class TestAnError:
    def test_that_goes_up_through_the_steps_around_it_is_one(self, rec: Recording, client: Any, sim: Simulator) -> None:
        @otel_llm.agent
        def agent() -> None:
            ask(client, "echo: one")

        @otel_llm.workflow
        def answer() -> None:
            agent()

        sim.script(error(500))
        with otel_llm.session("trip"), pytest.raises(Exception, match="500"):
            answer()

        assert " · 1 call · 1 error · " in head(rec, "trip")[1]
        assert rec.store.sessions(Filter())[0].errors == 1

    def test_of_another_step_is_another_one(self, rec: Recording, client: Any, sim: Simulator) -> None:
        @otel_llm.workflow
        def answer() -> None:
            for _ in range(2):
                with pytest.raises(Exception, match="500"):
                    ask(client, "echo: one")
            raise ValueError("twice is enough")

        sim.script(error(500, times=2))
        with otel_llm.session("trip"), pytest.raises(ValueError, match="twice"):
            answer()

        assert " · 2 calls · 2 errors · " in head(rec, "trip")[1]
        assert rec.store.sessions(Filter())[0].errors == 2


class TestACallThatNobodyIsPaidFor:
    @pytest.mark.parametrize(("status", "cost"), [(400, "$0"), (404, "$0"), (429, "$0"), (500, "– + 1 call of unknown cost")])
    def test_costs_nothing_when_it_was_refused(self, rec: Recording, client: Any, sim: Simulator, status: int, cost: str) -> None:
        sim.script(error(status))
        with otel_llm.session("trip"), pytest.raises(Exception, match=str(status)):
            ask(client, "echo: one")

        assert head(rec, "trip")[1].split(" · ")[:5] == ["1 turn", "1 call", "1 error", "– → – tok", cost]
        assert on_store(rec.directory, "sessions").err.split(" · ")[3] == cost

    def test_costs_nothing_and_is_not_exact_when_a_cap_kept_it_back(self, rec: Recording, client: Any, sim: Simulator,
                                                                     tmp_path: Path) -> None:
        with otel_llm.session("trip"):
            ask(client, "echo: one")
        (tmp_path / "app.py").write_text(
            "import openai\nfor _ in range(2):\n    openai.OpenAI(max_retries=0).chat.completions.create(\n"
            "        model='gpt-4o-mini', messages=[{'role': 'user', 'content': 'echo: one'}])\n")
        environ = {"OPENAI_BASE_URL": sim.base_url, "OPENAI_API_KEY": "k", "PYTHONPATH": os.pathsep.join(sys.path)}
        fork = on_store(rec.directory, "replay", "fork", "trip", "--at", "1", "--max-calls", "1", "--", sys.executable,
                        str(tmp_path / "app.py"), environ=environ)

        shown, checked = head(rec, "@1"), on_store(rec.directory, "replay", "check", "@1")

        assert fork.err.splitlines()[0] == (
            "From call 1 of 1 on the program runs live. Cost: about $0.0000020 by the recorded tokens.")
        assert re.fullmatch(rf"2 turns · 2 calls · 1 error · 9 → 1 tok · \$[\d.]+ · {TIME} · gpt-4o-mini", shown[1])
        assert shown[-1] == "replayable: partial: 1 exact, 1 partial (not sent)"
        assert [line.split("\t")[4:] for line in checked.out.splitlines()] == [
            ["exact", "–"], ["partial", "it was never sent (BudgetExceeded)"]]
        assert checked.code == 1


class TestHowASessionWasFound:
    def test_is_said_of_one_that_the_history_of_its_calls_joined(self, rec: Recording, client: Any) -> None:
        first = ask(client, "echo: one")
        client.chat.completions.create(model=MODEL, messages=[
            {"role": "user", "content": "echo: one"}, {"role": "assistant", "content": first}, {"role": "user", "content": "And?"}])

        assert head(rec, "@1")[2].endswith("  found by the history of its calls")

    def test_is_not_said_of_one_that_nothing_joined(self, client: Any, tmp_path: Path) -> None:
        with recording(tmp_path / "off", content=False) as off:
            ask(client, "echo: one")
            lines = head(off, "@1")

        assert fits([r"sess-[0-9a-f]+  .*  ok", r"1 turn · 1 call · .*", CLOCK, r"not replayable \(content off\)"], lines)
