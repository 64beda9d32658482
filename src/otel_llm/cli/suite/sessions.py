"""Which sessions a suite is about: conditions as `otel-llm sessions` has them, an order and a limit.

What replays and judges made is left out unless it is named by its id: else a second run would be about the sessions of the first.
A random choice is the same each time for the same sessions and the same seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from otel_llm.cli.app import App
from otel_llm.cli.filters import SESSION_STATUS, make_filter, read_seconds
from otel_llm.cli.ids import with_sessions
from otel_llm.cli.look.rows_order import SESSION_ORDERS, session_duration_ns
from otel_llm.replay.suite.definition import Pick
from otel_llm.values.errors import ConfigError
from otel_llm.values.session import Filter, SessionRow

PAGE = 200


def choose(app: App, pick: Pick) -> list[str]:
    """The ids of the sessions, in their order.

    Raises `ConfigError` when nothing fits, `NotFound` for an id that names nothing.
    """
    given = dict(pick.given)
    least = given.pop("min_duration", None)
    least_ns = 0 if least is None else int(read_seconds(least, "min_duration") * 1e9)
    where = make_filter(now_ns=app.now_ns(), statuses=SESSION_STATUS, originals=not pick.ids, **given)
    where = with_sessions(app.store, where, pick.ids)
    fitting = (row for row in _all(app, where) if row.calls and session_duration_ns(row) >= least_ns)
    found: list[SessionRow] = []
    for row in fitting:
        found.append(row)
        if pick.order == "newest" and len(found) == pick.limit:
            break
    if not found:
        raise ConfigError("No session with a call fits [sessions]. `otel-llm sessions` takes the same conditions.")
    if pick.order == "random":
        found = random.Random(pick.seed).sample(sorted(found, key=lambda row: row.session_id), min(pick.limit, len(found)))
    elif pick.order != "newest":
        figure = SESSION_ORDERS[pick.order]
        found.sort(key=lambda row: figure(row) or 0, reverse=True)
    return [row.session_id for row in found[: pick.limit]]


def _all(app: App, where: Filter) -> Iterator[SessionRow]:
    """Every session that fits, once, newest first."""
    seen: set[str] = set()
    offset = 0
    while True:
        rows = app.store.sessions(where, limit=PAGE, offset=offset)
        yield from (row for row in rows if row.session_id not in seen)
        seen.update(row.session_id for row in rows)
        offset += len(rows)
        if len(rows) < PAGE:
            return
