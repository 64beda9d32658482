"""What forwarding costs: CPU a span against the SDK's own OTLP/HTTP exporter, and memory while a backend is down.

Method. The same spans (a chat call's attributes; 1 kB and 10 kB of text) go to the same receiver, a process of its own that
answers 200 to everything. *SDK*: `OTLPSpanExporter.export` with batches of 512, as `BatchSpanProcessor` would call it. *Ours*:
the courier, from the store to the answer, the database's part included. Both in one process, in turns (A B A B …);
`time.process_time_ns()` around each turn, the median over the rounds. Making and storing the spans is not in either figure.

Memory: a child records spans while nobody answers; the growth of its RSS from the first span to the last is set against
the same child without a destination.

    python tests/bench/forward_bench.py [--rounds 9] [--spans 4096]
"""

from __future__ import annotations

import argparse
import http.server
import multiprocessing
import os
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

from otel_llm.store.exporter import ReplayProcessor
from otel_llm.store.forward.courier import Courier
from otel_llm.store.forward.process import declare, find_destinations
from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.settings import Settings

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


def cost(count: int, text: str, rounds: int, url: str, *, gzip: bool) -> tuple[float, float]:
    """Microseconds of CPU a span: the SDK's exporter, ours."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip" if gzip else "none"}
    exporter = OTLPSpanExporter(f"{url}/v1/traces", compression=Compression.Gzip if gzip else Compression.NoCompression)
    with tempfile.TemporaryDirectory() as place:
        directory, settings = Path(place), Settings.resolve({}, environ)
        spool, kept = Spool(directory / "spool"), Keep()
        found = find_destinations(settings, environ)
        declare(spool, found, 10**9)
        provider = TracerProvider(resource=Resource.create({"service.name": "bench"}), shutdown_on_exit=False)
        provider.add_span_processor(kept)
        provider.add_span_processor(ReplayProcessor(spool))
        tracer = provider.get_tracer("otel_llm", "1")
        for n in range(count):
            with tracer.start_as_current_span("chat gpt-4o-mini", kind=SpanKind.CLIENT,
                                              attributes={**ATTRIBUTES, "n": n, "gen_ai.input.messages": text}):
                pass
        spool.close()
        theirs, ours = [], []
        with SqliteStore(directory) as store:
            store.catch_up()
            rows = store.connection.execute("SELECT destination, step FROM outbox").fetchall()
            for _ in range(rounds):
                begun = time.process_time_ns()
                for at in range(0, count, BATCH):
                    exporter.export(kept.spans[at : at + BATCH])
                theirs.append((time.process_time_ns() - begun) / count / 1000)
                courier = Courier(directory, found[0], environ, rests=False)
                begun = time.process_time_ns()
                courier.round(store)
                ours.append((time.process_time_ns() - begun) / count / 1000)
                assert store.connection.execute("SELECT count(*) FROM outbox").fetchone()[0] == 0
                store.connection.executemany("INSERT INTO outbox VALUES (?, ?)", rows)
                store.connection.execute("UPDATE destination SET waiting = ?", (count,))
    exporter.shutdown()
    return statistics.median(theirs), statistics.median(ours)


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
before, most = rss(), 0
until = time.monotonic() + float(sys.argv[1])
count = 0
while time.monotonic() < until:
    for _ in range(50):
        span()
    count += 50
    time.sleep(0.05)
    most = max(most, rss())
print(f"{most - before:.1f} {count}")
"""


def memory(seconds: float, **environ: str) -> str:
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run([sys.executable, "-c", CHILD, str(seconds)], capture_output=True, text=True,
                              env={**os.environ, "OTEL_LLM_STORE": place, **environ})
        assert done.returncode == 0, done.stderr
        growth, count = done.stdout.split()
        return f"RSS + {growth} MB over {count} spans of 10 kB"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--spans", type=int, default=4096)
    arguments.add_argument("--seconds", type=float, default=20, help="how long the memory of a program is watched")
    options = arguments.parse_args()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=receiver, args=(theirs,), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{ours.recv()}"
    for name, text in (("1 kB", "words of a prompt " * 30), ("10 kB", "words of a prompt " * 550)):
        for gzip in (False, True):
            sdk, own = cost(options.spans if name == "1 kB" else options.spans // 4, text, options.rounds, url, gzip=gzip)
            print(f"span of {name}, {'gzip' if gzip else 'plain'}: SDK {sdk:.1f} µs, ours {own:.1f} µs, ratio {own / sdk:.2f}")
    process.kill()
    for label, environ in (("no destination", {}), ("backend down", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})):
        print(f"{label}: {memory(options.seconds, **environ)}")


if __name__ == "__main__":
    main()
