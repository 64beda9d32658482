"""Which session a step belongs to: the one that the application names, or the one whose conversation it goes on with.

    a span names a conversation or session    → that session; it is also that of all unnamed steps of the trace
    another step of the same trace is placed  → the same session
    a tool runs in a trace of its own         → the session of the call of this process that asked for it
    a call's history is known                 → the session of the call that ended with this history
    else                                      → a new session, its id made from the trace id

A history is known by a chain of keyed hashes over what the messages say (`otel_llm.adapters.history`), without system
prompts, since programs put the time of day there. Every answered call leaves the hash of "its messages and its answer"; a
later call that begins with these messages goes on with that conversation. A failed call leaves the hash of its messages
alone, which only its own process may take up: that is how a retry after a caught error stays in its session. Among several
calls that ended alike, the latest of the same process that nobody has gone on with is the one; when there is none, it
is a conversation of its own. Only hashes and row numbers are kept.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from otel_llm.store.seen import Seen
from otel_llm.store.spanframe import storable
from otel_llm.values.canonical import canonical_json, keyed_hash

NEVER = 1 << 62
_KNOWN = ("SELECT h.step, s.session, s.process, h.is_failed, h.is_extended, h.chain"
          " FROM history h JOIN step s USING (step)")
MAX_BOUNDARIES = 100
"""How many of the last messages of a history are looked up."""
FEW_BOUNDARIES = 4
"""How many of them first, since a conversation usually goes on from where it was."""


@dataclass(slots=True)
class Conversation:
    """What a call says about the conversation it is part of.

    `chains[i]` stands for the first i messages. `answers` are chains that end with an answer, one a choice; a failed call
    has none. The ids are those of the Responses API.
    """

    chains: Sequence[bytes] = (b"",)
    answers: Sequence[bytes] = ()
    has_failed: bool = False
    response_id: str | None = None
    previous_response_id: str | None = None
    conversation_id: str | None = None
    asks: Sequence[Asked] = ()
    """The tools that the answer asks for."""


class Asked(NamedTuple):
    """A tool call: the tool's name, and its arguments in canonical JSON."""

    name: str
    arguments: str


def asked_for(name: str, arguments: str | bytes) -> Asked:
    """A tool call by its name and the JSON text of its arguments, however that is spelled."""
    try:
        return Asked(name, canonical_json(json.loads(arguments)))
    except (ValueError, RecursionError):
        return Asked(name, "")


class Match(NamedTuple):
    """The earlier call that a conversation goes on with, and how many messages they share."""

    step: int
    session: int
    chain: bytes
    length: int


@dataclass(slots=True)
class Trace:
    trace: int
    session: int
    is_named: bool


@dataclass(slots=True)
class Sessions:
    """Places steps in sessions, inside the caller's transaction. `touched` are the sessions whose row must be made anew."""

    connection: sqlite3.Connection
    key: bytes
    seen: Seen
    touched: set[int] = field(default_factory=set)
    _traces: dict[str, Trace] = field(default_factory=dict)
    _named: dict[str, int] = field(default_factory=dict)
    _titled: dict[int, int] = field(default_factory=dict)

    def chain(self, keys: Sequence[bytes]) -> list[bytes]:
        """The chain over message keys: one more entry than there are keys."""
        chain = [b""]
        for key in keys:
            chain.append(self.after(chain[-1], key))
        return chain

    def after(self, chain: bytes, key: bytes) -> bytes:
        """The chain with one message more."""
        return self.seen.after(chain, key)

    def link(self, kind: bytes, id_: str) -> bytes:
        """The chain that stands for an id of a provider."""
        return keyed_hash(self.key, kind, id_.encode("utf-8", "surrogatepass"))

    def trace(self, trace_id: str) -> Trace | None:
        """The trace, when a step of it has been placed."""
        found = self._traces.get(trace_id)
        if found is None:
            row = self.connection.execute(
                "SELECT trace, session, is_named FROM trace WHERE trace_id = ?", (bytes.fromhex(trace_id),)).fetchone()
            if row is not None:
                found = self._traces[trace_id] = Trace(row[0], row[1], bool(row[2]))
        return found

    def place(
        self, trace_id: str, named: str | None, conversation: Conversation | None, process: int, tool: Asked | None = None
    ) -> tuple[Trace, int, Match | None]:
        """The trace of a step, its session, and the call that it goes on with."""
        trace = self.trace(trace_id)
        match = None if conversation is None else self.match(conversation, process, None if trace is None else trace.session)
        if named is not None:
            session = self._session(storable(named), inferred=False)
            if trace is None:
                trace = self._new_trace(trace_id, session, is_named=True)
            elif not trace.is_named:
                self._move(trace, session)
                trace.is_named = True
                self.connection.execute("UPDATE trace SET is_named = 1 WHERE trace = ?", (trace.trace,))
        elif trace is None:
            if match is None and tool is not None:
                match = self._asker(tool, process)
            session = match.session if match is not None else self._session(new_id(trace_id), inferred=True)
            trace = self._new_trace(trace_id, session, is_named=False)
        else:
            if match is not None and match.session != trace.session and not trace.is_named and self._is_alone(trace):
                self._move(trace, match.session)
            session = trace.session
        self.touched.add(session)
        return trace, session, match

    def match(self, conversation: Conversation, process: int, home: int | None = None) -> Match | None:
        """The call that this one goes on with, by the ids of the Responses API or by the longest known history.

        `home` is the session of its trace, where that is known already (an import says it first): what fits there goes first.
        """
        links = []
        if conversation.previous_response_id is not None:
            links.append(self.link(b"response", conversation.previous_response_id))
        if conversation.conversation_id is not None:
            links.append(self.link(b"conversation", conversation.conversation_id))
        for chain in links:
            rows = self._known([chain])
            if rows:
                step, session, *_ = max(rows, key=lambda row: row[0])
                return Match(step, session, chain, 0)
        chains = conversation.chains
        end = len(chains)
        for first in (max(1, end - FEW_BOUNDARIES), max(1, end - MAX_BOUNDARIES)):
            by_chain: dict[bytes, list[tuple[int, int, int, bool, bool]]] = {}
            if end > first:
                for step, session, owner, failed, extended, chain in self._known(chains[first:end]):
                    if not failed or owner == process or session == home:
                        by_chain.setdefault(chain, []).append((step, session, owner, failed, extended))
            for length in range(end - 1, first - 1, -1):
                if candidates := by_chain.get(chains[length]):
                    candidates = [c for c in candidates if c[1] == home] or candidates
                    if len({session for _, session, *_ in candidates}) > 1:
                        candidates = [c for c in candidates if c[2] == process and not c[4]]
                        if not candidates:
                            return None
                    step, session, *_ = max(candidates)
                    return Match(step, session, chains[length], length)
            end = first
        return None

    def _asker(self, tool: Asked, process: int) -> Match | None:
        """The latest call of this process that asked for this tool, best with these arguments."""
        for chain in self._asking(tool, process):
            if rows := self._known([chain]):
                step, session, *_ = max(rows, key=lambda row: row[0])
                return Match(step, session, chain, 0)
        return None

    def _asking(self, tool: Asked, process: int) -> tuple[bytes, bytes]:
        return (self.link(b"tool call", f"{process} {tool.name} {tool.arguments}"), self.link(b"tool", f"{process} {tool.name}"))

    def _known(self, chains: Sequence[bytes]) -> list[tuple[int, int, int, bool, bool, bytes]]:
        marks = ",".join("?" * len(chains))
        return self.connection.execute(f"{_KNOWN} WHERE h.chain IN ({marks})", tuple(chains)).fetchall()

    def remember(self, step: int, conversation: Conversation, match: Match | None, process: int) -> None:
        """Leave the hashes by which later calls find this one."""
        entries = [(chain, step, False) for chain in conversation.answers]
        if conversation.has_failed:
            entries.append((conversation.chains[-1], step, True))
        elif match is not None and match.length:
            self.connection.execute(
                "UPDATE history SET is_extended = 1 WHERE chain = ? AND step = ?", (match.chain, match.step))
        if conversation.response_id is not None:
            entries.append((self.link(b"response", conversation.response_id), step, False))
        if conversation.conversation_id is not None:
            entries.append((self.link(b"conversation", conversation.conversation_id), step, False))
        entries += [(chain, step, False) for tool in conversation.asks for chain in self._asking(tool, process)]
        for chain, number, failed in entries:
            if chain:
                self.connection.execute("INSERT OR IGNORE INTO history VALUES (?, ?, ?, 0)", (chain, number, failed))

    def forget_cached(self) -> None:
        """What was looked up may not hold any more, because the writing was undone."""
        self._traces.clear()
        self._named.clear()
        self._titled.clear()

    def title(self, session: int, start_ns: int, words: Callable[[], str]) -> None:
        """Name a session after its earliest call; `words` is only asked when this may be it."""
        known = self._titled.get(session)
        if known is None:
            row = self.connection.execute("SELECT title_ns FROM session WHERE session = ?", (session,)).fetchone()
            known = self._titled[session] = NEVER if row is None or row[0] is None else row[0]
        if start_ns < known and (found := words()):
            self.connection.execute("UPDATE session SET title = ?, title_ns = ? WHERE session = ?", (found, start_ns, session))
            self._titled[session] = start_ns

    def _session(self, session_id: str, *, inferred: bool) -> int:
        """The session of an id, made when there is none. A name that the application gives is no inference any more."""
        known = self._named.get(session_id)
        if known is not None:
            return known
        row = self.connection.execute("SELECT session, inferred FROM session WHERE session_id = ?", (session_id,)).fetchone()
        if row is None:
            cursor = self.connection.execute("INSERT INTO session (session_id, inferred) VALUES (?, ?)", (session_id, inferred))
            number = cast(int, cursor.lastrowid)
        else:
            number = row[0]
            if row[1] and not inferred:
                self.connection.execute("UPDATE session SET inferred = 0 WHERE session = ?", (number,))
        if not inferred:
            self._named[session_id] = number
        return number

    def _new_trace(self, trace_id: str, session: int, *, is_named: bool) -> Trace:
        cursor = self.connection.execute(
            "INSERT INTO trace (trace_id, session, is_named) VALUES (?, ?, ?)", (bytes.fromhex(trace_id), session, is_named))
        trace = self._traces[trace_id] = Trace(cast(int, cursor.lastrowid), session, is_named)
        return trace

    def _is_alone(self, trace: Trace) -> bool:
        """True when the session was made for this trace and holds no other."""
        row = self.connection.execute(
            "SELECT n.inferred, (SELECT count(*) FROM trace t WHERE t.session = n.session),"
            " (SELECT count(*) FROM step s WHERE s.session = n.session AND s.names_session) FROM session n WHERE n.session = ?",
            (trace.session,)).fetchone()
        return bool(row[0]) and row[1] == 1 and row[2] == 0

    def _move(self, trace: Trace, session: int) -> None:
        """Put a trace and its unnamed steps into another session; a session that is empty then goes."""
        old = trace.session
        if old == session:
            return
        self.connection.execute("UPDATE trace SET session = ? WHERE trace = ?", (session, trace.trace))
        self.connection.execute(
            "UPDATE step SET session = ? WHERE trace = ? AND names_session IS NULL", (session, trace.trace))
        trace.session = session
        self.touched.update((old, session))
        self.forget_if_empty(old, session)

    def forget_if_empty(self, session: int, heir: int) -> None:
        """Remove a session without steps and traces; its messages go to the heir."""
        used = self.connection.execute(
            "SELECT EXISTS (SELECT 1 FROM step WHERE session = ?1) OR EXISTS (SELECT 1 FROM trace WHERE session = ?1)",
            (session,)).fetchone()[0]
        if used:
            return
        self.connection.execute(
            "UPDATE session SET (title, title_ns) = (SELECT title, title_ns FROM session WHERE session = ?1) WHERE session = ?2"
            " AND coalesce(title_ns, 9e18) > coalesce((SELECT title_ns FROM session WHERE session = ?1), 9e18)", (session, heir))
        self.connection.execute("UPDATE message SET class = ? WHERE class = ?", (heir, session))
        self.connection.execute("DELETE FROM session WHERE session = ?", (session,))
        self.touched.discard(session)
        self._titled.clear()
        self._named = {name: number for name, number in self._named.items() if number != session}


def new_id(*parts: str) -> str:
    """`sess-` and 12 hex characters, made from the ids of the first step."""
    return "sess-" + hashlib.blake2b("/".join(parts).encode(), digest_size=6).hexdigest()
