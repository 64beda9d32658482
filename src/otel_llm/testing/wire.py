"""What crosses the socket: one request in, one reply out, and the exchange that remembers both.

The simulator speaks HTTP/1.1 itself instead of building on `http.server`: that module parses headers with the
mail package and writes a response in several small pieces, which costs more than the whole answer and hides the
two things a test wants to control, where a body is cut and which bytes leave in one write. What is needed is
small: a request line, headers, a body by length or in chunks.

A `Reply` is data. Handlers and scripts only describe it (parts, status, how it goes wrong); `server` sends it.
"""

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, BinaryIO, Literal

Encoding = Literal["gzip", "deflate", "br", "zstd"]

CREATED = 1_735_689_600
"""The `created` of everything: 2025-01-01T00:00:00Z. Answers know no clock."""

_SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "proxy-authorization", "cookie"})
_MAX_LINE = 65_536


class BadRequest(Exception):
    """The client sent something that is no HTTP/1.1 request; the connection is closed."""


@dataclass(frozen=True)
class Request:
    """One request as it arrived. `body` is the exact body; `headers` have lower-case names."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty when it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def is_azure(self) -> bool:
        return self.path.startswith("/openai/")

    @property
    def deployment(self) -> str:
        """The deployment that an Azure path names, else an empty string."""
        found = re.match(r"/openai/deployments/([^/]+)/", self.path)
        return found[1] if found else ""

    def digest(self, *salt: object) -> str:
        """40 hex digits that depend on path, body and salt only: the source of every id in an answer."""
        return sha256(self._fingerprint + repr(salt).encode()).hexdigest()[:40]

    @cached_property
    def _fingerprint(self) -> bytes:
        return sha256(self.path.encode() + b"\0" + self.body).digest()

    def public_headers(self) -> dict[str, str]:
        """The headers with the values of credentials replaced by `***`."""
        return {name: "***" if name in _SECRET_HEADERS else value for name, value in self.headers.items()}


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send. A stream goes out chunked, one write a part; anything else with a Content-Length."""

    parts: tuple[bytes, ...]
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    is_stream: bool = False
    encoding: Encoding | None = None
    cut_after_bytes: int | None = None
    """Drop the connection after so many bytes of the body on the wire; -1: before the status line."""
    gate: threading.Event | None = None
    gate_after: int = 0
    """Send so many parts, then wait for `gate`."""
    hold: threading.Event | None = None
    """Send nothing at all until this is set."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what was sent for it.

    `response_body` is the body before Content-Encoding; a cut body ends where the connection did. `status` is 0 when
    nothing was sent. Credentials in `request_headers` read `***`.
    """

    method: str
    path: str
    query: str
    request_headers: dict[str, str]
    request_body: bytes
    status: int
    response_headers: dict[str, str]
    response_body: bytes
    sent_at_ns: int


def json_reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON answer, spaced and ended as the real service does it (not the way a client would write it)."""
    body = json.dumps(value, ensure_ascii=False).encode() + b"\n"
    return Reply((body,), status=status, headers=headers or {})


def error_body(message: str, type_: str | None, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error shape: `{"error": {"message", "type", "param", "code"}}`."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def invalid(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> Reply:
    """The answer to a request that the service does not accept."""
    return json_reply(error_body(message, "invalid_request_error", code=code, param=param), status)


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def event(data: object, name: str | None = None) -> bytes:
    """One server-sent event; `data` is JSON unless it is a string."""
    text = data if isinstance(data, str) else compact(data)
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()


def event_stream(parts: list[bytes]) -> Reply:
    return Reply(tuple(parts), content_type="text/event-stream; charset=utf-8", is_stream=True)


def read_request(source: BinaryIO) -> tuple[Request, bool] | None:
    """The next request and whether the connection is kept; None when the client has left.

    Raises:
        BadRequest: what arrived is no HTTP/1.1 request.
    """
    line = source.readline(_MAX_LINE)
    if not line.strip():
        return None
    try:
        method, target, version = line.decode("latin-1").split()
    except ValueError:
        raise BadRequest(f"not a request line: {line[:80]!r}") from None
    headers: dict[str, str] = {}
    while (line := source.readline(_MAX_LINE)) not in (b"\r\n", b"\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    is_kept = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    path, _, query = target.partition("?")
    return Request(method, path, query, headers, _read_body(source, headers)), is_kept


def _read_body(source: BinaryIO, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        pieces = []
        while size := _chunk_size(source.readline(_MAX_LINE)):
            pieces.append(source.read(size))
            source.readline()
        while source.readline(_MAX_LINE).strip():
            pass
        return b"".join(pieces)
    length = headers.get("content-length", "0")
    if not length.isdigit():
        raise BadRequest(f"Content-Length is {length!r}, not a number")
    return source.read(int(length))


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.split(b";")[0], 16)
    except ValueError:
        raise BadRequest(f"not a chunk size: {line[:80]!r}") from None
