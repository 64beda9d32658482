"""The tables of the store, drawn once, and how a file gets to the newest of them.

    session ─┬─< trace ──< step ─┬── call ───────> pack     the wire: headers, request skeleton, response
             │                   └── (span_*) ───> pack     the span's attributes, events and links, byte for byte
             ├─< message ─────────────────────────> pack     every message of a session once; class 0 is shared
             └── replay                                      outcomes of re-issued calls
    reissue ──< reissue_call    what a reissue is going to send, and what came of it (`otel_llm.values.journal`)
    step ──< history        which call ends with which conversation, as keyed hashes
    pending                 frames of calls that have not ended
    process ──< segment ──< segment_origin ──> resource, scope      what has been read of the spool
    loss                    the ledger
    found, search_later     the full text index, and what is to be put there when it has ended
    destination ─┬─< outbox ──> step        which spans wait for which OTLP endpoint; nothing is kept twice
                 ├─< segment_destination    where the spans of a segment go
                 └─< dead_letter            what an endpoint refused, one row a request
    meta, migration         the store's key, when it was made, what was applied

Ids are blobs (`hex(span_id)` shows them), times integer nanoseconds UTC, money integer pico-USD, tags and models JSON. The
views `calls`, `sessions` and `steps` answer the usual questions in a bare `sqlite3` shell. An item in a pack is (pack,
offset, length) in the decompressed bytes.

Migrations are appended and never edited; each runs in one transaction together with its record.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from otel_llm.values.errors import StoreDamaged, StoreError, StoreTooNew, StoreUnwritable

APPLICATION_ID = 0x6F6C6C6D
FILE = "store.sqlite"
BUSY_MS = 20_000

_FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE process (process INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, frames INTEGER NOT NULL DEFAULT 0,
  top INTEGER NOT NULL DEFAULT -1, explained INTEGER NOT NULL DEFAULT 0, last_ns INTEGER);
CREATE TABLE segment (segment INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, process INTEGER NOT NULL,
  offset INTEGER NOT NULL, done_ns INTEGER);
CREATE TABLE segment_origin (segment INTEGER, number INTEGER, resource INTEGER, scope INTEGER,
  PRIMARY KEY (segment, number)) WITHOUT ROWID;
CREATE TABLE resource (resource INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE, service TEXT);
CREATE TABLE scope (scope INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE, name TEXT);

CREATE TABLE session (session INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL UNIQUE, inferred INTEGER NOT NULL,
  title TEXT NOT NULL DEFAULT '', title_ns INTEGER, first_ns INTEGER NOT NULL DEFAULT 0, last_ns INTEGER NOT NULL DEFAULT 0,
  turns INTEGER NOT NULL DEFAULT 0, calls INTEGER NOT NULL DEFAULT 0, steps INTEGER NOT NULL DEFAULT 0,
  errors INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL DEFAULT 'ok',
  input_tokens INTEGER, output_tokens INTEGER, cache_read_input_tokens INTEGER,
  cache_write_input_tokens INTEGER, reasoning_output_tokens INTEGER,
  more_usage TEXT, cost INTEGER, cost_input INTEGER, cost_output INTEGER, unpriced_calls INTEGER NOT NULL DEFAULT 0,
  models TEXT NOT NULL DEFAULT '[]', user_id TEXT, tags TEXT, service TEXT, replay_of TEXT);
CREATE INDEX session_last ON session (last_ns);
CREATE TABLE trace (trace INTEGER PRIMARY KEY, trace_id BLOB NOT NULL UNIQUE, session INTEGER NOT NULL,
  is_named INTEGER NOT NULL);
CREATE INDEX trace_session ON trace (session);

CREATE TABLE step (step INTEGER PRIMARY KEY, span_id BLOB NOT NULL, trace INTEGER NOT NULL, parent_span_id BLOB,
  session INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, operation TEXT, state TEXT NOT NULL,
  start_ns INTEGER NOT NULL, end_ns INTEGER, provider TEXT, model TEXT, response_model TEXT, is_stream INTEGER,
  first_chunk_ns INTEGER, input_tokens INTEGER, output_tokens INTEGER, cache_read_input_tokens INTEGER,
  cache_write_input_tokens INTEGER,
  reasoning_output_tokens INTEGER, more_usage TEXT, cost INTEGER, cost_input INTEGER, cost_output INTEGER, attempts INTEGER,
  error_type TEXT, error_message TEXT, finish_reason TEXT, user_id TEXT, prompt_name TEXT, prompt_version TEXT, tags TEXT,
  api TEXT, exactness TEXT, request_preview TEXT, response_preview TEXT,
  is_turn INTEGER, known_messages INTEGER, names_session INTEGER, process INTEGER,
  resource INTEGER, scope INTEGER, span_kind INTEGER, span_pack INTEGER, span_at INTEGER, span_length INTEGER);
CREATE INDEX step_span ON step (span_id);
CREATE INDEX step_session ON step (session, start_ns);
CREATE INDEX step_trace ON step (trace);
CREATE INDEX step_call ON step (start_ns) WHERE kind = 'call';
CREATE INDEX step_running ON step (process) WHERE state = 'running';

CREATE TABLE call (step INTEGER PRIMARY KEY, wire_pack INTEGER NOT NULL, wire_at INTEGER NOT NULL,
  wire_length INTEGER NOT NULL, response_pack INTEGER, response_at INTEGER, response_length INTEGER);
CREATE TABLE message (message INTEGER PRIMARY KEY, class INTEGER NOT NULL, hash BLOB NOT NULL, pack INTEGER NOT NULL,
  offset INTEGER NOT NULL, length INTEGER NOT NULL);
CREATE INDEX message_hash ON message (hash, class);
CREATE TABLE pack (pack INTEGER PRIMARY KEY, kind TEXT NOT NULL, codec TEXT NOT NULL, raw_bytes INTEGER NOT NULL,
  data BLOB NOT NULL);
CREATE INDEX pack_kind ON pack (kind, pack);
CREATE TABLE pending (trace_id BLOB NOT NULL, span_id BLOB NOT NULL, kind INTEGER NOT NULL, number INTEGER NOT NULL,
  process INTEGER NOT NULL, header BLOB NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (span_id, trace_id, kind, number));
CREATE TABLE history (chain BLOB NOT NULL, step INTEGER NOT NULL, is_failed INTEGER NOT NULL, is_extended INTEGER NOT NULL,
  PRIMARY KEY (chain, step)) WITHOUT ROWID;
CREATE TABLE loss (reason TEXT PRIMARY KEY, count INTEGER NOT NULL, last_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE replay (span_id BLOB PRIMARY KEY, source_span_id BLOB NOT NULL, session_id TEXT NOT NULL,
  source_session_id TEXT NOT NULL, time_ns INTEGER NOT NULL, changes TEXT NOT NULL, diff TEXT NOT NULL);
CREATE INDEX replay_session ON replay (session_id);
CREATE INDEX replay_source ON replay (source_session_id);
CREATE TABLE search_later (doc INTEGER PRIMARY KEY);

CREATE VIEW steps AS SELECT datetime(s.start_ns / 1000000000, 'unixepoch') AS started, n.session_id AS session, s.kind, s.name,
  s.state, (s.end_ns - s.start_ns) / 1e6 AS ms, s.model, s.input_tokens, s.output_tokens, s.cost / 1e12 AS cost_usd,
  s.error_type, s.request_preview AS asked, s.response_preview AS answered, lower(hex(t.trace_id)) AS trace_id,
  lower(hex(s.span_id)) AS span_id, lower(hex(s.parent_span_id)) AS parent_span_id
  FROM step s JOIN session n USING (session) JOIN trace t USING (trace);
CREATE VIEW calls AS SELECT * FROM steps WHERE kind = 'call';
CREATE VIEW sessions AS SELECT session_id, title, datetime(first_ns / 1000000000, 'unixepoch') AS started,
  datetime(last_ns / 1000000000, 'unixepoch') AS last, status, turns, calls, errors, input_tokens, output_tokens,
  cost / 1e12 AS cost_usd, models, user_id, tags, service, inferred, replay_of FROM session;
"""

_FORWARDING = """
CREATE TABLE destination (destination INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, endpoint TEXT NOT NULL,
  protocol TEXT NOT NULL, content TEXT NOT NULL, headers TEXT NOT NULL, cap_bytes INTEGER NOT NULL,
  waiting INTEGER NOT NULL DEFAULT 0, sent INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0,
  lost INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0, retry_ns INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT 'new', last_sent_ns INTEGER, last_error TEXT, last_error_ns INTEGER,
  UNIQUE (name, endpoint, protocol, content));
CREATE TABLE segment_destination (segment INTEGER, destination INTEGER, PRIMARY KEY (segment, destination)) WITHOUT ROWID;
CREATE TABLE outbox (destination INTEGER, step INTEGER, PRIMARY KEY (destination, step)) WITHOUT ROWID;
CREATE TABLE dead_letter (letter INTEGER PRIMARY KEY AUTOINCREMENT, destination INTEGER NOT NULL, spans INTEGER NOT NULL,
  steps TEXT NOT NULL, reason TEXT NOT NULL, time_ns INTEGER NOT NULL);
CREATE INDEX dead_letter_destination ON dead_letter (destination);
CREATE VIEW destinations AS SELECT name, endpoint, protocol, content, state, waiting, sent, refused, lost,
  datetime(last_sent_ns / 1000000000, 'unixepoch') AS last_sent, last_error,
  datetime(last_error_ns / 1000000000, 'unixepoch') AS last_error_at FROM destination;
"""

_WORDS_OF_VIEWS = """
DROP VIEW calls;
DROP VIEW steps;
CREATE VIEW steps AS SELECT datetime(s.start_ns / 1000000000, 'unixepoch') AS started, n.session_id AS session, s.kind, s.name,
  CASE WHEN s.state = 'ok' AND s.kind = 'call' AND s.is_stream AND s.finish_reason IS NULL AND s.exactness <> 'none'
  AND s.operation IN ('chat', 'text_completion', 'generate_content', 'fetch_response')
  AND EXISTS (SELECT 1 FROM call c WHERE c.step = s.step AND c.response_pack IS NOT NULL)
  THEN 'incomplete' ELSE s.state END AS state,
  (s.end_ns - s.start_ns) / 1e6 AS duration_ms, s.model, s.input_tokens, s.output_tokens, s.cost / 1e12 AS cost_usd,
  s.error_type, s.request_preview AS asked, s.response_preview AS answered, lower(hex(t.trace_id)) AS trace_id,
  lower(hex(s.span_id)) AS span_id, lower(hex(s.parent_span_id)) AS parent_span_id
  FROM step s JOIN session n USING (session) JOIN trace t USING (trace);
CREATE VIEW calls AS SELECT * FROM steps WHERE kind = 'call';
"""

_ERRORS_TO_SEARCH = """
INSERT OR IGNORE INTO search_later SELECT step * 4 + 2 FROM step WHERE kind IN ('call', 'tool') AND error_type IS NOT NULL;
"""
"""What failed has been indexed without its error; it gets another document (`otel_llm.store.search`) at the next search."""

_JOURNAL = """
CREATE TABLE reissue (session_id TEXT PRIMARY KEY, source_session_id TEXT NOT NULL, options TEXT NOT NULL,
  time_ns INTEGER NOT NULL, elapsed_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE reissue_call (session_id TEXT NOT NULL, place INTEGER NOT NULL, source_span_id BLOB NOT NULL,
  iteration INTEGER NOT NULL, state TEXT NOT NULL, span_id BLOB, sends INTEGER NOT NULL, cost INTEGER NOT NULL,
  PRIMARY KEY (session_id, source_span_id, iteration)) WITHOUT ROWID;
"""

MIGRATIONS: tuple[tuple[str, str], ...] = (
    ("the first tables", _FIRST), ("forwarding", _FORWARDING), ("the words of the views", _WORDS_OF_VIEWS),
    ("errors in the search", _ERRORS_TO_SEARCH), ("the journal of reissues", _JOURNAL))
"""(name, SQL) by version, from 1."""


def connect(directory: Path) -> sqlite3.Connection:
    """The database of a store, made and migrated when needed. Raises a `StoreError` that says what to do."""
    path = directory / FILE
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.OperationalError) as error:
        raise StoreUnwritable(f"The store {directory} cannot be opened for writing: {error}. Is the directory yours?") from error
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        check(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        migrate(connection)
    except sqlite3.Error as error:
        connection.close()
        raise explained(error, path) from error
    except StoreError:
        connection.close()
        raise
    return connection


def connect_readonly(directory: Path) -> sqlite3.Connection:
    """The database as it is, for a directory that cannot be written."""
    path = directory / FILE
    if not path.exists():
        raise StoreUnwritable(f"There is no store in {directory}, and none can be made there.")
    last: sqlite3.Error | None = None
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        try:
            connection = sqlite3.connect(f"file:{_quoted(path)}?{mode}", uri=True, timeout=5, isolation_level=None,
                                         check_same_thread=False)
        except sqlite3.Error as error:
            raise explained(error, path) from error
        try:
            check(connection, path)
            if version(connection) < len(MIGRATIONS):
                raise StoreUnwritable(f"The store {path} is of an older layout and cannot be brought up to date in place. "
                                      "Copy it to a directory that you can write.")
            return connection
        except sqlite3.OperationalError as error:
            connection.close()
            last = error
        except (sqlite3.Error, StoreError):
            connection.close()
            raise
    raise explained(last or sqlite3.OperationalError("cannot be opened"), path)


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise when the file is another program's database or a newer release's store."""
    # tables are looked for first: whoever makes them sets the id in the same transaction
    has_tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
    mine = connection.execute("PRAGMA application_id").fetchone()[0]
    found = version(connection)
    if has_tables and mine != APPLICATION_ID:
        raise StoreDamaged(f"{path} is a database of another program, not an otel-llm store. Choose another directory.")
    if found > len(MIGRATIONS):
        raise StoreTooNew(f"{path} was written by a newer release of otel-llm (layout {found}; this release knows "
                          f"{len(MIGRATIONS)}). Upgrade: pip install -U otel-llm")


def migrate(connection: sqlite3.Connection) -> None:
    """Apply what is missing, each migration in one transaction with its record. Safe in several processes at once."""
    while version(connection) < len(MIGRATIONS):
        connection.execute("BEGIN IMMEDIATE")
        try:
            at = version(connection)
            if at < len(MIGRATIONS):
                if at == 0:
                    _begin(connection)
                name, script = MIGRATIONS[at]
                for statement in script.split(";\n"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute("INSERT INTO migration VALUES (?, ?, ?)", (at + 1, name, time.time_ns()))
                if at == 0:
                    connection.execute("INSERT INTO meta VALUES ('key', ?)", (os.urandom(32),))
                    connection.execute("INSERT INTO meta VALUES ('created_ns', ?)", (time.time_ns(),))
                connection.execute(f"PRAGMA user_version = {at + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _begin(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("CREATE TABLE migration (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_ns INTEGER NOT NULL)")


def explained(error: sqlite3.Error, path: Path) -> StoreError:
    """The error of ours that says what this error of SQLite means."""
    text = str(error)
    if "readonly" in text or "unable to open" in text or "disk is full" in text or "disk I/O" in text or "permission" in text:
        return StoreUnwritable(f"The store {path} cannot be written: {text}. Check permissions and free space.")
    if "locked" in text or "busy" in text:
        return StoreUnwritable(f"The store {path} is busy: another process has held it for {BUSY_MS // 1000} s. Try again.")
    return StoreDamaged(f"{path} is damaged or no SQLite database ({text}). Move it away to begin a new store, or restore a "
                        "copy; `sqlite3 … .recover` may save what is readable.")
