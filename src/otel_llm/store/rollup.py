"""The row of a session, made anew from its steps whenever one of them changed, in the same transaction.

Sums are over the calls of the session. A sum is NULL when no call knows the figure, so an unknown is never shown as zero. A
failure that a step only passes on, from a call to the workflow around it, is one error.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import Any

from otel_llm.store.columns import USAGE_COLUMNS, preview

_SUMS = ", ".join(f"sum({c}) FILTER (WHERE kind = 'call')" for c in (*USAGE_COLUMNS, "cost", "cost_input", "cost_output"))
_FIGURES = f"""
SELECT min(start_ns), max(coalesce(end_ns, start_ns)), count(*), count(*) FILTER (WHERE kind = 'call'),
  count(*) FILTER (WHERE state IN ('error', 'incomplete') AND span_id NOT IN (SELECT parent_span_id FROM step
    WHERE session = ?1 AND state IN ('error', 'incomplete') AND parent_span_id <> span_id)),
  count(*) FILTER (WHERE state = 'running'), sum(is_turn), count(*) FILTER (WHERE kind = 'call' AND cost IS NULL), {_SUMS}
FROM step WHERE session = ?1
"""  # noqa: S608
_UPDATE = f"""
UPDATE session SET first_ns = ?, last_ns = ?, turns = ?, calls = ?, steps = ?, errors = ?, status = ?,
  {', '.join(f'{c} = ?' for c in USAGE_COLUMNS)}, cost = ?, cost_input = ?, cost_output = ?, more_usage = ?,
  unpriced_calls = ?, models = ?, user_id = ?, tags = ?, service = ?, replay_of = coalesce(?, replay_of), title = ?
WHERE session = ?
"""  # noqa: S608


def roll_up(connection: sqlite3.Connection, sessions: Iterable[int]) -> None:
    """Make the rows of these sessions anew."""
    for session in sorted(sessions):
        figures = connection.execute(_FIGURES, (session,)).fetchone()
        if not figures[2]:
            continue
        first_ns, last_ns, steps, calls, errors, running, turns, unpriced = figures[:8]
        connection.execute(_UPDATE, (
            first_ns, last_ns, turns or 0, calls, steps, errors, _status(connection, session, errors, running), *figures[8:],
            _more_usage(connection, session), unpriced, *_facts(connection, session), _title(connection, session), session))


def _status(connection: sqlite3.Connection, session: int, errors: int, running: int) -> str:
    """`error` when the last call or the last root failed, `recovered` when something else did."""
    if running:
        return "running"
    if not errors:
        return "ok"
    for condition in ("kind = 'call'", "parent_span_id IS NULL"):
        row = connection.execute(
            f"SELECT state FROM step WHERE session = ? AND {condition} ORDER BY start_ns DESC LIMIT 1", (session,)).fetchone()  # noqa: S608
        if row is not None and row[0] in ("error", "incomplete"):
            return "error"
    return "recovered"


def _more_usage(connection: sqlite3.Connection, session: int) -> str | None:
    total: Counter[str] = Counter()
    for (text,) in connection.execute(
        "SELECT more_usage FROM step WHERE session = ? AND more_usage IS NOT NULL AND kind = 'call'", (session,)
    ):
        total.update(json.loads(text))
    return json.dumps(total, separators=(",", ":")) if total else None


def _facts(connection: sqlite3.Connection, session: int) -> tuple[Any, ...]:
    """Models by first use, user, tags (of a key with several values the last), service, and what the session replays."""
    models = [m for (m,) in connection.execute(
        "SELECT coalesce(model, response_model) AS m FROM step WHERE session = ? AND kind = 'call' AND m IS NOT NULL"
        " GROUP BY m ORDER BY min(start_ns)", (session,))]
    user = connection.execute(
        "SELECT user_id FROM step WHERE session = ? AND user_id IS NOT NULL ORDER BY start_ns LIMIT 1", (session,)).fetchone()
    tags: dict[str, str] = {}
    for (text,) in connection.execute(
        "SELECT DISTINCT tags FROM step WHERE session = ? AND tags IS NOT NULL ORDER BY start_ns", (session,)
    ):
        tags |= json.loads(text)
    service = connection.execute(
        "SELECT r.service FROM step s JOIN resource r USING (resource) WHERE s.session = ? AND r.service IS NOT NULL"
        " ORDER BY s.start_ns LIMIT 1", (session,)).fetchone()
    return (json.dumps(models, separators=(",", ":")), user and user[0],
            json.dumps(tags, sort_keys=True, separators=(",", ":")) if tags else None, service and service[0], None)


def _title(connection: sqlite3.Connection, session: int) -> str:
    """The first words of the first user message; of a session that has none, the name of its first root."""
    row = connection.execute("SELECT title, title_ns FROM session WHERE session = ?", (session,)).fetchone()
    if row[1] is not None and row[0]:
        return str(row[0])
    first = connection.execute(
        "SELECT name FROM step WHERE session = ? ORDER BY parent_span_id IS NOT NULL, start_ns LIMIT 1", (session,)).fetchone()
    return preview(first[0])
