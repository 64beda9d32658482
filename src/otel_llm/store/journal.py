"""The journal of reissues (`otel_llm.values.journal`) in the store's database.

A row goes from state to state by statements that name the state it must be in, so that of two processes only one gets to send a
call. Whether a process is still at work on a reissue is said by a lock on a file beside the database, which the kernel lets go of
when the process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from otel_llm.values.errors import Ambiguous, NotFound, StoreUnwritable
from otel_llm.values.journal import CallKey, Entry, Undertaking

SHORTEST = 4
_FIND = "SELECT session_id, source_session_id, options, time_ns, elapsed_ns FROM reissue"


class SqliteJournal:
    """The journal of one store. `guarded` is entered around every statement: the store's lock, and errors as ours."""

    def __init__(
        self, execute: Callable[..., sqlite3.Cursor], guarded: Callable[[], AbstractContextManager[Any]], directory: Path
    ) -> None:
        self._execute, self._guarded, self._directory = execute, guarded, directory

    def begin(self, undertaking: Undertaking, keys: Iterable[CallKey]) -> None:
        """Write down a reissue and its calls, all or nothing."""
        with self._transaction():
            self._execute("INSERT INTO reissue VALUES (?, ?, ?, ?, ?)", (
                undertaking.session_id, undertaking.source_session_id, json.dumps(dict(undertaking.options)), undertaking.time_ns,
                undertaking.elapsed_ns))
            for place, key in enumerate(keys):
                self._execute("INSERT INTO reissue_call VALUES (?, ?, ?, ?, 'waiting', NULL, 0, 0)", (
                    undertaking.session_id, place, bytes.fromhex(key.source_span_id), key.iteration))

    def find(self, given: str) -> Undertaking:
        """By id or prefix."""
        with self._guarded():
            rows = self._execute(f"{_FIND} WHERE session_id = ?", (given,)).fetchall()
            if not rows and len(given) >= SHORTEST:
                rows = self._execute(f"{_FIND} WHERE substr(session_id, 1, ?) = ? LIMIT 10", (len(given), given)).fetchall()
            if not rows:
                near = self._execute("SELECT session_id FROM reissue ORDER BY time_ns DESC LIMIT 3").fetchall()
                raise NotFound("reissue", given, [name for (name,) in near])
        if len(rows) > 1:
            raise Ambiguous(given, [row[0] for row in rows])
        session_id, source, options, time_ns, elapsed_ns = rows[0]
        return Undertaking(session_id, source, _object(options), time_ns, elapsed_ns)

    def entries(self, session_id: str) -> list[Entry]:
        """In the order of `begin`."""
        with self._guarded():
            rows = self._execute(
                "SELECT source_span_id, iteration, state, span_id, sends, cost FROM reissue_call WHERE session_id = ?"
                " ORDER BY place", (session_id,)).fetchall()
        return [Entry(CallKey(source.hex(), iteration), state, None if span is None else span.hex(), sends, cost)
                for source, iteration, state, span, sends, cost in rows]

    def claim(self, session_id: str, key: CallKey, *, cost: int, resend: bool = False) -> bool:
        """From waiting or failed (or, with `resend`, from sending) to sending."""
        states = "'waiting', 'failed', 'sending'" if resend else "'waiting', 'failed'"
        with self._guarded():
            return self._execute(
                f"UPDATE reissue_call SET state = 'sending', sends = sends + 1, cost = cost + ? WHERE session_id = ?"  # noqa: S608
                f" AND source_span_id = ? AND iteration = ? AND state IN ({states})",
                (cost, session_id, bytes.fromhex(key.source_span_id), key.iteration)).rowcount == 1

    def settle(self, session_id: str, entry: Entry, *, elapsed_ns: int = 0) -> None:
        """Replace what is known of a call."""
        with self._transaction():
            self._execute(
                "UPDATE reissue_call SET state = ?, span_id = ?, sends = ?, cost = ? WHERE session_id = ? AND source_span_id = ?"
                " AND iteration = ?", (
                    entry.state, None if entry.span_id is None else bytes.fromhex(entry.span_id), entry.sends, entry.cost,
                    session_id, bytes.fromhex(entry.key.source_span_id), entry.key.iteration))
            self._execute("UPDATE reissue SET elapsed_ns = elapsed_ns + ? WHERE session_id = ?", (elapsed_ns, session_id))

    @contextmanager
    def hold(self, session_id: str) -> Iterator[None]:
        """Lock the file of a reissue; it goes when the reissue lets go of it."""
        path = self._directory / f"reissue-{''.join(c if c.isalnum() or c == '-' else '_' for c in session_id)}.lock"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnwritable(f"The store {self._directory} cannot be written: {error.strerror}.") from error
        try:
            if not _lock(fd, path):
                raise StoreUnwritable(f"Another process is at work on the reissue {session_id}. Wait for it, or end it.")
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
        finally:
            os.close(fd)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._guarded():
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                self._execute("ROLLBACK")
                raise


def _lock(fd: int, path: Path) -> bool:
    """Take the lock; False when another process has it, or has just removed the file that was opened."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    try:
        return path.stat().st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def _object(text: str) -> Mapping[str, Any]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {}
