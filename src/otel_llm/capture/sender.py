"""Sending recorded bytes again: what a replay uses to reach a provider, recorded like any other call.

The body goes out exactly as given, over the standard library's HTTP client: no SDK in between could change a byte of it.
Redirects are not followed, for a credential belongs to the origin that it was looked up for. The credential goes into one
header of one request and is never recorded.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
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
from otel_llm.values.sender import Outgoing
from otel_llm.values.session import Exchange

BLOCK = 65536


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class HttpSender:
    """Sends requests over HTTP and records them as calls linked to the ones that they repeat."""

    def __init__(self, recorder: Recorder, user_agent: str) -> None:
        self._recorder, self._user_agent = recorder, user_agent
        self._opener = urllib.request.build_opener(_NoRedirect())

    def send(self, request: Outgoing) -> Exchange:
        """The exchange, with the ids of the new span; a provider's error answer is an answer."""
        call = LiveCall(self._recorder, self._target(request), Surroundings(request.attributes), otel_context.Context())
        headers = {"Content-Type": request.content_type or "application/json", "Accept": "*/*", "User-Agent": self._user_agent}
        if request.credential:
            azure = (urlsplit(request.url).hostname or "").endswith((".azure.com", ".azure.us"))
            headers["api-key" if azure else "Authorization"] = request.credential if azure else f"Bearer {request.credential}"
        call.sent(request.url, headers["Content-Type"], request.body)
        wire = urllib.request.Request(request.url, request.body or None, headers, method=request.method)
        status: int | None = None
        kind, coding, body, whole = "", None, bytearray(), False
        try:
            try:
                response: Any = self._opener.open(wire, timeout=request.timeout_s)
            except urllib.error.HTTPError as error:
                response = error
            with response:
                status, kind = response.status, response.headers.get("Content-Type", "")
                coding = response.headers.get("Content-Encoding")
                call.answered(status, kind, coding, response.headers.get("x-request-id"))
                for block in iter(lambda: response.read1(BLOCK), b""):
                    call.chunk(block)
                    body += block
            whole = True
            call.exhausted()
        except (OSError, http.client.HTTPException) as error:
            call.failed(error)
        except BaseException as error:
            call.failed(error)
            raise
        plain = decoded(bytes(body), coding) if coding else bytes(body)
        return Exchange(
            trace_id=call.ids[0], span_id=call.ids[1], api=request.api, method=request.method, url=request.url,
            request_type=headers["Content-Type"], request_body=request.body, status=status, response_type=kind,
            response_body=plain if status is not None else None, complete=whole, exactness="exact", coding=coding)

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


def _json(body: bytes) -> dict[str, Any]:
    import json

    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
