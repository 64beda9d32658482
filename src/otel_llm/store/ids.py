"""What a user meant by an id: a full id, the beginning of one, `@2` for the second session of the list, `sess-…:3` for a call.

Ids are looked for in this order: a session's id as it is; `…:N`, the Nth call of a session; a full span or trace id; the
beginning of any of them, when it fits one only. What fits nothing is answered with what looks like it.
"""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from otel_llm.store.filters import LAST
from otel_llm.store.rows import KIND
from otel_llm.values.errors import Ambiguous, NotFound
from otel_llm.values.session import LISTED, Ref

SHORTEST = 4
SHOWN = 8

Execute = Callable[[str, Sequence[Any]], sqlite3.Cursor]


def resolve(execute: Execute, given: str) -> Ref:
    """The thing that `given` names. Raises `NotFound` with the nearest ids, or `Ambiguous`."""
    text = given.strip()
    if (session := _session(execute, text)) is not None:
        return Ref("session", session, session)
    head, colon, number = text.rpartition(":")
    if colon and number.isdigit():
        return _nth_call(execute, resolve_session(execute, head), int(number), given)
    found = _matches(execute, text)
    if len(found) == 1:
        return found[0]
    if found:
        raise Ambiguous(given, [ref.id for ref in found[:SHOWN]])
    raise NotFound("session, call or trace", given, near(execute, text))


def resolve_session(execute: Execute, given: str) -> str:
    """The full id of a session from its id or beginning, or `@N`."""
    if (session := _session(execute, given)) is not None:
        return session
    found = [ref.id for ref in _matches(execute, given) if ref.kind == "session"]
    if len(found) == 1:
        return found[0]
    if found:
        raise Ambiguous(given, found[:SHOWN])
    raise NotFound("session", given, near(execute, given))


def near(execute: Execute, given: str) -> list[str]:
    """The ids that look most like what was given, among the newest."""
    ids = [row[0] for row in execute("SELECT session_id FROM session ORDER BY last_ns DESC LIMIT 500", ())]
    ids += [row[0].hex() for row in execute("SELECT span_id FROM step WHERE kind = 'call' ORDER BY start_ns DESC LIMIT 500", ())]
    return difflib.get_close_matches(given, ids, n=3, cutoff=0.6)


def _session(execute: Execute, text: str) -> str | None:
    """The session of this very id, or that which `@N` counts from the newest of those that are listed."""
    row = execute("SELECT session_id FROM session WHERE session_id = ?", (text,)).fetchone()
    if row is None and text.startswith("@") and text[1:].isdigit() and int(text[1:]) > 0:
        listed = f"FROM session n WHERE n.steps > 0 AND {KIND} IN ({', '.join('?' * len(LISTED))})"
        row = execute(f"SELECT n.session_id {listed} ORDER BY n.last_ns DESC, n.session DESC LIMIT 1 OFFSET ?",  # noqa: S608
                      (*LISTED, min(int(text[1:]), 2**31) - 1)).fetchone()
        if row is None:
            count = execute(f"SELECT count(*) {listed}", LISTED).fetchone()[0]  # noqa: S608
            raise NotFound("session", text, [f"@{count}"] if count else [])
    return None if row is None else str(row[0])


def _nth_call(execute: Execute, session_id: str, number: int, given: str) -> Ref:
    rows = execute(
        "SELECT s.span_id FROM step s JOIN session n USING (session) WHERE n.session_id = ? AND s.kind = 'call'"
        " ORDER BY s.start_ns, s.step", (session_id,)).fetchall()
    if 1 <= number <= len(rows):
        return Ref("call", rows[number - 1][0].hex(), session_id)
    raise NotFound("call", given, [f"{session_id}:{len(rows)}"] if rows else [session_id])


def _matches(execute: Execute, text: str) -> list[Ref]:
    """Everything whose id begins like this; no more than are shown, and one."""
    if len(text) < SHORTEST:
        return []
    limit = SHOWN + 1
    found: dict[tuple[str, str], Ref] = {}
    for begin in (text, f"sess-{text}"):
        for (session,) in execute("SELECT session_id FROM session WHERE session_id >= ? AND session_id < ? LIMIT ?",
                                  (begin, begin + LAST, limit)):
            found["session", session] = Ref("session", session, session)
    digits = text.lower()
    if set(digits) <= set("0123456789abcdef"):
        if len(digits) <= 16:
            for span, kind, trace, session in execute(
                "SELECT s.span_id, s.kind, t.trace_id, n.session_id FROM step s JOIN trace t USING (trace) JOIN session n"
                " ON n.session = s.session WHERE s.span_id BETWEEN ? AND ? LIMIT ?", (*_range(digits, 16), limit),
            ):
                id_ = span.hex() if kind == "call" else trace.hex()
                found["step", id_] = Ref("call" if kind == "call" else "trace", id_, session)
        if len(digits) <= 32:
            for trace, session in execute(
                "SELECT t.trace_id, n.session_id FROM trace t JOIN session n USING (session)"
                " WHERE t.trace_id BETWEEN ? AND ? LIMIT ?", (*_range(digits, 32), limit),
            ):
                found["step", trace.hex()] = Ref("trace", trace.hex(), session)
    return list(found.values())


def _range(digits: str, length: int) -> tuple[bytes, bytes]:
    return bytes.fromhex(digits.ljust(length, "0")), bytes.fromhex(digits.ljust(length, "f"))
