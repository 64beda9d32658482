"""More that must hold, beyond the numbered cases."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from typing import Any

import openai
import pytest

import otel_llm
from otel_llm.testing import Simulator, compress, raw
from otel_llm.values.session import Filter
from support.chat import HELLO
from support.recording import Recording

KEY = "sk-test-canary-0123456789abcdef"
MAJOR = int(openai.__version__.partition(".")[0])


def test_copies_of_a_client_are_recorded_and_stay_copyable(rec: Recording, client: Any) -> None:
    client.with_options(timeout=5).chat.completions.create(**HELLO)
    copy.copy(client).chat.completions.create(**HELLO)

    assert len(rec.calls) == 2


def test_responses_can_be_pickled(rec: Recording, client: Any) -> None:
    answer = client.chat.completions.create(**HELLO)
    raw_response = client.chat.completions.with_raw_response.create(**HELLO)

    assert pickle.loads(pickle.dumps(answer)) == answer
    assert pickle.loads(pickle.dumps(raw_response.http_response)).content == raw_response.http_response.content


def test_a_tracer_provider_that_is_set_later_gets_the_spans(sim: Simulator) -> None:
    program = (
        "import sys, openai, otel_llm\notel_llm.instrument()\n"
        "from opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import SimpleSpanProcessor, ConsoleSpanExporter\n"
        "provider = TracerProvider()\n"
        "provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda s: s.name + '\\n')))\n"
        "trace.set_tracer_provider(provider)\n"
        "openai.OpenAI(base_url=sys.argv[1], api_key='k').chat.completions.create(model='m', messages=[{'role': 'user', 'content': 'echo: x'}])\n")

    shown = subprocess.run([sys.executable, "-c", program, sim.base_url], capture_output=True, text=True, check=True,
                           env={**os.environ, "OTEL_LLM_STORE": "/nonexistent"})

    assert shown.stdout == "chat m\n"


@pytest.mark.skipif(MAJOR < 3, reason="older SDKs run on httpx anyway")
def test_a_legacy_http_client_under_openai_3(rec: Recording, sim: Simulator) -> None:
    httpx = pytest.importorskip("httpx", reason="the legacy HTTP library is not installed")

    with openai.OpenAI(base_url=sim.base_url, api_key=KEY, http_client=httpx.Client()) as client:
        client.chat.completions.create(**HELLO)
        list(client.chat.completions.create(**HELLO, stream=True))

    assert [rec.exchange(c).response_body for c in rec.calls] == [e.response_body for e in sim.exchanges]


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_rarer_codings_are_recorded_decoded(rec: Recording, client: Any, sim: Simulator, coding: Any) -> None:
    sim.script(compress(coding))
    with client.chat.completions.with_streaming_response.create(**HELLO) as response:
        b"".join(response.http_response.iter_raw())

    assert rec.exchange().response_body == sim.exchanges[0].response_body and rec.exchange().coding == coding


@pytest.mark.skipif(not hasattr(openai.OpenAI, "responses"), reason="this openai has no Responses API (it came with 1.66)")
def test_fetching_a_stored_response_is_fetch_response(rec: Recording, client: Any) -> None:
    made = client.responses.create(model="gpt-4o-mini", input="echo: hi")
    client.responses.retrieve(made.id)

    assert rec.calls[1].name == "fetch_response"
    assert (rec.calls[1].attributes or {})["gen_ai.response.id"] == made.id


def test_ids_in_paths_do_not_become_span_names(rec: Recording, client: Any, sim: Simulator) -> None:
    sim.script(raw(b"{}", times=2))
    client.get("/files/file-abc123def456/content", cast_to=object)
    client.get("/threads/thread_abc123/runs/run_abc123", cast_to=object)

    assert [c.name for c in rec.calls] == ["GET /files/{id}/content", "GET /threads/{id}/runs/{id}"]


def test_a_body_that_is_too_large_is_named_and_not_kept(tmp_path: Any, client: Any) -> None:
    from support.recording import recording

    with recording(tmp_path, max_body_bytes=100) as rec:
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "echo: " + "x" * 200}])

        assert rec.exchange().request_body is None and rec.exchange().omitted == "too large"
        assert rec.attributes["gen_ai.usage.input_tokens"] > 0


def test_init_twice_is_once_and_shutdown_is_its_inverse(tmp_path: Any, sim: Simulator) -> None:
    program = (
        "import sys, openai, otel_llm\nfrom openai import _base_client as base\n"
        "before = vars(base.SyncAPIClient)['request']\n"
        "for _ in range(2): otel_llm.init(store=sys.argv[1], index=False)\n"
        "client = openai.OpenAI(base_url=sys.argv[2], api_key='k')\n"
        "client.chat.completions.create(model='m', messages=[{'role': 'user', 'content': 'echo: x'}])\n"
        "otel_llm.shutdown()\n"
        "assert vars(base.SyncAPIClient)['request'] is before\n"
        "client.chat.completions.create(model='m', messages=[{'role': 'user', 'content': 'echo: x'}])\n"
        "otel_llm.init(store=sys.argv[1], index=False)\n"
        "client.chat.completions.create(model='m', messages=[{'role': 'user', 'content': 'echo: x'}])\n"
        "otel_llm.flush()\n")

    subprocess.run([sys.executable, "-W", "error", "-c", program, str(tmp_path), sim.base_url], check=True, capture_output=True)

    from otel_llm.store.sqlite import SqliteStore

    with SqliteStore(tmp_path) as store:
        assert len(store.calls(Filter())) == 2


def test_a_bad_argument_of_init_says_which_values_are_good() -> None:
    with pytest.raises(otel_llm.values.errors.ConfigError, match="SPAN_ONLY"):
        otel_llm.init(content_on_spans="EVERYWHERE")


def test_open_calls_are_ended_by_flush(rec: Recording, client: Any) -> None:
    stream = client.chat.completions.create(**HELLO, stream=True)
    next(iter(stream))

    otel_llm.uninstrument()

    assert len(rec.calls) == 1 and rec.exchange().complete is False
    stream.close()
