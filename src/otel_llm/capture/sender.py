"""Sending recorded bytes again: what a replay uses to reach a provider, recorded like any other call.

The body goes out exactly as given, over the standard library's HTTP client: no SDK in between could change a byte of it.
Redirects are not followed, for a credential belongs to the origin that it was looked up for. The credential goes into one
header of one request and is never recorded.

An attempt is made again only when surely nobody is paid for it: the provider said 429 or 503, or no connection came about. Other
failures are left to whoever asked, for a provider may well charge for an answer that got lost. How long to wait is what the
provider says (`retry-after-ms`, `retry-after`), else half a second, doubled each time; a little is added by chance, so that many
who were refused together do not come back together. All attempts are one call.
"""

from __future__ import annotations

import errno
import http.client
import random
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import context as otel_context
from opentelemetry.trace import Link, SpanContext, TraceFlags

from otel_llm import semconv
from otel_llm.adapters import by_name
from otel_llm.capture.coding import decoded
from otel_llm.capture.context import Surroundings
from otel_llm.capture.live import LiveCall
from otel_llm.capture.providers import provider_of
from otel_llm.capture.recorder import Recorder, Target
from otel_llm.values.errors import NotReached
from otel_llm.values.sender import Outgoing
from otel_llm.values.session import Exchange

BLOCK = 65536
UNPAID = frozenset({429, 503})
"""Answers for which nobody is paid, and which may be another one in a moment."""
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
"""Who is told to wait longer does not try again."""
JITTER = 0.25
_UNREACHED = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class HttpSender:
    """Sends requests over HTTP and records them as calls linked to the ones that they repeat. Any number of threads may send."""

    def __init__(
        self,
        recorder: Recorder,
        user_agent: str,
        *,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._recorder, self._user_agent, self._sleep, self._chance = recorder, user_agent, sleep, chance
        self._opener = urllib.request.build_opener(_NoRedirect())

    def send(self, request: Outgoing) -> Exchange:
        """The exchange, with the ids of the new span; a provider's error answer is an answer."""
        call = LiveCall(self._recorder, self._target(request), Surroundings(request.attributes), otel_context.Context())
        headers = {"Content-Type": request.content_type or "application/json", "Accept": "*/*", "User-Agent": self._user_agent}
        if request.credential:
            azure = (urlsplit(request.url).hostname or "").endswith((".azure.com", ".azure.us"))
            headers["api-key" if azure else "Authorization"] = request.credential if azure else f"Bearer {request.credential}"
        attempts: list[tuple[int, int | None]] = []
        status: int | None = None
        kind, coding, body, whole = "", None, bytearray(), False
        try:
            while True:
                call.sent(request.url, headers["Content-Type"], request.body)
                try:
                    response = self._open(request, headers)
                except (OSError, http.client.HTTPException) as error:
                    wait = self._wait(None, len(attempts), request) if _is_unreached(error) else None
                    if wait is None:
                        raise
                    status = None
                else:
                    status = response.status
                    wait = self._wait(response.headers, len(attempts), request) if status in UNPAID else None
                    if wait is None:
                        break
                    response.close()
                attempts.append((time.time_ns(), status))
                call.retried(status)
                self._sleep(wait)
            with response:
                kind, coding = response.headers.get("Content-Type", ""), response.headers.get("Content-Encoding")
                call.answered(status, kind, coding, response.headers.get("x-request-id"))
                for block in iter(lambda: response.read1(BLOCK), b""):
                    call.chunk(block)
                    body += block
            whole = True
            call.exhausted()
        except (OSError, http.client.HTTPException) as error:
            call.failed(error)
            if _is_unreached(error):
                place = urlsplit(request.url)
                raise NotReached(f"{place.scheme}://{place.netloc.rpartition('@')[2]}", _why(error), call.ids[1]) from None
        except BaseException as error:
            call.failed(error)
            raise
        plain = decoded(bytes(body), coding) if coding else bytes(body)
        return Exchange(
            trace_id=call.ids[0], span_id=call.ids[1], api=request.api, method=request.method, url=request.url,
            request_type=headers["Content-Type"], request_body=request.body, status=status, response_type=kind,
            response_body=plain if status is not None else None, complete=whole, exactness="exact", coding=coding,
            attempts=tuple(attempts))

    def _open(self, request: Outgoing, headers: Mapping[str, str]) -> Any:
        wire = urllib.request.Request(request.url, request.body or None, dict(headers), method=request.method)
        try:
            return self._opener.open(wire, timeout=request.timeout_s)
        except urllib.error.HTTPError as error:
            return error

    def _wait(self, headers: Any, tried: int, request: Outgoing) -> float | None:
        """Seconds until the next attempt; None when there is none."""
        if tried >= request.retries or (headers is not None and headers.get("x-should-retry") == "false"):
            return None
        asked = None if headers is None else retry_after(headers, time.time())
        if asked is not None and asked > LONGEST_WAIT_S:
            return None
        wait = FIRST_WAIT_S * 2**tried if asked is None else asked
        return wait * (1 + JITTER * self._chance())

    def _target(self, request: Outgoing) -> Target:
        place = urlsplit(request.url)
        host = place.hostname or ""
        port = place.port or {"https": 443, "http": 80}.get(place.scheme)
        provider = request.provider or provider_of(host, port, self._recorder.settings.providers)
        adapter = by_name(request.api)
        links: tuple[Link, ...] = ()
        if request.source is not None:
            trace_id, span_id = (int(i, 16) for i in request.source)
            links = (Link(SpanContext(trace_id, span_id, True, TraceFlags(TraceFlags.SAMPLED))),)
        model = None if adapter is None else adapter.request(_json(request.body), content=False).model
        name = f"{request.method} {place.path}" if adapter is None else semconv.span_name(adapter.operation, model)
        return Target(adapter, name=name, provider=provider, model=model, method=request.method, endpoint=place.path,
                      address=host, port=port, links=links)


def retry_after(headers: Any, now_s: float) -> float | None:
    """The seconds that a provider asks to wait; None when it says nothing that can be understood."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers.get(name, "")) / unit)
        except ValueError:
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - now_s)
    except ValueError:
        return None


def _is_unreached(error: BaseException) -> bool:
    """True when no connection came about: refused, no such host, no way there, a certificate that is not believed."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return isinstance(cause, (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)) or (
        isinstance(cause, OSError) and cause.errno in _UNREACHED)


def _why(error: BaseException) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return (cause.strerror if isinstance(cause, OSError) else None) or str(cause) or type(cause).__name__


def _json(body: bytes) -> dict[str, Any]:
    import json

    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
