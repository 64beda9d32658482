"""Every way of asking, with every fault, comes out of its recording as it went in: without a provider and without a network."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

import otel_llm
from laws.test_laws import FAULTS, HAS_RESPONSES, KEY, WAYS, outcome, plain
from otel_llm.testing import Simulator, error, hang, sse
from otel_llm.values.errors import ReplayDiverged
from support.chat import HELLO, words
from support.recording import recording

NOWHERE = "https://nowhere.invalid/v1"


def seen(way: Callable[[Any], Any], client: Any) -> Any:
    """What a caller sees; how exceptions of the HTTP library are chained below is not recorded."""
    return outcome(way, client)[:4]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_rerun_gives_what_the_call_gave(tmp_path: Path, sim: Simulator, way: Callable[[Any], Any], fault: str) -> None:
    if (fault == "error event" and way.__name__ != "streamed") or (not HAS_RESPONSES and way.__name__.startswith("respon")):
        return
    retries = 1 if way is plain or fault == "429 once" else 0
    sim.script(*FAULTS[fault]())
    with recording(tmp_path), openai.OpenAI(base_url=sim.base_url, api_key=KEY, max_retries=retries) as client, otel_llm.session("s"):
        before = seen(way, client)
    requests = sim.count.total()

    with otel_llm.replaying("s", store=tmp_path) as rerun, openai.OpenAI(base_url=NOWHERE, api_key="x", max_retries=retries) as client:
        after = seen(way, client)

    assert after == before
    assert (rerun.report.outcome, rerun.report.answered_calls) == ("same", 1)
    assert sim.count.total() == requests


class Asynchronous:
    """The async ways that have no counterpart of the same shape."""

    @staticmethod
    async def plain(client: Any) -> Any:
        return repr(await client.chat.completions.create(**HELLO))

    @staticmethod
    async def streamed(client: Any) -> Any:
        return [repr(item) async for item in await client.chat.completions.create(**HELLO, stream=True)]

    @staticmethod
    async def raw_access(client: Any) -> Any:
        found = await client.chat.completions.with_raw_response.create(**HELLO)
        return repr(found.parse()), found.status_code

    @staticmethod
    async def streaming_access(client: Any) -> Any:
        async with client.chat.completions.with_streaming_response.create(**HELLO) as found:
            return [line async for line in found.iter_lines()]

    @staticmethod
    async def side_by_side(client: Any) -> Any:
        asked = [client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: {n % 3}"}])
                 for n in range(9)]
        return [answer.choices[0].message.content for answer in await asyncio.gather(*asked)]

    @staticmethod
    async def left_early(client: Any) -> Any:
        stream = await client.chat.completions.create(**HELLO, stream=True)
        item = await anext(aiter(stream))
        await stream.close()
        return repr(item)


@pytest.mark.parametrize("way", [name for name in vars(Asynchronous) if not name.startswith("_")])
def test_an_async_rerun_gives_what_the_calls_gave(tmp_path: Path, sim: Simulator, way: str) -> None:
    async def main(base_url: str) -> Any:
        async with openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=1) as client:
            return await getattr(Asynchronous, way)(client)

    with recording(tmp_path), otel_llm.session("s"):
        before = asyncio.run(main(sim.base_url))

    with otel_llm.replaying("s", store=tmp_path) as rerun:
        after = asyncio.run(main(NOWHERE))

    assert (after, rerun.report.outcome) == (before, "same")


def test_a_stream_that_was_left_early_ends_there(tmp_path: Path, sim: Simulator) -> None:
    """Who reads on is told so, for nobody knows how it would have gone on."""
    with recording(tmp_path), openai.OpenAI(base_url=sim.base_url, api_key=KEY) as client, otel_llm.session("s"):
        stream = client.chat.completions.create(**HELLO, stream=True)
        first = next(stream)
        stream.close()

    with (otel_llm.replaying("s", store=tmp_path, check=False) as rerun,
          openai.OpenAI(base_url=NOWHERE, api_key="x") as client):
        stream = client.chat.completions.create(**HELLO, stream=True)
        assert next(stream) == first
        with pytest.raises(ReplayDiverged, match="reads on where it stopped reading"):
            list(stream)

    assert [difference.kind for difference in rerun.report.differences] == ["beyond"]


def test_chunks_come_at_their_recorded_borders(tmp_path: Path, sim: Simulator) -> None:
    sizes: list[list[int]] = []
    for base_url in (sim.base_url, NOWHERE):
        with openai.OpenAI(base_url=base_url, api_key=KEY) as client:
            run: Any = recording(tmp_path) if base_url != NOWHERE else otel_llm.replaying("s", store=tmp_path)
            with (run, otel_llm.session("s"),
                  client.chat.completions.with_streaming_response.create(**HELLO, stream=True) as response):
                sizes.append([len(data) for data in response.http_response.iter_raw()])

    assert sizes[0] == sizes[1] and len(sizes[0]) > 3


def test_at_the_recorded_speed_a_stream_is_as_slow_as_it_was(tmp_path: Path) -> None:
    import time

    with (Simulator(chunk_delay_s=0.02) as sim, recording(tmp_path), otel_llm.session("s"),
          openai.OpenAI(base_url=sim.base_url, api_key=KEY) as client):
        chunks = len(list(client.chat.completions.create(**HELLO, stream=True)))

    took = {}
    for speed in ("instant", "recorded"):
        with (otel_llm.replaying("s", store=tmp_path, speed=speed), openai.OpenAI(base_url=NOWHERE, api_key="x") as client):
            started = time.perf_counter()
            list(client.chat.completions.create(**HELLO, stream=True))
            took[speed] = time.perf_counter() - started

    assert took["recorded"] >= 0.02 * (chunks - 2) > took["instant"]


def test_a_client_that_the_program_made_before_is_answered_too(tmp_path: Path, sim: Simulator) -> None:
    with openai.OpenAI(base_url=sim.base_url, api_key=KEY) as client:
        with recording(tmp_path), otel_llm.session("s"):
            before = repr(plain(client))
        requests = sim.count.total()
        with otel_llm.replaying("s", store=tmp_path):
            after = repr(plain(client))
        assert (after, sim.count.total()) == (before, requests)
        plain(client)

    assert sim.count.total() == requests + 1


def test_a_stream_that_was_cancelled_waits_to_be_cancelled_again(tmp_path: Path) -> None:
    """It does not end as if that had been all."""
    gate = threading.Event()

    async def program(base_url: str) -> Any:
        got: list[str] = []

        async def read(client: Any) -> None:
            stream = await client.chat.completions.create(**HELLO, stream=True)
            async for item in stream:
                got.append(repr(item))

        async with openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
            try:
                await asyncio.wait_for(read(client), 0.5)
            except TimeoutError:
                got.append("timeout")
        return got

    with Simulator(plan=[sse(*words(5), gate=gate, gate_after=2)]) as sim, recording(tmp_path), otel_llm.session("s"):
        before = asyncio.run(program(sim.base_url))
        gate.set()

    with otel_llm.replaying("s", store=tmp_path):
        after = asyncio.run(program(NOWHERE))

    assert after == before and before[-1] == "timeout" and len(before) > 1


def test_a_call_that_was_cancelled_waits_to_be_cancelled_again(tmp_path: Path) -> None:
    async def program(base_url: str) -> Any:
        async with openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
            asked = client.chat.completions.create(**HELLO)  # type: ignore[call-overload]
            try:
                return await asyncio.wait_for(asked, 0.3)
            except TimeoutError:
                return "timeout"

    with Simulator(plan=[hang()]) as sim, recording(tmp_path), otel_llm.session("s"):
        before = asyncio.run(program(sim.base_url))

    with otel_llm.replaying("s", store=tmp_path) as rerun:
        after = asyncio.run(program(NOWHERE))

    assert (before, after, rerun.report.outcome) == ("timeout", "timeout", "same")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_call_that_is_tried_less_often_is_another_call(tmp_path: Path, sim: Simulator, is_async: bool) -> None:
    async def later(client: Any) -> Any:
        async with client:
            return await client.chat.completions.create(**HELLO)

    def ask(retries: int) -> Any:
        if is_async:
            return asyncio.run(later(openai.AsyncOpenAI(base_url=sim.base_url, api_key="x", max_retries=retries)))
        return openai.OpenAI(base_url=sim.base_url, api_key="x", max_retries=retries).chat.completions.create(**HELLO)

    sim.script(error(429, headers={"retry-after-ms": "1"}), error(429, headers={"retry-after-ms": "1"}))
    with recording(tmp_path), otel_llm.session("s"):
        ask(2)

    with otel_llm.replaying("s", store=tmp_path, check=False) as rerun, pytest.raises(ReplayDiverged):
        ask(1)

    assert rerun.report.text == ("diverged: 1 of 1 call answered from the recording\n"
                                 "call 1 (chat gpt-4o-mini) asks something else\n  attempts: 3 → 2")
