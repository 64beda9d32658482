"""What live calls may cost at most, where nobody knows what they cost."""

from __future__ import annotations

import json
import sys

import pytest

from rerun.test_processes import Program, program

__all__ = ["program"]

CALLS = """
import otel_llm, openai
client = openai.OpenAI(max_retries=0)
with otel_llm.session("s"):
    for number in range(4):
        words = [{{"role": "user", "content": f"echo: {{number}}"}}]
        {call}
"""


@pytest.mark.parametrize(("call", "live"), [
    ("client.chat.completions.create(model='my-own-model', messages=words)", 1),
    ("list(client.chat.completions.create(model='gpt-4o', messages=words, stream=True))", 1),
    ("client.chat.completions.create(model='gpt-4o', messages=words, stream=True).close()", 1),
    ("client.models.list()", 4)])
def test_a_cap_on_cost_holds_where_a_price_is_not_known(program: Program, call: str, live: int) -> None:
    recorded = program(CALLS.format(call=call))

    done = recorded.terminal("replay", "fork", "s", "--at", "1", "--max-cost", "5", "--yes", "--json", "--", sys.executable,
                             "program.py")

    assert (json.loads(done.stdout)["live_calls"], recorded.sim.count.total() - recorded.requests) == (live, live)
    assert ("nobody knows" in done.stderr) == (live == 1)


def test_a_call_that_nobody_is_paid_for_does_not_end_a_cap_on_cost(program: Program) -> None:
    recorded = program(CALLS.format(call="""
        try:
            client.chat.completions.create(model='gpt-4o', messages='no list')
        except openai.BadRequestError:
            pass"""))

    done = recorded.terminal("replay", "fork", "s", "--at", "1", "--max-cost", "5", "--yes", "--json", "--", sys.executable,
                             "program.py")

    assert (done.returncode, json.loads(done.stdout)["live_calls"]) == (0, 4), done.stderr
