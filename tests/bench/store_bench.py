"""How fast and how small: the tape in the caller's thread, the indexer, the store on disk, and what readers wait for.

    python tests/bench/store_bench.py [--sessions 1000] [--streams 0.5] [--codec zlib|zstd] [--directory DIR]

Method. The corpus is made of sessions of 4 to 12 turns whose history is sent again with every call, half of them streamed
as server-sent events, with a tool call and a tool span in every third turn, and a workflow span around each turn; words come
from a vocabulary with Zipf's frequencies, so that text compresses about as natural language does. Everything goes through
the public doors: SDK spans through `ReplayProcessor`, bodies as capture writes them, then `SqliteStore`.

The yardstick is the same spans as OTLP JSON with the bodies as string attributes (`otel_llm.request.body`,
`otel_llm.response.body`): its size, and the CPU time of one `json.dumps` a span. Times are CPU time of the process, medians where
something is repeated; appends are wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanKind, set_span_in_context

from otel_llm.pricing import PriceTable
from otel_llm.store import packs
from otel_llm.store.exporter import ReplayProcessor
from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.call import Usage
from otel_llm.values.session import Filter
from otel_llm.values.tape import CALL_END, CALL_START, SPAN


class Words:
    """Text of made-up words with natural frequencies."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)
        syllables = [c + v for c in "bcdfghklmnprstvw" for v in ("a", "e", "i", "o", "u", "ai", "en", "or")]
        self.words = ["".join(self.random.choices(syllables, k=self.random.choice((1, 2, 2, 3, 4)))) for _ in range(8000)]
        self.weights = [1 / (n + 2.7) for n in range(8000)]

    def text(self, count: int) -> str:
        words = self.random.choices(self.words, self.weights, k=count)
        return " ".join(w + "." if n % 13 == 12 else w for n, w in enumerate(words))


class Corpus:
    """Writes sessions on a tape, and keeps the same spans as OTLP JSON objects for the yardstick."""

    def __init__(self, spool: Spool, words: Words, streams: float = 0.5) -> None:
        self.spool, self.words, self.streams = spool, words, streams
        self.provider = TracerProvider(resource=Resource({"service.name": "bench", "host.name": "h"}), shutdown_on_exit=False)
        self.processor = ReplayProcessor(spool)
        self.tracer = self.provider.get_tracer("otel_llm", "0.1.0")
        self.otlp: list[dict[str, Any]] = []
        self.calls = self.spans = 0
        self.span_us: list[float] = []
        self.system = {"role": "system", "content": words.text(180)}
        self.tools = [{"type": "function", "function": {"name": f"tool_{n}", "description": words.text(20), "parameters": {
            "type": "object", "properties": {"query": {"type": "string", "description": words.text(8)}}}}} for n in range(4)]

    def session(self) -> None:
        pick = self.words.random
        history: list[dict[str, Any]] = [self.system]
        for turn in range(pick.randint(4, 12)):
            root = self.tracer.start_span("invoke_workflow shop", attributes={
                "gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "shop", "user.id": f"user-{pick.randint(1, 99)}"})
            history.append({"role": "user", "content": self.words.text(pick.randint(10, 80))})
            if turn % 3 == 1:
                calls = [{"id": f"call_{pick.getrandbits(64):016x}", "type": "function", "function": {
                    "name": "tool_1", "arguments": json.dumps({"query": self.words.text(5)})}}]
                self.call(root, history, None, calls)
                history.append({"role": "assistant", "content": None, "tool_calls": calls})
                result = self.words.text(pick.randint(50, 300))
                tool = self.tracer.start_span("execute_tool tool_1", set_span_in_context(root), attributes={
                    "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "tool_1", "gen_ai.tool.call.id": calls[0]["id"],
                    "gen_ai.tool.call.arguments": calls[0]["function"]["arguments"], "gen_ai.tool.call.result": result})
                self.end(tool)
                history.append({"role": "tool", "tool_call_id": calls[0]["id"], "content": result})
            answer = self.words.text(pick.randint(40, 250))
            self.call(root, history, answer, None)
            history.append({"role": "assistant", "content": answer})
            self.end(root)

    def call(self, root: Any, history: list[dict[str, Any]], answer: str | None, tool_calls: Any) -> None:
        is_stream = self.words.random.random() < self.streams
        body = json.dumps({"messages": history, "model": "gpt-4o-mini", "temperature": 0.7, "tools": self.tools,
                           **({"stream": True, "stream_options": {"include_usage": True}} if is_stream else {})},
                          separators=(",", ":"), ensure_ascii=False).encode()
        usage = {"prompt_tokens": len(body) // 4, "completion_tokens": len(answer or "") // 4, "total_tokens": len(body) // 4,
                 "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}}
        id_ = f"chatcmpl-{self.words.random.getrandbits(128):032x}"
        response = self._stream(id_, answer, tool_calls, usage) if is_stream else json.dumps({
            "id": id_, "object": "chat.completion", "created": int(time.time()), "model": "gpt-4o-mini-2024-07-18",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": answer, "refusal": None,
                         **({"tool_calls": tool_calls} if tool_calls else {})}, "logprobs": None, "finish_reason": "stop"}],
            "usage": usage, "service_tier": "default", "system_fingerprint": "fp_44709d6fcb"}, indent=2).encode()
        start = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
                 "server.address": "api.openai.com", "openai.api.type": "chat_completions"}
        span = self.tracer.start_span("chat gpt-4o-mini", set_span_in_context(root), SpanKind.CLIENT, start)
        context = span.get_span_context()
        ids = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        self.spool.append(CALL_START, json.dumps({
            **ids, "parent_span_id": f"{root.get_span_context().span_id:016x}", "name": "chat gpt-4o-mini", "time_ns": time.time_ns(),
            "api": "openai_chat", "method": "POST", "url": "https://api.openai.com/v1/chat/completions",
            "content_type": "application/json", "attributes": start}).encode(), body)
        span.set_attributes({
            "gen_ai.request.temperature": 0.7, "gen_ai.request.stream": is_stream, "gen_ai.response.id": id_,
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": usage["prompt_tokens"], "gen_ai.usage.output_tokens": usage["completion_tokens"],
            "gen_ai.usage.cache_read.input_tokens": 0, "otel_llm.cost.total": 0.00123, "otel_llm.cost.input": 0.001,
            "otel_llm.cost.output": 0.00023, "otel_llm.api": "openai_chat", "openai.response.service_tier": "default"})
        chunks = [[len(e) + 2, 15000] for e in response.split(b"\n\n")] if is_stream else [[len(response), 0]]
        self.spool.append(CALL_END, json.dumps({
            **ids, "time_ns": time.time_ns(), "status": 200, "complete": True, "first_byte_ns": 350_000_000, "chunks": chunks,
            "content_type": "text/event-stream; charset=utf-8" if is_stream else "application/json",
            "request_id": f"req_{self.words.random.getrandbits(128):032x}"}, separators=(",", ":")).encode(), response)
        self.calls += 1
        self.end(span, {"otel_llm.request.body": body.decode(), "otel_llm.response.body": response.decode()})

    def _stream(self, id_: str, answer: str | None, tool_calls: Any, usage: Any) -> bytes:
        head = {"id": id_, "object": "chat.completion.chunk", "created": int(time.time()), "model": "gpt-4o-mini-2024-07-18",
                "service_tier": "default", "system_fingerprint": "fp_44709d6fcb"}
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
        deltas += [{"content": " " + word} for word in (answer or "").split()]
        if tool_calls:
            deltas.append({"tool_calls": [{"index": 0, **tool_calls[0]}]})
        events = [{**head, "choices": [{"index": 0, "delta": d, "logprobs": None, "finish_reason": None}], "usage": None}
                  for d in deltas]
        events.append({**head, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}], "usage": None})
        events.append({**head, "choices": [], "usage": usage})
        return b"".join(b"data: " + json.dumps(e, separators=(",", ":")).encode() + b"\n\n" for e in events) + b"data: [DONE]\n\n"

    def end(self, span: Any, content: dict[str, str] | None = None) -> None:
        span.end()
        begun = time.perf_counter_ns()
        self.processor.on_end(span)
        self.span_us.append((time.perf_counter_ns() - begun) / 1000)
        self.spans += 1
        self.otlp.append(otlp_json(span, content or {}))


def otlp_json(span: ReadableSpan, content: dict[str, str]) -> dict[str, Any]:
    """A span as an object of OTLP's JSON encoding."""
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    return {
        "traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}",
        **({"parentSpanId": f"{parent.span_id:016x}"} if parent else {}), "flags": 257, "name": span.name, "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time), "endTimeUnixNano": str(span.end_time),
        "attributes": [{"key": k, "value": _value(v)} for k, v in {**(span.attributes or {}), **content}.items()], "status": {},
    }


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, tuple):
        return {"arrayValue": {"values": [_value(v) for v in value]}}
    return {"stringValue": value}


def cpu(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def median_ms(work: Callable[[], Any], times: int = 15) -> float:
    work()
    return statistics.median(cpu(work) for _ in range(times)) * 1000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--sessions", type=int, default=1000)
    arguments.add_argument("--streams", type=float, default=0.5, help="share of the calls that are streamed")
    arguments.add_argument("--codec", choices=("zlib", "zstd"), default="zlib")
    arguments.add_argument("--directory", type=Path)
    given = arguments.parse_args()
    directory = given.directory or Path(tempfile.mkdtemp(prefix="store-bench-"))
    packs.codec = lambda: given.codec  # type: ignore[assignment]
    table: list[tuple[str, str]] = []

    spool = Spool(directory / "tape" / "spool")
    for size in (1_000, 10_000, 100_000):
        header, times = b"x" * size, []
        for _ in range(3000):
            begun = time.perf_counter_ns()
            spool.append(SPAN, header)
            times.append((time.perf_counter_ns() - begun) / 1000)
        table.append((f"append {size / 1000:.0f} kB, p50 / p99 µs", f"{statistics.median(times):.1f} / {sorted(times)[2970]:.1f}"))
    spool.close()
    shutil.rmtree(directory / "tape")

    spool = Spool(directory / "store" / "spool", spool_bytes=1 << 40)
    corpus = Corpus(spool, Words(), given.streams)
    while_making = time.process_time()
    for _ in range(given.sessions):
        corpus.session()
    spool.close()
    print(f"corpus made in {time.process_time() - while_making:.1f} s: {given.sessions} sessions, {corpus.calls} calls, {corpus.spans} spans",
          file=sys.stderr)
    table.append(("ReplayProcessor, p50 µs a span", f"{statistics.median(corpus.span_us):.1f}"))

    raw, yardstick = 0, 0.0
    for at in range(0, len(corpus.otlp), 1000):
        some = corpus.otlp[at : at + 1000]
        texts: list[str] = []
        yardstick += cpu(lambda some=some, texts=texts: texts.extend(json.dumps(s, separators=(",", ":")) for s in some))  # type: ignore[misc]
        raw += sum(len(t.encode()) for t in texts)
    spool_bytes = spool.spool_bytes()
    corpus.otlp.clear()
    PriceTable().exact("openai", "gpt-4o-mini", Usage(1, 1), time.time_ns())  # so that its import, paid once, is not measured
    store = SqliteStore(directory / "store")
    ingest = cpu(store.catch_up)
    table += [
        ("spans, calls, sessions", f"{corpus.spans}, {corpus.calls}, {given.sessions}"),
        ("raw OTLP JSON, MB", f"{raw / 1e6:.1f}"), ("spool, MB", f"{spool_bytes / 1e6:.1f}"),
        ("json.dumps, µs a span", f"{yardstick / corpus.spans * 1e6:.0f}"),
        (f"ingest ({given.codec}), µs a span", f"{ingest / corpus.spans * 1e6:.0f}"),
        ("ingest / json.dumps", f"{ingest / yardstick:.2f}"),
    ]
    store._execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = (directory / "store" / "store.sqlite").stat().st_size
    table.append(("store / raw OTLP JSON", f"{size / raw:.4f}"))
    for name, part in store._all("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 9", ()) if has_dbstat(store) else ():
        table.append((f"  {name}", f"{part / raw:.4f}"))
    for name, raw_bytes, packed in store._all("SELECT kind, sum(raw_bytes), sum(length(data)) FROM pack GROUP BY kind", ()):
        table.append((f"  packs of {name}, raw → packed", f"{raw_bytes / raw:.4f} → {packed / raw:.4f}"))

    sessions = store.sessions(Filter(), limit=50)
    session, call = sessions[5], store.calls(Filter())[7]
    found = len(store.sessions(Filter(), limit=10**6))
    table += [
        ("sessions found", str(found)),
        ("sessions(50), ms", f"{median_ms(lambda: store.sessions(Filter(), limit=50)):.2f}"),
        ("sessions(50, model=), ms", f"{median_ms(lambda: store.sessions(Filter(model=('gpt-4o-mini',)), limit=50)):.2f}"),
        ("sessions(50, user=), ms", f"{median_ms(lambda: store.sessions(Filter(user=('user-7',)), limit=50)):.2f}"),
        ("calls(50), ms", f"{median_ms(lambda: store.calls(Filter(), limit=50)):.2f}"),
        ("calls(50, status=error), ms", f"{median_ms(lambda: store.calls(Filter(status=('error',)), limit=50)):.2f}"),
        ("steps of a session, ms", f"{median_ms(lambda: store.steps(session.session_id)):.2f}"),
        ("exchange, ms", f"{median_ms(lambda: store.exchange(call.span_id)):.2f}"),
        ("resolve a prefix, ms", f"{median_ms(lambda: store.resolve(call.span_id[:8])):.2f}"),
        ("first search (fills the index), s", f"{cpu(lambda: list(store.search('nothing-like-this', Filter()))):.2f}"),
        ("search(20) for a common word, ms", f"{median_ms(lambda: list(store.search(corpus.words.words[5], Filter(), limit=20))):.2f}"),
        ("search(20) for a rare word, ms", f"{median_ms(lambda: list(store.search(corpus.words.words[7900], Filter(), limit=20))):.2f}"),
    ]
    store._execute("PRAGMA wal_checkpoint(TRUNCATE)")
    table.append(("store with full text / raw OTLP JSON", f"{(directory / 'store' / 'store.sqlite').stat().st_size / raw:.4f}"))
    table.append(("losses", str(store.losses())))
    store.close()
    width = max(len(name) for name, _ in table)
    for name, value in table:
        print(f"{name:{width}}  {value}")
    print(f"Python {sys.version.split()[0]}, SQLite of the standard library, {os.cpu_count()} CPUs")
    if given.directory is None:
        shutil.rmtree(directory)


def has_dbstat(store: SqliteStore) -> bool:
    return any("ENABLE_DBSTAT_VTAB" in row[0] for row in store._all("PRAGMA compile_options", ()))


if __name__ == "__main__":
    main()
