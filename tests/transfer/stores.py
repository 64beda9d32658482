"""A store that holds a bit of everything, made by real instrumented calls; and the ways to copy it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator, cut, error, raw
from otel_llm.transfer import jsonl
from otel_llm.values.session import Filter, ReplayRecord
from otel_llm.values.tape import CALL_PART, CALL_START
from support.chat import HELLO
from support.recording import recording

KEY = "sk-test-canary-0123456789abcdef"
SECRET = "sk-abcdefghijklmnopqrstuvwxyz012345"
MODEL = "gpt-4o-mini"


def fill(directory: Path, sim: Simulator) -> None:
    """Streams, errors, tools, redacted and content-free calls, binary bodies, inferred and named sessions, replays, a cut call."""
    openai = pytest.importorskip("openai", reason="the openai SDK is not installed")
    with recording(directory), openai.OpenAI(base_url=sim.base_url, api_key=KEY, max_retries=1) as client:
        _converse(client, sim)
        with otel_llm.session("ticket-1", user="ada", tags={"team": "search"}):
            _work(client)
        with otel_llm.session("ticket-2"):
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": f"echo: the key is {SECRET}"}])
        with otel_llm.session("ticket-3"):
            client.chat.completions.create(**HELLO, extra_body={"x": "日本語\u2028"})
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "echo: " + "long words " * 300}])
        client.audio.speech.create(model="tts-1", voice="alloy", input="hi")
        client.embeddings.create(model="text-embedding-3-small", input="a")
        sim.script(raw(b'{"id": \xff\xfe', content_type="application/json"))
        with pytest.raises(Exception):  # noqa: B017
            client.chat.completions.create(**HELLO)
    with recording(directory, content=False), openai.OpenAI(base_url=sim.base_url, api_key=KEY, max_retries=0) as client:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "echo: nothing of this is kept"}])
    _cut_call(directory)
    with SqliteStore(directory) as store:
        store.merge("ticket-1", "ticket-3")
        first, second = store.calls(Filter(), limit=2)
        store.record_replay(ReplayRecord(second.span_id, first.span_id, first.session_id, second.session_id, {"model": "gpt-4.1"},
                                         {"same": False, "text": "ünlike"}, 1_790_000_000_000_000_000))


def _converse(client: Any, sim: Simulator) -> None:
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "echo: one"}]
    answer = client.chat.completions.create(model=MODEL, messages=messages)
    messages += [answer.choices[0].message.model_dump(exclude_none=True), {"role": "user", "content": "echo: ünïcödé 日本語"}]
    list(client.chat.completions.create(model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}))
    sim.script(error(429), error(429))
    with pytest.raises(Exception, match="429"):
        client.chat.completions.create(model=MODEL, messages=messages)
    sim.script(cut(after_bytes=300))
    with pytest.raises(Exception):  # noqa: B017
        list(client.chat.completions.create(model=MODEL, messages=messages, stream=True))


def _work(client: Any) -> None:
    @otel_llm.tool
    def weather(city: str) -> dict[str, str]:
        return {"sky": f"rain in {city}"}

    @otel_llm.tool
    def broken() -> None:
        raise ValueError("no such city")

    @otel_llm.workflow
    def answer() -> str:
        with otel_llm.prompt_ref("weather", version="3", variables={"city": "Oslo"}):
            said = client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": f"echo: {weather('Oslo')}"}]).choices[0].message.content
        with pytest.raises(ValueError):
            broken()
        return str(said)

    answer()


def _cut_call(directory: Path) -> None:
    """A program that died in the middle of a stream."""
    spool = Spool(directory / "spool")
    ids = {"trace_id": "ab" * 16, "span_id": "cd" * 8}
    spool.append(CALL_START, json.dumps({
        **ids, "parent_span_id": None, "name": "chat gpt-4o-mini", "time_ns": 1_790_000_000_000_000_000, "api": "openai_chat",
        "method": "POST", "url": "https://api.openai.com/v1/chat/completions", "content_type": "application/json",
        "attributes": {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}}).encode(),
        json.dumps({**HELLO, "stream": True}).encode())
    for part in (b'data: {"choices":[{"index":0,"delta":{"content":"half an answ"}}]}', b'\n\ndata: {"choi'):
        spool.append(CALL_PART, json.dumps(ids).encode(), part)
    spool.close()


def export(store: SqliteStore, where: Filter = Filter()) -> bytes:
    """An export as bytes."""
    out = io.BytesIO()
    with store.snapshot(where) as snapshot:
        jsonl.write(snapshot, out)
    return out.getvalue()


def take_in(store: SqliteStore, data: bytes) -> tuple[int, int]:
    """Import bytes; how many steps were new, and how many were there."""
    with store.importing() as intake:
        jsonl.take_in(io.BytesIO(data), "export", intake)
    return intake.added, intake.known


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def everything(store: SqliteStore) -> dict[str, Any]:
    """All that a reader sees."""
    sessions = store.sessions(Filter(), limit=1000)
    steps = {s.session_id: store.steps(s.session_id) for s in sessions}
    return {
        "sessions": sorted(sessions, key=lambda s: s.session_id), "steps": steps,
        "spans": {s.span_id: store.span(s.span_id) for found in steps.values() for s in found},
        "exchanges": {s.span_id: store.exchange(s.span_id) for found in steps.values() for s in found if s.kind == "call"},
        "replays": {s: store.replays(s) for s in steps},
        "hits": [hit.step.span_id for text in ("Oslo", "ünïcödé", "such city", "brief") for hit in store.search(text, Filter())]}
