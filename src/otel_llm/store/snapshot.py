"""Chosen sessions of a store as they are at one moment, read on a connection of its own in one transaction.

What is written, moved or deleted meanwhile does not show, so a long export is consistent and holds nobody up. Rows come in an
order that their content decides (start, then ids), never the order of arrival: two stores that hold the same give the same.
Steps are read one at a time; what stays in memory is a few unpacked packs.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from otel_llm import semconv
from otel_llm.store import content, schema
from otel_llm.store.bodies import Wire
from otel_llm.store.filters import session_conditions
from otel_llm.store.records import BROKEN, RecordReader
from otel_llm.store.rows import SELECT_STEP, cost_of, step_of
from otel_llm.values.archive import Damaged, Record, SessionMark, WireRecord
from otel_llm.values.destination import Content
from otel_llm.values.session import Filter, ReplayRecord, Step
from otel_llm.values.spandata import SpanData
from otel_llm.values.tape import FUNCTION

_CHOOSE = "CREATE TEMP TABLE chosen AS SELECT n.session, n.session_id, n.first_ns FROM session n WHERE n.steps > 0 AND "
_REPLAYS = """
SELECT source_span_id, span_id, session_id, source_session_id, changes, diff, time_ns FROM replay
WHERE session_id IN (SELECT session_id FROM chosen) OR source_session_id IN (SELECT session_id FROM chosen)
ORDER BY time_ns, span_id
"""


@contextmanager
def snapshot(directory: Path, where: Filter) -> Iterator[SqliteSnapshot]:
    """The sessions that fit, as they are now."""
    connection = schema.connect_readonly(directory)
    try:
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("BEGIN")
        yield SqliteSnapshot(connection, where)
    except sqlite3.Error as error:
        raise schema.explained(error, directory / schema.FILE) from error
    finally:
        connection.close()


class SqliteSnapshot:
    """Reads what was chosen, inside the transaction that the connection is in."""

    def __init__(self, connection: sqlite3.Connection, where: Filter) -> None:
        self._connection = connection
        found = session_conditions(where)
        self._execute(_CHOOSE + found.text, found.values)
        self.steps_in_all = int(self._execute(
            "SELECT coalesce(sum(n.steps), 0) FROM session n WHERE n.session IN (SELECT session FROM chosen)").fetchone()[0])
        self._records = RecordReader(connection.execute)

    def sessions(self) -> Iterator[SessionMark]:
        for session_id, inferred, replay_of in self._execute(
            "SELECT n.session_id, n.inferred, n.replay_of FROM chosen c JOIN session n USING (session)"
            " ORDER BY c.first_ns, c.session_id"
        ):
            yield SessionMark(session_id, bool(inferred), replay_of)

    def records(self, session_id: str) -> Iterator[Record | Damaged]:
        for row in self._records.rows(session_id):
            try:
                yield self._records.record(session_id, row)
            except BROKEN as error:
                yield Damaged(session_id, row[2].hex(), row[3].hex(), str(error))

    def spans(self, session_id: str, policy: Content) -> Iterator[SpanData | Damaged]:
        for row in self._records.rows(session_id):
            try:
                span = self._shown(row, policy)
            except BROKEN as error:
                yield Damaged(session_id, row[2].hex(), row[3].hex(), str(error))
            else:
                if span is not None:
                    yield span

    def steps(self, session_id: str) -> Iterator[Step]:
        for row in self._execute(
            f"{SELECT_STEP} WHERE n.session_id = ? ORDER BY s.start_ns, t.trace_id, s.span_id", (session_id,)
        ):
            yield step_of(row)

    def replays(self) -> Iterator[ReplayRecord]:
        for source, span, session, source_session, changes, diff, time_ns in self._execute(_REPLAYS):
            yield ReplayRecord(source.hex(), span.hex(), session, source_session, json.loads(changes), json.loads(diff), time_ns)

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    def _shown(self, row: Sequence[Any], policy: Content) -> SpanData | None:
        """A span under a content policy, with its cost; None when its step is still running."""
        header = self._records.header(row)
        wire: WireRecord | None = None
        if header is None or policy in ("masked", "full"):
            wire = self._records.wire(row)
        if header is None:
            header = _made_of(wire, row)
        if header is None:
            return None
        attributes: dict[str, Any] = header[9]
        cost = cost_of(*row[14:17])
        if cost is not None and semconv.OTEL_LLM_COST_TOTAL not in attributes:
            attributes = {**attributes, **semconv.write_cost(cost)}
        header[9] = content.apply(policy, attributes, row[1], lambda: _as_wire(wire))
        header[10:] = content.around(policy, header[10:])
        return self._records.span(header, row)


def _as_wire(wire: WireRecord | None) -> tuple[Wire | None, bytes | None]:
    if wire is None or wire.start is None:
        return None, None
    return Wire(wire.start, wire.end, None if "omitted" in wire.start and not wire.request else wire.request), wire.response


def _made_of(wire: WireRecord | None, row: Sequence[Any]) -> list[Any] | None:
    """The frame of a span that never came, from the frames of its call; None while that may still run."""
    if wire is None or wire.start is None or (wire.end is None and row[23] == "running"):
        return None
    start, end = wire.start, wire.end
    attributes = dict(start["attributes"])
    is_failed = end is None or "error_type" in end or (end["status"] or 0) >= 400
    if is_failed:
        error = "incomplete" if end is None else end.get("error_type") or str(end["status"])
        attributes.setdefault(semconv.ERROR_TYPE, error)
    kind, end_ns = "internal" if start["api"] == FUNCTION else "client", row[7] if end is None else end["time_ns"]
    return [0, 0, row[2].hex(), row[3].hex(), start["parent_span_id"], start["name"], kind, row[7], end_ns, attributes, [], [],
            "error" if is_failed else "unset", "", "", 0, [0, 0, 0]]
