"""The recording that a program is run against: the calls and steps of some sessions, and where each of them stood.

A step's place is the names of our steps around it. It says which of two equal calls is meant where a program asks the same thing
in two branches, and in which branch to look for the nearest one when a call is not in the recording.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from otel_llm import semconv
from otel_llm.redaction import Redactor
from otel_llm.replay.conversation import conversation
from otel_llm.replay.reading import RecordedCall, read, steps_of
from otel_llm.replay.requests.changes import Changes
from otel_llm.replay.rerun.ignoring import Ignored
from otel_llm.values.canonical import canonical_json
from otel_llm.values.errors import ConfigError, NotFound, NotReplayable
from otel_llm.values.playback import Place, Question, Recorded
from otel_llm.values.session import Exchange, Step
from otel_llm.values.store import Store

STREAMED = "streamed upload"
"""Why a request is not on the tape that nobody can read without taking it from the program; its place tells which it is."""
STEPS = ("workflow", "agent", "tool", "retrieval")
ANSWERED = ("tool", "retrieval")
"""The steps that a recording answers."""
NO_CONNECTION = ("APIConnectionError", "APITimeoutError")
OPENAI = "https://api.openai.com/v1"
_BASE = re.compile(r"^(https?://(?:(?!/deployments/).)+?)/(?:chat/completions|completions|responses|embeddings)(?:/|$)")
_BOUNDARY = re.compile(rb'boundary="?([^";\s]+)')
_REDACTOR = Redactor(True)


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
    """All entries, in the order of their start within each of the `ids`. `within` maps a span to those directly inside it.

    `ids` are those of the sessions and traces that were asked for, `session_ids` the sessions that these steps belong to.
    `edits` is what a fork changed in its live calls, when the recording is one: its program asked without them.
    """

    ids: tuple[str, ...]
    session_ids: tuple[str, ...]
    entries: list[Entry]
    within: dict[str, list[Entry]] = field(default_factory=dict)
    edits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def calls(self) -> list[Entry]:
        """The calls alone."""
        return [entry for entry in self.entries if entry.number]

    def questions(self) -> list[str]:
        """The words of each message of a user, once, in the order in which they came up."""
        calls = [RecordedCall(e.step, e.recorded.exchange, read(e.recorded.exchange)) for e in self.calls]
        return [said.message.text for said in conversation(calls)
                if said.source == "request" and said.message is not None and said.message.role == "user"]

    def arguments(self, name: str) -> list[Any]:
        """What the steps of this name were given, in the order of their start."""
        return [json.loads(entry.recorded.exchange.request_body or b"null") for entry in self.entries
                if not entry.number and entry.name == name]

    def free(self) -> list[tuple[str, str]]:
        """The calls, tools and retrievals that the program has not asked: span ids and labels."""
        return [(e.step.span_id, e.label) for e in self.entries if not e.used and (e.number or e.step.kind in ANSWERED)]

    def use(self, entry: Entry) -> Iterator[Entry]:
        """An entry is done, and so is everything inside it: all of these."""
        waiting = [entry]
        while waiting:
            done = waiting.pop()
            done.used = True
            waiting += self.within.get(done.step.span_id, ())
            yield done


def load(store: Store, ids: Iterable[str], run: int | None = None) -> Recording:
    """The recording of these sessions and traces. With `run` all that was recorded by the Nth run of a program in the first of
    them (from 1, or -1 for the last), whatever sessions that made.

    What stands in the first goes before what is equal in the others. Raises `NotFound` for one that is not there, `NotReplayable`
    when nothing in them can answer a program, `ConfigError` for a run that there is not.
    """
    chosen = tuple(dict.fromkeys(ids))
    by_id: dict[str, Step] = {}
    for given in chosen:
        is_run = run is not None and given == chosen[0]
        found = _of_run(store, given, run or 0) if is_run else steps_of(store, given)[1]
        for step in sorted(found, key=lambda step: step.start_ns):
            by_id.setdefault(step.span_id, step)
    steps = list(by_id.values())
    recording = Recording(chosen, tuple(dict.fromkeys(step.session_id for step in steps)), [], edits=_edits(store, steps))
    calls = sorted((step for step in steps if step.kind == "call"), key=lambda step: step.start_ns)
    numbers = {step.span_id: number for number, step in enumerate(calls, 1)}
    missing: list[str] = []
    for step in steps:
        if step.kind != "call" and step.kind not in STEPS:
            continue
        try:
            exchange = store.exchange(step.span_id)
        except NotFound:
            continue
        number = numbers.get(step.span_id, 0)
        if number and exchange.omitted != STREAMED and (exchange.request_body is None or exchange.omitted):
            missing.append(f"call {number}: {exchange.omitted or 'no bytes were recorded'}")
        entry = Entry(Recorded(step, exchange), _name(step), _place(step, by_id), number,
                      used=bool(number) and _never_left(step, exchange))
        recording.entries.append(entry)
        if step.parent_span_id is not None:
            recording.within.setdefault(_nearest(step, by_id), []).append(entry)
    if missing:
        raise NotReplayable(f"{', '.join(chosen)} cannot be rerun: {'; '.join(missing[:5])}. "
                            "`otel-llm replay check` says more; record with content on.")
    if not recording.entries:
        raise NotReplayable(f"There is nothing in {', '.join(chosen)} that could answer a program: no call, no tool.")
    return recording


def _of_run(store: Store, given: str, number: int) -> list[Step]:
    found = store.runs(steps_of(store, given)[0])
    if number == 0 or abs(number) > len(found):
        raise ConfigError(f"run {number} is not usable; {given} holds {len(found)}: 1 to {len(found)}, or -1 for the last")
    run = found[number - 1 if number > 0 else number]
    return [step for session_id in run.session_ids for step in store.steps(session_id) if step.span_id in run.span_ids]


def base_url(recording: Recording) -> str | None:
    """What `OPENAI_BASE_URL` may have been: the one place that all calls went to, where it is not the SDK's own.

    Frameworks ask for other things where it is set (langchain-openai, litellm: no `stream_options`; openai-agents: no `store`).
    """
    urls = {entry.recorded.exchange.url for entry in recording.calls if entry.recorded.exchange.api.startswith("openai_")}
    places = {match[1] if (match := _BASE.match(url)) is not None else "" for url in urls}
    place = places.pop() if len(places) == 1 else ""
    return place if place and place != OPENAI else None


def exact_key(request: Question | Exchange) -> bytes:
    """What two requests share that are the same byte for byte; a random multipart boundary does not count.

    What a model is asked is known by its body, wherever it is sent; other requests by method and path as well.
    """
    body, content_type = _content(request)
    data = body or b""
    found = _BOUNDARY.search(content_type.encode("latin-1", "replace"))
    if found is not None:
        data = data.replace(found[1], b"boundary")
    return _key(request, data)


def equal_key(request: Question | Exchange, ignored: Ignored) -> bytes | None:
    """What two requests share that are equal as JSON, without secrets and what is ignored; None for what is no JSON."""
    body, _ = _content(request)
    try:
        value = json.loads(without_secrets(body or b""))
    except ValueError:
        return None
    return _key(request, canonical_json(ignored.without(value)).encode("utf-8", "surrogatepass"))


def _content(request: Question | Exchange) -> tuple[bytes | None, str]:
    if isinstance(request, Exchange):
        return request.request_body, request.request_type
    return request.body, request.content_type


def _key(request: Question | Exchange, data: bytes) -> bytes:
    where = "" if data and request.api != "generic" else f"{request.method} {path_of(request.url)}"
    return hashlib.blake2b(b"\0".join((request.api.encode(), where.encode(), data)), digest_size=16).digest()


def without_secrets(body: bytes) -> bytes:
    """A body as it is compared: a recording may have been made with redaction or without."""
    return _REDACTOR.redact(body)[0]


def path_of(url: str) -> str:
    """The path of a URL."""
    return "/" + url.partition("://")[2].partition("/")[2]


def _edits(store: Store, steps: Iterable[Step]) -> Mapping[str, Any]:
    """The changes that the first step says it was forked with."""
    for step in steps:
        try:
            attributes = store.span(step.span_id).attributes
            said = json.loads(str(attributes.get(semconv.OTEL_LLM_REPLAY_CHANGES) or "{}"))
        except (NotFound, ValueError):
            return {}
        is_fork = attributes.get(semconv.OTEL_LLM_REPLAY_MODE) == "fork" and isinstance(said, dict)
        return Changes(said.get("model"), said.get("set") or {}).edits if is_fork else {}
    return {}


def _never_left(step: Step, exchange: Exchange) -> bool:
    """True of a call that failed before there was a request: it fails again before anybody is asked."""
    return (exchange.api != "generic" and exchange.method == "POST" and not exchange.request_body and exchange.omitted is None
            and exchange.status is None and step.error_type not in (None, *NO_CONNECTION))


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
