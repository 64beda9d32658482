"""Undoing what was inferred: two sessions made one, or a call and what went on from it taken out of a session."""

from __future__ import annotations

import sqlite3

from otel_llm.store.rollup import roll_up
from otel_llm.store.seen import Seen
from otel_llm.store.sessions import Sessions, new_id
from otel_llm.values.errors import NotFound, StoreError


def merge(connection: sqlite3.Connection, session_id: str, other: str) -> None:
    """Put all steps of `other` into `session_id`."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        goal, source = _session(connection, session_id), _session(connection, other)
        if goal != source:
            connection.execute("UPDATE trace SET session = ? WHERE session = ?", (goal, source))
            connection.execute("UPDATE step SET session = ? WHERE session = ?", (goal, source))
            Sessions(connection, b"", Seen(b"")).forget_if_empty(source, goal)
            roll_up(connection, [goal])
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def split(connection: sqlite3.Connection, span_id: str) -> str:
    """Give the trace of a call, and the traces that came after it in its session, a session of their own."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        row = connection.execute(
            "SELECT s.trace, s.session, t.trace_id, s.start_ns FROM step s JOIN trace t USING (trace) WHERE s.span_id = ?",
            (bytes.fromhex(span_id),)).fetchone()
        if row is None:
            raise NotFound("call", span_id)
        trace, session, trace_id, start_ns = row
        first = connection.execute(
            "SELECT trace FROM step WHERE session = ? ORDER BY start_ns, step LIMIT 1", (session,)).fetchone()[0]
        if first == trace:
            raise StoreError(f"Call {span_id} begins its session, so there is nothing to split off before it.")
        name = new_id(trace_id.hex(), span_id)
        connection.execute("INSERT OR IGNORE INTO session (session_id, inferred) VALUES (?, 1)", (name,))
        goal = _session(connection, name)
        moved = "trace IN (SELECT trace FROM step WHERE session = ?2 GROUP BY trace HAVING min(start_ns) >= (" \
                "SELECT min(start_ns) FROM step WHERE trace = ?3))"
        connection.execute(f"UPDATE trace SET session = ?1, is_named = 0 WHERE session = ?2 AND {moved}", (goal, session, trace))  # noqa: S608
        connection.execute(f"UPDATE step SET session = ?1 WHERE session = ?2 AND {moved}", (goal, session, trace))  # noqa: S608
        connection.execute(
            "UPDATE session SET title = coalesce((SELECT request_preview FROM step WHERE session = ?1 AND kind = 'call'"
            " AND request_preview IS NOT NULL ORDER BY start_ns LIMIT 1), ''), title_ns = ?2 WHERE session = ?1",
            (goal, start_ns))
        roll_up(connection, [goal, session])
        connection.execute("COMMIT")
        return name
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _session(connection: sqlite3.Connection, session_id: str) -> int:
    row = connection.execute("SELECT session FROM session WHERE session_id = ?", (session_id,)).fetchone()
    if row is None:
        raise NotFound("session", session_id)
    return int(row[0])
