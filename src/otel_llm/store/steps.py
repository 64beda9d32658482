"""Writing one batch's steps: what was gathered of a span meets what the store has of it already, and becomes one row.

For every span: find its row, read its call when bytes came, place it in a session, keep bodies and attributes in packs, and
write the row. The values of the span frame win over those of the call's frames, whichever comes first, because the span
is what everybody else sees as well.

A step that cannot be written costs itself: the batch goes on and the loss is counted.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from otel_llm import semconv
from otel_llm.store import columns
from otel_llm.store.bodies import BodyWriter
from otel_llm.store.calls import TALKS, Reading, answered, asked, read_attributes, read_frames, talk, title
from otel_llm.store.columns import Columns, merge
from otel_llm.store.intake import UNREADABLE, Gathered
from otel_llm.store.packs import PackWriter
from otel_llm.store.rows import INSERT_STEP, SELECT_ROW, STEP_COLUMNS, row_of, usage_of
from otel_llm.store.sessions import Asked, Match, Sessions, asked_for
from otel_llm.store.spanframe import span_tail
from otel_llm.values.call import Cost
from otel_llm.values.guard import guard
from otel_llm.values.tape import CALL_END, CALL_PART, CALL_START, FUNCTION, CallEnd, CallStart

MAX_SESSION_ID = 500
DOCS = 4
"""Documents of the full text index by step: one when it is first seen, another when its content comes later."""

Pricer = Callable[..., Cost | None]
"""`PriceTable.exact`: (provider, model, usage, at_ns, *, service_tier)."""


class StepWriter:
    """Writes the steps of one batch inside the caller's transaction."""

    def __init__(
        self, connection: sqlite3.Connection, sessions: Sessions, packs: PackWriter, bodies: BodyWriter, price: Pricer | None
    ) -> None:
        self._connection, self._sessions, self._packs, self._bodies = connection, sessions, packs, bodies
        self._price = price
        self._waits = connection.execute("SELECT 1 FROM pending LIMIT 1").fetchone() is not None
        self._next = int(connection.execute("SELECT coalesce(max(step), 0) + 1 FROM step").fetchone()[0])
        self._origins: dict[tuple[int, int], tuple[int | None, int | None]] = {}
        self.spans: list[tuple[int, int]] = []
        """(segment, step) of every span that the store had not got before: what there is to forward."""

    def write(self, spans: Iterable[Gathered]) -> None:
        """Write all of them. Raises when one cannot be written."""
        for found in spans:
            self._write(found)

    def write_carefully(self, spans: Iterable[Gathered]) -> Counter[str]:
        """Write those that can be written; the others by reason."""
        losses: Counter[str] = Counter()
        for found in spans:
            self._connection.execute("SAVEPOINT step")
            written = False
            with guard("index a step"):
                self._write(found)
                written = True
            if not written:
                losses[UNREADABLE] += 1
                self._connection.execute("ROLLBACK TO step")
                self._sessions.forget_cached()
            self._connection.execute("RELEASE step")
        return losses

    def _write(self, found: Gathered) -> None:
        row, is_new = self._row(found)
        reading, bodies = self._take_call(found, row, is_new) if found.has_call else (None, None)
        attributes = self._take_span(found, row)
        if attributes is not None and reading is None and row["kind"] == "call" and not row.get("request_preview"):
            reading = read_attributes(attributes)
        if "name" not in row:
            return  # an end whose start has not come; it waits in `pending`
        if attributes is None and found.frames.start is not None:
            attributes = found.frames.start["attributes"]
        finished = row["state"] != "running"
        conversation = None if reading is None else talk(reading, self._sessions, failed=finished and row["state"] != "ok")
        match = None
        named = _named(attributes or {})
        if is_new or named is not None or conversation is not None:
            tool = _tool_of(found, row)
            trace, session, match = self._sessions.place(found.trace_id, named, conversation, row["process"], tool)
            row["trace"] = trace.trace
            if named is not None or not row.get("names_session"):
                row["session"] = session
            if named is not None:
                row["names_session"] = 1
        self._sessions.touched.add(row["session"])
        if reading is not None:
            self._describe(row, reading, match)
        if row["kind"] == "call" and finished:
            self._price_call(row, reading, attributes or {})
        if row["kind"] == "call" and row.get("is_turn") is None and (reading is None or not reading.roles):
            row["is_turn"] = int(row.get("operation") in TALKS and not self._trace_has_calls(row))
        if attributes is not None:
            self._note_source(row["session"], attributes)
        values = tuple(map(row.get, STEP_COLUMNS))
        try:
            self._connection.execute(INSERT_STEP, values)
        except UnicodeEncodeError:  # lone surrogates: the columns show `?`, the span frame keeps what it said
            self._connection.execute(INSERT_STEP, tuple(
                v.encode("utf-8", "replace").decode("utf-8") if isinstance(v, str) else v for v in values))
        if bodies is not None and found.frames.end is not None:
            self._keep(found, row, reading, bodies)
        if conversation is not None and finished:
            self._sessions.remember(row["step"], conversation, match, row["process"])

    def _row(self, found: Gathered) -> tuple[Columns, bool]:
        """The columns that the store has of this span, or those of a new row."""
        values = self._connection.execute(_FIND, (bytes.fromhex(found.span_id), bytes.fromhex(found.trace_id))).fetchone()
        if values is not None:
            return row_of(values), False
        row: Columns = {"step": self._next, "span_id": bytes.fromhex(found.span_id), "kind": "other", "process": found.process}
        self._next += 1
        return row, True

    # -- the span ----------------------------------------------------------------------------------------------------

    def _take_span(self, found: Gathered, row: Columns) -> Mapping[str, Any] | None:
        """Put what the span says into the row; its attributes, or None when no span came that the store has not got."""
        if found.span is None or found.span_list is None or row.get("span_pack") is not None:
            return None
        header = found.span_list
        was_call = row["kind"] == "call"
        merge(row, columns.of_span(header), wins=True)
        if was_call:
            row["kind"] = "call"
        row["resource"], row["scope"] = self._origin(found.segment, header[0])[0], self._origin(found.segment, header[1])[1]
        row["span_pack"], row["span_at"], row["span_length"] = self._packs.add("span", span_tail(found.span, header))
        self.spans.append((found.segment, row["step"]))
        return cast(Mapping[str, Any], header[9])

    def _origin(self, segment: int, number: int) -> tuple[int | None, int | None]:
        known = self._origins.get((segment, number))
        if known is None:
            row = self._connection.execute(
                "SELECT resource, scope FROM segment_origin WHERE segment = ? AND number = ?", (segment, number)).fetchone()
            known = self._origins[segment, number] = (None, None) if row is None else (row[0], row[1])
        return known

    # -- the call ----------------------------------------------------------------------------------------------------

    def _take_call(
        self, found: Gathered, row: Columns, is_new: bool
    ) -> tuple[Reading | None, tuple[bytes, bytes | None] | None]:
        """Put what the call's frames say into the row; what its bodies say, and the bodies."""
        frames = found.frames
        if not is_new and self._connection.execute("SELECT 1 FROM call WHERE step = ?", (row["step"],)).fetchone() is not None:
            return None, None  # delivered again
        if not is_new:
            self._connection.execute("INSERT OR IGNORE INTO search_later VALUES (?)", (row["step"] * DOCS + 1,))
        if not is_new or frames.start is None or frames.end is None:
            self._take_pending(found)
        if frames.end is None or frames.start is None:
            self._keep_pending(found)
        if frames.start is None:
            return None, None
        bodies = frames.bodies()
        said = columns.of_start(frames.start)
        if frames.end is None and row.get("state") == "incomplete":
            said["state"] = "incomplete"
        if frames.end is not None:
            merge(said, columns.of_end(frames.start, frames.end, has_body=bool(bodies[0])), wins=True)
        reading = read_frames(frames, *bodies, said.get("provider"), self._sessions.seen)
        if reading is not None:
            failed = said["state"] == "error"
            merge(said, columns.of_call(reading.call), wins=False)
            if frames.end is not None and not failed and "error_type" in said:
                said["state"] = "error"
        merge(row, said, wins=row.get("span_pack") is None)
        row["kind"], row["exactness"] = said.get("kind", "other"), said.get("exactness")
        if frames.start["api"] == FUNCTION:
            row["request_preview"], row["response_preview"] = (_words_of(body) for body in bodies)
        return reading, bodies

    def _describe(self, row: Columns, reading: Reading, match: Match | None) -> None:
        """The words to show, whether a user spoke, and the title of the session."""
        known = match.length if match is not None else 0
        row["known_messages"] = known or None
        if not row.get("request_preview"):
            row["request_preview"] = asked(reading.messages(known) or reading.messages())
        row["response_preview"] = answered(reading.call.response) or row.get("response_preview")
        if reading.call.operation in TALKS and reading.roles:
            if row.get("is_turn") is None:
                row["is_turn"] = int("user" in reading.roles[known:])
            self._sessions.title(row["session"], row["start_ns"], lambda: title(reading))

    def _trace_has_calls(self, row: Columns) -> bool:
        return self._connection.execute(
            "SELECT 1 FROM step WHERE trace = ? AND kind = 'call' AND step <> ? LIMIT 1", (row["trace"], row["step"])
        ).fetchone() is not None

    def _price_call(self, row: Columns, reading: Reading | None, attributes: Mapping[str, Any]) -> None:
        """What the call costs, when its span does not say so."""
        if self._price is None or row.get("cost") is not None:
            return
        response = None if reading is None else reading.call.response
        tier = response.service_tier if response is not None else attributes.get(semconv.OPENAI_RESPONSE_SERVICE_TIER)
        with guard("price a recorded call"):
            usage = usage_of([row.get(c) for c in columns.USAGE_COLUMNS], row.get("more_usage"))
            for model in dict.fromkeys((row.get("response_model"), row.get("model"))):
                cost = self._price(row.get("provider"), model, usage, row["start_ns"],
                                   service_tier=tier if isinstance(tier, str) else None)
                if cost is not None:
                    row["cost"], row["cost_input"], row["cost_output"] = cost.total, cost.input, cost.output
                    return

    def _note_source(self, session: int, attributes: Mapping[str, Any]) -> None:
        """A replayed call names the call that it repeats, or the session; its own session then names that session."""
        source, named = (attributes.get(key) for key in (
            semconv.OTEL_LLM_REPLAY_SOURCE_SPAN_ID, semconv.OTEL_LLM_REPLAY_SOURCE_SESSION_ID))
        with guard("find the source of a replay"):
            if isinstance(named, str):
                self._connection.execute(
                    "UPDATE session SET replay_of = coalesce(replay_of, ?) WHERE session = ? AND session_id <> ?",
                    (named, session, named))
            elif isinstance(source, str) and len(source) == 16:
                self._connection.execute(
                    "UPDATE session SET replay_of = coalesce((SELECT n.session_id FROM step s JOIN session n USING (session)"
                    " WHERE s.span_id = ? AND s.session <> ?), replay_of) WHERE session = ?",
                    (bytes.fromhex(source), session, session))

    def _keep(self, found: Gathered, row: Columns, reading: Reading | None, bodies: tuple[bytes, bytes | None]) -> None:
        """Put the wire into packs; nothing of the call waits any more."""
        frames = found.frames
        item = self._bodies.add(frames.heads(), bodies[0], reading, row["session"])
        answer = self._packs.add("answer", bodies[1]) if bodies[1] is not None else (None, None, None)
        self._connection.execute("INSERT OR REPLACE INTO call VALUES (?, ?, ?, ?, ?, ?, ?)", (row["step"], *item, *answer))
        if self._waits:
            self._connection.execute("DELETE FROM pending WHERE span_id = ? AND trace_id = ?",
                                     (row["span_id"], bytes.fromhex(found.trace_id)))

    def _take_pending(self, found: Gathered) -> None:
        """Add the frames that came in earlier batches."""
        if not self._waits:
            return
        frames = found.frames
        for kind, number, header, body in self._connection.execute(
            "SELECT kind, number, header, body FROM pending WHERE span_id = ? AND trace_id = ? ORDER BY number",
            (bytes.fromhex(found.span_id), bytes.fromhex(found.trace_id)),
        ):
            if kind == CALL_START and frames.start is None:
                frames.start, frames.start_body = cast(CallStart, json.loads(header)), body
            elif kind == CALL_END and frames.end is None:
                frames.end, frames.end_body = cast(CallEnd, json.loads(header)), body
            elif kind == CALL_PART and all(number != n for n, _ in frames.parts or ()):
                frames.parts = [*(frames.parts or ()), (number, body)]

    def _keep_pending(self, found: Gathered) -> None:
        self._waits = True
        frames, ids = found.frames, (bytes.fromhex(found.trace_id), bytes.fromhex(found.span_id))
        rows: list[tuple[int, int, bytes, bytes]] = []
        if frames.start is not None:
            rows.append((CALL_START, 0, _dump(frames.start), frames.start_body))
        if frames.end is not None:
            rows.append((CALL_END, 0, _dump(frames.end), frames.end_body))
        rows += [(CALL_PART, number, b"", body) for number, body in frames.parts or ()]
        self._connection.executemany(
            "INSERT OR IGNORE INTO pending VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(*ids, kind, number, found.process, header, body) for kind, number, header, body in rows])


_FIND = f"{SELECT_ROW} WHERE s.span_id = ? AND t.trace_id = ?"


def _named(attributes: Mapping[str, Any]) -> str | None:
    """The session that a span names."""
    for name in (semconv.GEN_AI_CONVERSATION_ID, semconv.SESSION_ID):
        value = attributes.get(name)
        if isinstance(value, str) and value:
            return value[:MAX_SESSION_ID]
    return None


def _words_of(body: bytes | None) -> str:
    """The first words of a function's arguments or result."""
    return "" if body is None or body == b"null" else columns.preview(body.decode("utf-8", "replace"))


def _tool_of(found: Gathered, row: Columns) -> Asked | None:
    """The tool call that a tool step without a parent may be the answer to."""
    start = found.frames.start
    if row["kind"] != "tool" or start is None or start["parent_span_id"] is not None:
        return None
    name = start["attributes"].get(semconv.GEN_AI_TOOL_NAME)
    return asked_for(name, found.frames.start_body) if isinstance(name, str) else None


def _dump(header: CallStart | CallEnd) -> bytes:
    return json.dumps(header, separators=(",", ":")).encode()
