"""The queue of spans that go somewhere else too: the store itself is the queue.

A row of `outbox` says that a step's span waits for a destination, and nothing more; it is written in the transaction that
stores the span and deleted in the one that notes the answer. So what was indexed is forwarded, by this process or the next,
and whatever is killed in between is sent again. A span is put there once, when it is stored; one that was stored before
anybody asked for the destination is not.

What waits for a destination is bounded by the disk it takes. Above the cap the oldest rows go, and the ledger says how many.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

CAP = "forward cap"
ROW_BYTES = 32
"""What a row takes in the file, with its share of the pages above; its numbers have at most 9 bytes each."""

_ROUTE = ("INSERT OR IGNORE INTO destination (name, endpoint, protocol, content, headers, cap_bytes) VALUES (?, ?, ?, ?, ?, ?)")
_KEY = "name = ? AND endpoint = ? AND protocol = ? AND content = ?"


def route(connection: sqlite3.Connection, segment: int, header: Mapping[str, Any]) -> None:
    """Note that the spans of a segment go to a destination."""
    key = tuple(header[name] for name in ("name", "endpoint", "protocol", "content"))
    headers, cap_bytes = header["headers"], header["cap_bytes"]
    connection.execute(_ROUTE, (*key, headers, cap_bytes))
    connection.execute(f"UPDATE destination SET headers = ?, cap_bytes = ? WHERE {_KEY}", (headers, cap_bytes, *key))  # noqa: S608
    connection.execute(f"INSERT OR IGNORE INTO segment_destination SELECT ?, destination FROM destination WHERE {_KEY}",  # noqa: S608
                       (segment, *key))


def put(connection: sqlite3.Connection, spans: Sequence[tuple[int, int]], losses: Counter[str]) -> None:
    """Let (segment, step) wait for the destinations of their segments."""
    routes: dict[int, list[int]] = {}
    rows: list[tuple[int, int]] = []
    for segment, step in spans:
        if segment not in routes:
            routes[segment] = [number for (number,) in connection.execute(
                "SELECT destination FROM segment_destination WHERE segment = ?", (segment,))]
        rows += [(destination, step) for destination in routes[segment]]
    for destination in {destination for destination, _ in rows}:
        steps = [row for row in rows if row[0] == destination]
        added = connection.executemany("INSERT OR IGNORE INTO outbox VALUES (?, ?)", steps).rowcount
        connection.execute("UPDATE destination SET waiting = waiting + ? WHERE destination = ?", (added, destination))
        _bound(connection, destination, losses)


def _bound(connection: sqlite3.Connection, destination: int, losses: Counter[str]) -> None:
    waiting, cap_bytes = connection.execute(
        "SELECT waiting, cap_bytes FROM destination WHERE destination = ?", (destination,)).fetchone()
    too_many = waiting - max(1, cap_bytes // ROW_BYTES)
    if too_many <= 0:
        return
    gone = connection.execute(
        "DELETE FROM outbox WHERE destination = ?1 AND step IN"
        " (SELECT step FROM outbox WHERE destination = ?1 ORDER BY step LIMIT ?2)", (destination, too_many)).rowcount
    connection.execute("UPDATE destination SET waiting = waiting - ?1, lost = lost + ?1 WHERE destination = ?2",
                       (gone, destination))
    losses[CAP] += gone
