"""`otel-llm serve` as a program of its own on loopback, and a client that shows every byte of the answer."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from otel_llm import otlp
from otel_llm.values.spandata import ResourceData, ScopeData, SpanData

PROTOBUF, JSON = "application/x-protobuf", "application/json"
NOW = 1_790_000_000 * 10**9
KEY = "a-key-of-this-test"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Serving:
    """A running server. `url` is that of OTLP/HTTP, `grpc` the place of OTLP/gRPC."""

    process: subprocess.Popen[str]
    store: Path
    url: str
    grpc: str | None
    connections: list[http.client.HTTPConnection] = field(default_factory=list)

    @property
    def place(self) -> str:
        return self.url.removeprefix("http://")

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.place, timeout=30)

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request, on a connection that is kept."""
        if not self.connections:
            self.connections.append(self.connect())
        connection = self.connections[0]
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.read(), {k.lower(): v for k, v in response.getheaders()})
        except Exception:
            connection.close()
            self.connections.clear()
            raise

    def post(self, body: Any, path: str = "/v1/traces", kind: str = PROTOBUF, coding: str | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        coded = {} if coding is None else {"content-encoding": coding}
        return self.ask("POST", path, body, {"content-type": kind, **coded, **named})

    def counter(self, name: str, **headers: str) -> float:
        """The sum of one of the server's own counters."""
        text = self.ask("GET", "/metrics", headers=headers).body.decode()
        return sum(float(value) for value in re.findall(rf"^otel_llm_server_{name}(?:{{.*}})? (\S+)$", text, re.M))

    def memory(self, what: str) -> int:
        """`VmRSS` or `VmHWM` (the most it ever was) in bytes."""
        found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


def command(store: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "otel_llm.cli", "--store", str(store), "serve", "--port", "0", *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "PYTHONPATH"))}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def serving(store: Path, *arguments: str, prepare: Any = None, **environ: str) -> Iterator[Serving]:
    """A server until the block ends; `prepare` runs in its process before it begins."""
    with (store.parent / "serve.log").open("a") as log:
        process = subprocess.Popen(command(store, *arguments), env=environment(**environ), text=True, stdout=subprocess.PIPE,
                                   stderr=log, preexec_fn=prepare)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        found = re.match(r"OTLP/HTTP on (\S+?)(?:, OTLP/gRPC on (\S+))?, store", said)
        assert found, said + (store.parent / "serve.log").read_text()
        made = Serving(process, store, found[1], found[2])
        yield made
        for connection in made.connections:
            connection.close()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=30)
            finally:
                process.kill()
        process.stdout.close()


RESOURCE = ResourceData({"service.name": "shop", "host.name": "h1"})
SCOPE = ScopeData("some.instrumentation", "1.2")


def span(number: int, **fields: Any) -> SpanData:
    """A span whose ids and times come from a number."""
    made = SpanData(
        f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}", f"{number * 0xD1342543DE82EF95 % 2**64:016x}", None,
        f"chat {number}", "client", NOW + number * 10**9, NOW + number * 10**9 + 10**8,
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}, resource=RESOURCE, scope=SCOPE)
    return replace(made, **fields)


def spans(numbers: Sequence[int], size: int = 0) -> list[SpanData]:
    """Spans with so many bytes of text."""
    return [span(n, attributes={**span(n).attributes, "filling": (f"{n}-" * size)[:size]}) for n in numbers]


def protobuf(numbers: Sequence[int], size: int = 0) -> bytes:
    return otlp.encode(spans(numbers, size))


def gzipped(body: bytes) -> bytes:
    return gzip.compress(body, 1)
