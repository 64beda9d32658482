"""What rows point to, for all who read steps: who emitted a span, and the frames of a call that has not ended."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

from otel_llm.store.calls import Frames
from otel_llm.store.spanframe import unpack
from otel_llm.values.spandata import ResourceData, ScopeData
from otel_llm.values.tape import CALL_END, CALL_PART, CALL_START

Execute = Callable[..., sqlite3.Cursor]


def pending(execute: Execute, trace_id: bytes, span_id: bytes) -> Frames:
    """The frames of a call that still wait for others; none of them when there are none."""
    frames = Frames()
    for kind, number, header, body in execute(
            "SELECT kind, number, header, body FROM pending WHERE span_id = ? AND trace_id = ? ORDER BY number",
            (span_id, trace_id)):
        if kind == CALL_START:
            frames.start, frames.start_body = json.loads(header), body
        elif kind == CALL_END:
            frames.end, frames.end_body = json.loads(header), body
        elif kind == CALL_PART:
            frames.parts = [*(frames.parts or ()), (number, body)]
    return frames


def resource(execute: Execute, number: int | None) -> ResourceData | None:
    """The resource of this number; None when it is not there."""
    row = execute("SELECT content FROM resource WHERE resource = ?", (number,)).fetchone()
    if row is None:
        return None
    content = json.loads(row[0])
    return ResourceData(unpack(content["attributes"]), content["schema_url"])


def scope(execute: Execute, number: int | None) -> ScopeData | None:
    """The scope of this number; None when it is not there."""
    row = execute("SELECT content FROM scope WHERE scope = ?", (number,)).fetchone()
    if row is None:
        return None
    content = json.loads(row[0])
    return ScopeData(content["name"], content["version"], content["schema_url"], unpack(content["attributes"]))
