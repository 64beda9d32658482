"""What waits for one destination, as the database has it: reading it, and writing down what came of it.

Each answer is one short transaction. No transaction and no lock of the database is held while something is being sent.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from otel_llm.values.errors import NotFound

Execute = Callable[..., sqlite3.Cursor]

DROPPED = "forward dropped"
MAX_LETTERS = 10_000
"""Dead letters of one destination that are kept."""

_NEXT = """
SELECT o.step, t.trace_id, s.span_id, s.parent_span_id, s.name, s.span_kind, s.start_ns, s.end_ns, s.resource, s.scope,
  s.span_pack, s.span_at, s.span_length, s.kind, s.cost, s.cost_input, s.cost_output
FROM outbox o LEFT JOIN step s ON s.step = o.step AND s.span_pack IS NOT NULL LEFT JOIN trace t ON t.trace = s.trace
WHERE o.destination = ? AND o.step > ? ORDER BY o.step LIMIT ?
"""
_STATE = """
SELECT destination, name, endpoint, protocol, content, headers, state, waiting, sent, refused, lost, failures, retry_ns,
  last_sent_ns, last_error, last_error_ns FROM destination
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One destination and how it fares. Times are nanoseconds UTC; `retry_ns` is 0 when it may be tried at any time.

    `state` is `new`, `ok`, `waiting` (it gave no answer or a bad one), `throttled` (it asked for time) or `misplaced` (key,
    path or certificate is wrong). `refused` counts spans in dead letters, also those of partial successes, `lost` what the
    cap took.
    """

    number: int
    name: str
    endpoint: str
    protocol: str
    content: str
    headers: str
    state: str
    waiting: int
    sent: int
    refused: int
    lost: int
    failures: int
    retry_ns: int
    last_sent_ns: int | None
    last_error: str | None
    last_error_ns: int | None


@dataclass(frozen=True, slots=True)
class Letter:
    """One refused request: how many spans it is about, the first of them, and the server's words."""

    number: int
    name: str
    endpoint: str
    spans: int
    reason: str
    time_ns: int
    span_id: str | None


def waiting(execute: Execute, name: str | None = None) -> list[Waiting]:
    """All destinations, or those of a name."""
    rows = execute(f"{_STATE} WHERE ?1 IS NULL OR name = ?1 ORDER BY destination", (name,))
    return [Waiting(*row) for row in rows]


def letters(execute: Execute, name: str | None = None) -> list[Letter]:
    """Dead letters, the newest first."""
    out = []
    for number, of_name, endpoint, spans, steps, reason, time_ns in execute(
        "SELECT l.letter, d.name, d.endpoint, l.spans, l.steps, l.reason, l.time_ns FROM dead_letter l"
        " JOIN destination d USING (destination) WHERE ?1 IS NULL OR d.name = ?1 ORDER BY l.letter DESC", (name,)
    ).fetchall():
        first = next(iter(json.loads(steps)), None)
        row = execute("SELECT span_id FROM step WHERE step = ?", (first,)).fetchone()
        out.append(Letter(number, of_name, endpoint, spans, reason, time_ns, None if row is None else row[0].hex()))
    return out


class Queue:
    """The queue of one destination."""

    def __init__(self, connection: sqlite3.Connection, number: int) -> None:
        self._connection, self.number = connection, number

    def state(self) -> Waiting | None:
        """How the destination fares; None when somebody has removed it."""
        row = self._connection.execute(f"{_STATE} WHERE destination = ?", (self.number,)).fetchone()
        return None if row is None else Waiting(*row)

    def rows(self, after: int, limit: int) -> list[Any]:
        """The next rows behind a step; of one whose step is gone only the first column is set."""
        return self._connection.execute(_NEXT, (self.number, after, limit)).fetchall()

    def settle(self) -> None:
        """Nothing was found to wait: the count says so too, whoever took rows away without it."""
        self._connection.execute(
            "UPDATE destination SET waiting = 0 WHERE destination = ?1 AND waiting <> 0"
            " AND NOT EXISTS (SELECT 1 FROM outbox WHERE destination = ?1)", (self.number,))

    def sent(self, steps: Sequence[int], *, rejected: int = 0, words: str = "") -> None:
        """They were taken, except so many of them."""
        with transaction(self._connection):
            taken = self._remove(steps)
            now = time.time_ns()
            self._set("sent = sent + ?, last_sent_ns = ?, failures = 0, retry_ns = 0, state = 'ok'",
                      max(0, taken - rejected), now)
            if rejected and taken:
                which = "" if rejected >= len(steps) else f"{rejected} of these {len(steps)}: "
                self._letter(steps, min(rejected, len(steps)), f"{which}{words or 'partial success'}", now)

    def refused(self, steps: Sequence[int], words: str) -> None:
        """They were refused for what they are: a dead letter."""
        with transaction(self._connection):
            if self._remove(steps):
                self._letter(steps, len(steps), words, time.time_ns())

    def gone(self, steps: Sequence[int]) -> None:
        """Their spans are in the store no more."""
        with transaction(self._connection):
            self._remove(steps)

    def later(self, state: str, words: str, delay_s: float) -> int:
        """Not now: note why and until when. Gives the number of failures in a row."""
        with transaction(self._connection):
            now = time.time_ns()
            self._set("failures = failures + 1, retry_ns = ?, state = ?, last_error = ?, last_error_ns = ?",
                      now + int(delay_s * 1e9), state, words, now)
        found = self.state()
        return 0 if found is None else found.failures

    def _remove(self, steps: Sequence[int]) -> int:
        removed = self._connection.executemany("DELETE FROM outbox WHERE destination = ? AND step = ?",
                                               [(self.number, step) for step in steps]).rowcount
        self._set("waiting = waiting - ?", removed)
        return removed

    def _letter(self, steps: Sequence[int], spans: int, reason: str, now: int) -> None:
        self._connection.execute("INSERT INTO dead_letter (destination, spans, steps, reason, time_ns) VALUES (?, ?, ?, ?, ?)",
                                 (self.number, spans, json.dumps(list(steps)), reason, now))
        self._connection.execute(
            "DELETE FROM dead_letter WHERE destination = ?1 AND letter <= (SELECT letter FROM dead_letter WHERE destination = ?1"
            " ORDER BY letter DESC LIMIT 1 OFFSET ?2)", (self.number, MAX_LETTERS))
        self._set("refused = refused + ?, last_error = ?, last_error_ns = ?", spans, reason, now)

    def _set(self, what: str, *values: Any) -> None:
        self._connection.execute(f"UPDATE destination SET {what} WHERE destination = ?", (*values, self.number))  # noqa: S608


def retry(connection: sqlite3.Connection, name: str | None = None) -> int:
    """Let dead letters wait again, and every wait end now; the number of spans that wait again."""
    count = 0
    with transaction(connection):
        for found in waiting(connection.execute, name) or _none(connection, name):
            for letter, steps in connection.execute(
                "SELECT letter, steps FROM dead_letter WHERE destination = ?", (found.number,)).fetchall():
                count += connection.executemany(
                    "INSERT OR IGNORE INTO outbox SELECT ?, step FROM step WHERE step = ?",
                    [(found.number, step) for step in json.loads(steps)]).rowcount
                connection.execute("DELETE FROM dead_letter WHERE letter = ?", (letter,))
            connection.execute(
                "UPDATE destination SET refused = 0, failures = 0, retry_ns = 0,"
                " waiting = (SELECT count(*) FROM outbox WHERE destination = ?1) WHERE destination = ?1", (found.number,))
    return count


def drop(connection: sqlite3.Connection, name: str) -> int:
    """Forget a destination and all that waits for it; the number of spans that did, which the ledger keeps too."""
    count = 0
    with transaction(connection):
        for found in waiting(connection.execute, name) or _none(connection, name):
            count += connection.execute("DELETE FROM outbox WHERE destination = ?", (found.number,)).rowcount
            for table in ("dead_letter", "segment_destination", "destination"):
                connection.execute(f"DELETE FROM {table} WHERE destination = ?", (found.number,))  # noqa: S608
        if count:
            connection.execute("INSERT INTO loss VALUES (?, ?, ?) ON CONFLICT (reason) DO UPDATE SET"
                               " count = count + excluded.count, last_ns = excluded.last_ns", (DROPPED, count, time.time_ns()))
    return count


def _none(connection: sqlite3.Connection, name: str | None) -> list[Waiting]:
    if name is None:
        return []
    raise NotFound("destination", name, [found.name for found in waiting(connection.execute)])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything in the block, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
