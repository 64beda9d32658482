"""Which session repeats which, and step by step: what replayed steps say about their sources.

A reissue leaves a record of each call, and its spans, like those of a rerun, name the span that they repeat. Two replays of one
session are linked through the steps that both repeat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from otel_llm import semconv
from otel_llm.values.errors import NotFound
from otel_llm.values.session import Filter, SessionRow, Step
from otel_llm.values.store import Store

MOST = 10_000
"""Replays of one session that are looked at."""
LIVE = frozenset({"frozen", "threaded", "fork"})
"""Modes of replays in which a model was asked."""
MAX_CHAIN = 20
"""Replays of replays of …: so many are followed."""


def row_of(store: Store, session_id: str) -> SessionRow | None:
    """A session as lists show it."""
    return next(iter(store.sessions(Filter(session=(session_id,)), limit=1)), None)


def replay_of(store: Store, session_id: str) -> str | None:
    """The session that this one replays; None when it is no replay."""
    record = next((r for r in store.replays(session_id) if r.session_id == session_id), None)
    if record is not None:
        return record.source_session_id
    row = row_of(store, session_id)
    return row.replay_of if row is not None else None


def original(store: Store, session_id: str) -> str:
    """The session at the end of the chain of replays; the session itself when it is no replay."""
    at = session_id
    for _ in range(MAX_CHAIN):
        source = replay_of(store, at)
        if source is None or source == at:
            break
        at = source
    return at


@dataclass(frozen=True, slots=True)
class Replays:
    """The replays of a session: the one that stands for them, whether a model was asked in it, and how many there are."""

    chosen: str
    is_live: bool
    count: int


def replays_of(store: Store, session_id: str) -> Replays | None:
    """The replays of a session; None when there are none.

    The newest that asked a model anew (a reissue, a fork) stands for them: a rerun has the answers of the recording, and says
    nothing of them. What a suite or a bisect made comes last, since nobody asked for it by itself.
    """
    recorded = {r.session_id for r in store.replays(session_id) if r.source_session_id == session_id != r.session_id}
    found = {row.session_id: row for row in store.branches(session_id, limit=MOST)}
    found |= {name: row for name in recorded - found.keys() if (row := row_of(store, name)) is not None}
    newest = sorted(found.values(), key=lambda row: row.last_ns, reverse=True)
    made = [row for row in newest if row.kind != "trial"]
    live = next((row for row in made if row.session_id in recorded or _mode(store, row.session_id) in LIVE), None)
    chosen = live or next(iter(made or newest), None)
    return None if chosen is None else Replays(chosen.session_id, live is not None, len(newest))


def newest_repeat(store: Store, session_id: str, span_id: str) -> str | None:
    """The call that last repeated this one in a reissue, of a suite only when there is no other; None when there is none."""
    found = [record for record in store.replays(session_id) if record.source_span_id == span_id]
    trials = {name for name in {record.session_id for record in found} if (row := row_of(store, name)) and row.kind == "trial"}
    newest = max(found, key=lambda record: (record.session_id not in trials, record.time_ns), default=None)
    return None if newest is None else newest.span_id


def _mode(store: Store, session_id: str) -> object:
    """How the steps of a replay came about; the same for all of them."""
    steps = store.steps(session_id)
    return _attribute(store, steps[0], semconv.OTEL_LLM_REPLAY_MODE) if steps else None


def sources(store: Store, session_id: str, steps: Sequence[Step]) -> dict[str, str]:
    """Span id of each step that repeats another → the span id of that one."""
    known = {r.span_id: r.source_span_id for r in store.replays(session_id) if r.session_id == session_id}
    row = row_of(store, session_id)
    if row is None or row.replay_of is None:
        return known
    for step in steps:
        if step.span_id not in known:
            source = _attribute(store, step, semconv.OTEL_LLM_REPLAY_SOURCE_SPAN_ID)
            if isinstance(source, str):
                known[step.span_id] = source
    return known


def iterations(store: Store, steps: Sequence[Step], known: Mapping[str, str]) -> list[list[Step]]:
    """The steps of a session that repeats others several times, apart: one list for each time. `known` are the sources.

    A reissue notes on each span which time it is; where nothing is noted, the steps that repeat one step count by themselves.
    """
    repeats = Counter(known[step.span_id] for step in steps if step.span_id in known)
    if max(repeats.values(), default=1) < 2:
        return [list(steps)]
    apart: dict[int, list[Step]] = {}
    seen: Counter[str] = Counter()
    for step in steps:
        source = known.get(step.span_id, "")
        noted = _attribute(store, step, semconv.JAEGER_EVAL_ITERATION_INDEX)
        apart.setdefault(noted if isinstance(noted, int) else seen[source], []).append(step)
        seen[source] += bool(source)
    return [apart[number] for number in sorted(apart)]


def _attribute(store: Store, step: Step, name: str) -> object:
    try:
        return store.span(step.span_id).attributes.get(name)
    except NotFound:
        return None


def links(
    left: Sequence[Step], left_sources: Mapping[str, str], right: Sequence[Step], right_sources: Mapping[str, str]
) -> dict[int, int]:
    """Positions of steps that are, or repeat, the same step; each position at most once."""
    known: dict[str, int] = {}
    for place, step in enumerate(left):
        for span_id in _chain(step.span_id, left_sources):
            known.setdefault(span_id, place)
    found: dict[int, int] = {}
    for place, step in enumerate(right):
        ours = next((known[span_id] for span_id in _chain(step.span_id, right_sources) if span_id in known), None)
        if ours is not None:
            found.setdefault(ours, place)
    return found


def _chain(span_id: str, of: Mapping[str, str]) -> Iterator[str]:
    """A step, the step that it repeats, and so on."""
    at: str | None = span_id
    for _ in range(MAX_CHAIN):
        if at is None:
            return
        yield at
        at = of.get(at)
