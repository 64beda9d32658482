"""One call, from before its first byte to after its last: a span, and the bytes on the tape.

A tap says what happened (`sent`, `retried`, `answered`, chunks of a body, `failed`) and this does the rest once: the span with
its attributes, the frames, metrics, events, the price. The order is what makes the tape trustworthy: the request is appended
before it is sent, the response before the caller has it.

What is cheap happens in the caller's thread (scalars of request and response); what is dear (messages, hashes, compression)
is made from the bytes by whoever reads the tape. Content stands on a span only when the capture variable asks for it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_llm import semconv
from otel_llm.adapters import read_call
from otel_llm.capture.coding import decoded
from otel_llm.capture.context import Surroundings
from otel_llm.capture.recorder import Recorder, Target
from otel_llm.values import tape as frames
from otel_llm.values.call import Call, Cost, Request
from otel_llm.values.guard import guard, swallow
from otel_llm.values.playback import Live, Recorded
from otel_llm.values.spandata import dump_attributes

if TYPE_CHECKING:
    from opentelemetry.trace import Span

PART_NS = 1_000_000_000
MAX_CONTENT = 64_000
"""Bytes of content in one attribute of a span; the store has all of it."""
INFERENCE = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
ON_SPANS = ("SPAN_ONLY", "SPAN_AND_EVENT")
NO_CONTEXT = Context()
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
"""Of what we made ourselves; looking for circles is a third of the time that the chunks of a stream take."""
_text = json.encoder.encode_basestring_ascii
_FOREIGN_KINDS = frozenset({"LLM", "EMBEDDING"})


class LiveCall:
    """A call that is under way. All methods are safe to call in any order, from any thread; the call ends once."""

    __slots__ = ("__weakref__", "_above", "_attempts", "_body", "_chunks", "_cost", "_error", "_first", "_foreign",
                 "_last", "_left", "_open", "_part_at", "_parts", "_pending", "_read", "_request", "_response_type", "_start",
                 "_started", "_status", "_tape", "around", "attempt", "built", "coding", "context", "given", "ids", "out",
                 "player", "recorder", "refused", "request_id", "seen", "span", "streams", "target")

    def __init__(
        self, recorder: Recorder, target: Target, around: Surroundings, context: Context, key: str | None = None
    ) -> None:
        """Begins the span. `context` is the caller's; `self.context` is the one to make the call in, where `key` finds this."""
        if target.adapter is None and around.attributes:
            # no operation of the conventions, so none of their attributes; the session is told by session.id as well
            kept = {k: v for k, v in around.attributes.items() if not k.startswith(semconv.GEN_AI_FAMILIES)}
            around = replace(around, attributes=kept)
        self.recorder, self.target, self.around = recorder, target, around
        start = target.start
        if around.attributes:
            start = {**start, **around.attributes}
        if around.content and recorder.settings.content_on_spans in ON_SPANS:
            start = {**start, **around.content}
        parent = trace.get_current_span(context)
        self._foreign = parent.is_recording() and target.operation in INFERENCE and _is_foreign_call(parent)
        self._start = time.perf_counter_ns()
        if self._foreign:
            self.span: Span = parent
            above = getattr(parent, "parent", None)
        else:
            self.span = recorder.tracer.start_span(target.name, context, SpanKind.CLIENT, start, target.links)
            above = parent.get_span_context()
        context = trace.set_span_in_context(self.span, context)
        if key is not None:
            dict.__setitem__(context, key, self)
        self.context = context
        self._above = above.span_id if above is not None and above.is_valid else 0
        found = self.span.get_span_context()
        self.ids = ("%032x" % found.trace_id, "%016x" % found.span_id)
        self._tape = recorder.tape()
        if self._tape is not None and not self.span.is_recording():
            if found.is_valid:
                self._tape.lost("sampled out")
            self._tape = None
        self._open = [True]
        self._attempts: list[list[Any]] = []
        self._pending: list[bytes] = []
        self._parts: list[bytes] = []
        self._chunks: list[list[int]] = []
        self._request = self._body = b""
        self._response_type = ""
        self._first: int | None = None
        self._last = self._part_at = 0
        self._status: int | None = None
        self._error: BaseException | None = None
        self.coding = self.request_id = ""
        self.seen = self.streams = self._started = self._read = self._left = False
        self.built: Any = None  # the request that was built last, as the SDK has it
        self.given: Recorded | Live | None = None
        self.player = recorder.player
        self.attempt = self.out = 0  # `out`: the thread in which it went out in a rerun
        self._cost: int | None = None
        self.refused: list[int] = []
        recorder.live[id(self)] = self

    # ---- what a tap tells ---------------------------------------------------------------------------------------------

    def sent(self, url: str, content_type: str, body: bytes | None) -> None:
        """The request, just before it goes out (again, for a retry). `body` is None for an upload that is streamed."""
        if body is not None:
            self._request = body
        tape = self._tape
        if self._started or tape is None:
            return
        self._started = True
        notes: dict[str, Any] = {}
        if body is None:
            notes["omitted"] = "streamed upload"
            body = b""
        else:
            body = self.recorder.masked(body, notes)
        target, around = self.target, self.around
        attributes = target.start_json
        if around.attributes:
            attributes = f"{attributes},{dump_attributes(around.attributes)[1:-1]}"
        if around.content and self.recorder.settings.content:
            content = self.recorder.masked(dump_attributes(around.content)[1:-1].encode(), {})
            attributes = f"{attributes},{content.decode()}" if content else attributes
        header = (
            f'{{"trace_id":"{self.ids[0]}","span_id":"{self.ids[1]}",'
            f'"parent_span_id":{_hex(self._above)},"name":{target.name_json},"time_ns":{time.time_ns()},'
            f'"api":"{target.api}","method":"{target.method}","url":{_text(url)},"content_type":{_text(content_type)},'
            f'"attributes":{{{attributes}}}{_notes(notes)}}}')
        tape.append(frames.CALL_START, header.encode("ascii"), body)

    def retried(self, status: int | None) -> None:
        """An attempt failed and another one follows."""
        self._attempts.append([time.time_ns(), status])

    def answered(self, status: int, content_type: str, coding: str, request_id: str) -> None:
        """The response's head is here."""
        self._status, self._response_type, self.coding, self.request_id = status, content_type, coding, request_id

    def body(self, data: bytes) -> None:
        """The whole response body, read and decoded already."""
        self._body, self._read = data, True

    def chunk(self, data: bytes) -> None:
        """The next bytes of a body that the caller reads."""
        now = time.perf_counter_ns()
        if self._first is None:
            self._first = self._last = self._part_at = now
        self._chunks.append([len(data), (now - self._last) // 1000])
        self._last = now
        self._pending.append(data)
        if now - self._part_at > PART_NS:
            with guard("checkpoint a stream"):
                self._checkpoint(now)

    def exhausted(self) -> None:
        self._read = True
        self.end()

    def broken(self, error: BaseException) -> None:
        self._error = error
        self.end()

    def left(self) -> None:
        """The caller closed or dropped the body."""
        self._left = True
        self.end()

    def failed(self, error: BaseException) -> None:
        """The call ends in this exception; a final 4xx or 5xx carries its response."""
        self._error = error
        self.end()

    def repeats(self, recorded: Recorded) -> None:
        """The call is answered from a recording (`otel_llm.capture.playing`): its span says which, and nobody is paid."""
        trace_id, span_id = recorded.exchange.trace_id, recorded.exchange.span_id
        with guard("link a replayed call"):
            self.span.add_link(SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(TraceFlags.SAMPLED)))
            self.span.set_attributes({semconv.OTEL_LLM_REPLAY_SOURCE_TRACE_ID: trace_id,
                                      semconv.OTEL_LLM_REPLAY_SOURCE_SPAN_ID: span_id})

    @property
    def touched_ns(self) -> int:
        """When anything came of it last, in the ticks of `time.perf_counter_ns`."""
        return max(self._last, self._start)

    # ---- the end ------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """End the call, once."""
        try:
            self._open.pop()
        except IndexError:
            return
        attributes: dict[str, Any] = {}
        try:
            attributes = self._finish()
        except Exception as error:
            swallow("read a call", error)
        finally:
            self.recorder.live.pop(id(self), None)
        try:
            if not self._foreign:
                self.span.end()
        except Exception as error:
            swallow("end the span of a call", error)
        try:
            self._measure(attributes)
        except Exception as error:
            swallow("record the metrics of a call", error)
        self.context = NO_CONTEXT  # it holds this call: the circle would wait for the garbage collector

    def _finish(self) -> dict[str, Any]:
        """Attributes on the span, the last frame on the tape; gives what was learned since the start."""
        if self._parts or self._pending:
            self._body = b"".join((*self._parts, *self._pending))
            if self.coding:
                plain = decoded(self._body, self.coding)
                self._body = b"" if plain is None else plain
        recorder, target, error = self.recorder, self.target, self._error
        attributes: dict[str, Any] = {}
        call: Call | None = None
        complete = self._read
        content = recorder.settings.content and recorder.settings.content_on_spans != "NO_CONTENT"
        if target.adapter is not None:
            call, ended = read_call(target.adapter, target.provider, self._request, self._body, self._response_type,
                                    status=self._status, content=content)
            if self._chunks:
                complete = ended and error is None
            attributes = self._asked(call.request)
            if call.response is not None:
                attributes.update(semconv.write_response(call.response))
                self._price(call, attributes)
            if call.request.stream and self._first is not None:
                attributes[semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK] = (self._first - self._start) / 1e9
        elif self._status is not None:
            attributes[semconv.HTTP_RESPONSE_STATUS_CODE] = self._status
        if isinstance(self.given, Live) and self.player is not None and self.out:
            self.player.spent(self.given, self._cost, is_paid=target.method != "GET" and (self._status or 0) < 400)
        if self._attempts:
            attributes[semconv.HTTP_REQUEST_RESEND_COUNT] = len(self._attempts)
        kind, message = self._fault(call)
        if kind is not None:
            attributes[semconv.ERROR_TYPE] = kind
        if not self._foreign and self.span.is_recording():
            if kind is not None:
                self.span.set_status(Status(StatusCode.ERROR, message))
            self.span.set_attributes(attributes)
            if content and call is not None:
                self._write_content(call, attributes)
        if kind is not None and recorder.events is not None and error is not None:
            recorder.events.exception(self.context, kind, message)
        self._append_end(complete, kind, message)
        return attributes

    def _asked(self, request: Request) -> dict[str, Any]:
        """The attributes of the request that are not on the span from its start."""
        target = self.target
        known, attributes = target.asked
        if known is not request:
            attributes = semconv.write_request(request)
            if request.model == target.model:
                attributes.pop(semconv.GEN_AI_REQUEST_MODEL, None)
            target.asked = (request, attributes)
        return dict(attributes)

    def _price(self, call: Call, attributes: dict[str, Any]) -> None:
        """What the call cost, by the model that answered, else the one that was asked; nothing, when nobody was asked."""
        if self.given is not None and not isinstance(self.given, Live):
            attributes.update(semconv.write_cost(Cost(0, 0, 0)))
            return
        prices, response = self.recorder.prices, call.response
        if prices is None or response is None:
            return
        is_counted = self.player is not None  # a cap on cost holds only when the price is known at once
        price = prices.exact if is_counted or self.recorder.exact_prices else prices.quick
        for model in (response.model, call.request.model):
            cost = price(self.target.provider, model, response.usage, time.time_ns()) if model else None
            if isinstance(cost, Cost):
                attributes.update(semconv.write_cost(cost))
                self._cost = cost.total
                return

    def _fault(self, call: Call | None) -> tuple[str | None, str | None]:
        """`error.type` and a message, when the call failed."""
        response = call.response if call is not None else None
        kind: str | None = None
        message: object = None
        if self._error is not None:
            kind, message = type(self._error).__qualname__, self._error
        elif response is not None and response.error_type:
            kind, message = response.error_type, response.error_message
        elif self._status is not None and self._status >= 400:
            kind = str(self._status)
        if kind is None:
            return None, None
        return kind, self.recorder.message_of(message)

    def _write_content(self, call: Call, attributes: Mapping[str, Any]) -> None:
        mode = self.recorder.settings.content_on_spans
        if mode in ON_SPANS:
            self.span.set_attributes({k: self._clean(json.dumps(v, separators=(",", ":"), ensure_ascii=False))
                                      for k, v in semconv.write_content(call, max_bytes=MAX_CONTENT).items()})
        if mode in ("EVENT_ONLY", "SPAN_AND_EVENT") and self.recorder.events is not None and self.target.operation in (
                "chat", "text_completion", "generate_content"):
            content = json.loads(self._clean(json.dumps(semconv.write_content(call, max_bytes=MAX_CONTENT))))
            self.recorder.events.details(self.context, {**self.target.start, **attributes, **self.around.attributes, **content})

    def _clean(self, text: str) -> str:
        """Text after redaction; when the redactor fails the content is gone, not the span."""
        try:
            return self.recorder.redactor.redact(text.encode("utf-8", "surrogatepass"))[0].decode("utf-8", "surrogatepass")
        except Exception:
            return '[{"role":"unknown","parts":[]}]'

    def _checkpoint(self, now: int) -> None:
        """Append what came since the last checkpoint, so that a killed process loses at most a second of a stream."""
        self._part_at = now
        if self.coding:
            return
        data = b"".join(self._pending)
        self._parts.append(data)
        self._pending.clear()
        if self._tape is not None and self._started and self.recorder.settings.content:
            notes: dict[str, Any] = {}
            body = self.recorder.masked(data, notes, stream=True)
            header = f'{{"trace_id":"{self.ids[0]}","span_id":"{self.ids[1]}"{_notes(notes)}}}'
            self._tape.append(frames.CALL_PART, header.encode("ascii"), body)

    def _append_end(self, complete: bool, kind: str | None, message: str | None) -> None:
        tape = self._tape
        if tape is None:
            return
        if not self._started:
            self.sent(self.target.url or "", self.target.content_type, b"")
        notes: dict[str, Any] = {}
        if self.coding:
            notes["coding"] = self.coding
        if self._first is not None:
            notes["first_byte_ns"] = self._first - self._start
            notes["chunks"] = self._chunks
        if self._left and not complete:
            notes["left"] = True
        if self._attempts:
            notes["attempts"] = self._attempts
        if self.request_id:
            notes["request_id"] = self.request_id
        if kind is not None:
            notes["error_type"] = kind
        if message:
            notes["error_message"] = message
        body = self._body[sum(map(len, self._parts)):] if self._parts else self._body
        body = self.recorder.masked(body, notes, stream=len(self._chunks) > 1)
        header = (
            f'{{"trace_id":"{self.ids[0]}","span_id":"{self.ids[1]}","time_ns":{time.time_ns()},'
            f'"status":{"null" if self._status is None else self._status},"content_type":{_text(self._response_type)},'
            f'"complete":{"true" if complete else "false"}{_notes(notes)}}}')
        tape.append(frames.CALL_END, header.encode("ascii"), body)

    def _measure(self, attributes: dict[str, Any]) -> None:
        metrics = self.recorder.metrics
        if metrics is None or self._foreign or self.target.operation not in INFERENCE or not metrics.wanted:
            return
        streamed = semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK in attributes
        pauses = len(self._chunks) - 1
        metrics.record(
            {**self.target.start, **attributes}, duration_s=(time.perf_counter_ns() - self._start) / 1e9,
            first_chunk_s=attributes.get(semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK),
            chunk_pause_s=(self._last - (self._first or 0)) / 1e9 / pauses if streamed and pauses > 0 else None)


def _is_foreign_call(span: Any) -> bool:
    """True under another instrumentor's recording LLM span: that one already stands for this call."""
    scope = getattr(span, "instrumentation_scope", None)
    if scope is None or scope.name.startswith("otel_llm"):
        return False
    attributes = getattr(span, "attributes", None) or {}
    return (attributes.get(semconv.GEN_AI_OPERATION_NAME) in INFERENCE
            or attributes.get("openinference.span.kind") in _FOREIGN_KINDS
            or "llm.request.type" in attributes)


def _hex(span_id: int) -> str:
    return '"%016x"' % span_id if span_id else "null"


def _notes(notes: dict[str, Any]) -> str:
    """More fields of a frame's header."""
    return f",{_encode(notes)[1:-1]}" if notes else ""
