"""The eight laws of the design, one named test each (some have more than one angle)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given, settings

import otel_llm
from knowledge.strategies import calls
from otel_llm import _setup, semconv
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator, compress, cut, error, raw, sse
from otel_llm.values.sender import Outgoing
from otel_llm.values.session import Filter
from support.chat import HELLO, delta, words
from support.recording import Recording, recording

KEY = "sk-test-canary-0123456789abcdef"
HAS_RESPONSES = hasattr(openai.OpenAI, "responses")
VOLATILE = {"x-stainless-retry-count", "idempotency-key", "host", "x-stainless-read-timeout"}


# ---- law 1 ------------------------------------------------------------------------------------------------------------


def plain(client: Any) -> Any:
    return client.chat.completions.create(**HELLO)


def streamed(client: Any) -> Any:
    return list(client.chat.completions.create(**HELLO, stream=True))


def raw_access(client: Any) -> Any:
    found = client.chat.completions.with_raw_response.create(**HELLO)
    return found.parse(), found.status_code, found.http_response.content


def streaming_access(client: Any) -> Any:
    with client.chat.completions.with_streaming_response.create(**HELLO) as found:
        return found.read(), found.status_code


def embedded(client: Any) -> Any:
    return client.embeddings.create(model="text-embedding-3-small", input="a")


def listed(client: Any) -> Any:
    return client.models.list().data


def posted(client: Any) -> Any:
    return client.post("/moderations", body={"input": "hello"}, cast_to=object)


def uploaded(client: Any) -> Any:
    return client.files.create(file=("a.jsonl", b'{"a": 1}\n'), purpose="batch")


def spoken(client: Any) -> Any:
    return client.audio.speech.create(model="tts-1", voice="alloy", input="hi").content


def responded(client: Any) -> Any:
    return client.responses.create(model="gpt-4o-mini", input="echo: hi") if HAS_RESPONSES else None


def response_events(client: Any) -> Any:
    return list(client.responses.create(model="gpt-4o-mini", input="echo: hi", stream=True)) if HAS_RESPONSES else None


WAYS: list[Callable[[Any], Any]] = [plain, streamed, raw_access, streaming_access, embedded, listed, posted, uploaded, spoken,
                                    responded, response_events]
FAULTS: dict[str, Callable[[], list[Any]]] = {
    "none": list, "400": lambda: [error(400)], "429 once": lambda: [error(429)], "500 for ever": lambda: [error(500, times=9)],
    "cut": lambda: [cut(after_bytes=15, times=9)], "no answer": lambda: [cut(after_bytes=-1, times=9)],
    "not JSON": lambda: [raw(b"<html>")], "gzip": lambda: [compress("gzip")],
    "error event": lambda: [sse(delta("a"), {"error": {"message": "x", "type": "server_error"}})]}


def outcome(way: Callable[[Any], Any], client: Any) -> Any:
    """All that a caller can see: the value, or the exception with all that hangs on it."""
    try:
        value = way(client)
    except Exception as caught:
        return (type(caught), str(caught), getattr(caught, "body", None), getattr(caught, "status_code", None),
                type(caught.__cause__), type(caught.__context__))
    return type(value), repr(value)


def sent(sim: Simulator, start: int) -> list[Any]:
    """What reached the provider; an exchange that the client left early is over a moment later."""
    assert sim.wait_for_exchanges(sim.count.total())
    return [(e.method, e.path, e.query, {k: v.partition("boundary=")[0] for k, v in e.request_headers.items() if k not in VOLATILE},
             b"multipart" if b"form-data" in e.request_body else e.request_body) for e in sim.exchanges[start:]]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_law_1_the_caller_sees_no_difference(
    tmp_path: Path, sim: Simulator, way: Callable[[Any], Any], fault: str
) -> None:
    if fault == "error event" and way is not streamed:
        return
    seen = []
    for instrumented in (False, True):
        start = len(sim.exchanges)
        sim.script(*FAULTS[fault]())
        with openai.OpenAI(base_url=sim.base_url, api_key=KEY, max_retries=1) as client:
            if instrumented:
                with recording(tmp_path):
                    found = outcome(way, client)
            else:
                found = outcome(way, client)
        sim._script.__init__()  # type: ignore[misc]
        seen.append((found, sent(sim, start)))

    assert seen[0] == seen[1]


def test_law_1_async_callers_see_no_difference_either(tmp_path: Path, sim: Simulator) -> None:
    async def main() -> Any:
        async with openai.AsyncOpenAI(base_url=sim.base_url, api_key=KEY, max_retries=0) as client:
            whole = await client.chat.completions.create(**HELLO)
            parts = [item async for item in await client.chat.completions.create(**HELLO, stream=True)]
            return repr(whole), repr(parts)

    bare = asyncio.run(main())
    with recording(tmp_path):
        assert asyncio.run(main()) == bare


# ---- law 2 ------------------------------------------------------------------------------------------------------------


def test_law_2_the_tape_equals_the_bytes_on_the_wire(rec: Recording, client: Any, sim: Simulator) -> None:
    for way in WAYS:
        if way is not uploaded:
            way(client)
    sim.script(compress("gzip"), compress("deflate", of=sse(*words(5), delta(finish="stop"))))
    plain(client)
    streamed(client)

    taped = [rec.exchange(call) for call in rec.calls]
    assert [(t.request_body or b"", t.response_body) for t in taped] == [
        (e.request_body, e.response_body) for e in sim.exchanges]
    assert {t.exactness for t in taped} == {"exact"}


def test_law_2_reissuing_an_unchanged_call_sends_an_equal_body(rec: Recording, client: Any, sim: Simulator) -> None:
    odd = {**HELLO, "messages": [{"role": "user", "content": "echo: žluťoučký \U0001f40e \\u0041"}], "temperature": 0.30000000000000004}
    client.chat.completions.create(**odd)
    first = rec.exchange()
    sender, finish = _setup.make_sender(_setup.Settings.resolve({"store": rec.directory}, {}))

    second = sender.send(Outgoing(first.api, first.method, first.url, first.request_type, first.request_body or b"",
                                  source=(first.trace_id, first.span_id)))
    finish()

    assert [e.request_body for e in sim.exchanges] == [first.request_body] * 2
    assert second.response_body == first.response_body
    assert rec.store.span(second.span_id).links[0].span_id == first.span_id


def test_law_2_what_the_redactor_replaced_is_partial(rec: Recording, client: Any) -> None:
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"my key is {KEY}9999"}])

    assert rec.exchange().exactness == "partial" and rec.exchange().redacted >= 1


# ---- law 3 ------------------------------------------------------------------------------------------------------------


def test_law_3_one_call_is_one_span_however_it_is_made(rec: Recording, sim: Simulator) -> None:
    sim.script(error(429), error(500))
    instrumentor = otel_llm.capture.OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=rec.provider)

    with openai.OpenAI(base_url=sim.base_url, api_key=KEY, max_retries=3) as client:
        with otel_llm.workflow("w"), otel_llm.agent("a"):
            plain(client)
        for way in WAYS[1:]:
            way(client)
    instrumentor.uninstrument()

    made = len(WAYS) - (0 if HAS_RESPONSES else 2)
    assert len(rec.calls) == made
    assert all(span.end_time is not None for span in rec.spans)
    assert len({span.context.span_id for span in rec.spans}) == len(rec.spans)


# ---- law 4 ------------------------------------------------------------------------------------------------------------

BURST = """
import sys, openai, otel_llm
otel_llm.init(store=sys.argv[1], index=sys.argv[3] == "index")
client = openai.OpenAI(base_url=sys.argv[2], api_key="k", max_retries=0)
for n in range(10_000):
    if n % 3:
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: number {n}"}])
    else:
        list(client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: number {n}"}], stream=True))
    sys.stdout.write(f"{n}\\n"); sys.stdout.flush()
"""


@pytest.mark.parametrize("index", ["index", "no index"])
def test_law_4_every_call_that_returned_survives_kill_9(tmp_path: Path, sim: Simulator, index: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", BURST, str(tmp_path), sim.base_url, index], stdout=subprocess.PIPE)
    assert process.stdout is not None
    returned = [int(process.stdout.readline()) for _ in range(60)]
    process.send_signal(signal.SIGKILL)
    returned += [int(line) for line in process.stdout.read().splitlines() if line]
    process.wait()
    process.stdout.close()

    stored = stored_numbers(SqliteStore(tmp_path))

    assert set(returned) <= stored and len(returned) >= 60


def stored_numbers(store: SqliteStore) -> set[int]:
    calls = store.calls(Filter(), limit=100_000)
    assert len({c.span_id for c in calls}) == len(calls)
    bodies = [json.loads(store.exchange(c.span_id).request_body or b"{}") for c in calls if c.state == "ok"]
    return {int(body["messages"][0]["content"].rpartition(" ")[2]) for body in bodies}


def test_law_4_calls_survive_kill_9_under_somebody_elses_batch_processor(tmp_path: Path, sim: Simulator) -> None:
    program = BURST.replace(
        'otel_llm.init(store=sys.argv[1], index=sys.argv[3] == "index")',
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor\n"
        "provider = TracerProvider()\n"
        "provider.add_span_processor(BatchSpanProcessor(otel_llm.ReplayExporter(sys.argv[1]), schedule_delay_millis=100_000))\n"
        "otel_llm.instrument(tracer_provider=provider)")
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), sim.base_url, "-"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    returned = [int(process.stdout.readline()) for _ in range(30)]
    process.kill()
    returned += [int(line) for line in process.stdout.read().splitlines() if line]
    process.wait()
    process.stdout.close()

    assert set(returned) <= stored_numbers(SqliteStore(tmp_path))


def test_law_4_a_samplers_decision_is_counted(tmp_path: Path, sim: Simulator, client: Any) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    with recording(tmp_path) as rec:
        otel_llm.instrument(tracer_provider=TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
        for _ in range(3):
            plain(client)

        assert [(loss.reason, loss.count) for loss in rec.store.losses()] == [("sampled out", 3)]
        assert rec.store.calls(Filter()) == []


@pytest.mark.parametrize("leave", ["sys.exit(3)", "os._exit(3)", "raise SystemExit(3)", "os.kill(os.getpid(), 15)", "1/0"])
def test_law_4_every_way_to_leave_keeps_every_call(tmp_path: Path, sim: Simulator, leave: str) -> None:
    program = ("import os, sys, openai, otel_llm\notel_llm.init(store=sys.argv[1])\n"
               "c = openai.OpenAI(base_url=sys.argv[2], api_key='k')\n"
               "for n in range(5):\n c.chat.completions.create(model='m', messages=[{'role': 'user', 'content': f'echo: n {n}'}])\n"
               f"{leave}\n")

    subprocess.run([sys.executable, "-c", program, str(tmp_path), sim.base_url], capture_output=True)

    assert stored_numbers(SqliteStore(tmp_path)) == {0, 1, 2, 3, 4}


def test_law_4_forked_children_keep_their_calls(tmp_path: Path, sim: Simulator) -> None:
    program = (
        "import os, sys, openai, otel_llm\notel_llm.init(store=sys.argv[1])\n"
        "def ask(n): openai.OpenAI(base_url=sys.argv[2], api_key='k').chat.completions.create("
        "model='m', messages=[{'role': 'user', 'content': f'echo: n {n}'}])\n"
        "ask(0)\n"
        "for n in (1, 2, 3):\n"
        "    if os.fork() == 0:\n        ask(n)\n        os._exit(0)\n"
        "for _ in range(3): os.wait()\nask(4)\n")

    subprocess.run([sys.executable, "-W", "ignore", "-c", program, str(tmp_path), sim.base_url], check=True, capture_output=True)

    assert stored_numbers(SqliteStore(tmp_path)) == {0, 1, 2, 3, 4}


# ---- law 5 ------------------------------------------------------------------------------------------------------------


def test_law_5_appending_twice_stores_once(rec: Recording, client: Any, tmp_path: Path) -> None:
    for _ in range(3):
        plain(client)
        streamed(client)
    with otel_llm.tool("t", arguments={"a": 1}) as step:
        step.result(2)
    _setup._cell.spool.close()  # type: ignore[union-attr]
    (segment,) = (rec.directory / "spool").glob("*.seg")
    content = segment.read_bytes()
    before = rec.store.calls(Filter()), rec.store.sessions(Filter())

    for copy in ("redelivered-1-0.seg", "redelivered-1-1.seg"):
        (rec.directory / "spool" / copy).write_bytes(content)

    after = rec.store.calls(Filter()), rec.store.sessions(Filter())
    assert after == before and len(before[0]) == 6


# ---- law 6 ------------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(calls)
def test_law_6_reading_what_was_written_gives_the_same_call(call: Any) -> None:
    assert semconv.read(semconv.write(call, content=True)) == call


# ---- law 7 ------------------------------------------------------------------------------------------------------------


def test_law_7_no_secret_leaves(tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    canaries = [KEY, "sk-proj-Canary0123456789Canary0123456789", "ghp_canary0123456789canary0123456789canary", "AKIACANARY0123456789"]
    monkeypatch.setenv("OPENAI_API_KEY", canaries[1])
    sim.script(error(401, message=f"Incorrect API key provided: {canaries[1]}"))

    with recording(tmp_path, content_on_spans="SPAN_AND_EVENT") as rec:
        with openai.OpenAI(base_url=sim.base_url, max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError):
                plain(client)
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "echo: " + " ".join(canaries)}])
            list(client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "echo: " + canaries[2]}], stream=True))
        with otel_llm.tool("t", arguments={"key": canaries[3]}) as step:
            step.result({"key": canaries[2]})
        with pytest.raises(ValueError), otel_llm.tool("u"):
            raise ValueError(canaries[1])
        rec.store.sessions(Filter())

        written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
        told = repr([(s.attributes, s.status.description, s.events) for s in rec.spans]) + repr(rec.events) + caplog.text
        shown = repr([rec.store.exchange(s.span_id) for s in rec.store.calls(Filter())])
    assert [c for c in canaries if c.encode() in written or c in told or c in shown] == []


def test_law_7_when_the_redactor_fails_the_content_is_gone_and_the_span_kept(
    rec: Recording, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, body: bytes) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr("otel_llm.redaction.Redactor.redact", broken)

    plain(client)

    assert rec.exchange().request_body is None and rec.exchange().omitted == "redaction failed"
    assert rec.attributes["gen_ai.usage.input_tokens"] > 0


# ---- law 8 ------------------------------------------------------------------------------------------------------------


def test_law_8_none_is_unknown_and_zero_is_zero(rec: Recording, client: Any, sim: Simulator) -> None:
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "a-model-nobody-prices",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
    sim.script(raw(json.dumps(body).encode()),
               raw(json.dumps({**body, "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}).encode()))

    client.chat.completions.create(**{**HELLO, "model": "a-model-nobody-prices"})
    client.chat.completions.create(**{**HELLO, "model": "a-model-nobody-prices"})

    zero, unknown = rec.store.calls(Filter())
    assert (unknown.usage.input_tokens, unknown.usage.output_tokens, unknown.cost) == (None, None, None)
    assert (zero.usage.input_tokens, zero.usage.output_tokens, zero.cost) == (0, 0, None)
    assert all(call.first_chunk_ns is None for call in (zero, unknown))
    assert os.environ.get("OPENAI_API_KEY") is None


