"""Rows as values: the columns of a step and of a session, and the `Step` and `SessionRow` that they stand for.

A stream that its program left before the end is recorded without an error, and without the reason that ends a whole answer. Its
row says `ok`; a reader gets `incomplete`, and its `end_ns` tells it from a call whose program died.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from otel_llm.store.columns import USAGE_COLUMNS
from otel_llm.values.call import Cost, Usage
from otel_llm.values.session import SessionRow, Step

STEP_COLUMNS = (
    "step", "span_id", "trace", "parent_span_id", "session", "kind", "name", "operation", "state", "start_ns", "end_ns",
    "provider", "model", "response_model", "is_stream", "first_chunk_ns", *USAGE_COLUMNS, "more_usage", "cost", "cost_input",
    "cost_output", "attempts", "error_type", "error_message", "finish_reason", "user_id", "prompt_name", "prompt_version", "tags",
    "api", "exactness", "request_preview", "response_preview", "is_turn", "known_messages", "names_session", "process",
    "resource", "scope",
    "span_kind", "span_pack", "span_at", "span_length",
)
INSERT_STEP = f"INSERT OR REPLACE INTO step ({', '.join(STEP_COLUMNS)}) VALUES ({', '.join('?' * len(STEP_COLUMNS))})"  # noqa: S608
SELECT_ROW = f"SELECT {', '.join('s.' + c for c in STEP_COLUMNS)} FROM step s JOIN trace t USING (trace)"  # noqa: S608

STATE = ("CASE WHEN s.state = 'ok' AND s.kind = 'call' AND s.is_stream AND s.finish_reason IS NULL AND s.exactness <> 'none'"
         " AND s.operation IN ('chat', 'text_completion', 'generate_content', 'fetch_response')"
         " AND EXISTS (SELECT 1 FROM call c WHERE c.step = s.step AND c.response_pack IS NOT NULL)"
         " THEN 'incomplete' ELSE s.state END")
"""The state of a step `s` as readers get it."""

READ_STEP = (
    "t.trace_id", "s.span_id", "s.parent_span_id", "n.session_id", "s.kind", "s.name", "s.operation", STATE, "s.start_ns",
    "s.end_ns", "s.provider", "s.model", "s.response_model", "s.is_stream", "s.first_chunk_ns",
    *(f"s.{c}" for c in USAGE_COLUMNS), "s.more_usage", "s.cost", "s.cost_input", "s.cost_output", "s.attempts", "s.error_type",
    "s.error_message", "s.finish_reason", "s.user_id", "s.prompt_name", "s.prompt_version", "s.tags", "s.api", "s.exactness",
    "s.request_preview", "s.response_preview", "s.is_turn", "s.step",
)
SELECT_STEP = f"SELECT {', '.join(READ_STEP)} FROM step s JOIN trace t USING (trace) JOIN session n ON n.session = s.session"  # noqa: S608

SESSION_COLUMNS = (
    "session_id", "title", "first_ns", "last_ns", "turns", "calls", "steps", "errors", "status", *USAGE_COLUMNS, "more_usage",
    "cost", "cost_input", "cost_output", "unpriced_calls", "models", "user_id", "tags", "service", "inferred", "replay_of",
)
KIND = ("CASE WHEN n.session_id GLOB 'judge-*' AND json_extract(n.tags, '$.purpose') = 'judge' THEN 'judge'"
        " WHEN n.inferred AND n.calls = 0 AND NOT EXISTS (SELECT 1 FROM step o WHERE o.session = n.session AND o.kind <> 'other'"
        " AND o.operation IS NOT 'create_agent') THEN 'other'"
        " WHEN n.replay_of IS NULL THEN 'original'"
        " WHEN json_extract(n.tags, '$.suite_run') IS NULL THEN 'replay' ELSE 'trial' END")
"""The kind of a session `n`, by what it carries: a judge's is named after it and has a tag, a trial has those of its suite. One
that is no conversation has no name, no call and no step of ours."""
SELECT_SESSION = f"SELECT {', '.join('n.' + c for c in SESSION_COLUMNS)}, {KIND} FROM session n"  # noqa: S608

_U = len(USAGE_COLUMNS)


def step_of(row: Sequence[Any]) -> Step:
    """The step of a row that `SELECT_STEP` gives."""
    (trace_id, span_id, parent, session_id, kind, name, operation, state, start_ns, end_ns, provider, model, response_model,
     is_stream, first_chunk_ns) = row[:15]
    (more, cost, cost_input, cost_output, attempts, error_type, error_message, finish_reason, user_id, prompt_name,
     prompt_version, tags, api, exactness, request_preview, response_preview, is_turn, _) = row[15 + _U :]
    return Step(
        trace_id=trace_id.hex(), span_id=span_id.hex(), parent_span_id=None if parent is None else parent.hex(),
        session_id=session_id, kind=kind, name=name, operation=operation, state=state, start_ns=start_ns, end_ns=end_ns,
        provider=provider, model=model, response_model=response_model, stream=bool(is_stream), first_chunk_ns=first_chunk_ns,
        usage=usage_of(row[15 : 15 + _U], more), cost=cost_of(cost, cost_input, cost_output), attempts=attempts or 1,
        error_type=error_type, error_message=error_message, finish_reason=finish_reason, user_id=user_id, prompt_name=prompt_name,
        prompt_version=prompt_version, tags=json.loads(tags) if tags else {}, api=api, exactness=exactness or "none",
        request_preview=request_preview or "", response_preview=response_preview or "",
        opens_turn=None if is_turn is None else bool(is_turn),
    )


def session_of(row: Sequence[Any]) -> SessionRow:
    """The session of a row that `SELECT_SESSION` gives."""
    session_id, title, first_ns, last_ns, turns, calls, steps, errors, status = row[:9]
    more, cost, cost_input, cost_output, unpriced, models, user_id, tags, service, inferred, replay_of, kind = row[9 + _U :]
    return SessionRow(
        session_id=session_id, title=title, first_ns=first_ns, last_ns=last_ns, turns=turns, calls=calls, steps=steps,
        errors=errors, status=status, usage=usage_of(row[9 : 9 + _U], more), cost=cost_of(cost, cost_input, cost_output),
        unpriced_calls=unpriced, models=tuple(json.loads(models)), user_id=user_id, tags=json.loads(tags) if tags else {},
        service=service, inferred=bool(inferred), replay_of=replay_of, kind=kind,
    )


def usage_of(counts: Sequence[int | None], more: str | None) -> Usage:
    values = dict(zip(USAGE_COLUMNS, counts, strict=True))
    if more:
        values |= json.loads(more)
    return Usage(**values)


def cost_of(total: int | None, cost_input: int | None, cost_output: int | None) -> Cost | None:
    return None if total is None else Cost(total, cost_input, cost_output)


def row_of(values: Sequence[Any]) -> dict[str, Any]:
    """A step's columns by name, as `SELECT_ROW` gives them."""
    return cast("dict[str, Any]", dict(zip(STEP_COLUMNS, values, strict=True)))
