"""How many spans a second of CPU `otel-llm serve` takes in, and what memory that costs.

    python tests/bench/server_bench.py [--spans 20000] [--batch 100] [--senders 2]

Method. The server runs as a program of its own on loopback. Spans carry 10 KB of text (words with natural frequencies, as a
JSON string attribute) and 15 small attributes; batches are encoded before the clock starts and sent over kept connections.
What counts is the CPU time of the server's process (user and system, from /proc) from the first request to the last answer,
once without the indexer (receiving alone) and once with it, until the spool is in the store. The yardstick is the CPU time
of `json.loads` of the same spans as OTLP JSON, in this process. RSS is the server's highest, and its growth over the run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from store_bench import Words  # noqa: E402

from otel_llm import otlp  # noqa: E402
from server.serving import JSON, PROTOBUF, Serving, serving, span  # noqa: E402

TEXT = 10_000
TICK = os.sysconf("SC_CLK_TCK")


def batches(count: int, size: int) -> list[list[Any]]:
    words = Words()
    texts = [words.text(1800)[:TEXT] for _ in range(50)]
    small = {f"app.attribute.{n}": n if n % 2 else f"value-{n}" for n in range(9)}
    made = [span(n, attributes={
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 2000 + n, "gen_ai.usage.output_tokens": 20, "gen_ai.conversation.id": f"c{n // 8}", **small,
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"{n} {texts[n % 50]}"}]}]),
    }) for n in range(1, count + 1)]
    return [made[at : at + size] for at in range(0, count, size)]


def cpu_s(server: Serving) -> float:
    """User and system time of the server's process."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def send(server: Serving, bodies: list[bytes], kind: str, coding: str | None, senders: int) -> None:
    def work(first: int) -> None:
        connection = server.connect()
        for body in bodies[first::senders]:
            connection.request("POST", "/v1/traces", body, {"content-type": kind, **({"content-encoding": coding} if coding else {})})
            response = connection.getresponse()
            said = response.read()
            assert response.status == 200, (response.status, said)
        connection.close()

    together([lambda n=n: work(n) for n in range(senders)])


def send_grpc(server: Serving, bodies: list[bytes], senders: int) -> None:
    import grpc

    def work(first: int) -> None:
        with grpc.insecure_channel(str(server.grpc), options=[("grpc.max_send_message_length", -1)]) as channel:
            export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            for body in bodies[first::senders]:
                export(body)

    together([lambda n=n: work(n) for n in range(senders)])


def together(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(name: str, count: int, sending: Callable[[Serving], None], *, index: bool) -> tuple[str, float, str]:
    with tempfile.TemporaryDirectory() as directory, serving(
        Path(directory) / "store", "--grpc-port", "0", OTEL_LLM_INDEX=str(int(index))
    ) as server:
        server.post(b"")
        before, begun, memory = cpu_s(server), time.perf_counter(), server.memory("VmRSS")
        sending(server)
        wall = time.perf_counter() - begun
        deadline = time.monotonic() + 300
        while index and not server.ask("GET", "/healthz").json["index_lag_s"] < 1.0 and time.monotonic() < deadline:
            time.sleep(0.2)
        used = cpu_s(server) - before
        peak = server.memory("VmHWM")
    return name, used / count, f"{count / used:7.0f} spans/CPU s   {count / wall:7.0f} spans/s wall   RSS {peak / 2**20:4.0f} MiB (+{(peak - memory) / 2**20:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--senders", type=int, default=2)
    given = parser.parse_args()
    made = batches(given.spans, given.batch)
    protobuf, texts = [otlp.encode(b) for b in made], [otlp.encode_json(b) for b in made]
    packed = [gzip.compress(body, 1) for body in protobuf]
    made.clear()

    begun = time.process_time()
    for text in texts:
        json.loads(text)
    yardstick = (time.process_time() - begun) / given.spans
    print(f"{'json.loads of the same spans':34} {yardstick * 1e6:6.0f} µs   {1 / yardstick:7.0f} spans/CPU s")
    ways: list[tuple[str, Callable[[Serving], None], bool]] = [
        ("HTTP protobuf, receiving alone", lambda s: send(s, protobuf, PROTOBUF, None, given.senders), False),
        ("HTTP protobuf gzip", lambda s: send(s, packed, PROTOBUF, "gzip", given.senders), False),
        ("HTTP JSON", lambda s: send(s, texts, JSON, None, given.senders), False),
        ("gRPC", lambda s: send_grpc(s, protobuf, given.senders), False),
        ("HTTP protobuf, until indexed", lambda s: send(s, protobuf, PROTOBUF, None, given.senders), True)]
    for name, sending, index in ways:
        label, each, rest = measure(name, given.spans, sending, index=index)
        print(f"{label:34} {each * 1e6:6.0f} µs   {rest}   {each / yardstick:.1f} × json.loads")
    print(f"{given.spans} spans of {TEXT} bytes of text in batches of {given.batch}, {given.senders} senders;"
          f" Python {sys.version.split()[0]}, {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
