"""From the spool to the tables, exactly once.

How far a segment has been read stands in the same database as what was read, and both change in one transaction: read
the offset, parse frames from there, write rows, write the new offset, commit. So any number of processes may index at any
time and be killed at any moment; the worst that happens is that work is done again. A segment is deleted after the
commit, and only when its writer is gone and all of it has been read.

A span and the frames of its call may come in any order and in different batches. A call that has not ended waits in
`pending` with its row in state `running`; when its process is gone without an end, the state becomes `incomplete`, and the
frames stay where they are, for they are all there is.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from otel_llm import semconv
from otel_llm.store import outbox
from otel_llm.store.bodies import BodyWriter
from otel_llm.store.intake import Batch, Segment
from otel_llm.store.packs import PackWriter
from otel_llm.store.rollup import roll_up
from otel_llm.store.seen import Seen
from otel_llm.store.segments import GAP, YOUNG, has_writer, process_of, segments
from otel_llm.store.sessions import Sessions
from otel_llm.store.spanframe import storable
from otel_llm.store.steps import Pricer, StepWriter
from otel_llm.values.guard import faults

log = logging.getLogger("otel_llm")

BATCH_BYTES = 8_000_000
MAX_OPEN = 100
"""Segments that are open at a time."""
DONE_KEPT_NS = 24 * 3600 * 10**9
YOUNG_KEPT_S = 3600
MAX_KNOWN_MESSAGES = 200_000


class Indexer:
    """Reads the spool of one store into its tables. Not for several threads at once; for several processes."""

    def __init__(self, connection: sqlite3.Connection, directory: Path, pricer: Pricer | None = None) -> None:
        self.connection, self.directory = connection, directory
        self.spool = directory / "spool"
        self.pricer = pricer
        self.key = bytes(connection.execute("SELECT value FROM meta WHERE key = 'key'").fetchone()[0])
        self._seen = Seen(self.key)
        self._numbers: dict[tuple[int, bytes], int] = {}
        self._data_version = -1
        self._is_swept = self._is_careful = False

    def catch_up(self, *, batch_bytes: int = BATCH_BYTES) -> None:
        """Take in what the spool holds now; not what a busy program adds meanwhile, or this might never end."""
        if not self._is_swept:
            self._is_swept = True
            self._sweep()
        listed = segments(self.spool)
        for _ in range(sum(size for _, size in listed) // batch_bytes + len(listed) // MAX_OPEN + 2):
            if not self.index_batch(batch_bytes):
                return

    def index_batch(self, batch_bytes: int = BATCH_BYTES) -> bool:
        """One transaction's worth of frames. True when there is more."""
        listed = segments(self.spool)
        if not listed and not self._has_running():
            return False
        read = dict(self.connection.execute("SELECT name, offset FROM segment").fetchall())
        opened: list[Segment] = []
        alive: set[str] = set()
        is_more = False
        try:
            for name, _ in listed:
                segment = Segment.open(self.spool / name)
                if segment is None:
                    continue
                if segment.is_live:
                    alive.add(process_of(name)[0])
                if segment.is_live and segment.size <= read.get(name, 0):
                    segment.close()
                elif len(opened) == MAX_OPEN:
                    is_more = True
                    segment.close()
                else:
                    opened.append(segment)
            if not opened and not (self._has_running() and self._dead_processes(alive)):
                return False
            finished, is_left = self._in_transaction(opened, batch_bytes, None if is_more else alive)
            for segment in finished:
                with contextlib.suppress(OSError):  # it is read, and whoever may remove it does so next time
                    segment.path.unlink()
            return is_more or is_left
        finally:
            for segment in opened:
                segment.close()

    def _sweep(self) -> None:
        """Remove what a process left that died while it made a segment."""
        for path in self.spool.glob(f"*{YOUNG}"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > YOUNG_KEPT_S:
                    with path.open("rb") as file:
                        if not has_writer(file.fileno()):
                            path.unlink()

    # -- one batch ---------------------------------------------------------------------------------------------------

    def _has_running(self) -> bool:
        return self.connection.execute("SELECT 1 FROM step WHERE state = 'running' LIMIT 1").fetchone() is not None

    def _dead_processes(self, alive: set[str]) -> list[int]:
        """Processes with running calls that write no segment any more."""
        return [number for number, name in self.connection.execute(
            "SELECT process, name FROM process WHERE process IN (SELECT process FROM step WHERE state = 'running')")
            if name not in alive]

    def _in_transaction(
        self, opened: list[Segment], batch_bytes: int, alive: set[str] | None
    ) -> tuple[list[Segment], bool]:
        """Index one batch; a batch in which a step fails is done again with care, so that the step costs only itself."""
        try:
            with self._transaction():
                return self._index(opened, batch_bytes, alive)
        except sqlite3.OperationalError:
            raise
        except Exception:
            if faults.strict:
                raise
        self._is_careful = True
        try:
            with self._transaction():
                return self._index(opened, batch_bytes, alive)
        finally:
            self._is_careful = False

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            version = self.connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._data_version or len(self._numbers) > MAX_KNOWN_MESSAGES:
                self._numbers.clear()
            self._data_version = version
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            self._numbers.clear()
            self.connection.execute("ROLLBACK")
            raise

    def _index(self, opened: list[Segment], batch_bytes: int, alive: set[str] | None) -> tuple[list[Segment], bool]:
        """Read a batch and write it; the segments that can go after the commit, and whether more is left.

        `alive` are the processes that write; None when they are not known because more segments wait to be opened.
        """
        batch, is_more, finished = Batch(), False, []
        numbers: dict[str, int] = {}
        behind: set[int] = set()
        for segment in opened:
            row = self.connection.execute(
                "SELECT segment, process, offset, done_ns FROM segment WHERE name = ?", (segment.path.name,)).fetchone()
            number, process, offset, done_ns = row or (*self._new_segment(segment), 0, None)
            numbers[segment.path.name] = number
            if row is None and segment.is_gone or done_ns is not None:
                if done_ns is not None:
                    finished.append(segment)
                continue
            budget = batch_bytes - batch.bytes
            if budget <= 0 or process in behind:  # what a process wrote later is read later
                is_more = is_more or segment.size > offset
                continue
            at = offset
            for frame in segment.read(offset, budget):
                batch.take(frame, number, process)
                batch.bytes += frame.end - at
                at = frame.end
            batch.offsets[number] = at
            rest = segment.size > at and at > offset
            if rest:
                is_more = True
                behind.add(process)
            if not segment.is_live and not rest:
                finished.append(segment)
        self._write(batch, None if is_more else alive)
        now = time.time_ns()
        for segment in finished:
            self.connection.execute("UPDATE segment SET done_ns = coalesce(done_ns, ?) WHERE segment = ?",
                                    (now, numbers[segment.path.name]))
            self.connection.execute("DELETE FROM segment_origin WHERE segment = ?", (numbers[segment.path.name],))
            self.connection.execute("DELETE FROM segment_destination WHERE segment = ?", (numbers[segment.path.name],))
        return finished, is_more

    def _new_segment(self, segment: Segment) -> tuple[int, int]:
        process, _ = process_of(segment.path.name)
        self.connection.execute("INSERT OR IGNORE INTO process (name) VALUES (?)", (process,))
        number = self.connection.execute("SELECT process FROM process WHERE name = ?", (process,)).fetchone()[0]
        cursor = self.connection.execute("INSERT INTO segment (name, process, offset) VALUES (?, ?, 0)",
                                         (segment.path.name, number))
        assert cursor.lastrowid is not None
        return cursor.lastrowid, number

    def _write(self, batch: Batch, alive: set[str] | None) -> None:
        execute = self.connection.execute
        for segment, number, is_resource, content in batch.origins:
            self._origin(segment, number, is_resource, content)
        for segment, header in batch.routes:
            outbox.route(self.connection, segment, header)
        sessions = Sessions(self.connection, self.key, self._seen)
        if batch.spans:
            packs = PackWriter(self.connection)
            writer = StepWriter(self.connection, sessions, packs, BodyWriter(self.connection, packs, self._numbers), self.pricer)
            if self._is_careful:
                batch.losses.update(writer.write_carefully(batch.spans.values()))
            else:
                writer.write(batch.spans.values())
            packs.finish()
            outbox.put(self.connection, writer.spans, batch.losses)
        if alive is not None:
            for process in self._dead_processes(alive):
                rows = execute("SELECT session FROM step WHERE state = 'running' AND process = ?", (process,)).fetchall()
                sessions.touched.update(session for (session,) in rows)
                execute("UPDATE step SET state = 'incomplete' WHERE state = 'running' AND process = ?", (process,))
        roll_up(self.connection, sessions.touched)
        now = time.time_ns()
        for reason, count in batch.losses.items():
            execute("INSERT INTO loss VALUES (?, ?, ?) ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count,"
                    " last_ns = excluded.last_ns", (reason, count, now))
        for process, (frames, top, explained) in batch.counts.items():
            execute("UPDATE process SET frames = frames + ?, top = max(top, ?), explained = explained + ?, last_ns = ?"
                    " WHERE process = ?", (frames, top, explained, now, process))
        for segment, offset in batch.offsets.items():
            execute("UPDATE segment SET offset = ? WHERE segment = ?", (offset, segment))
        self._forget_old(now)

    def _origin(self, segment: int, number: int, is_resource: bool, content: dict[str, object]) -> None:
        """Keep a resource or scope once, and under which number the segment means it."""
        text = json.dumps(content, separators=(",", ":"), sort_keys=True)
        if is_resource:
            attributes = content.get("attributes")
            extra = attributes.get(semconv.SERVICE_NAME) if isinstance(attributes, dict) else None
        else:
            extra = content.get("name")
        table, column = ("resource", "service") if is_resource else ("scope", "name")
        execute = self.connection.execute
        execute(f"INSERT OR IGNORE INTO {table} (content, {column}) VALUES (?, ?)",  # noqa: S608
                (text, storable(extra) if isinstance(extra, str) else None))
        found = execute(f"SELECT {table} FROM {table} WHERE content = ?", (text,)).fetchone()[0]  # noqa: S608
        execute(f"INSERT OR REPLACE INTO segment_origin (segment, number, {table}) VALUES (?, ?, ?)",  # noqa: S608
                (segment, number, found))

    def _forget_old(self, now: int) -> None:
        """Segments that were finished a day ago cannot come back; gaps of their processes move to the ledger."""
        execute = self.connection.execute
        if execute("DELETE FROM segment WHERE done_ns < ?", (now - DONE_KEPT_NS,)).rowcount <= 0:
            return
        gone = ("process NOT IN (SELECT process FROM segment)"
                " AND process NOT IN (SELECT process FROM step WHERE state = 'running')")
        missing = execute(f"SELECT sum(max(0, top + 1 - frames - explained)) FROM process WHERE {gone}").fetchone()[0]  # noqa: S608
        if missing:
            execute("INSERT INTO loss VALUES (?, ?, ?) ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count",
                    (GAP, missing, now))
        execute(f"DELETE FROM process WHERE {gone}")  # noqa: S608
