"""What forwarding costs: CPU a span against the SDK's own OTLP/HTTP exporter, and what a program feels of a backend that is down.

Method. The same spans (a chat call's attributes and a prompt of 1 kB or 10 kB, words with natural frequencies) go to the same
receiver, a process of its own that answers 200 to everything. *SDK*: `OTLPSpanExporter.export` with batches of 512, as
`BatchSpanProcessor` would call it. *Ours*: the rows of the queue, reading the store, making the request, sending it and writing
down the answer. Both in one process, in turns (A B A B …); `time.process_time_ns()` around each turn, the median over the
rounds. Making and storing the spans is in neither figure. With `content=full` ours makes the messages from the recorded bytes of
the calls, while the SDK is given spans that carry them already.

Down: programs record a span of 10 kB every 1.25 ms for a while, one without a destination, one whose backend is dead, one whose
backend takes connections and never answers, side by side. Growth is that of the highest RSS over the RSS after 6 s; CPU is that
of the whole process over the same time. The end is the time from a program's last line of output until it is gone.

    python tests/bench/forward_bench.py [--rounds 9] [--spans 4096] [--seconds 20] [--repeats 3]
"""

from __future__ import annotations

import argparse
import http.server
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind

sys.path.insert(0, str(Path(__file__).parent))
from store_bench import Words  # noqa: E402

from otel_llm.store.exporter import ReplayProcessor  # noqa: E402
from otel_llm.store.forward.courier import Courier  # noqa: E402
from otel_llm.store.forward.process import declare, find_destinations  # noqa: E402
from otel_llm.store.spool import Spool  # noqa: E402
from otel_llm.store.sqlite import SqliteStore  # noqa: E402
from otel_llm.values.settings import Settings  # noqa: E402
from otel_llm.values.tape import CALL_END, CALL_START  # noqa: E402

BATCH = 512
ATTRIBUTES: dict[str, Any] = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.response.id": "chatcmpl-123", "gen_ai.usage.input_tokens": 812,
    "gen_ai.usage.output_tokens": 44, "gen_ai.request.temperature": 0.2, "gen_ai.request.max_tokens": 512,
    "gen_ai.response.finish_reasons": ("stop",), "server.address": "api.openai.com", "server.port": 443,
    "gen_ai.conversation.id": "conversation-1", "otel_llm.cost.total": 0.000148}


def receiver(pipe: Connection) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            return None

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_address[1])
    server.serve_forever()


class Keep(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def cost(count: int, words: int, rounds: int, url: str, *, gzip: bool, full: bool) -> tuple[float, float]:
    """Microseconds of CPU a span: the SDK's exporter, ours."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip" if gzip else "none",
               "OTEL_LLM_FORWARD": f"otlp;content={'full' if full else 'none'}"}
    exporter = OTLPSpanExporter(f"{url}/v1/traces", compression=Compression.Gzip if gzip else Compression.NoCompression)
    with tempfile.TemporaryDirectory() as place:
        directory, settings = Path(place), Settings.resolve({}, environ)
        spool, kept = Spool(directory / "spool"), Keep()
        found = find_destinations(settings, environ)
        declare(spool, found, 10**9)
        make(count, words, kept, spool, full=full)
        spool.close()
        theirs, ours = [], []
        with SqliteStore(directory) as store:
            store.catch_up()
            connection = store.connection
            rows = connection.execute("SELECT destination, step FROM outbox").fetchall()
            for _ in range(rounds):
                begun = time.process_time_ns()
                for at in range(0, count, BATCH):
                    exporter.export(kept.spans[at : at + BATCH])
                theirs.append((time.process_time_ns() - begun) / count / 1000)
                courier = Courier(directory, found[0], environ, rests=False)
                connection.execute("DELETE FROM outbox")
                begun = time.process_time_ns()
                connection.execute("BEGIN")
                connection.executemany("INSERT OR IGNORE INTO outbox VALUES (?, ?)", rows)
                connection.execute("UPDATE destination SET waiting = ?", (count,))
                connection.execute("COMMIT")
                courier.round(store)
                ours.append((time.process_time_ns() - begun) / count / 1000)
                assert connection.execute("SELECT count(*) FROM outbox").fetchone()[0] == 0
            assert connection.execute("SELECT sent, refused FROM destination").fetchone() == (count * rounds, 0)
    exporter.shutdown()
    return statistics.median(theirs), statistics.median(ours)


def make(count: int, words: int, kept: Keep, spool: Spool, *, full: bool) -> None:
    """The same spans for both; for `full` content, what the recorder would write stands on our tape instead of on our spans."""
    texts = Words()
    tracers = []
    for processor in (kept, ReplayProcessor(spool)):
        provider = TracerProvider(resource=Resource.create({"service.name": "bench"}), shutdown_on_exit=False)
        provider.add_span_processor(processor)
        tracers.append(provider.get_tracer("otel_llm", "1"))
    for n in range(count):
        text, answer = texts.text(words), texts.text(30)
        content = {f"gen_ai.{way}.messages": json.dumps([{"role": role, "parts": [{"type": "text", "content": said}]}])
                   for way, role, said in (("input", "user", text), ("output", "assistant", answer))}
        with tracers[0].start_as_current_span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes={**ATTRIBUTES, "n": n, **content}):
            pass
        attributes = {**ATTRIBUTES, "n": n, **({} if full else content)}
        with tracers[1].start_as_current_span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes=attributes) as span:
            if full:
                record(spool, span, text, answer)


def record(spool: Spool, span: Any, text: str, answer: str) -> None:
    """The exact bytes of a call, as capture writes them."""
    context = span.get_span_context()
    ids = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    spool.append(CALL_START, json.dumps({
        **ids, "parent_span_id": None, "name": "chat gpt-4o-mini", "time_ns": time.time_ns(), "api": "openai_chat", "method": "POST",
        "url": "https://api.openai.com/v1/chat/completions", "content_type": "application/json",
        "attributes": {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}}).encode(),
        json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}).encode())
    spool.append(CALL_END, json.dumps({
        **ids, "time_ns": time.time_ns(), "status": 200, "content_type": "application/json", "complete": True}).encode(),
        json.dumps({"id": "chatcmpl-123", "object": "chat.completion", "model": "gpt-4o-mini-2024-07-18", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 812, "completion_tokens": 44, "total_tokens": 856}}).encode())


# ---- a backend that is down --------------------------------------------------------------------------------------------


CHILD = """
import resource, sys, time
import otel_llm; otel_llm.init()
from opentelemetry import trace
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6
tracer = trace.get_tracer("bench")
def span():
    with tracer.start_as_current_span("chat", attributes={"text": "x" * 10_000}):
        pass
for _ in range(200):
    span()
time.sleep(6)
before, most, used = rss(), 0, time.process_time()
until = time.monotonic() + float(sys.argv[1])
count = 0
while time.monotonic() < until:
    for _ in range(40):
        span()
    count += 40
    time.sleep(0.05)
    most = max(most, rss())
print(most - before, time.process_time() - used, count, flush=True)
"""


def programs(seconds: float, environs: dict[str, dict[str, str]]) -> dict[str, tuple[float, float, int, float]]:
    """One program for each environment, side by side: growth in MB, CPU seconds, spans, and seconds that the end took."""
    with tempfile.TemporaryDirectory() as place:
        begun = {label: subprocess.Popen([sys.executable, "-c", CHILD, str(seconds)], stdout=subprocess.PIPE, text=True,
                                         env={**os.environ, "OTEL_LLM_STORE": f"{place}/{label}", **environ})
                 for label, environ in environs.items()}
        found = {}
        for label, process in begun.items():
            assert process.stdout is not None
            growth, used, count = process.stdout.readline().split()
            at = time.perf_counter()
            assert process.wait() == 0
            found[label] = float(growth), float(used), int(count), time.perf_counter() - at
            process.stdout.close()
        return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--spans", type=int, default=4096)
    arguments.add_argument("--seconds", type=float, default=20, help="how long a program whose backend is down is watched")
    arguments.add_argument("--repeats", type=int, default=3, help="how often; the median is printed")
    options = arguments.parse_args()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=receiver, args=(theirs,), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{ours.recv()}"
    for name, words in (("1 kB", 170), ("10 kB", 1700)):
        for label, gzip, full in (("plain", False, False), ("gzip", True, False), ("content=full", False, True)):
            sdk, own = cost(options.spans if words < 1000 else options.spans // 4, words, options.rounds, url, gzip=gzip, full=full)
            print(f"span of {name}, {label}: SDK {sdk:.1f} µs, ours {own:.1f} µs, ratio {own / sdk:.2f}")
    process.kill()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        environs = {"no destination": {}, "dead backend": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
                    "hung backend": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}}
        runs = [programs(options.seconds, environs) for _ in range(options.repeats)]
        ends = [{label: programs(0, {label: environ})[label][3] for label, environ in environs.items()} for _ in range(options.repeats)]
    for label in environs:
        growth, used, count, _ = (statistics.median(column) for column in zip(*(run[label] for run in runs), strict=True))
        end = statistics.median(run[label] for run in ends)
        print(f"{label}: RSS + {growth:.1f} MB and {used:.2f} s of CPU over {count:.0f} spans of 10 kB, end {end * 1000:.0f} ms")


if __name__ == "__main__":
    main()
