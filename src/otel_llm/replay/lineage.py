"""Which session repeats which, and step by step: what replayed steps say about their sources.

A reissue leaves a record of each call, and its spans, like those of a rerun, name the span that they repeat. Two replays of one
session are linked through the steps that both repeat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from otel_llm import semconv
from otel_llm.values.errors import NotFound
from otel_llm.values.session import Filter, SessionRow, Step
from otel_llm.values.store import Store

PAGE = 200
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


def newest_replay(store: Store, session_id: str) -> str | None:
    """The session that was last made by replaying this one; None when there is none."""
    source = row_of(store, session_id)
    recorded = {r.session_id for r in store.replays(session_id) if r.source_session_id == session_id != r.session_id}
    since = Filter(since_ns=source.first_ns if source is not None else None)
    for offset in count(0, PAGE):
        page = store.sessions(since, limit=PAGE, offset=offset)
        for row in page:
            if row.session_id in recorded or (row.replay_of == session_id != row.session_id):
                return row.session_id
        if len(page) < PAGE:
            return None
    return None


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
