"""The hard cases of instrumentation beyond streams, one test each, named after the case."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import gc
import importlib.metadata
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from opentelemetry.trace import SpanKind

import otel_llm
from otel_llm import _setup
from otel_llm.capture import OpenAIInstrumentor
from otel_llm.testing import Simulator, error, raw
from otel_llm.values.guard import faults
from support.chat import HELLO
from support.recording import Recording, recording

KEY = "sk-test-canary-0123456789abcdef"
HAS_RESPONSES = hasattr(openai.OpenAI, "responses")


def completion(**message: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi", **message}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}


def answer(sim: Simulator, **fields: Any) -> None:
    sim.script(raw(json.dumps({**completion(), **fields}).encode()))


def test_case_15_a_refusal_is_captured_as_one(rec: Recording, client: Any, sim: Simulator) -> None:
    from otel_llm.adapters import by_name, read_call
    from otel_llm.values.call import Refusal

    sim.script(raw(json.dumps(completion(content=None, refusal="I will not.")).encode()))

    assert client.chat.completions.create(**HELLO).choices[0].message.refusal == "I will not."

    exchange, adapter = rec.exchange(), by_name("openai_chat")
    assert adapter is not None
    call, _ = read_call(adapter, "openai", exchange.request_body, exchange.response_body, exchange.response_type)
    assert call.response is not None and call.response.messages[0].parts == (Refusal("I will not."),)


def test_case_16_reasoning_and_cached_tokens_stand_on_the_span(rec: Recording, client: Any, sim: Simulator) -> None:
    answer(sim, usage={"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
                       "prompt_tokens_details": {"cached_tokens": 60}, "completion_tokens_details": {"reasoning_tokens": 30}})

    client.chat.completions.create(**HELLO)

    usage = {k.removeprefix("gen_ai.usage."): v for k, v in rec.attributes.items() if k.startswith("gen_ai.usage.")}
    assert usage == {"input_tokens": 100, "output_tokens": 50, "cache_read.input_tokens": 60, "reasoning.output_tokens": 30}


def test_case_17_token_details_of_none_are_skipped(rec: Recording, client: Any, sim: Simulator) -> None:
    answer(sim, usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                       "prompt_tokens_details": None, "completion_tokens_details": None})

    client.chat.completions.create(**HELLO)

    usage = {k for k in rec.attributes if k.startswith("gen_ai.usage.")}
    assert usage == {"gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"}


def test_case_18_not_given_arguments_are_no_attributes(rec: Recording, client: Any, caplog: Any) -> None:
    missing = getattr(openai, "omit", None) or openai.NOT_GIVEN

    client.chat.completions.create(**HELLO, temperature=missing, stop=missing, tools=missing)

    assert "gen_ai.request.temperature" not in rec.attributes
    assert caplog.records == []


def test_case_19_raw_response_with_a_stream_is_unchanged(rec: Recording, client: Any, sim: Simulator) -> None:
    raw_response = client.chat.completions.with_raw_response.create(**HELLO, stream=True)
    assert raw_response.headers["content-type"].startswith("text/event-stream")

    stream = raw_response.parse()
    text = "".join(item.choices[0].delta.content or "" for item in stream if item.choices)

    assert type(stream) is openai.Stream and text == "one two three"
    assert rec.exchange().response_body == sim.exchanges[0].response_body


def test_case_26_no_http_library_is_imported_by_capture() -> None:
    code = ("import sys, otel_llm; otel_llm.init(store=sys.argv[1], index=False); "
            "print([m for m in ('httpx', 'httpx2', 'requests', 'aiohttp') if m in sys.modules])")

    shown = subprocess.run([sys.executable, "-c", code, "/nonexistent"], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"


def test_case_27_the_instrumentor_has_no_upper_bound() -> None:
    (dependency,) = OpenAIInstrumentor().instrumentation_dependencies()

    assert "<" not in dependency and dependency.startswith("openai >=")


def test_case_28_no_wrapping_library_is_a_dependency_of_ours() -> None:
    required = importlib.metadata.requires("otel-llm") or []

    assert [r for r in required if r.startswith("wrapt")] == []


def test_case_29_under_a_foreign_call_span_there_is_no_second_one(rec: Recording, client: Any) -> None:
    tracer = rec.provider.get_tracer("opentelemetry.instrumentation.somebody")
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
                  "server.address": "127.0.0.1", "server.port": 1}

    with tracer.start_as_current_span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes=attributes):
        client.chat.completions.create(**HELLO)

    assert rec.call.instrumentation_scope is not None
    assert rec.call.instrumentation_scope.name == "opentelemetry.instrumentation.somebody"
    assert json.loads(rec.exchange().request_body or b"")["messages"] == HELLO["messages"]


def test_case_31_wrapper_spans_carry_no_tokens(rec: Recording, client: Any) -> None:
    with otel_llm.workflow("answer"), otel_llm.agent("helper"):
        client.chat.completions.create(**HELLO)

    with_tokens = [s.name for s in rec.spans if "gen_ai.usage.input_tokens" in (s.attributes or {})]
    assert with_tokens == ["chat gpt-4o-mini"]


def test_case_32_a_client_subclass_that_calls_super_makes_one_span(rec: Recording, sim: Simulator) -> None:
    class Client(openai.OpenAI):
        def request(self, *args: Any, **kwargs: Any) -> Any:
            return super().request(*args, **kwargs)

    with Client(base_url=sim.base_url, api_key=KEY) as client:
        client.chat.completions.create(**HELLO)

    assert len(rec.calls) == 1


def test_case_36_a_thread_pool_keeps_the_parent_when_bound(rec: Recording, client: Any) -> None:
    def ask(_: int) -> None:
        client.chat.completions.create(**HELLO)

    with otel_llm.workflow("fan out"), concurrent.futures.ThreadPoolExecutor(2) as pool:
        bound = otel_llm.bind(ask)
        list(pool.map(bound, range(3)))

    parents = {call.parent.span_id if call.parent else None for call in rec.calls}
    assert parents == {rec.spans[-1].context.span_id}


def test_case_36_thread_pools_can_carry_the_context_by_themselves(rec: Recording, client: Any) -> None:
    from otel_llm.capture.threads import carry_into_pools

    patches = carry_into_pools()
    try:
        with otel_llm.workflow("fan out"), concurrent.futures.ThreadPoolExecutor(2) as pool:
            pool.submit(client.chat.completions.create, **HELLO).result()
    finally:
        patches.undo()

    assert rec.calls[0].parent is not None
    assert concurrent.futures.ThreadPoolExecutor.submit.__module__ == "concurrent.futures.thread"


def test_case_39_huge_media_is_a_digest_on_the_span_and_whole_in_the_store(tmp_path: Any, client: Any) -> None:
    image = "data:image/png;base64," + base64.b64encode(b"\x89PNG" + bytes(500_000)).decode()
    content = [{"type": "text", "text": "echo: seen"}, {"type": "image_url", "image_url": {"url": image}}]

    with recording(tmp_path, content_on_spans="SPAN_ONLY") as rec:
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": content}])

        assert image.encode() in (rec.exchange().request_body or b"")
        shown = rec.attributes["gen_ai.input.messages"]
        assert len(shown) < 2000 and "sha256:" in shown


def test_case_40_one_fat_prompt_is_capped_on_the_span_and_whole_in_the_store(tmp_path: Any, client: Any) -> None:
    fat = "echo: " + "x" * 3_000_000

    with recording(tmp_path, content_on_spans="SPAN_ONLY") as rec:
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": fat}])

        assert len(rec.attributes["gen_ai.input.messages"]) < 500_000
        assert json.loads(rec.attributes["gen_ai.input.messages"])[0]["role"] == "user"
        assert len(rec.exchange().request_body or b"") > 3_000_000


def test_case_41_state_does_not_grow_with_calls(rec: Recording, client: Any) -> None:
    def burst() -> None:
        for _ in range(60):
            client.chat.completions.create(**HELLO)
        rec.spans.clear()
        rec.collector.started.clear()
        gc.collect()

    from support import recording as kept

    keep = len(kept.RECORDS)
    burst()
    del kept.RECORDS[keep:]
    tracemalloc.start()
    first = tracemalloc.take_snapshot()
    for _ in range(3):
        burst()
        del kept.RECORDS[keep:]
    second = tracemalloc.take_snapshot()
    tracemalloc.stop()

    ours = [d for d in second.compare_to(first, "filename") if "otel_llm/capture" in d.traceback[0].filename]
    assert sum(d.size_diff for d in ours) < 20_000
    assert _setup._cell.recorder is not None and _setup._cell.recorder.live == {}


@pytest.mark.parametrize("name", ["_target", "_place"])
def test_case_42_a_fault_of_ours_never_reaches_the_caller(
    rec: Recording, client: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from otel_llm.capture.stainless import StainlessTap

    def broken(*args: Any) -> Any:
        raise RuntimeError("ours")

    faults.strict = False
    monkeypatch.setattr(StainlessTap, name, broken)

    assert client.chat.completions.create(**HELLO).choices[0].message.content == "one two three"


@pytest.mark.parametrize(("url", "provider"), [
    ("https://api.openai.com/v1", "openai"), ("https://my.openai.azure.com/openai", "azure.ai.openai"),
    ("https://api.groq.com/openai/v1", "groq"), ("https://api.x.ai/v1", "x_ai"), ("http://127.0.0.1:8000/v1", "openai"),
    ("https://generativelanguage.googleapis.com/v1beta/openai", "gcp.gemini"), ("https://gateway.example.org/v1", "mine")])
def test_case_43_the_provider_is_known_by_its_host(url: str, provider: str) -> None:
    from urllib.parse import urlsplit

    from otel_llm.capture.providers import provider_of

    parts = urlsplit(url)

    assert provider_of(parts.hostname or "", parts.port, {"gateway.example.org": "mine"}) == provider


def test_case_44_keys_and_queries_are_recorded_nowhere(rec: Recording, sim: Simulator) -> None:
    with openai.OpenAI(base_url=sim.base_url, api_key=KEY, default_query={"key": "q-secret-1"}) as client:
        client.chat.completions.create(**HELLO, extra_headers={"x-api-key": "h-secret-1"})

    rec.store.sessions(otel_llm_filter())
    everything = b"".join(p.read_bytes() for p in rec.directory.rglob("*") if p.is_file())
    everything += json.dumps(rec.attributes).encode()
    assert [s for s in (KEY.encode(), b"q-secret-1", b"h-secret-1") if s in everything] == []
    assert rec.exchange().url == sim.base_url + "/chat/completions"


def otel_llm_filter() -> Any:
    from otel_llm.values.session import Filter

    return Filter()


def test_case_45_a_one_shot_iterator_reaches_the_provider_whole(rec: Recording, client: Any, sim: Simulator) -> None:
    def messages() -> Iterator[dict[str, str]]:
        yield {"role": "user", "content": "echo: from an iterator"}

    client.chat.completions.create(model="gpt-4o-mini", messages=messages())

    assert json.loads(sim.exchanges[0].request_body)["messages"] == [{"role": "user", "content": "echo: from an iterator"}]
    assert rec.exchange().request_body == sim.exchanges[0].request_body


def test_case_46_suppress_instrumentation_is_honoured(rec: Recording, client: Any) -> None:
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    with suppress_instrumentation():
        client.chat.completions.create(**HELLO)

    assert rec.spans == []


def test_case_47_clients_and_resources_made_before_are_instrumented(tmp_path: Any, client: Any) -> None:
    create = client.chat.completions.create

    with recording(tmp_path) as rec:
        create(**HELLO)

        assert len(rec.calls) == 1


def test_case_48_uninstrument_restores_the_original_functions(tmp_path: Any) -> None:
    from openai import _base_client as base

    names = [(base.BaseClient, "_build_request"), (base.BaseClient, "_should_retry"), (base.SyncAPIClient, "request"),
             (base.SyncAPIClient, "_process_response"), (base.AsyncAPIClient, "request"),
             (base.AsyncAPIClient, "_process_response")]
    before = [vars(owner)[name] for owner, name in names]

    with recording(tmp_path):
        during = [vars(owner)[name] for owner, name in names]

    after = [vars(owner)[name] for owner, name in names]
    assert all(a is b for a, b in zip(before, after, strict=True))
    assert all(a is not b for a, b in zip(before, during, strict=True))


def test_case_49_instrumenting_twice_is_instrumenting_once(rec: Recording, client: Any) -> None:
    otel_llm.instrument(tracer_provider=rec.provider)
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=rec.provider)

    client.chat.completions.create(**HELLO)

    assert len(rec.calls) == 1
    instrumentor.uninstrument()


def test_case_50_retries_are_one_span_with_a_count(rec: Recording, sim: Simulator) -> None:
    sim.script(error(429), error(500))

    with openai.OpenAI(base_url=sim.base_url, api_key=KEY, max_retries=3) as client:
        client.chat.completions.create(**HELLO)

    assert rec.attributes["http.request.resend_count"] == 2
    assert [status for _, status in rec.exchange().attempts] == [429, 500]


def test_a_whole_error_answer_is_complete(rec: Recording, client: Any, sim: Simulator) -> None:
    sim.script(error(404))
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**HELLO)

    assert rec.exchange().complete is True and rec.exchange().status == 404


def test_case_51_client_post_and_unknown_endpoints_make_a_generic_span(rec: Recording, client: Any) -> None:
    client.models.list()
    client.post("/moderations", body={"input": "hello"}, cast_to=object)

    assert [c.name for c in rec.calls] == ["GET /models", "POST /moderations"]
    assert {k.partition(".")[0] for k in rec.calls[1].attributes or {}} <= {"otel_llm", "server", "http"}


@pytest.mark.parametrize("body", [b"null", b"[]", b"{", b"", b"\xff\xfe", b'{"choices": null, "usage": 7}', b'"text"'])
def test_case_52_a_malformed_body_makes_a_span_and_no_error_of_ours(
    rec: Recording, client: Any, sim: Simulator, body: bytes
) -> None:
    outcomes: list[Any] = []
    for attempt in range(2):
        if attempt == 1:
            otel_llm.uninstrument()
        sim.script(raw(body))
        try:
            outcomes.append(client.chat.completions.create(**HELLO))
        except Exception as caught:
            outcomes.append((type(caught), str(caught)))

    assert len(rec.calls) == 1
    assert repr(outcomes[0]) == repr(outcomes[1])
    assert rec.exchange().response_body == body


def test_case_53_the_caller_holds_the_sdks_own_objects(rec: Recording, client: Any) -> None:
    plain = client.chat.completions.create(**HELLO)
    stream = client.chat.completions.create(**HELLO, stream=True)
    raw_response = client.chat.completions.with_raw_response.create(**HELLO)

    assert type(plain).__module__.startswith("openai.types")
    assert type(stream) is openai.Stream and isinstance(stream, openai.Stream)
    assert type(raw_response).__module__ == "openai._legacy_response"
    assert type(stream.response).__name__ == "Response"
    stream.close()
    assert stream.response.elapsed.total_seconds() > 0


def test_case_54_the_request_is_never_changed(rec: Recording, client: Any, sim: Simulator) -> None:
    list(client.chat.completions.create(**HELLO, stream=True))

    assert json.loads(sim.exchanges[0].request_body) == {**HELLO, "stream": True}


def test_case_55_a_span_of_the_http_library_nests_below_ours(rec: Recording, client: Any) -> None:
    tracer = rec.provider.get_tracer("opentelemetry.instrumentation.httpx")
    http = client._client
    original = http.send

    def traced(*args: Any, **kwargs: Any) -> Any:
        with tracer.start_as_current_span("POST", kind=SpanKind.CLIENT):
            return original(*args, **kwargs)

    http.send = traced
    client.chat.completions.create(**HELLO)

    http_span, call = rec.spans
    assert http_span.parent is not None and http_span.parent.span_id == call.context.span_id
    assert call.name == "chat gpt-4o-mini"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_event_loop_closed_at_exit_is_no_trouble(rec: Recording, async_client: Any) -> None:
    async def main() -> None:
        stream = await async_client.chat.completions.create(**HELLO, stream=True)
        await stream.__anext__()

    asyncio.run(main())
    gc.collect()

    assert len(rec.calls) == 1


def test_a_compressed_body_is_recorded_decoded_with_its_coding(rec: Recording, client: Any, sim: Simulator) -> None:
    from otel_llm.testing import compress

    for coding in ("gzip", "deflate"):
        sim.script(compress(coding))
        client.chat.completions.create(**HELLO)
        sim.script(compress(coding))
        list(client.chat.completions.create(**HELLO, stream=True))

    assert [rec.exchange(call).response_body for call in rec.calls] == [e.response_body for e in sim.exchanges]
    assert [rec.exchange(call).coding for call in rec.calls] == ["gzip", "gzip", "deflate", "deflate"]


def test_content_off_leaves_no_content_anywhere(tmp_path: Any, client: Any, sim: Simulator) -> None:
    sim.script(error(400, message="you said sesame-canary"))
    body = {**HELLO, "messages": [{"role": "user", "content": "echo: sesame-canary"}]}

    with recording(tmp_path, content=False, content_on_spans="SPAN_AND_EVENT") as rec:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**body)
        client.chat.completions.create(**body)
        with otel_llm.tool("open", arguments={"word": "sesame-canary"}) as step:
            step.result("sesame-canary")
        rec.store.sessions(otel_llm_filter())

        everything = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
        shown = repr([(s.name, s.attributes, s.status.description, s.events) for s in rec.spans]) + repr(rec.events)
        assert b"sesame-canary" not in everything and "sesame-canary" not in shown
        assert len(rec.calls) == 2


@pytest.mark.skipif(not HAS_RESPONSES, reason="this openai has no Responses API (it came with 1.66)")
def test_the_responses_api_is_a_chat_with_its_own_api_type(rec: Recording, client: Any) -> None:
    client.responses.create(model="gpt-4o-mini", input="echo: hello", instructions="Be kind.")
    list(client.responses.create(model="gpt-4o-mini", input="echo: hello", stream=True))

    assert [c.name for c in rec.calls] == ["chat gpt-4o-mini"] * 2
    assert {(c.attributes or {})["openai.api.type"] for c in rec.calls} == {"responses"}
    assert all((c.attributes or {})["gen_ai.usage.output_tokens"] > 0 for c in rec.calls)


def test_embeddings_and_completions_have_their_operations(rec: Recording, client: Any) -> None:
    client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=8)
    client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once")

    assert [c.name for c in rec.calls] == ["embeddings text-embedding-3-small", "text_completion gpt-3.5-turbo-instruct"]


def test_azure_clients_are_azures(rec: Recording, sim: Simulator) -> None:
    with openai.AzureOpenAI(azure_endpoint=sim.url, api_key=KEY, api_version="2024-10-21") as client:
        client.chat.completions.create(**HELLO)

    assert rec.attributes["gen_ai.provider.name"] == "azure.ai.openai"
    assert rec.exchange().url == sim.url + "/openai/deployments/gpt-4o-mini/chat/completions"


def test_parse_records_the_schema_that_was_asked_for(rec: Recording, client: Any) -> None:
    import pydantic

    class City(pydantic.BaseModel):
        name: str

    api = client.chat.completions if hasattr(client.chat.completions, "parse") else client.beta.chat.completions

    parsed = api.parse(**HELLO, response_format=City)

    assert isinstance(parsed.choices[0].message.parsed, City)
    assert rec.attributes["gen_ai.output.type"] == "json"
