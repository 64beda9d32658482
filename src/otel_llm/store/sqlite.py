"""The store in SQLite, as readers see it: `SqliteStore(directory)` answers the `Store` protocol.

Every reading method first takes in what the spool holds, so a reader sees each call that has returned, whether its program
lives or not. A directory that cannot be written is read as it is; `facts()` then says how much of the spool is not indexed.
Used from several threads, it serves one at a time; for more, open one a thread.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from otel_llm.store import ids, ledger, rows, runs, schema, search, undo
from otel_llm.store.bodies import BodyReader
from otel_llm.store.exchanges import ExchangeReader
from otel_llm.store.filters import session_conditions, step_conditions
from otel_llm.store.importing import Importer
from otel_llm.store.indexer import Indexer
from otel_llm.store.journal import SqliteJournal
from otel_llm.store.packs import PackReader
from otel_llm.store.segments import segments
from otel_llm.store.snapshot import SqliteSnapshot, snapshot
from otel_llm.values.call import Cost, Usage
from otel_llm.values.errors import NotFound, StoreUnwritable
from otel_llm.values.session import Exchange, Filter, Hit, Loss, Ref, ReplayRecord, Run, SessionRow, Step
from otel_llm.values.spandata import SpanData


class SqliteStore:
    """A store in a directory; made when there is none. A context manager.

    Raises `StoreUnwritable`, `StoreDamaged` or `StoreTooNew` when it cannot be opened.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory).expanduser()
        self._lock = threading.RLock()
        self.is_readonly = False
        try:
            self._connection = schema.connect(self.directory)
        except StoreUnwritable:
            if not (self.directory / schema.FILE).exists():
                raise
            self._connection = schema.connect_readonly(self.directory)
            self.is_readonly = True
        weakref.finalize(self, self._connection.close).atexit = False  # who forgets to close it is not warned of the database
        self._indexer = None if self.is_readonly else Indexer(self._connection, self.directory, self._price)
        self._prices: Any = None
        packs = PackReader(self._execute)
        self._exchanges = ExchangeReader(self._execute, packs, BodyReader(self._execute, packs))

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            self._connection.close()

    def catch_up(self) -> None:
        """Take in what processes have left in the spool."""
        if self._indexer is None:
            return
        with self._lock, self._explained():
            self._indexer.catch_up()

    def index_batch(self, batch_bytes: int) -> bool:
        """Take in a bounded part of what is left in the spool; True when there is more."""
        if self._indexer is None:
            return False
        with self._lock, self._explained():
            return self._indexer.index_batch(batch_bytes)

    @property
    def connection(self) -> sqlite3.Connection:
        """The database itself, for the other parts of `otel_llm.store`; not for several threads at once."""
        return self._connection

    # -- the protocol ------------------------------------------------------------------------------------------------

    def sessions(self, where: Filter, *, limit: int = 50, offset: int = 0) -> list[SessionRow]:
        self.catch_up()
        found = session_conditions(where)
        return [rows.session_of(row) for row in self._all(
            f"{rows.SELECT_SESSION} WHERE n.steps > 0 AND {found.text} ORDER BY n.last_ns DESC, n.session DESC LIMIT ? OFFSET ?",
            (*found.values, limit, offset))]

    def branches(self, session_id: str, *, limit: int = 50) -> list[SessionRow]:
        self.catch_up()
        return [rows.session_of(row) for row in self._all(
            f"{rows.SELECT_SESSION} WHERE n.steps > 0 AND n.replay_of = ? AND n.session_id <> ?"
            " ORDER BY n.first_ns, n.session LIMIT ?",
            (session_id, session_id, limit))]

    def calls(self, where: Filter, *, limit: int = 50, offset: int = 0) -> list[Step]:
        self.catch_up()
        found = step_conditions(where)
        return [rows.step_of(row) for row in self._all(
            f"{rows.SELECT_STEP} WHERE s.kind = 'call' AND {found.text} ORDER BY s.start_ns DESC, s.step DESC LIMIT ? OFFSET ?",
            (*found.values, limit, offset))]

    def steps(self, session_id: str) -> list[Step]:
        self.catch_up()
        found = [rows.step_of(row) for row in self._all(
            f"{rows.SELECT_STEP} WHERE n.session_id = ? ORDER BY s.start_ns, s.step", (session_id,))]
        if not found:
            raise NotFound("session", session_id, ids.near(self._execute, session_id))
        return _parents_first(found)

    def runs(self, session_id: str) -> list[Run]:
        self.catch_up()
        with self._lock, self._explained():
            return runs.runs(self._execute, session_id)

    def resolve(self, given: str) -> Ref:
        self.catch_up()
        with self._lock, self._explained():
            return ids.resolve(self._execute, given)

    def exchange(self, span_id: str) -> Exchange:
        self.catch_up()
        with self._lock, self._explained():
            return self._exchanges.exchange(span_id)

    def span(self, span_id: str) -> SpanData:
        self.catch_up()
        with self._lock, self._explained():
            return self._exchanges.span(span_id)

    def search(self, text: str, where: Filter, *, limit: int = 50) -> Iterator[Hit]:
        self.catch_up()
        with self._lock, self._explained():
            return iter(search.search(self._connection, self._exchanges, text, where, limit=limit, fill=not self.is_readonly))

    def losses(self) -> list[Loss]:
        self.catch_up()
        with self._lock, self._explained():
            return ledger.losses(self._execute)

    def record_replay(self, record: ReplayRecord) -> None:
        self._writable()
        with self._lock, self._explained():
            ledger.record_replay(self._execute, record)

    def replays(self, session_id: str) -> list[ReplayRecord]:
        self.catch_up()
        with self._lock, self._explained():
            return ledger.replays(self._execute, session_id)

    @property
    def journal(self) -> SqliteJournal:
        return SqliteJournal(self._execute, self._alone, self.directory)

    def facts(self) -> Mapping[str, Any]:
        self.catch_up()
        with self._lock, self._explained():
            facts = dict(ledger.facts(self._execute, self.directory))
        waiting = sum(size for _, size in segments(self.directory / "spool"))
        return {**facts, "readonly": self.is_readonly, "spool_bytes": waiting,
                "spool_is_indexed": self._indexer is not None or waiting == 0}

    # -- beyond the protocol -----------------------------------------------------------------------------------------

    def merge(self, session_id: str, other: str) -> None:
        """Make one session of two: the steps of `other` go into `session_id`."""
        self._writable()
        self.catch_up()
        with self._lock, self._explained():
            undo.merge(self._connection, session_id, other)

    def split(self, span_id: str) -> str:
        """Give the trace of a call, and all that went on from it, a session of its own; its id."""
        self._writable()
        self.catch_up()
        with self._lock, self._explained():
            return undo.split(self._connection, span_id)

    def snapshot(self, where: Filter) -> AbstractContextManager[SqliteSnapshot]:
        """The sessions that fit, as they are now, to be carried away (`otel_llm.values.archive`)."""
        self.catch_up()
        return snapshot(self.directory, where)

    @contextmanager
    def importing(self) -> Iterator[Importer]:
        """Take in what was exported from this or another store (`otel_llm.values.archive`)."""
        self._writable()
        self.catch_up()
        with self._explained():
            importer = Importer(self._connection, self.directory, self.catch_up, self._lock)
            try:
                yield importer
            finally:
                try:
                    importer.flush()
                finally:
                    importer.close()

    def verify(self) -> list[str]:
        """What is wrong with the store; empty when nothing is."""
        with self._lock, self._explained():
            return ledger.verify(self._execute, self._exchanges)

    # -- inside ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock, self._explained():
            yield

    def _writable(self) -> None:
        if self.is_readonly:
            raise StoreUnwritable(f"The store {self.directory} is read-only here. Run this as somebody who can write it.")

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    def _all(self, sql: str, values: Sequence[Any]) -> list[Any]:
        with self._lock, self._explained():
            return self._connection.execute(sql, values).fetchall()

    def _explained(self) -> _Explained:
        return _Explained(self.directory / schema.FILE)

    def _price(
        self, provider: str | None, model: str | None, usage: Usage, at_ns: int, *, service_tier: str | None
    ) -> Cost | None:
        """The price table is dear to import, so it is only when a call comes without its cost."""
        if self._prices is None:
            from otel_llm.pricing import PriceTable

            self._prices = PriceTable(self.directory / "prices.json")
        cost: Cost | None = self._prices.exact(provider, model, usage, at_ns, service_tier=service_tier)
        return cost


class _Explained:
    """Turns errors of SQLite and of the file system into ours."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.Error):
            raise schema.explained(error, self._path) from error
        if isinstance(error, OSError):
            raise StoreUnwritable(f"The store {self._path.parent} cannot be brought up to date: {error}.") from error


def _parents_first(found: list[Step]) -> list[Step]:
    """The steps in their order, but no child before its parent, whatever the clocks said."""
    waiting = {step.span_id: step for step in found}
    out: list[Step] = []
    for step in found:
        line: list[Step] = []
        at: Step | None = step
        while at is not None and at.span_id in waiting:
            del waiting[at.span_id]
            line.append(at)
            at = waiting.get(at.parent_span_id or "")
        out.extend(reversed(line))
    return out
