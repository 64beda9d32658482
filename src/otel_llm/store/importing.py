"""Putting records back: through the tape and the indexer, like everything that was ever recorded.

Which session a step belongs to is no guess here, so it is settled beforehand: sessions and traces are entered before the first
frame is on the tape, and the indexer finds them there, in this process or in any other. What even so stands elsewhere (steps
that name one session and were merged into another) is moved afterwards, and a cost that the record knows holds against today's
prices. A step that the store has already is left alone, whatever the file says of it: a trace is a record of what happened.
That the two differ is counted, since somebody may have edited the file and look for the change.

A batch is small; when it is done every step of it is looked for, because what an import acknowledges must be in the store. An
import that dies leaves a mark, and the next one then corrects also what that one had stored and not yet corrected.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from otel_llm.store import ledger
from otel_llm.store.records import BROKEN, RecordReader
from otel_llm.store.rollup import roll_up
from otel_llm.store.rows import cost_of
from otel_llm.store.seen import Seen
from otel_llm.store.sessions import Sessions
from otel_llm.store.spanframe import span_header
from otel_llm.store.spool import Spool
from otel_llm.values.archive import Record, SessionMark, WireRecord
from otel_llm.values.call import Cost
from otel_llm.values.errors import StoreError, StoreUnwritable
from otel_llm.values.session import ReplayRecord
from otel_llm.values.tape import CALL_END, CALL_PART, CALL_START, RESOURCE, SCOPE, SPAN

BATCH_BYTES = 4_000_000
BATCH_RECORDS = 1_000
RECORD_COST = 500
UNBOUNDED = 1 << 62
"""Nothing that an import has in hand may be given up for want of room; it stops instead."""

_KNOWN = """
SELECT t.trace_id, s.span_id, s.span_pack IS NOT NULL, EXISTS (SELECT 1 FROM call c WHERE c.step = s.step),
  EXISTS (SELECT 1 FROM pending p WHERE p.span_id = s.span_id AND p.trace_id = t.trace_id)
FROM step s JOIN trace t USING (trace) WHERE s.span_id IN ({})
"""
_PLACED = """
SELECT t.trace_id, s.span_id, s.step, s.session, n.session_id, s.cost, s.cost_input, s.cost_output
FROM step s JOIN trace t USING (trace) JOIN session n ON n.session = s.session WHERE s.span_id IN ({})
"""
UNFINISHED = "import unfinished"
"""The key in `meta` that stands there while an import is under way."""

MARKS = 500
"""Values in one question to the database."""

Ids = tuple[str, str]


class Importer:
    """Takes records into one store. Not for several threads."""

    def __init__(
        self, connection: sqlite3.Connection, directory: Path, catch_up: Callable[[], None], lock: threading.RLock
    ) -> None:
        self.added = self.known = self.differing = 0
        self._connection, self._catch_up, self._lock = connection, catch_up, lock
        self._spool = Spool(directory / "spool", queue_bytes=UNBOUNDED, spool_bytes=UNBOUNDED)
        self._corrects_all = self._is_marked()
        self._is_torn = False
        self._marks: dict[str, SessionMark] = {}
        self._last: SessionMark | None = None
        self._waiting: dict[Ids, Record] = {}
        self._bytes = 0

    def session(self, mark: SessionMark) -> None:
        self._marks[mark.session_id] = self._last = mark

    def record(self, record: Record) -> None:
        self._waiting[record.trace_id, record.span_id] = record
        self._bytes += RECORD_COST
        if record.wire is not None:
            self._bytes += len(record.wire.request) + len(record.wire.response or b"")
        if record.span is not None:
            self._bytes += sum(len(v) for v in record.span.attributes.values() if isinstance(v, (str, bytes)))
        if self._bytes >= BATCH_BYTES or len(self._waiting) >= BATCH_RECORDS:
            self.flush()

    def replay(self, record: ReplayRecord) -> None:
        with self._lock:
            ledger.record_replay(self._connection.execute, record)

    def flush(self) -> None:
        waiting, self._waiting, self._bytes = self._waiting, {}, 0
        new = self._unknown(waiting)
        self.known += len(waiting) - len(new)
        self.differing += self._differing(record for ids, record in waiting.items() if ids not in new)
        if not new and not (self._corrects_all and waiting):
            return
        self._is_torn = True
        with self._lock:
            self._transaction(lambda: self._place(new.values()))
        for record in new.values():
            self._append(record)
        if not self._spool.flush() or self._spool.losses:
            reasons = ", ".join(self._spool.losses) or "it cannot be written"
            raise StoreUnwritable(f"The store's spool {self._spool.directory} takes no more: {reasons}. {self.added} steps were "
                                  "imported; make room and import again, what is there already is left alone.")
        self._catch_up()
        self._settle(new, waiting if self._corrects_all else new)
        self._is_torn = False
        self._marks = {} if self._last is None else {self._last.session_id: self._last}

    def close(self) -> None:
        """Let go of the tape; calls without an end are then known to be cut."""
        self._spool.close()
        self._catch_up()
        if not self._is_torn:
            with self._lock:
                self._connection.execute("DELETE FROM meta WHERE key = ?", (UNFINISHED,))

    def _is_marked(self) -> bool:
        with self._lock:
            return self._connection.execute("SELECT 1 FROM meta WHERE key = ?", (UNFINISHED,)).fetchone() is not None

    # -- one batch ---------------------------------------------------------------------------------------------------

    def _unknown(self, waiting: dict[Ids, Record]) -> dict[Ids, Record]:
        """The records of which the store lacks something."""
        new = dict(waiting)
        for trace_id, span_id, has_span, has_call, has_pending in self._of(_KNOWN, waiting):
            record = waiting.get((trace_id.hex(), span_id.hex()))
            if record is not None and (record.span is None or has_span) and _has(record.wire, has_call, has_pending):
                del new[record.trace_id, record.span_id]
        return new

    def _differing(self, known: Iterable[Record]) -> int:
        """How many of these the store has with other content; one that it cannot read any more is a matter for `doctor`."""
        with self._lock:
            reader = RecordReader(self._connection.execute)
            found = 0
            for record in known:
                row = reader.find(record.trace_id, record.span_id)
                with suppress(*BROKEN):
                    found += row is not None and _differs(record, reader.record(record.session_id, row))
        return found

    def _of(self, sql: str, ids: Iterable[Ids]) -> list[Any]:
        spans = [bytes.fromhex(span_id) for _, span_id in ids]
        rows: list[Any] = []
        with self._lock:
            for at in range(0, len(spans), MARKS):
                some = spans[at : at + MARKS]
                rows += self._connection.execute(sql.format(",".join("?" * len(some))), some).fetchall()
        return rows

    def _place(self, records: Iterable[Record]) -> None:
        """Enter sessions and traces, so that the indexer has nothing to guess."""
        execute = self._connection.execute
        execute("INSERT OR REPLACE INTO meta VALUES (?, 1)", (UNFINISHED,))
        numbers: dict[str, int] = {}
        for record in records:
            if record.session_id not in numbers:
                numbers[record.session_id] = self._session(record.session_id)
            execute("INSERT OR IGNORE INTO trace (trace_id, session, is_named) VALUES (?, ?, 1)",
                    (bytes.fromhex(record.trace_id), numbers[record.session_id]))

    def _session(self, session_id: str) -> int:
        mark = self._marks.get(session_id)
        execute = self._connection.execute
        execute("INSERT OR IGNORE INTO session (session_id, inferred) VALUES (?, ?)",
                (session_id, mark is not None and mark.inferred))
        if mark is not None:
            execute("UPDATE session SET inferred = inferred AND ?, replay_of = coalesce(replay_of, ?) WHERE session_id = ?",
                    (mark.inferred, mark.replay_of, session_id))
        return int(execute("SELECT session FROM session WHERE session_id = ?", (session_id,)).fetchone()[0])

    def _append(self, record: Record) -> None:
        """The frames of a step, as its recording would have written them."""
        spool, wire, span = self._spool, record.wire, record.span
        if wire is not None:
            ids = json.dumps({"trace_id": record.trace_id, "span_id": record.span_id}).encode()
            response = wire.response or b""
            if wire.start is not None:
                spool.append(CALL_START, _json(wire.start), wire.request)
            if wire.end is not None:
                spool.append(CALL_END, _json(wire.end), (wire.request if wire.end.get("resent") else b"") + response)
            elif response:
                spool.append(CALL_PART, ids, response)
        if span is not None:
            spool.append(SPAN, span_header(
                span, spool.number_of(RESOURCE, span.resource), spool.number_of(SCOPE, span.scope)))

    def _settle(self, new: dict[Ids, Record], corrected: dict[Ids, Record]) -> None:
        """See that every new step is there, and each of `corrected` in its session and with its cost."""
        moved: list[tuple[int, int, str]] = []
        priced: list[tuple[int, int, Cost | None]] = []
        found = 0
        for trace_id, span_id, step, session, session_id, *cost in self._of(_PLACED, corrected):
            ids = (trace_id.hex(), span_id.hex())
            record = corrected.get(ids)
            if record is None:
                continue
            found += ids in new
            if session_id != record.session_id:
                moved.append((step, session, record.session_id))
            if record.cost != "unsaid" and record.cost != cost_of(*cost):
                priced.append((step, session, record.cost))
        self.added += found
        if moved or priced:
            with self._lock:
                self._transaction(lambda: self._correct(moved, priced))
        if found != len(new):
            raise StoreError(f"Of {len(new)} steps {len(new) - found} could not be kept; {self.added} were imported so far. "
                             "`otel-llm doctor` lists what was lost and why.")

    def _correct(self, moved: Sequence[tuple[int, int, str]], priced: Sequence[tuple[int, int, Cost | None]]) -> None:
        execute = self._connection.execute
        touched = {session for _, session, _ in (*moved, *priced)}
        for step, _, cost in priced:
            execute("UPDATE step SET cost = ?, cost_input = ?, cost_output = ? WHERE step = ?",
                    (None, None, None, step) if cost is None else (cost.total, cost.input, cost.output, step))
        sessions = Sessions(self._connection, b"", Seen(b""), touched)
        for step, session, session_id in moved:
            goal = self._session(session_id)
            execute("UPDATE step SET session = ? WHERE step = ?", (goal, step))
            execute("UPDATE trace SET session = ? WHERE trace = (SELECT trace FROM step WHERE step = ?) AND NOT EXISTS"
                    " (SELECT 1 FROM step s WHERE s.trace = trace.trace AND s.session = trace.session)", (goal, step))
            touched.add(goal)
            sessions.forget_if_empty(session, goal)
        roll_up(self._connection, touched)

    def _transaction(self, work: Callable[[], None]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            work()
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise


def _has(wire: WireRecord | None, has_call: bool, has_pending: bool) -> bool:
    """True when the store has all that the record knows of the wire."""
    if wire is None or has_call:
        return True
    return has_pending and (wire.end is None or wire.start is None)


def _differs(record: Record, there: Record) -> bool:
    """True when a record contradicts the store. It may know less: its step was still running when it was written."""
    if record.span not in (None, there.span):
        return True
    wire, kept = record.wire, there.wire
    if wire is None or kept is None:
        return False
    if wire.end is not None and wire.start is not None:
        return wire != kept
    return wire.start not in (None, kept.start) or wire.end not in (None, kept.end)


def _json(header: Any) -> bytes:
    return json.dumps(header, separators=(",", ":")).encode()
