"""The tree of branches in `show`: what was replayed and forked from a session, and from that again.

    branches
      sess-4f1c90aa…  fork at call 4, model gpt-4.1   9 calls · $0.0021 · ok
      └ sess-77aa01c2…  rerun                          9 calls · $0 · ok
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from otel_llm import semconv
from otel_llm.text import numbers
from otel_llm.text.lines import Line
from otel_llm.text.safe import line
from otel_llm.values.errors import NotFound
from otel_llm.values.session import SessionRow
from otel_llm.values.store import Store

MOST = 20
"""Branches of one session that are listed; the rest is counted."""
DEPTH = 8


def branch_lines(store: Store, session_id: str) -> Iterator[Line]:
    """The branches of a session; nothing when there are none."""
    found = list(_lines(store, session_id, 0, {session_id}))
    if found:
        yield []
        yield [("branches", "bold")]
        yield from found


def _lines(store: Store, session_id: str, depth: int, seen: set[str]) -> Iterator[Line]:
    rows = [row for row in store.branches(session_id, limit=MOST + 1) if row.session_id not in seen]
    for row in rows[:MOST]:
        seen.add(row.session_id)
        cost = numbers.costs(row.cost.total if row.cost else None, row.unpriced_calls)
        indent = "  " * depth + ("└ " if depth else "  ")
        yield [(indent, "dim"), (line(row.session_id), "id"), (f"  {line(how(store, row))}", ""),
               (f"  {numbers.plural(row.calls, 'call')} · {cost} · ", "dim"),
               (row.status, row.status)]
        if depth < DEPTH:
            yield from _lines(store, row.session_id, depth + 1, seen)
    if len(rows) > MOST:
        yield [("  " * depth + "  … and more: otel-llm sessions", "dim")]


def how(store: Store, row: SessionRow) -> str:
    """How a branch came about: `fork at call 4, model gpt-4.1`, `rerun`, `reissue, model gpt-5`."""
    record = next((r for r in store.replays(row.session_id) if r.session_id == row.session_id), None)
    if record is not None:
        return ", ".join(["reissue", *_changes(record.changes)])
    attributes: Mapping[str, Any] = {}
    for step in store.steps(row.session_id)[:1]:
        try:
            attributes = store.span(step.span_id).attributes
        except NotFound:
            pass
    mode = str(attributes.get(semconv.OTEL_LLM_REPLAY_MODE) or "replay")
    try:
        said = json.loads(str(attributes.get(semconv.OTEL_LLM_REPLAY_CHANGES) or "{}"))
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    at = said.pop("at", None)
    return ", ".join([mode if at is None else f"{mode} at call {at}", *_changes(said)])


def _changes(said: Mapping[str, Any]) -> list[str]:
    """Changes in words: `model gpt-4.1`, `temperature=0`."""
    out = [f"model {said['model']}"] if said.get("model") else []
    settings = said.get("set")
    if isinstance(settings, Mapping):
        out += [f"{key}={json.dumps(value, ensure_ascii=False)[:40]}" for key, value in settings.items()]
    return out + [str(key) for key in said if key not in ("model", "set")]
