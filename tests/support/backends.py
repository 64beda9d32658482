"""Real backends for tests: the OpenTelemetry Collector, Jaeger, and a loopback OTLP receiver that does as it is told.

    with jaeger() as shop, otelcol(render(choices), ports=ports) as hop:
        …
        spans = eventually(lambda: traces_in_jaeger(shop.query_url, "checkout"))

The programs are found as `otel-llm collector check` finds them: a variable, the PATH, the cache of collector/build.sh. Without
them a test is skipped with the reason; with OTEL_LLM_REQUIRE_BINARIES=1 it fails. Nothing here sleeps to be on the safe side:
what must become true is asked for until it is, or until a deadline.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from otel_llm.collector_config import Ports, binary

Found = TypeVar("Found")

COLLECTOR = Path(__file__).parents[2] / "collector"
HOW_TO_GET = {"otelcol": "collector/build.sh otelcol builds it", "jaeger": "collector/build.sh jaeger builds it",
              "promtool": "Debian's package prometheus has it"}


def program(name: str) -> Path:
    """The path of `otelcol`, `jaeger` or another program; without it the test is skipped, or fails where they are required."""
    found = binary.find(name, os.environ) if name in binary.VARIABLES else shutil.which(name)
    if found is None:
        reason = f"{name} is not installed: {HOW_TO_GET.get(name, 'install it')}"
        if os.environ.get("OTEL_LLM_REQUIRE_BINARIES") == "1" and name in binary.VARIABLES:
            pytest.fail(f"OTEL_LLM_REQUIRE_BINARIES=1, and {reason}", pytrace=False)
        pytest.skip(reason)
    return Path(found)


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_ports() -> Ports:
    """Free ports for a collector."""
    return Ports(grpc=free_port(), http=free_port(), metrics=free_port(), health=free_port(), own_metrics=free_port())


def eventually(look: Callable[[], Found], *, within_s: float = 20.0, until: Callable[[Found], bool] = bool,
               pause_s: float = 0.25) -> Found:
    """What `look` gives as soon as `until` says yes; after the deadline an error with what it gave last.

    `pause_s` is the longest time between two looks.
    """
    deadline = time.monotonic() + within_s
    pause = min(0.01, pause_s)
    while True:
        try:
            last: Any = look()
            if until(last):
                return last
        except (OSError, urllib.error.HTTPError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s; last seen: {str(last)[:2000]}")
        time.sleep(pause)
        pause = min(pause * 1.5, pause_s)


@dataclass
class Running:
    """A program that runs until the test ends, and may be killed and started again before."""

    command: list[str]
    environ: dict[str, str]
    directory: Path
    is_ready: Callable[[Running], bool]
    process: subprocess.Popen[bytes] | None = None
    ports: Ports = field(default_factory=Ports)
    otlp_url: str = ""
    """OTLP/HTTP, without path."""
    grpc_endpoint: str = ""
    query_url: str = ""

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen(self.command, env=self.environ, cwd=self.directory, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        try:
            eventually(lambda: self._has_ended() or self.is_ready(self), within_s=30)
        except AssertionError:
            self.kill()
            raise AssertionError(f"{self.command[0]} did not get ready:\n{self.log[-4000:]}") from None
        if self._has_ended():
            raise AssertionError(f"{self.command[0]} ended at once:\n{self.log[-4000:]}")

    def kill(self) -> None:
        """End it without a chance to say goodbye (kill -9)."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """Ask it to end, and wait."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.kill()

    def _has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None


@contextmanager
def _running(made: Running, *, is_patient: bool = True) -> Iterator[Running]:
    made.start()
    try:
        yield made
    finally:
        made.stop() if is_patient else made.kill()


@contextmanager
def otelcol(config_text: str, *, ports: Ports, environ: Mapping[str, str] | None = None) -> Iterator[Running]:
    """A collector that runs this configuration; `ports` are those that were written into it."""
    path = program("otelcol")
    with TemporaryDirectory(prefix="otelcol-") as name:
        directory = Path(name)
        (directory / "config.yaml").write_text(config_text, encoding="utf-8")
        made = Running([str(path), "--config", "config.yaml"], _environ(environ), directory,
                       lambda running: "Everything is ready" in running.log, ports=ports,
                       otlp_url=f"http://127.0.0.1:{ports.http}", grpc_endpoint=f"127.0.0.1:{ports.grpc}")
        with _running(made):
            yield made


@contextmanager
def jaeger() -> Iterator[Running]:
    """Jaeger with collector/jaeger.yaml on free ports, its storage in memory."""
    path = program("jaeger")
    text = (COLLECTOR / "jaeger.yaml").read_text(encoding="utf-8")
    grpc, http, query = free_port(), free_port(), free_port()
    for usual, port in (("14317", grpc), ("14318", http), ("16686", query), ("16685", free_port()), ("14133", free_port())):
        text = text.replace(f":{usual}\n", f":{port}\n")
    text = text.replace("port: 18888", f"port: {free_port()}")
    with TemporaryDirectory(prefix="jaeger-") as name:
        directory = Path(name)
        (directory / "jaeger.yaml").write_text(text, encoding="utf-8")
        shutil.copy(COLLECTOR / "jaeger-ui.json", directory)
        made = Running([str(path), "--config", "jaeger.yaml"], _environ(None), directory,
                       lambda running: _answers(f"http://127.0.0.1:{query}/api/v3/services"),
                       otlp_url=f"http://127.0.0.1:{http}", grpc_endpoint=f"127.0.0.1:{grpc}", query_url=f"http://127.0.0.1:{query}")
        with _running(made, is_patient=False):  # it waits ten seconds for open connections, and all it has is in memory
            yield made


def traces_in_jaeger(query_url: str, service: str, *, at_most: int = 5000) -> dict[str, dict[str, Any]]:
    """Every span of a service by its id in hex, as Jaeger's API v3 gives it, with attributes as a plain mapping."""
    query = {"query.service_name": service, "query.start_time_min": "2000-01-01T00:00:00Z",
             "query.start_time_max": "2100-01-01T00:00:00Z", "query.num_traces": str(at_most)}
    url = f"{query_url}/api/v3/traces?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            body = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return {}
        raise
    return {span["spanId"]: {**span, "attributes": _plain(span), "service": service}
            for resource in body["result"].get("resourceSpans", []) for scope in resource.get("scopeSpans", [])
            for span in scope.get("spans", [])}


def trace_in_jaeger(query_url: str, trace_id: str) -> dict[str, Any]:
    """A trace as Jaeger's older API gives it, which its pages read."""
    with urllib.request.urlopen(f"{query_url}/api/traces/{trace_id}", timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def metrics_at(port: int) -> dict[str, float]:
    """The series of a Prometheus endpoint, each with its labels as written there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.split(" # ")[0].rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {series: float(value) for series, _, value in pairs}


class Sink:
    """A loopback OTLP/HTTP receiver that keeps what it gets. `answer` is the status it gives; 200 means it kept the spans."""

    def __init__(self) -> None:
        self.answer = 200
        self.bodies: list[ExportTraceServiceRequest] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._server: ThreadingHTTPServer | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def spans(self) -> dict[str, dict[str, Any]]:
        """Every span by its id in hex."""
        return {span.span_id.hex(): {"traceId": span.trace_id.hex(), "name": span.name, "status": span.status.message, "attributes": {
            a.key: getattr(a.value, a.value.WhichOneof("value") or "string_value") for a in span.attributes}}
            for body in list(self.bodies) for resource in body.resource_spans for scope in resource.scope_spans for span in scope.spans}

    def __enter__(self) -> Sink:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                sink.paths.append(self.path)
                sink.headers.append({k.lower(): v for k, v in self.headers.items()})
                if sink.answer == 200 and self.path == "/v1/traces":
                    sink.bodies.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(sink.answer)
                said = ExportTraceServiceResponse().SerializeToString()
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


def _plain(span: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for attribute in span.get("attributes", []):
        (kind, value), *_ = attribute["value"].items()
        found[attribute["key"]] = int(value) if kind == "intValue" else value
    return found


def _answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bool(answer.status == 200)


def _environ(more: Mapping[str, str] | None) -> dict[str, str]:
    return {**{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}, **(more or {})}
