"""Caps on live calls that are under way side by side, in threads, in tasks and in processes: what the provider was asked counts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rerun.programs import Shelf
from support.provider import Provider

ONE_CALL = 10 * 2_500_000 + 500 * 10_000_000
"""Pico-USD of gpt-4o for 10 tokens there and 500 back, a hundred times what was recorded."""
SETUP = """
import asyncio, openai, otel_llm, sys, threading
from concurrent.futures import ThreadPoolExecutor
refused = []

def words(number):
    return dict(model="gpt-4o", messages=[dict(role="user", content=f"number {number}")])

def ask(number):
    try:
        return client.chat.completions.create(**words(number)).choices[0].message.content
    except Exception as error:
        refused.append(error)

client = openai.OpenAI(max_retries=0)
"""
THREADS = SETUP + """
with otel_llm.session("s"), ThreadPoolExecutor(20) as pool:
    list(pool.map(otel_llm.bind(ask), range(20)))
"""
TASKS = SETUP + """
async def one(client, number):
    try:
        await client.chat.completions.create(**words(number))
    except Exception as error:
        refused.append(error)

async def main():
    async with openai.AsyncOpenAI(max_retries=0) as client:
        await asyncio.gather(*(one(client, number) for number in range(20)))

with otel_llm.session("s"):
    asyncio.run(main())
"""
PROCESSES = SETUP + """
import os
with otel_llm.session("s"):
    children = []
    for child in range(4):
        children.append(os.fork())
        if children[-1] == 0:
            for number in range(5):
                ask(child * 5 + number)
            os._exit(0)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
"""
STREAMS = SETUP + """
def read(number):
    try:
        stream = client.chat.completions.create(**words(number), stream=True, stream_options=dict(include_usage=True))
        return [chunk.id for chunk in stream]
    except Exception as error:
        refused.append(error)

with otel_llm.session("s"), ThreadPoolExecutor(20) as pool:
    list(pool.map(otel_llm.bind(read), range(20)))
"""


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as found:
        yield found


def forked(folder: Path, provider: Provider, code: str, *words: str, tokens: tuple[int, int] = (10, 500)) -> dict[str, Any]:
    """The report of a fork that goes live at its first call, when answers are slow and as long as `tokens` says."""
    recorded = Shelf(folder / "shelf", provider).recorded(folder, code)
    provider.latency_s, provider.tokens = 0.1, tokens
    provider.asked.clear()
    done = recorded.terminal("replay", "fork", "s", "--at", "1", *words, "--json", "--", sys.executable, "program.py")
    assert done.stdout.startswith("{"), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["live_calls"] == len(provider.asked)
    return report


@pytest.mark.parametrize("code", [THREADS, TASKS, STREAMS], ids=["threads", "tasks", "streams"])
def test_a_cap_on_cost_is_passed_by_one_call_at_most(tmp_path: Path, provider: Provider, code: str) -> None:
    report = forked(tmp_path, provider, code, "--max-cost", "0.02")

    assert report["outcome"] == "stopped"
    assert report["live_cost_pico_usd"] == len(provider.asked) * ONE_CALL
    assert 0.5 * 2e10 < report["live_cost_pico_usd"] <= 2e10 + ONE_CALL


def test_calls_go_out_side_by_side_where_the_cap_has_room_for_them(tmp_path: Path, provider: Provider) -> None:
    report = forked(tmp_path, provider, THREADS, "--max-cost", "1")

    assert (report["outcome"], report["live_calls"]) == ("forked", 20)
    assert provider.most_at_once > 5


def test_a_cap_on_cost_is_passed_by_one_call_of_each_process_at_most(tmp_path: Path, provider: Provider) -> None:
    report = forked(tmp_path, provider, PROCESSES, "--max-cost", "0.02")

    assert report["outcome"] == "stopped"
    assert report["live_cost_pico_usd"] <= 2e10 + 4 * ONE_CALL


def test_what_processes_have_under_way_counts_in_the_others(tmp_path: Path, provider: Provider) -> None:
    report = forked(tmp_path, provider, PROCESSES, "--max-cost", "0.0002", tokens=(10, 5))

    assert (report["outcome"], report["live_calls"]) == ("stopped", 2)


@pytest.mark.parametrize("code", [THREADS, TASKS, PROCESSES], ids=["threads", "tasks", "processes"])
def test_a_cap_on_calls_is_never_passed(tmp_path: Path, provider: Provider, code: str) -> None:
    report = forked(tmp_path, provider, code, "--max-calls", "7")

    assert (report["outcome"], len(provider.asked)) == ("stopped", 7)


@pytest.mark.parametrize("inner", [
    "ask(number)",
    "asyncio.run(one(number))",
    "ThreadPoolExecutor(1).submit(otel_llm.bind(ask), number).result()"], ids=["same thread", "loop of its own", "other thread"])
def test_a_call_that_a_program_makes_while_it_reads_a_stream_goes_out(tmp_path: Path, provider: Provider, inner: str) -> None:
    code = SETUP + f"""
async def one(number):
    async with openai.AsyncOpenAI(max_retries=0) as client:
        await client.chat.completions.create(**words(number))

with otel_llm.session("s"):
    with client.chat.completions.create(**words(0), stream=True, stream_options=dict(include_usage=True)) as stream:
        for number, chunk in enumerate(stream, 1):
            {inner}
"""
    report = forked(tmp_path, provider, code, "--max-cost", "1")

    assert (report["outcome"], report["live_calls"]) == ("forked", report["recorded_calls"])


def test_a_call_that_blocks_a_loop_does_not_wait_for_calls_of_that_loop(tmp_path: Path, provider: Provider) -> None:
    code = SETUP + """
async def main():
    async with openai.AsyncOpenAI(max_retries=0) as other:
        first = asyncio.ensure_future(other.chat.completions.create(**words(0)))
        await asyncio.sleep(0.05)
        ask(1)
        await first

with otel_llm.session("s"):
    asyncio.run(main())
"""
    report = forked(tmp_path, provider, code, "--max-cost", "1")

    assert (report["outcome"], report["live_calls"]) == ("forked", 2)


def test_nothing_goes_out_under_a_cap_on_cost_when_the_price_is_not_known(tmp_path: Path, provider: Provider) -> None:
    report = forked(tmp_path, provider, SETUP + 'with otel_llm.session("s"): ask(1)', "--max-cost", "1", "--model", "my-own-model")

    assert (report["outcome"], report["live_calls"]) == ("stopped", 0)
    assert [difference["note"] for difference in report["differences"]] == [
        "The price of the next call (my-own-model) is unknown, so that --max-cost cannot be kept. 0 live calls went out. "
        "Use --max-calls instead."]


def test_a_call_that_got_no_answer_is_named_among_what_keeps_a_cap_on_cost_from_being_kept(tmp_path: Path, provider: Provider) -> None:
    recorded = Shelf(tmp_path / "shelf", provider).recorded(tmp_path, SETUP + 'with otel_llm.session("s"): ask(1); ask(2)')
    provider.decide = lambda body: None
    done = recorded.terminal("replay", "fork", "s", "--at", "1", "--max-cost", "1", "--json", "--", sys.executable, "program.py")

    report = json.loads(done.stdout)
    assert (report["outcome"], report["live_calls"], [difference["note"] for difference in report["differences"]]) == ("stopped", 1, [
        "Stopped after a live call whose cost nobody knows (no answer, or one without usage or of a model without a price), so that "
        "--max-cost cannot be kept. Use --max-calls instead."])
