"""One client's connection: read a request, send the reply as it was described, note what was sent.

Everything about time is here. A part of a stream is one write, so that the client sees it as one piece; the last part
and the end of the body are one write too, after the exchange was noted. Waiting is done in short turns that look
whether the client is still there: nobody who hangs up leaves a thread behind.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from .coding import encode
from .wire import BadRequest, Exchange, Reply, Request, error_body, json_reply, read_request

_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Host:
    """What a connection needs from the simulator it belongs to."""

    answer: Callable[[Request], Reply]
    keep: Callable[[Exchange], None]
    leaving: threading.Event
    latency_s: float
    chunk_delay_s: float


class _Gone(Exception):
    """The client or the simulator has left while something was waited for."""


def serve(connection: socket.socket, host: Host) -> None:
    """Answer every request of this connection, until one side leaves."""
    source = connection.makefile("rb")
    with suppress(OSError, _Gone), connection, source:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        is_kept = True
        while is_kept and not host.leaving.is_set():
            try:
                arrived = read_request(source)
            except BadRequest as error:
                connection.sendall(_head(json_reply(error_body(str(error), "invalid_request_error"), 400), 0))
                return
            if arrived is None:
                return
            request, is_kept = arrived
            is_kept = _Sending(connection, host, request, *_answer(host, request)).run() and is_kept


def _answer(host: Host, request: Request) -> tuple[Reply, list[bytes]]:
    try:
        reply = host.answer(request)
        return reply, list(encode(reply.parts, reply.encoding))
    except Exception as error:  # a bug here or in a test's `when=` must show in the test, not hang it
        message = f"The simulator failed on {request.method} {request.path}: {error!r}"
        reply = json_reply(error_body(message, "simulator_error"), 500, {"x-should-retry": "false"})
        return reply, list(reply.parts)


class _Sending:
    """One reply on its way: `coded` is what goes out for each part, `sent` collects the parts before their coding."""

    def __init__(
        self, connection: socket.socket, host: Host, request: Request, reply: Reply, coded: list[bytes]
    ) -> None:
        self.connection = connection
        self.host = host
        self.request = request
        self.reply = reply
        self.coded = coded
        self.sent: list[bytes] = []
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_noted = False

    def run(self) -> bool:
        """Send it; True when the connection can carry another request."""
        try:
            return self._send()
        finally:
            self._keep()

    def _send(self) -> bool:
        reply = self.reply
        if reply.cut_after_bytes == -1:
            return False
        if reply.hold is not None:
            self._wait_for(reply.hold)
        self._pause(self.host.latency_s)
        coded = self.coded
        length = None if reply.is_stream else sum(map(len, coded))
        self.status, self.headers = reply.status, _headers(reply, length)
        head = _head(reply, length)
        allowance = reply.cut_after_bytes
        for index, (plain, data) in enumerate(zip(reply.parts, coded, strict=True)):
            if reply.gate is not None and index == reply.gate_after:
                if head:
                    self.connection.sendall(head)
                    head = b""
                self._wait_for(reply.gate)
            if index:
                self._pause(self.host.chunk_delay_s)
            is_last = index == len(coded) - 1
            if allowance is not None and (allowance < len(data) or (is_last and allowance == len(data))):
                self._write(head, data[:allowance], plain[:allowance] if reply.encoding is None else b"", is_last=False)
                return False
            allowance = None if allowance is None else allowance - len(data)
            self._write(head, data, plain, is_last=is_last)
            head = b""
        return True

    def _write(self, head: bytes, data: bytes, plain: bytes, *, is_last: bool) -> None:
        if self.reply.is_stream:
            data = (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + (b"0\r\n\r\n" if is_last else b"")
        self.sent.append(plain)
        if is_last:
            self._keep()
        self.connection.sendall(head + data)

    def _keep(self) -> None:
        if self.is_noted:
            return
        self.is_noted = True
        request = self.request
        self.host.keep(
            Exchange(
                request.method,
                request.path,
                request.query,
                request.public_headers(),
                request.body,
                self.status,
                self.headers,
                b"".join(self.sent),
                time.time_ns(),
            )
        )

    def _pause(self, seconds: float) -> None:
        if seconds > 0 and self.host.leaving.wait(seconds):
            raise _Gone

    def _wait_for(self, event: threading.Event) -> None:
        while not event.wait(_POLL_S):
            if self.host.leaving.is_set() or self._is_client_gone():
                raise _Gone

    def _is_client_gone(self) -> bool:
        self.connection.settimeout(0)
        try:
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.connection.settimeout(None)


def _headers(reply: Reply, length: int | None) -> dict[str, str]:
    framing = {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
    coding = {"content-encoding": reply.encoding} if reply.encoding else {}
    given = {name.lower(): value for name, value in reply.headers.items()}
    return {"content-type": reply.content_type, **framing, **coding, **given}


def _head(reply: Reply, length: int | None) -> bytes:
    try:
        reason = HTTPStatus(reply.status).phrase
    except ValueError:
        reason = "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {reason}", *(f"{k}: {v}" for k, v in _headers(reply, length).items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
