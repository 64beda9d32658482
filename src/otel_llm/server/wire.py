"""A received span as frames: the span, and the exact bytes of its call where it carries them.

A program that sends its spans here may put the request and the response on them (`otel_llm.request.body`,
`otel_llm.response.body`, as text or as bytes). They are taken off the span and become the frames that the recorder would
have written, so that the store gives the same exchange back as on the machine where the call was made. What the recorder
knows and a span does not say is left open: chunks of a stream, earlier attempts, the query-less URL beyond host and path.

Rules for content hold here as they do in a program: it is dropped where content is off, left out where it is too large,
and secrets are replaced before anything is written. When that fails, the content goes and the span stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from otel_llm import semconv as n
from otel_llm.adapters import by_name, by_path
from otel_llm.redaction import Redactor
from otel_llm.store.spanframe import encode, plain, span_header
from otel_llm.values.guard import swallow
from otel_llm.values.settings import Settings
from otel_llm.values.spandata import Attributes, EventData, SpanData
from otel_llm.values.tape import CALL_END, CALL_START, FUNCTION, SPAN, CallEnd, CallStart

Frame = tuple[int, bytes, bytes]
"""Kind, header, body."""

MAX_SHORT = 1000
"""Characters of an attribute that a call's start repeats."""
MISSING = "not received"

_STEPS = frozenset({n.OPERATION_EXECUTE_TOOL, n.OPERATION_INVOKE_AGENT, n.OPERATION_INVOKE_WORKFLOW, n.OPERATION_RETRIEVAL})
_APIS = {"chat_completions": "openai_chat", "responses": "openai_responses"}
_EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Frames:
    """Makes frames of spans by the settings in force."""

    settings: Settings
    redactor: Redactor

    def of(self, span: SpanData, resource: int, scope: int) -> Iterator[Frame]:
        """The frames of one span; those of its call come first, as they did where the call was made."""
        request, response = (_body(span.attributes.get(key)) for key in n.CONTENT_BODIES)
        if request is not None or response is not None:
            taken = {key for key, body in zip(n.CONTENT_BODIES, (request, response), strict=True) if body is not None}
            span = replace(span, attributes={k: v for k, v in span.attributes.items() if k not in taken})
            yield from self._call(span if self.settings.content else _without_content(span), request, response)
        yield SPAN, self._span(span, resource, scope), b""

    def _span(self, span: SpanData, resource: int, scope: int) -> bytes:
        if not self.settings.content:
            span = _without_content(span)
        header = span_header(span, resource, scope)
        try:
            return self.redactor.redact(header)[0]
        except Exception as error:
            swallow("look for secrets in a received span", error)
            return span_header(_without_words(span), resource, scope)

    def _call(self, span: SpanData, request: bytes | None, response: bytes | None) -> Iterator[Frame]:
        start, end = call_start(span), call_end(span, response)
        yield CALL_START, *self._masked(start, request, is_stream=False)
        yield CALL_END, *self._masked(end, response, is_stream=end["content_type"] == _EVENT_STREAM)

    def _masked(self, header: CallStart | CallEnd, body: bytes | None, *, is_stream: bool) -> tuple[bytes, bytes]:
        """Header and body as they may be written; what was done to the body is noted in the header."""
        if body is None:
            header["omitted"] = MISSING
        elif not self.settings.content:
            header["omitted"] = "content off"
        elif len(body) > self.settings.max_body_bytes:
            header["omitted"] = "too large"
        else:
            try:
                body, count = (self.redactor.redact_stream if is_stream else self.redactor.redact)(body)
                if count:
                    header["redacted"] = count
                return self._header(header), body
            except Exception as error:
                swallow("look for secrets in a received body", error)
                header["omitted"] = "redaction failed"
        return self._header(header), b""

    def _header(self, header: CallStart | CallEnd) -> bytes:
        text = encode([cast("dict[str, Any]", header)])[1:-1]
        try:
            return self.redactor.redact(text)[0]
        except Exception as error:
            swallow("look for secrets in a received call", error)
            return json.dumps({**header, "attributes": {}, "url": ""}).encode()


def call_start(span: SpanData) -> CallStart:
    """What the recorder would have said before the call."""
    said = span.attributes
    return {
        "trace_id": span.trace_id, "span_id": span.span_id, "parent_span_id": span.parent_span_id, "name": span.name,
        "time_ns": span.start_ns, "api": api_of(said), "method": _text(said, n.HTTP_REQUEST_METHOD) or "POST",
        "url": _url(said), "content_type": "application/json",
        "attributes": plain({k: v for k, v in said.items() if k not in n.CONTENT and (
            isinstance(v, (bool, int, float)) or isinstance(v, str) and len(v) <= MAX_SHORT)}),
    }


def call_end(span: SpanData, response: bytes | None) -> CallEnd:
    """What the recorder would have said behind it."""
    said, failed = span.attributes, span.status_code == "error" or n.ERROR_TYPE in span.attributes
    status = said.get(n.HTTP_RESPONSE_STATUS_CODE)
    is_stream = response is not None and response.lstrip()[:6].startswith((b"data:", b"event:", b"id:", b":"))
    end: CallEnd = {
        "trace_id": span.trace_id, "span_id": span.span_id, "time_ns": span.end_ns,
        "status": status if type(status) is int else None if failed or response is None else 200,
        "content_type": _EVENT_STREAM if is_stream else "application/json" if response is not None else "",
        "complete": response is not None and not (failed and is_stream),
    }
    first = said.get(n.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK)
    if isinstance(first, (int, float)) and not isinstance(first, bool) and 0 <= first < 1e9:
        end["first_byte_ns"] = span.start_ns + round(first * 1e9)
    if failed:
        end["error_type"] = _text(said, n.ERROR_TYPE) or "_OTHER"
        if words := _text(said, n.OTEL_LLM_ERROR_MESSAGE) or span.status_message:
            end["error_message"] = words
    if request_id := _text(said, n.OTEL_LLM_REQUEST_ID):
        end["request_id"] = request_id
    return end


def api_of(attributes: Attributes) -> str:
    """The adapter that reads the bodies: the one that the span names, or the one for its endpoint."""
    named = _text(attributes, n.OTEL_LLM_API)
    if named is not None and (named == FUNCTION or by_name(named) is not None):
        return named
    if (known := _APIS.get(_text(attributes, n.OPENAI_API_TYPE) or "")) is not None:
        return known
    adapter = by_path(_text(attributes, n.URL_PATH) or _text(attributes, n.OTEL_LLM_ENDPOINT) or "",
                      _text(attributes, n.HTTP_REQUEST_METHOD) or "POST")
    if adapter is not None:
        return adapter.name
    return FUNCTION if _text(attributes, n.GEN_AI_OPERATION_NAME) in _STEPS else "generic"


def _url(attributes: Attributes) -> str:
    """Host and path as far as the span says them; the scheme by the port."""
    host, port = _text(attributes, n.SERVER_ADDRESS), attributes.get(n.SERVER_PORT)
    if host is None:
        return ""
    path = _text(attributes, n.URL_PATH) or _text(attributes, n.OTEL_LLM_ENDPOINT) or ""
    scheme = "https" if port is None or port == 443 else "http"
    where = f"[{host}]" if ":" in host else host
    return f"{scheme}://{where}{'' if type(port) is not int or port == 443 else f':{port}'}{path.partition('?')[0]}"


def _body(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return value if isinstance(value, bytes) else None


def _text(attributes: Attributes, key: str) -> str | None:
    value = attributes.get(key)
    return value if isinstance(value, str) and value else None


def _without_content(span: SpanData) -> SpanData:
    """The span without what was said in the call, also in its events and in what went wrong."""
    return replace(_mapped(span, lambda attributes: {
        k: v for k, v in attributes.items() if not n.quotes_content(k)}), status_message="")


def _without_words(span: SpanData) -> SpanData:
    """The span with its numbers alone, for when nobody can say whether a secret stands in it."""
    return replace(_mapped(span, lambda attributes: {k: v for k, v in attributes.items() if isinstance(v, (bool, int, float))}),
                   status_message="", trace_state="")


def _mapped(span: SpanData, change: Any) -> SpanData:
    def event(e: EventData) -> EventData:
        return replace(e, attributes=change(e.attributes))

    links = tuple(replace(link, attributes=change(link.attributes)) for link in span.links)
    attributes: Mapping[str, Any] = change(span.attributes)
    return replace(span, attributes=attributes, events=tuple(event(e) for e in span.events), links=links)
