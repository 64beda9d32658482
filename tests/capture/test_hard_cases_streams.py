"""The hard cases of instrumentation that concern streams, one test each, named after the case."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
from typing import Any

import openai
import pytest
from opentelemetry import trace

from otel_llm.testing import Simulator, cut, sse
from support.chat import HELLO, chunk, delta, text_of, words
from support.loop import run
from support.recording import Recording


class OurMistake(Exception):
    """Something that the user's own code raises."""


def test_case_01_break_then_close_leaves_one_span_with_partial_text(rec: Recording, client: Any, sim: Simulator) -> None:
    gate = threading.Event()
    sim.script(sse(*words(6), delta(finish="stop"), gate=gate, gate_after=3))

    stream = client.chat.completions.create(**HELLO, stream=True)
    for number, _ in enumerate(stream):
        if number == 2:
            break
    stream.close()

    assert rec.call.name == "chat gpt-4o-mini"
    assert text_of(rec.exchange().response_body) == "w0 w1 w2 "
    assert rec.exchange().complete is False
    gate.set()


def test_case_02_an_abandoned_stream_is_ended_by_the_garbage_collector(rec: Recording, client: Any, sim: Simulator) -> None:
    sim.script(sse(*words(2000)))
    stream = client.chat.completions.create(**HELLO, stream=True)
    next(iter(stream))

    del stream
    gc.collect()

    assert len(rec.calls) == 1
    assert text_of(rec.exchange().response_body).startswith("w0 ")


def test_case_03_a_stream_that_is_never_read_leaves_one_span(rec: Recording, client: Any) -> None:
    client.chat.completions.create(**HELLO, stream=True).close()

    assert rec.attributes["gen_ai.request.stream"] is True
    assert rec.exchange().response_body == b""


def test_case_04_a_users_exception_inside_with_passes_untouched(rec: Recording, client: Any) -> None:
    with pytest.raises(OurMistake) as caught:
        with client.chat.completions.create(**HELLO, stream=True) as stream:
            next(iter(stream))
            raise OurMistake("mine")

    assert str(caught.value) == "mine" and caught.value.__context__ is None
    assert rec.call.status.status_code.name == "UNSET"


def test_case_05_an_async_stream_closed_early_leaves_one_span(rec: Recording, async_client: Any, sim: Simulator) -> None:
    gate = threading.Event()
    sim.script(sse(*words(6), gate=gate, gate_after=2))

    async def main() -> None:
        stream = await async_client.chat.completions.create(**HELLO, stream=True)
        async for _ in stream:
            break
        await stream.close()

    run(async_client, main)
    gate.set()

    assert len(rec.calls) == 1
    assert text_of(rec.exchange().response_body).startswith("w0 ")


def test_case_06_a_cancellation_in_mid_stream_ends_the_span_and_is_raised(
    rec: Recording, async_client: Any, sim: Simulator
) -> None:
    gate = threading.Event()
    sim.script(sse(*words(3), gate=gate, gate_after=3))
    seen: list[Any] = []

    async def read(started: asyncio.Event) -> None:
        async for item in await async_client.chat.completions.create(**HELLO, stream=True):
            seen.append(item)
            if len(seen) == 3:
                started.set()

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.ensure_future(read(started))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(async_client, main)
    gate.set()

    assert rec.attributes["error.type"] == "CancelledError"
    assert text_of(rec.exchange().response_body) == "w0 w1 w2 "


def test_case_07_a_cancellation_before_the_first_byte_is_an_error(rec: Recording, async_client: Any, sim: Simulator) -> None:
    from otel_llm.testing import hang

    sim.script(hang())

    async def main() -> None:
        task = asyncio.ensure_future(async_client.chat.completions.create(**HELLO))
        await asyncio.to_thread(sim.wait_for, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(async_client, main)

    assert rec.attributes["error.type"] == "CancelledError"
    assert rec.call.status.status_code.name == "ERROR"


def test_case_08_a_network_error_in_mid_stream_is_an_error_with_partial_text(
    rec: Recording, client: Any, sim: Simulator
) -> None:
    sim.script(sse(*words(3), cut=True))

    with pytest.raises(Exception) as caught:
        list(client.chat.completions.create(**HELLO, stream=True))

    assert rec.call.status.status_code.name == "ERROR"
    assert "error.type" in rec.attributes and caught.value is not None
    assert text_of(rec.exchange().response_body) == "w0 w1 w2 "


def test_case_09_an_error_event_after_200_is_an_error(rec: Recording, client: Any, sim: Simulator) -> None:
    sim.script(sse(delta("so "), {"error": {"message": "overloaded", "type": "server_error", "code": None}}))

    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(**HELLO, stream=True))

    assert rec.call.status.status_code.name == "ERROR"
    assert rec.attributes["error.type"] == "server_error"


def test_case_10_two_choices_interleaved_are_assembled_each(rec: Recording, client: Any, sim: Simulator) -> None:
    sim.script(sse(delta("a", index=0), delta("x", index=1), delta("b", index=0), delta("y", index=1),
                   delta(index=1, finish="length"), delta(index=0, finish="stop")))

    list(client.chat.completions.create(**HELLO, stream=True, n=2))

    assert rec.attributes["gen_ai.response.finish_reasons"] == ("stop", "length")
    assert text_of(rec.exchange().response_body) == "abxy"


def tool_delta(**fields: Any) -> dict[str, Any]:
    return delta(tool_calls=[fields])


def tool_calls(rec: Recording) -> list[tuple[str, str]]:
    from otel_llm.adapters import by_name, read_call
    from otel_llm.values.call import ToolCall

    exchange = rec.exchange()
    adapter = by_name(exchange.api)
    assert adapter is not None
    call, _ = read_call(adapter, "openai", exchange.request_body, exchange.response_body, exchange.response_type)
    assert call.response is not None
    return [(p.name, p.arguments) for m in call.response.messages for p in m.parts if isinstance(p, ToolCall)]


def test_case_11_parallel_tool_deltas_interleaved_are_assembled_by_index(rec: Recording, client: Any, sim: Simulator) -> None:
    sim.script(sse(
        tool_delta(index=0, id="c0", type="function", function={"name": "a", "arguments": ""}),
        tool_delta(index=1, id="c1", type="function", function={"name": "b", "arguments": ""}),
        tool_delta(index=0, function={"arguments": '{"x":'}), tool_delta(index=1, function={"arguments": '{"y":'}),
        tool_delta(index=0, function={"arguments": "1}"}), tool_delta(index=1, function={"arguments": "2}"}),
        delta(finish="tool_calls")))

    list(client.chat.completions.create(**HELLO, stream=True))

    assert tool_calls(rec) == [("a", '{"x":1}'), ("b", '{"y":2}')]
    assert rec.attributes["gen_ai.response.finish_reasons"] == ("tool_call",)


def test_case_12_a_tool_delta_without_index_finds_its_slot(rec: Recording, client: Any, sim: Simulator) -> None:
    sim.script(sse(
        tool_delta(id="c0", type="function", function={"name": "a", "arguments": '{"x":'}),
        tool_delta(function={"arguments": "1}"}), delta(finish="tool_calls")))

    list(client.chat.completions.create(**HELLO, stream=True))

    assert tool_calls(rec) == [("a", '{"x":1}')]


def test_case_13_tool_arguments_of_none_are_empty(rec: Recording, client: Any, sim: Simulator) -> None:
    sim.script(sse(
        tool_delta(index=0, id="c0", type="function", function={"name": "a", "arguments": None}),
        tool_delta(index=0, function={"arguments": "{}"}), delta(finish="tool_calls")))

    list(client.chat.completions.create(**HELLO, stream=True))

    assert tool_calls(rec) == [("a", "{}")]


def test_case_14_a_chunk_without_choices_is_no_trouble(rec: Recording, client: Any, sim: Simulator) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    sim.script(sse(chunk(), delta("hi"), delta(finish="stop"), chunk(usage=usage)))

    list(client.chat.completions.create(**HELLO, stream=True))

    assert (rec.attributes["gen_ai.usage.input_tokens"], rec.attributes["gen_ai.usage.output_tokens"]) == (3, 2)


def test_case_20_with_streaming_response_reads_nothing_before_the_caller(
    rec: Recording, client: Any, sim: Simulator
) -> None:
    gate = threading.Event()
    sim.script(sse(*words(3), gate=gate, gate_after=1))

    with client.chat.completions.with_streaming_response.create(**HELLO, stream=True) as response:
        assert response.http_response.is_stream_consumed is False
        assert rec.calls == []
        gate.set()
        data = response.read()

    assert rec.exchange().response_body == data


def test_case_21_async_with_streaming_response_has_all_data(rec: Recording, async_client: Any, recwarn: Any) -> None:
    async def main() -> bytes:
        async with async_client.chat.completions.with_streaming_response.create(**HELLO) as response:
            return bytes(await response.read())

    data = run(async_client, main)

    assert rec.exchange().response_body == data and json.loads(data)["choices"]
    assert [w for w in recwarn if "never awaited" in str(w.message)] == []


@pytest.mark.parametrize("how", ["iter_lines", "iter_bytes", "iter_text"])
def test_case_22_lines_and_bytes_without_parsing_are_recorded_whole(rec: Recording, client: Any, sim: Simulator, how: str) -> None:
    with client.chat.completions.with_streaming_response.create(**HELLO, stream=True) as response:
        pieces = list(getattr(response, how)())

    assert pieces
    assert rec.exchange().response_body == sim.exchanges[0].response_body


def test_case_23_no_context_is_attached_across_a_yield(rec: Recording, client: Any, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        streams = [client.chat.completions.create(**HELLO, stream=True) for _ in range(2)]
        for pair in zip(*streams, strict=True):
            assert len(pair) == 2
            assert trace.get_current_span() is trace.INVALID_SPAN

    assert caplog.records == []


def test_case_24_a_stream_read_in_another_task_logs_nothing(rec: Recording, async_client: Any, caplog: Any) -> None:
    async def read(stream: Any) -> int:
        return len([item async for item in stream])

    async def main() -> int:
        stream = await async_client.chat.completions.create(**HELLO, stream=True)
        return await asyncio.create_task(read(stream))

    with caplog.at_level(logging.WARNING):
        assert run(async_client, main) > 0

    assert len(rec.calls) == 1 and caplog.records == []


def test_case_25_inside_the_loop_the_current_span_is_the_users(rec: Recording, client: Any) -> None:
    tracer = rec.provider.get_tracer("app")

    with tracer.start_as_current_span("mine") as mine:
        for _ in client.chat.completions.create(**HELLO, stream=True):
            assert trace.get_current_span() is mine

    call = rec.calls[0]
    assert call.parent is not None and call.parent.span_id == mine.get_span_context().span_id


def test_a_connection_cut_in_the_middle_of_a_plain_body_is_an_error(rec: Recording, client: Any, sim: Simulator) -> None:
    sim.script(cut(after_bytes=20))

    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**HELLO)

    assert rec.attributes["error.type"] == "APIConnectionError"
    assert rec.exchange().complete is False
