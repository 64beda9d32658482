"""One step around the calls (workflow, agent, tool, retrieval) while it is under way.

A span of the conventions; arguments and result are content. They go to the tape like the bodies of a call, in a frame before
the function runs and one before its result is handed over, with `FUNCTION` in the place of the adapter's name.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-agent-spans/
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_llm import semconv
from otel_llm.capture.context import Surroundings, attach, detach, with_surroundings
from otel_llm.capture.plain import json_bytes, json_of
from otel_llm.capture.recorder import Recorder
from otel_llm.values import tape as frames
from otel_llm.values.errors import NotReplayable, ReplayError
from otel_llm.values.guard import guard, swallow
from otel_llm.values.playback import Recorded

Kind = Literal["workflow", "agent", "tool", "retrieval"]

_OPERATION: Mapping[Kind, str] = {"workflow": "invoke_workflow", "agent": "invoke_agent", "tool": "execute_tool",
                                  "retrieval": "retrieval"}
_NAME: Mapping[Kind, str] = {"workflow": semconv.GEN_AI_WORKFLOW_NAME, "agent": semconv.GEN_AI_AGENT_NAME,
                             "tool": semconv.GEN_AI_TOOL_NAME, "retrieval": semconv.GEN_AI_DATA_SOURCE_ID}
_INPUT: Mapping[Kind, str] = {"tool": semconv.GEN_AI_TOOL_CALL_ARGUMENTS, "retrieval": semconv.GEN_AI_RETRIEVAL_QUERY_TEXT}
_OUTPUT: Mapping[Kind, str] = {"tool": semconv.GEN_AI_TOOL_CALL_RESULT, "retrieval": semconv.GEN_AI_RETRIEVAL_DOCUMENTS}
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


class Step:
    """One step that is under way. `result(value)` says what came out of a `with` block."""

    __slots__ = ("_content", "_hidden", "_ids", "_is_left", "_kind", "_name", "_open", "_place", "_recorder", "_repeated",
                 "_result", "_taped", "_token", "context", "span")

    def __init__(self, recorder: Recorder, kind: Kind, name: str, attributes: Mapping[str, Any], arguments: Any) -> None:
        now = otel_context.get_current()
        around = recorder.around(now)
        parent = trace.get_current_span(now).get_span_context()
        start = {semconv.GEN_AI_OPERATION_NAME: _OPERATION[kind], _NAME[kind]: name, **attributes, **around.attributes}
        self._recorder, self._kind, self._name, self._result, self._open = recorder, kind, name, None, [True]
        self._place, self._repeated, self._is_left, self._hidden = around.place, False, False, 0
        self.span = recorder.tracer.start_span(f"{_OPERATION[kind]} {name}", now,
                                               SpanKind.CLIENT if kind == "retrieval" else SpanKind.INTERNAL, start)
        root = around.root if around.root is not None else self.span
        self.context = trace.set_span_in_context(
            self.span, with_surroundings(Surroundings(around.attributes, around.content, root, (*around.place, name)), now))
        self._content = recorder.settings.content
        self._taped = False
        try:
            self._begin_tape(start, parent, arguments)
        except Exception as fault:
            swallow("record the arguments of a step", fault)

    def result(self, value: Any) -> None:
        """What the step gave back."""
        self._result = value

    def returned(self, value: Any, items: Any) -> None:
        """What a generator gave: its value, where it has one. Its items are then not on the tape."""
        self._result, self._hidden = (items, 0) if value is None else (value, len(items))

    def left(self, items: Any) -> None:
        """What a generator gave until its reader went away."""
        self._result, self._is_left = items, True

    def given(self, arguments: Callable[[], Any]) -> Recorded | None:
        """In a rerun, what a tool or a retrieval came to when it was recorded; None when the function itself is to run.

        Raises `ReplayDiverged` when the recording does not know these arguments.
        """
        player = self._recorder.player
        if player is None or self._kind not in ("tool", "retrieval"):
            return None
        body = self._recorder.shown(json_bytes(arguments()))
        recorded = player.step(self._kind, self._name, body, self._place)
        if recorded is not None:
            self._repeated = True
            trace_id, span_id = recorded.exchange.trace_id, recorded.exchange.span_id
            with guard("link a replayed step"):
                self.span.add_link(SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(TraceFlags.SAMPLED)))
                self.span.set_attributes({semconv.OTEL_LLM_REPLAY_SOURCE_TRACE_ID: trace_id,
                                          semconv.OTEL_LLM_REPLAY_SOURCE_SPAN_ID: span_id})
        return recorded

    def value(self, recorded: Recorded, function: Callable[..., Any]) -> Any:
        """What the function returned when it was recorded; raises what it raised, `ReplayDiverged` when neither can be had."""
        from otel_llm.capture.outcomes import value_of

        return self._had(value_of, recorded, function)

    async def awaited(self, recorded: Recorded, function: Callable[..., Any]) -> Any:
        """The same for a coroutine: one that was cancelled waits to be cancelled again."""
        from otel_llm.capture.playing import FOREVER_S, sleep, was_stopped

        if was_stopped(recorded.step.error_type):
            await sleep(FOREVER_S)
            raise self._beyond(recorded, "it was stopped while it was recorded")
        return self.value(recorded, function)

    def items(self, recorded: Recorded, function: Callable[..., Any]) -> list[Any]:
        """What a generator yielded when it was recorded."""
        from otel_llm.capture.outcomes import items_of

        found: list[Any] = self._had(items_of, recorded, function)
        return found

    def exhausted(self, recorded: Recorded) -> None:
        """Behind the last item. Raises `ReplayDiverged` where the generator was left when it was recorded."""
        if recorded.exchange.left:
            raise self._beyond(recorded, f"its items were taken no further; --live-tool {self._name} runs it")

    def _beyond(self, recorded: Recorded, reason: str) -> ReplayError:
        assert self._recorder.player is not None
        return self._recorder.player.beyond(recorded, reason)

    def _had(self, read: Callable[..., Any], recorded: Recorded, function: Callable[..., Any]) -> Any:
        try:
            return read(recorded, function)
        except NotReplayable as error:
            raise self._beyond(recorded, f"{error}; --live-tool {self._name} runs it") from None

    def _begin_tape(self, start: Mapping[str, Any], parent: Any, arguments: Any) -> None:
        found = self.span.get_span_context()
        tape = self._recorder.tape()
        if not self.span.is_recording():
            if tape is not None and found.is_valid:
                tape.lost("sampled out")
            return
        body = json_bytes(arguments) if self._content and arguments is not None else b"null"
        self._put_on_span(_INPUT.get(self._kind, semconv.GEN_AI_INPUT_MESSAGES), body, role="user")
        if tape is None or not self._content:
            return
        self._taped = True
        self._ids = ("%032x" % found.trace_id, "%016x" % found.span_id)
        header: dict[str, Any] = {
            "trace_id": self._ids[0], "span_id": self._ids[1],
            "parent_span_id": format(parent.span_id, "016x") if parent.is_valid else None,
            "name": getattr(self.span, "name", ""), "time_ns": time.time_ns(), "api": frames.FUNCTION, "method": "CALL",
            "url": "", "content_type": "application/json", "attributes": start}
        body = self._recorder.masked(body, header)
        tape.append(frames.CALL_START, _encode(header).encode("ascii"), body)

    def _put_on_span(self, key: str, body: bytes, role: str) -> None:
        settings = self._recorder.settings
        if body == b"null" or not settings.content or settings.content_on_spans not in ("SPAN_ONLY", "SPAN_AND_EVENT"):
            return
        header: dict[str, Any] = {}
        text = self._recorder.masked(body, header).decode("utf-8", "replace")
        if "omitted" in header:
            return
        if key in (semconv.GEN_AI_INPUT_MESSAGES, semconv.GEN_AI_OUTPUT_MESSAGES):
            text = json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}], ensure_ascii=False)
        elif key == semconv.GEN_AI_RETRIEVAL_DOCUMENTS and not _are_documents(text):
            return
        self.span.set_attribute(key, text)

    def end(self, error: BaseException | None = None) -> None:
        """End the step, once."""
        try:
            self._open.pop()
        except IndexError:
            return
        try:
            player = self._recorder.player
            is_wanted = (self._content or player is not None) and self._result is not None
            body, opaque = json_of(self._result) if is_wanted else (b"null", 0)
            if error is not None:
                message = self._recorder.message_of(error)
                self.span.set_attribute(semconv.ERROR_TYPE, type(error).__qualname__)
                self.span.set_status(Status(StatusCode.ERROR, message))
            else:
                self._put_on_span(_OUTPUT.get(self._kind, semconv.GEN_AI_OUTPUT_MESSAGES), body, role="assistant")
            self._end_tape(error, body, opaque + self._hidden)
            if player is not None and not self._repeated:
                player.ended(self._kind, self._name, self._place, self._recorder.shown(body),
                             type(error).__qualname__ if error is not None else None)
        except Exception as fault:
            swallow("record the result of a step", fault)
        try:
            self.span.end()
        except Exception as fault:
            swallow("end the span of a step", fault)

    def _end_tape(self, error: BaseException | None, body: bytes, opaque: int) -> None:
        tape = self._recorder.tape()
        if tape is None or not self._taped:
            return
        header: dict[str, Any] = {
            "trace_id": self._ids[0], "span_id": self._ids[1], "time_ns": time.time_ns(),
            "status": None, "content_type": "application/json", "complete": error is None}
        if error is not None:
            header["error_type"], message = type(error).__qualname__, self._recorder.message_of(error)
            header["error_class"] = f"{type(error).__module__}:{type(error).__qualname__}"
            if message:
                header["error_message"] = message
        if opaque:
            header["opaque"] = opaque
        if self._is_left:
            header["left"] = True
        body = self._recorder.masked(body, header)
        tape.append(frames.CALL_END, _encode(header).encode("ascii"), body)

    def __enter__(self) -> Step:
        self._token = attach(self.context)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        detach(self._token)
        self.end(error)


class NoStep:
    """Stands for a step while nothing is instrumented."""

    def result(self, value: Any) -> None:
        return None

    def left(self, items: Any) -> None:
        return None

    def end(self, error: BaseException | None = None) -> None:
        return None


def _are_documents(text: str) -> bool:
    value = json.loads(text)
    return isinstance(value, list) and all(isinstance(v, dict) and "id" in v and "score" in v for v in value)
