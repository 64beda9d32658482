"""The recording that a program is run against: the calls and steps of some sessions, and where each of them stood.

A step's place is the names of our steps around it. It says which of two equal calls is meant where a program asks the same thing
in two branches, and in which branch to look for the nearest one when a call is not in the recording.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from otel_llm.values.canonical import canonical_json
from otel_llm.values.errors import NotFound, NotReplayable
from otel_llm.values.playback import Place, Recorded
from otel_llm.values.session import Exchange, Step
from otel_llm.values.store import Store

STREAMED = "streamed upload"
"""Why a request is not on the tape that nobody can read without taking it from the program; its place tells which it is."""
STEPS = ("workflow", "agent", "tool", "retrieval")
_BOUNDARY = re.compile(rb'boundary="?([^";\s]+)')


@dataclass(slots=True)
class Entry:
    """One recorded call or step. `number` counts the calls of all sessions from 1, `0` for what is no call."""

    recorded: Recorded
    name: str
    place: Place
    number: int
    used: bool = False
    """Given to the program, or inside something that was."""

    @property
    def step(self) -> Step:
        """The step itself."""
        return self.recorded.step

    @property
    def label(self) -> str:
        """How people find it: `call 3 (chat gpt-4o)`, `tool lookup`."""
        return f"call {self.number} ({self.step.name})" if self.number else f"{self.step.kind} {self.name}"


@dataclass(slots=True)
class Recording:
    """All entries in the order of their start. `within` maps a span to those directly inside it."""

    session_ids: tuple[str, ...]
    entries: list[Entry]
    within: dict[str, list[Entry]] = field(default_factory=dict)

    @property
    def calls(self) -> list[Entry]:
        """The calls alone."""
        return [entry for entry in self.entries if entry.number]

    def use(self, entry: Entry) -> None:
        """An entry is done, and so is everything inside it."""
        entry.used = True
        for inner in self.within.get(entry.step.span_id, ()):
            self.use(inner)


def load(store: Store, session_ids: Iterable[str]) -> Recording:
    """The recording of these sessions.

    Raises `NotFound` for a session that is not there, `NotReplayable` when nothing in them can answer a program.
    """
    chosen = tuple(dict.fromkeys(session_ids))
    steps = [step for session_id in chosen for step in store.steps(session_id)]
    steps.sort(key=lambda step: step.start_ns)
    by_id = {step.span_id: step for step in steps}
    recording = Recording(chosen, [])
    number = 0
    missing: list[str] = []
    for step in steps:
        if step.kind != "call" and step.kind not in STEPS:
            continue
        try:
            exchange = store.exchange(step.span_id)
        except NotFound:
            continue
        if step.kind == "call":
            number += 1
            if exchange.omitted != STREAMED and (exchange.request_body is None or exchange.omitted):
                missing.append(f"call {number}: {exchange.omitted or 'no bytes were recorded'}")
        entry = Entry(Recorded(step, exchange), _name(step), _place(step, by_id), number if step.kind == "call" else 0)
        recording.entries.append(entry)
        if step.parent_span_id is not None:
            recording.within.setdefault(_nearest(step, by_id), []).append(entry)
    if missing:
        raise NotReplayable(f"{', '.join(chosen)} cannot be rerun: {'; '.join(missing[:5])}. "
                            "`otel-llm replay check` says more; record with content on.")
    if not recording.entries:
        raise NotReplayable(f"There is nothing in {', '.join(chosen)} that could answer a program: no call, no tool.")
    return recording


def exact_key(api: str, path: str, body: bytes | None, content_type: str = "") -> bytes:
    """What two requests share that are the same byte for byte; a random multipart boundary does not count."""
    found = _BOUNDARY.search(content_type.encode("latin-1", "replace"))
    data = body or b""
    if found is not None:
        data = data.replace(found[1], b"boundary")
    return hashlib.blake2b(b"\0".join((api.encode(), path.encode() if api == "generic" else b"", data)), digest_size=16).digest()


def equal_key(api: str, path: str, body: bytes | None) -> bytes | None:
    """What two requests share that are equal as JSON; None for what is no JSON."""
    try:
        value = json.loads(body or b"")
    except ValueError:
        return None
    return exact_key(api, path, canonical_json(value).encode("utf-8", "surrogatepass"))


def path_of(exchange: Exchange) -> str:
    """The path of a recorded URL."""
    return "/" + exchange.url.partition("://")[2].partition("/")[2]


def _name(step: Step) -> str:
    """The name that the program gave to a step: `execute_tool lookup` is `lookup`."""
    operation = step.operation or ""
    return step.name.removeprefix(operation).strip() if operation else step.name


def _place(step: Step, by_id: dict[str, Step]) -> Place:
    names: list[str] = []
    above = by_id.get(step.parent_span_id or "")
    while above is not None and len(names) < 100:
        if above.kind in STEPS:
            names.append(_name(above))
        above = by_id.get(above.parent_span_id or "")
    return tuple(reversed(names))


def _nearest(step: Step, by_id: dict[str, Step]) -> str:
    """The span of the nearest of our steps around one; its parent where there is none."""
    above = by_id.get(step.parent_span_id or "")
    seen = 0
    while above is not None and above.kind not in STEPS and seen < 100:
        above, seen = by_id.get(above.parent_span_id or ""), seen + 1
    return above.span_id if above is not None else step.parent_span_id or ""
