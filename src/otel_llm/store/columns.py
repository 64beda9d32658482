"""From what is on the tape to the columns of a step: what a span, a call's frames and its bodies each have to say.

Every function here gives a dictionary of columns and leaves out what it does not know, so that the pieces can come in any
order: what a call's bytes say fills the row, what the span says wins over it (`merge`). Nothing is trusted: an attribute of
the wrong type counts as unknown, since spans come from anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from otel_llm import semconv as n
from otel_llm.values.call import Call, Usage
from otel_llm.values.errors import UNSENT
from otel_llm.values.spandata import KINDS
from otel_llm.values.tape import FUNCTION, CallEnd, CallStart

Columns = dict[str, Any]

PREVIEW = 120
PICO = 10**12
INT64 = 1 << 63

KIND_BY_OPERATION = {
    **dict.fromkeys(n.OPERATIONS, "call"),
    n.OPERATION_EXECUTE_TOOL: "tool",
    n.OPERATION_INVOKE_AGENT: "agent",
    "create_agent": "agent",
    n.OPERATION_INVOKE_WORKFLOW: "workflow",
    n.OPERATION_RETRIEVAL: "retrieval",
}
USAGE_COLUMNS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_write_input_tokens",
                 "reasoning_output_tokens")
MORE_USAGE = tuple(f.name for f in fields(Usage) if f.name not in USAGE_COLUMNS)

_TEXTS = {
    n.GEN_AI_OPERATION_NAME: "operation",
    n.GEN_AI_PROVIDER_NAME: "provider",
    n.GEN_AI_REQUEST_MODEL: "model",
    n.GEN_AI_RESPONSE_MODEL: "response_model",
    n.ERROR_TYPE: "error_type",
    n.OTEL_LLM_ERROR_MESSAGE: "error_message",
    n.USER_ID: "user_id",
    n.GEN_AI_PROMPT_NAME: "prompt_name",
    n.GEN_AI_PROMPT_VERSION: "prompt_version",
    n.OTEL_LLM_API: "api",
}
_COSTS = {
    n.OTEL_LLM_COST_TOTAL: "cost", n.OTEL_LLM_COST_INPUT: "cost_input", n.OTEL_LLM_COST_OUTPUT: "cost_output",
}
_USAGE = {
    n.GEN_AI_USAGE_INPUT_TOKENS: "input_tokens",
    n.GEN_AI_USAGE_OUTPUT_TOKENS: "output_tokens",
    n.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: "cache_read_input_tokens",
    n.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: "cache_write_input_tokens",
    n.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: "reasoning_output_tokens",
    n.GEN_AI_USAGE_TEXT_INPUT_TOKENS: "text_input_tokens",
    n.GEN_AI_USAGE_IMAGE_INPUT_TOKENS: "image_input_tokens",
    n.GEN_AI_USAGE_AUDIO_INPUT_TOKENS: "audio_input_tokens",
    n.GEN_AI_USAGE_TEXT_OUTPUT_TOKENS: "text_output_tokens",
    n.GEN_AI_USAGE_IMAGE_OUTPUT_TOKENS: "image_output_tokens",
    n.GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS: "audio_output_tokens",
}
_USAGE |= {old: _USAGE[new] for old, new in n.LEGACY_NAMES.items()}


def of_attributes(attributes: Mapping[str, Any]) -> Columns:
    """What a span's attributes say. Values are as `SpanData` has them, or as they stand in a frame."""
    out: Columns = {}
    usage: dict[str, int] = {}
    tags: dict[str, str] | None = None
    for key, value in attributes.items():
        if (column := _TEXTS.get(key)) is not None:
            if isinstance(value, str) and value:
                out[column] = value
        elif (column := _USAGE.get(key)) is not None:
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < INT64:
                usage[column] = value
        elif (column := _COSTS.get(key)) is not None:
            if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 9e6:
                out[column] = round(value * PICO)
        elif key.startswith(n.OTEL_LLM_TAG_PREFIX):
            tags = tags if tags is not None else {}
            tags[key[len(n.OTEL_LLM_TAG_PREFIX) :]] = value if isinstance(value, str) else json.dumps(value, default=str)
    if attributes.get(n.GEN_AI_REQUEST_STREAM) is True:
        out["is_stream"] = 1
    first = attributes.get(n.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK)
    if isinstance(first, (int, float)) and not isinstance(first, bool) and 0 <= first < 1e9:
        out["first_chunk_ns"] = round(first * 1e9)
    resent = attributes.get(n.OTEL_LLM_RESEND_COUNT)
    if isinstance(resent, int) and not isinstance(resent, bool) and 0 <= resent < 10**6:
        out["attempts"] = resent + 1
    reasons = attributes.get(n.GEN_AI_RESPONSE_FINISH_REASONS)
    if isinstance(reasons, (tuple, list)) and reasons and isinstance(reasons[0], str):
        out["finish_reason"] = reasons[0]
    if tags:
        out["tags"] = json.dumps(tags, sort_keys=True, separators=(",", ":"))
    if usage:
        out.update(of_usage(usage))
    kind = KIND_BY_OPERATION.get(out.get("operation", ""))
    if kind is None and n.OTEL_LLM_ENDPOINT in attributes:
        kind = "call"
    if kind is not None:
        out["kind"] = kind
    return out


def of_usage(usage: Mapping[str, int]) -> Columns:
    """Token counts as columns; the rare ones together as JSON."""
    out: Columns = {name: usage[name] for name in USAGE_COLUMNS if name in usage}
    if more := {name: usage[name] for name in MORE_USAGE if name in usage}:
        out["more_usage"] = json.dumps(more, separators=(",", ":"))
    return out


def of_span(header: Sequence[Any]) -> Columns:
    """What a `SPAN` frame says: name, times, state, and its attributes."""
    _, _, _, _, parent, name, span_kind, start_ns, end_ns, attributes, events, _, status, message, _, _, _ = header
    out = of_attributes(attributes)
    out["name"], out["start_ns"], out["end_ns"] = name, clipped(start_ns), clipped(end_ns)
    out["span_kind"] = KINDS.index(span_kind) if span_kind in KINDS else 0
    if parent is not None:
        out["parent_span_id"] = bytes.fromhex(parent)
    failed = status == "error" or "error_type" in out
    out["state"] = "error" if failed else "ok"
    if failed and "error_message" not in out and (words := message or _exception(events)):
        out["error_message"] = words[:500]
    return out


def clipped(value: Any) -> int:
    """A time as SQLite can hold it."""
    return value if isinstance(value, int) and 0 <= value < INT64 else 0


def _exception(events: Sequence[Any]) -> str | None:
    for name, _, attributes, _ in events:
        if name == "exception" and isinstance(text := attributes.get(n.EXCEPTION_MESSAGE), str):
            return text
    return None


def of_start(header: CallStart) -> Columns:
    """What a call says before it is sent."""
    out = of_attributes(header["attributes"])
    if header["api"] != FUNCTION:
        out["kind"] = "call"
    out["name"], out["start_ns"], out["state"] = header["name"], clipped(header["time_ns"]), "running"
    out["api"] = header["api"]
    if header["parent_span_id"] is not None:
        out["parent_span_id"] = bytes.fromhex(header["parent_span_id"])
    return out


def of_end(start: CallStart, end: CallEnd, *, has_body: bool) -> Columns:
    """What a call's end frame says besides the body."""
    failed = "error_type" in end or (end["status"] or 0) >= 400
    out: Columns = {"end_ns": clipped(end["time_ns"]), "state": "error" if failed else "ok"}
    if "error_type" in end:
        out["error_type"] = end["error_type"]
    elif failed:
        out["error_type"] = str(end["status"])
    if "error_message" in end:
        out["error_message"] = end["error_message"]
    if start["api"] != FUNCTION and (400 <= (end["status"] or 0) < 500 or out.get("error_type") in UNSENT):
        out["cost"] = 0  # nobody is paid for what was refused, or never sent
    if "attempts" in end:
        out["attempts"] = len(end["attempts"]) + 1
    if "first_byte_ns" in end and end["content_type"].startswith("text/event-stream"):
        out["first_chunk_ns"] = clipped(end["first_byte_ns"])
    out["exactness"] = exactness(start, end, has_body=has_body)
    return out


def exactness(start: CallStart, end: CallEnd | None, *, has_body: bool) -> str:
    """How far the tape is what went over the wire: exact | partial | none."""
    if "omitted" in start and (end is None or "omitted" in end or not has_body):
        return "none"
    if end is None or any(header.get("redacted") or "omitted" in header for header in (start, end)):
        return "partial"
    return "exact"


def of_call(call: Call) -> Columns:
    """What the bodies say."""
    out: Columns = {"operation": call.operation}
    request, response = call.request, call.response
    if request.model is not None:
        out["model"] = request.model
    if request.stream:
        out["is_stream"] = 1
    if response is not None:
        if response.model is not None:
            out["response_model"] = response.model
        if response.finish_reasons:
            out["finish_reason"] = response.finish_reasons[0]
        if response.error_type is not None:
            out["error_type"], out["state"] = response.error_type, "error"
        if response.error_message is not None:
            out["error_message"] = response.error_message[:500]
        usage = response.usage
        out.update(of_usage({f: v for f in (*USAGE_COLUMNS, *MORE_USAGE) if (v := getattr(usage, f)) is not None}))
    return out


def merge(row: Columns, new: Columns, *, wins: bool) -> None:
    """Put new columns into a row: all that are known when they win, else only those that the row does not know yet."""
    for column, value in new.items():
        if wins or row.get(column) is None:
            row[column] = value


def preview(text: str) -> str:
    """The first words of a text on one line."""
    words = " ".join(text[: PREVIEW * 4].split())
    return words if len(words) <= PREVIEW else words[: PREVIEW - 1].rsplit(" ", 1)[0] + "…"
