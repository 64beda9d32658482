"""Sending over OTLP/HTTP with the standard library: one connection, no redirects, bounded answers.

Nothing here waits for ever, and nothing here can keep a program from ending: each wait has the destination's timeout, in a
thread that nobody waits for. A kept connection that the server has closed meanwhile is opened again once, silently.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import zlib
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from otel_llm._version import __version__
from otel_llm.store.forward.answers import LATER, MISPLACED, Answer, clean, of_http
from otel_llm.values.destination import Destination

MAX_ANSWER_BYTES = 64_000
GZIP_LEVEL = 1
_GZIP = 31
"""zlib's number for a gzip wrapper with the largest window."""

_CLOSED = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError, ConnectionAbortedError)


class HttpTransport:
    """POSTs requests to one destination. Not for several threads at once."""

    def __init__(self, destination: Destination, headers: Mapping[str, str]) -> None:
        self._destination = destination
        self._url = urlsplit(destination.url)
        self._headers = {
            "content-type": "application/x-protobuf", "user-agent": f"OTel-OTLP-Exporter-Python/otel-llm-{__version__}",
            **({"content-encoding": "gzip"} if destination.compression == "gzip" else {}),
            **({"authorization": _basic(self._url.username, self._url.password)} if self._url.username else {}), **headers}
        self._connection: http.client.HTTPConnection | None = None
        self._context: ssl.SSLContext | None = None
        self._is_sending = False
        self._target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")

    def send(self, body: bytes) -> Answer:
        """Send one request and say what came of it; never raises for what a network or a server can do."""
        if self._destination.compression == "gzip":
            packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)
            body = packer.compress(body) + packer.flush()
        self._is_sending = False
        try:
            for _ in range(2):
                is_kept = self._connection is not None
                try:
                    return self._post(body)
                except _CLOSED:
                    self.close()
                    if not is_kept:
                        raise
            raise ConnectionError("unreachable")
        except ssl.SSLError as error:
            self.close()
            is_ours = isinstance(error, ssl.SSLCertVerificationError) or error.reason in _TLS_FAULTS
            return Answer(MISPLACED if is_ours else LATER, f"TLS: {_words(error)}")
        except (OSError, http.client.HTTPException) as error:
            self.close()
            is_ours = isinstance(error, (FileNotFoundError, PermissionError, http.client.InvalidURL))
            return Answer(MISPLACED if is_ours else LATER, _words(error), was_cut=self._is_sending)
        except ValueError as error:
            self.close()
            return Answer(MISPLACED, f"the endpoint or a header cannot be used: {_words(error)}")

    def _post(self, body: bytes) -> Answer:
        if self._connection is None:
            self._connection = self._connect()
        self._is_sending = True
        try:
            self._connection.request("POST", self._target, body, self._headers)
            response = self._connection.getresponse()
        except _CLOSED as error:
            response = self._early(error)
        self._is_sending = False
        try:
            answer = response.read(MAX_ANSWER_BYTES)
            if response.length and len(answer) < MAX_ANSWER_BYTES:
                raise http.client.IncompleteRead(answer, response.length)
            return of_http(response.status, {name.lower(): value for name, value in response.getheaders()}, answer)
        finally:
            if response.will_close or not response.isclosed():
                response.close()
                self.close()

    def _early(self, error: Exception) -> http.client.HTTPResponse:
        """The answer of a server that did not want to read the whole request; else the error."""
        connection = self._connection
        if connection is None or connection.sock is None or isinstance(error, http.client.RemoteDisconnected):
            raise error
        response = http.client.HTTPResponse(connection.sock, method="POST")
        try:
            response.begin()
        except (OSError, http.client.HTTPException):
            response.close()  # it holds the socket, and the error holds it
            raise error from None
        response.will_close = True
        return response

    def _connect(self) -> http.client.HTTPConnection:
        url, timeout = self._url, self._destination.timeout_s
        host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        proxy = _proxy(url.scheme, host, port)
        at = (proxy.hostname, proxy.port or 80) if proxy is not None and proxy.hostname else (host, port)
        made: http.client.HTTPConnection
        if url.scheme == "https":
            made = http.client.HTTPSConnection(*at, timeout=timeout, context=self._tls())
        else:
            made = http.client.HTTPConnection(*at, timeout=timeout)
        if proxy is not None:
            login = {"Proxy-Authorization": _basic(proxy.username, proxy.password)} if proxy.username else {}
            if url.scheme == "https":
                made.set_tunnel(host, port, login)
            elif not self._target.startswith("http"):
                self._target = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{self._target}"
                self._headers |= login
        made.connect()
        if made.sock is not None and proxy is None:
            with contextlib.suppress(OSError):
                made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            given = self._destination
            self._context = ssl.create_default_context(cafile=given.certificate)
            if given.client_certificate:
                self._context.load_cert_chain(given.client_certificate, given.client_key)
        return self._context

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()


_TLS_FAULTS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "TLSV1_ALERT_UNKNOWN_CA", "TLSV13_ALERT_CERTIFICATE_REQUIRED",
                         "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_HANDSHAKE_FAILURE", "KEY_VALUES_MISMATCH", "NO_START_LINE"})
"""What does not go away by itself: no TLS there, certificates that one of the two does not like."""


def _proxy(scheme: str, host: str, port: int) -> SplitResult | None:
    """The proxy that the environment names for this host; None where it is reached directly."""
    found = getproxies().get(scheme)
    if not found or proxy_bypass(f"{host}:{port}"):
        return None
    return urlsplit(found if "://" in found else f"http://{found}")


def _basic(user: str | None, password: str | None) -> str:
    return "Basic " + b64encode(f"{unquote(user or '')}:{unquote(password or '')}".encode()).decode()


def _words(error: Exception) -> str:
    """What went wrong in one line."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = clean(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
