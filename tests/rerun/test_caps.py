"""Caps on live calls, and the account that all processes of a program share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_llm.replay.rerun.account import Account, Event
from rerun.programs import Program

CALLS = """
import otel_llm, openai
client = openai.OpenAI(max_retries=0)
with otel_llm.session("s"):
    for number in range(4):
        words = [{{"role": "user", "content": f"echo: {{number}}"}}]
        {call}
"""


@pytest.mark.parametrize(("call", "live"), [
    ("client.chat.completions.create(model='my-own-model', messages=words)", 0),
    ("list(client.chat.completions.create(model='gpt-4o', messages=words, stream=True))", 1),
    ("client.chat.completions.create(model='gpt-4o', messages=words, stream=True).close()", 1),
    ("client.models.list()", 4)])
def test_a_cap_on_cost_holds_where_a_price_is_not_known(program: Program, call: str, live: int) -> None:
    recorded = program(CALLS.format(call=call))

    done = recorded.terminal("replay", "fork", "s", "--at", "1", "--max-cost", "5", "--yes", "--json", "--", sys.executable,
                             "program.py")

    assert (json.loads(done.stdout)["live_calls"], recorded.sim.count.total() - recorded.requests) == (live, live)
    assert ("nobody knows" in done.stderr, "is unknown" in done.stderr) == (live == 1, live == 0)


def test_a_fork_that_a_cap_has_stopped_says_so_also_when_its_program_goes_on(program: Program) -> None:
    recorded = program(CALLS.format(call="""
        try:
            client.chat.completions.create(model='gpt-4o', messages=words)
        except Exception as error:
            print(error)"""))

    done = recorded.terminal("replay", "fork", "s", "--at", "1", "--max-calls", "1", "--json", "--", sys.executable, "program.py")

    report = json.loads(done.stdout)
    assert (done.returncode, report["outcome"], report["live_calls"]) == (1, "stopped", 1), done.stderr
    assert {(d["kind"], d["label"], d["note"]) for d in report["differences"]} == {
        ("capped", "a call to /v1/chat/completions", "Stopped at the cap of 1 live calls. Raise --max-calls to let more out.")}


def test_a_call_that_nobody_is_paid_for_does_not_end_a_cap_on_cost(program: Program) -> None:
    recorded = program(CALLS.format(call="""
        try:
            client.chat.completions.create(model='gpt-4o', messages='no list')
        except openai.BadRequestError:
            pass"""))

    done = recorded.terminal("replay", "fork", "s", "--at", "1", "--max-cost", "5", "--yes", "--json", "--", sys.executable,
                             "program.py")

    assert (done.returncode, json.loads(done.stdout)["live_calls"]) == (0, 4), done.stderr


def test_what_processes_have_told_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(Account):
        def tell(self, event: Event) -> None:
            with (tmp_path / "told-1.jsonl").open("a") as out:
                out.write(json.dumps(event) + "\n")

    read: list[Any] = []
    before = json.loads
    account, other = Account(tmp_path), Other(tmp_path)
    monkeypatch.setattr("otel_llm.replay.rerun.account.json.loads", lambda line: read.append(line) or before(line))
    totals = []

    for number in range(10):
        account.tell({"add": {"live_cost": number}})
        other.tell({"add": {"live_cost": 100, "live_calls": 1}})
        totals.append((account.total("live_cost"), account.total("live_calls")))

    assert totals == [(sum(range(n + 1)) + 100 * (n + 1), n + 1) for n in range(10)]
    assert len(read) == 20


def test_a_program_that_writes_into_the_account_cannot_be_judged(program: Program) -> None:
    recorded = program("import ask; ask.ask('one')")
    recorded.write("""
        import ask, os
        folder = os.path.dirname(os.environ["OTEL_LLM_REPLAY_PLAN"])
        with open(f"{folder}/told-1.jsonl", "wb") as out:
            out.write(b"\\xff no event\\n")
        ask.ask("one")
    """)

    code, report = recorded.rerun()

    assert (code, report["said"]) == (3, "otel-llm: told-1.jsonl in the directory of the rerun is damaged, so nobody knows what the "
                                         "program did. Does it write there?\n")
