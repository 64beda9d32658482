"""An OTLP/HTTP receiver on loopback that answers by script: what a test wants a backend to do, and what it got from us.

    with OtlpSink() as sink:
        sink.script(reply(503), reply(429, retry_after=1), hang(), cut())      # then 200 for ever
        … sink.spans …

`reply`, `hang`, `cut` and `partial` are answers; `OtlpSink(rule=…)` decides by the request instead. Only what was answered with
200 counts as received.
"""

from __future__ import annotations

import gzip
import http.server
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from otel_llm.otlp import decode
from otel_llm.values.spandata import SpanData


@dataclass(frozen=True)
class Answer:
    """What to do with one request."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    how: str = "reply"


def reply(status: int = 200, *, retry_after: float | None = None, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {**named, **({} if retry_after is None else {"Retry-After": str(retry_after)})}, body)


def partial(rejected: int, words: str) -> Answer:
    """200, but so many spans were not taken."""
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans, response.partial_success.error_message = rejected, words
    return Answer(200, {"Content-Type": "application/x-protobuf"}, response.SerializeToString())


def hang() -> Answer:
    """No answer until the sink is closed."""
    return Answer(how="hang")


def cut() -> Answer:
    """The connection is reset while the request is being read."""
    return Answer(how="cut")


def stored_then_cut() -> Answer:
    """The spans are taken and the connection breaks before the answer."""
    return Answer(how="stored")


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    size: int
    spans: list[SpanData]
    at: float
    status: int | None


class OtlpSink:
    """A context manager; listens while it is open. `port=0` picks one; a fixed one lets a backend come back."""

    def __init__(self, port: int = 0, rule: Callable[[int, int], Answer] | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self._script: list[Answer] = []
        self._rule = rule
        self._changed = threading.Condition()
        self._is_open = True
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sink._serve(self)

            def log_message(self, *args: Any) -> None:
                return None

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                return None

        self._server = Server(("127.0.0.1", port), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def __enter__(self) -> OtlpSink:
        return self

    def __exit__(self, *args: Any) -> None:
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def script(self, *answers: Answer) -> None:
        """The next answers; afterwards everything is taken."""
        with self._changed:
            self._script.extend(answers)

    @property
    def spans(self) -> list[SpanData]:
        """Every span that was answered with 200, in the order in which they came."""
        with self._changed:
            return [span for seen in self.seen if seen.status == 200 for span in seen.spans]

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def wait(self, condition: Callable[[OtlpSink], bool], timeout_s: float = 20) -> None:
        """Come back when it holds; fails when it does not in time."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while not condition(self):
                left = until - time.monotonic()
                assert left > 0, f"not in {timeout_s} s: {len(self.seen)} requests, {[s.status for s in self.seen]}"
                self._changed.wait(left)

    def _serve(self, handler: Any) -> None:
        size = int(handler.headers["Content-Length"])
        with self._changed:
            answer = self._rule(size, len(self.seen)) if self._rule else self._script.pop(0) if self._script else Answer()
        if answer.how == "cut":
            handler.rfile.read(min(size, 10))
            self._note(handler, size, b"", None)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            handler.close_connection = True
            return
        body = handler.rfile.read(size)
        if answer.how == "hang":
            self._note(handler, size, body, None)
            with self._changed:
                self._changed.wait_for(lambda: not self._is_open)
            return
        if answer.how == "stored":
            self._note(handler, size, body, 200)
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
            return
        self._note(handler, size, body, answer.status)
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body)

    def _note(self, handler: Any, size: int, body: bytes, status: int | None) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        ExportTraceServiceRequest.FromString(plain)
        with self._changed:
            self.seen.append(Seen(handler.path, headers, size, decode(plain), time.monotonic(), status))
            self._changed.notify_all()


def sizes(seen: Sequence[Seen]) -> list[int]:
    return [len(one.spans) for one in seen]
