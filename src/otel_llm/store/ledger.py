"""What the store says about itself: what was lost, what was replayed, its facts, and whether it is sound."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from otel_llm.store.exchanges import ExchangeReader
from otel_llm.store.segments import GAP
from otel_llm.values.errors import StoreDamaged
from otel_llm.values.session import Loss, ReplayRecord

Execute = Callable[..., sqlite3.Cursor]

_GAPS = "SELECT sum(max(0, top + 1 - frames - explained)), max(last_ns) FROM process WHERE top + 1 - frames - explained > 0"


def losses(execute: Execute) -> list[Loss]:
    """The ledger, the greatest loss first."""
    found = {row[0]: Loss(*row) for row in execute("SELECT reason, count, last_ns FROM loss")}
    missing, last_ns = execute(_GAPS).fetchone()
    if missing:
        before = found.get(GAP)
        found[GAP] = Loss(GAP, missing + (before.count if before else 0), max(last_ns, before.last_ns if before else 0))
    return sorted(found.values(), key=lambda loss: (-loss.count, loss.reason))


def record_replay(execute: Execute, record: ReplayRecord) -> None:
    """Keep one outcome; recording it twice keeps it once."""
    execute("INSERT OR REPLACE INTO replay VALUES (?, ?, ?, ?, ?, ?, ?)", (
        bytes.fromhex(record.span_id), bytes.fromhex(record.source_span_id), record.session_id, record.source_session_id,
        record.time_ns, json.dumps(dict(record.changes)), json.dumps(dict(record.diff))))


def replays(execute: Execute, session_id: str) -> list[ReplayRecord]:
    """Outcomes that went out from a session or stand in it, oldest first."""
    return [
        ReplayRecord(source.hex(), span.hex(), session, source_session, json.loads(changes), json.loads(diff), time_ns)
        for span, source, session, source_session, time_ns, changes, diff in execute(
            "SELECT span_id, source_span_id, session_id, source_session_id, time_ns, changes, diff FROM replay"
            " WHERE session_id = ?1 OR source_session_id = ?1 ORDER BY time_ns, span_id", (session_id,))
    ]


def facts(execute: Execute, directory: Path) -> Mapping[str, Any]:
    """Where the store is, how large, and how many of what."""
    counts = {f"{table}s": execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("session", "step", "trace")}  # noqa: S608
    calls = execute("SELECT count(*) FROM step WHERE kind = 'call'").fetchone()[0]
    raw, packed = execute("SELECT coalesce(sum(raw_bytes), 0), coalesce(sum(length(data)), 0) FROM pack").fetchone()
    size = sum(path.stat().st_size for path in directory.glob("store.sqlite*"))
    names = ("name", "endpoint", "protocol", "content", "state", "waiting", "sent", "refused", "lost", "failures", "last_error",
             "last_error_ns")
    forwarding = [dict(zip(names, row, strict=True)) for row in execute(
        f"SELECT {', '.join(names)} FROM destination ORDER BY destination")]  # noqa: S608
    return {
        "forwarding": forwarding, "directory": str(directory), "bytes": size,
        "version": execute("PRAGMA user_version").fetchone()[0], "sqlite": sqlite3.sqlite_version, **counts,
        "calls": calls, "pack_raw_bytes": raw, "pack_bytes": packed,
    }


def verify(execute: Execute, exchanges: ExchangeReader) -> list[str]:
    """Everything that is wrong: what SQLite finds, and packs, bodies and spans that do not come back."""
    wrong = [row[0] for row in execute("PRAGMA integrity_check") if row[0] != "ok"]
    for step, span_id, trace_id, kind, has_span in execute(
        "SELECT s.step, s.span_id, t.trace_id, s.kind, s.span_pack IS NOT NULL FROM step s JOIN trace t USING (trace)"
    ).fetchall():
        try:
            if has_span:
                exchanges.span(span_id.hex())
            if kind == "call":
                exchanges.wire(step, trace_id, span_id)
        except (StoreDamaged, ValueError, KeyError) as error:
            wrong.append(f"{span_id.hex()}: {error}")
    return wrong


