"""An OTLP/HTTP endpoint on loopback that keeps what it takes and answers as told."""

from __future__ import annotations

import gzip
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from otel_llm import otlp
from otel_llm.values.spandata import SpanData


@dataclass
class Reply:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Sink:
    """`spans` are those that were taken; `replies` are used up first, then `max_bytes` decides."""

    url: str = ""
    max_bytes: int = 1 << 40
    replies: deque[Reply] = field(default_factory=deque)
    spans: list[SpanData] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        self.requests.append((path, headers))
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        self.sizes.append(len(plain))
        reply = self.replies.popleft() if self.replies else Reply(413 if len(plain) > self.max_bytes else 200)
        if reply.status == 200:
            self.spans += otlp.decode(plain)
        return reply


@contextmanager
def sink() -> Iterator[Sink]:
    """A sink on a free port."""
    made = Sink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            reply = made.answer(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            self.send_response(reply.status)
            for name, value in {"content-type": "application/x-protobuf", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *args: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
