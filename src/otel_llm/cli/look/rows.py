"""Sessions and calls as JSON objects and as columns.

The JSON fields are those of `otel_llm.values.session`, with what is nested laid flat: the tokens of `usage` stand beside the
others (`input_tokens`, `cache_read_input_tokens`, …), and money is there twice, as `cost_usd` (a float, to read) and
`cost_pico_usd` (an integer of 10⁻¹² USD, to add up). Unknown is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from otel_llm.replay.view import is_left_early
from otel_llm.text import numbers
from otel_llm.text.table import Column
from otel_llm.values.call import Cost, Usage
from otel_llm.values.session import SessionRow, Step

LEFT_EARLY = "left early"
NOT_COMPARED = "not compared"
_ALWAYS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_write_input_tokens", "reasoning_output_tokens")


def _flat(row: Any) -> dict[str, Any]:
    """The fields of a value in their order, usage and cost laid flat."""
    found: dict[str, Any] = {}
    for field in fields(row):
        value = getattr(row, field.name)
        if isinstance(value, Usage):
            tokens = {f.name: getattr(value, f.name) for f in fields(value)}
            found |= {name: count for name, count in tokens.items() if name in _ALWAYS or count is not None}
        elif field.name == "cost":
            found |= money(value)
        else:
            found[field.name] = dict(value) if field.name == "tags" else list(value) if isinstance(value, tuple) else value
    return found


def money(cost: Cost | None) -> dict[str, Any]:
    """`cost_usd` and `cost_pico_usd`."""
    return {"cost_usd": cost.total_usd if cost else None, "cost_pico_usd": cost.total if cost else None}


def session_json(row: SessionRow) -> dict[str, Any]:
    """A session as `sessions --json` prints it."""
    return {**_flat(row), "duration_ns": row.last_ns - row.first_ns}


def step_json(step: Step) -> dict[str, Any]:
    """A step as `calls --json` and `show --json` print it."""
    return {**_flat(step), "duration_ns": step.duration_ns}


def total(cost: Cost | None) -> int | None:
    return cost.total if cost is not None else None


def title_of(step: Step) -> str:
    """What a step is about, in a word or two: the model of a call, the name of anything else."""
    return step.response_model or step.model or step.name if step.kind == "call" else step.name


def state_text(step: Step) -> str:
    """The state as people read it."""
    return LEFT_EARLY if is_left_early(step) else step.state


def words_of(step: Step) -> str:
    """The first words of an answer, else what went wrong, else what was asked."""
    failed = " ".join(part for part in (step.error_type, step.error_message) if part)
    return (failed if step.state in ("error", "incomplete") else "") or step.response_preview or step.request_preview


def verdict(diff: Mapping[str, Any]) -> str:
    """What a comparison came to, in a word."""
    return "same" if diff["same"] else "different" if diff.get("compared", True) else NOT_COMPARED


def verdict_style(diff: Mapping[str, Any]) -> str:
    return {"same": "ok", "different": "recovered"}.get(verdict(diff), "dim")


def session_columns(now_ns: int) -> list[Column[SessionRow]]:
    """The columns of `sessions`."""
    return [
        Column("last", "LAST", lambda s: numbers.clock(s.last_ns, now_ns=now_ns), lambda s: numbers.timestamp(s.last_ns), keep=9,
               style=lambda s: "dim"),
        Column("session_id", "SESSION", lambda s: s.session_id, lambda s: s.session_id, style=lambda s: "id"),
        Column("title", "TITLE", _session_title, lambda s: s.title, keep=11, grows=True),
        Column("turns", "TURNS", lambda s: numbers.count(s.turns), lambda s: s.turns, keep=5, is_right=True),
        Column("calls", "CALLS", lambda s: numbers.count(s.calls), lambda s: s.calls, keep=8, is_right=True),
        Column("input_tokens", "IN", lambda s: numbers.count(s.usage.input_tokens), lambda s: s.usage.input_tokens, keep=6,
               is_right=True),
        Column("output_tokens", "OUT", lambda s: numbers.count(s.usage.output_tokens), lambda s: s.usage.output_tokens, keep=7,
               is_right=True),
        Column("duration_ms", "TOOK", lambda s: numbers.duration(s.last_ns - s.first_ns),
               lambda s: round((s.last_ns - s.first_ns) / 1e6, 3), keep=4, is_right=True),
        Column("cost_usd", "COST", lambda s: numbers.cost(total(s.cost)) + ("+" if s.cost and s.unpriced_calls else ""),
               lambda s: numbers.cost_exact(total(s.cost)), keep=10, is_right=True),
        Column("status", "STATUS", lambda s: s.status, lambda s: s.status, style=lambda s: s.status),
        Column("models", "MODELS", lambda s: ", ".join(s.models), lambda s: s.models, keep=3, most=28),
        Column("user_id", "USER", lambda s: s.user_id or numbers.UNKNOWN, lambda s: s.user_id, keep=2, most=20),
        Column("tags", "TAGS", lambda s: tags_text(s.tags), lambda s: s.tags, keep=1, most=30),
        Column("replay_of", "REPLAY OF", lambda s: s.replay_of or numbers.UNKNOWN, lambda s: s.replay_of, is_bare=True),
    ]


def _session_title(row: SessionRow) -> str:
    """The title; of a replay with the session that it repeats in front, where it stands also on a narrow terminal."""
    return f"replay of {row.replay_of} · {row.title}" if row.replay_of else row.title


def call_columns(now_ns: int) -> list[Column[Step]]:
    """The columns of `calls`."""
    return [
        Column("start", "TIME", lambda c: numbers.clock(c.start_ns, now_ns=now_ns), lambda c: numbers.timestamp(c.start_ns),
               keep=4, style=lambda c: "dim"),
        Column("span_id", "CALL", lambda c: c.span_id, lambda c: c.span_id, style=lambda c: "id"),
        Column("session_id", "SESSION", lambda c: c.session_id, lambda c: c.session_id, keep=1, most=28),
        Column("model", "MODEL", title_of, title_of, keep=8, most=28),
        Column("input_tokens", "IN", lambda c: numbers.count(c.usage.input_tokens), lambda c: c.usage.input_tokens, keep=2,
               is_right=True),
        Column("output_tokens", "OUT", lambda c: numbers.count(c.usage.output_tokens), lambda c: c.usage.output_tokens, keep=3,
               is_right=True),
        Column("duration_ms", "TOOK", lambda c: numbers.duration(c.duration_ns), _duration_ms, keep=6, is_right=True),
        Column("cost_usd", "COST", lambda c: numbers.cost(total(c.cost)), lambda c: numbers.cost_exact(total(c.cost)), keep=5,
               is_right=True),
        Column("state", "STATUS", state_text, lambda c: c.state, style=state_text),
        Column("words", "FIRST WORDS", words_of, words_of, keep=7, grows=True),
    ]


def tail_columns(now_ns: int) -> list[Column[Step]]:
    """The columns of `tail`: time, session, model, tokens, time taken, cost, status, first words."""
    by_name = {column.name: column for column in call_columns(now_ns)}
    order = ("start", "session_id", "model", "input_tokens", "output_tokens", "duration_ms", "cost_usd", "state", "words")
    return [by_name[name] for name in order]


def _duration_ms(step: Step) -> float | None:
    return None if step.duration_ns is None else round(step.duration_ns / 1e6, 3)


def tags_text(tags: Any) -> str:
    """`team=search stage=prod`."""
    return " ".join(f"{key}={value}" for key, value in tags.items()) or numbers.UNKNOWN
