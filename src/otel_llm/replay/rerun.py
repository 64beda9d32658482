"""A program against its recording: which recorded step answers what the program asks, and what is noted when none does.

A call is matched by its request, first byte for byte, then as JSON; of several equal ones the first that stood at the same
place and was not used yet. So the order of calls that run side by side does not matter. What matches nothing is a divergence:
the nearest unused recording (same place, most values in common) is named with the fields that differ, and the policy decides:

    strict        the program gets `ReplayDiverged`
    lenient       the program gets the answer of the nearest recording
    record-new    the call goes out, and its answer is part of the new session

A **fork** is a rerun that goes live: at a given call, or at the first divergence. From there on calls go out, with the changes
that were given; tools are answered from the recording where it knows their arguments, and run otherwise.
"""

from __future__ import annotations

import secrets
import threading
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from otel_llm import semconv
from otel_llm.replay.changes import Changes, edit
from otel_llm.replay.fields import FieldChange, body_changes, shared_fields
from otel_llm.replay.recording import Entry, Recording, equal_key, exact_key, path_of
from otel_llm.replay.report import Difference, Kind, Report
from otel_llm.values.canonical import canonical_json
from otel_llm.values.errors import BudgetExceeded, ConfigError, ReplayDiverged
from otel_llm.values.playback import Live, Place, Player, Question, Recorded

Policy = Literal["strict", "lenient", "record-new"]
POLICIES: tuple[Policy, ...] = ("strict", "lenient", "record-new")
MAX_NEAR = 50
"""How many unused recordings are looked at for the nearest."""
MAX_NOTED = 100


@dataclass(frozen=True, slots=True)
class Rules:
    """How a rerun is to go. `fork_at` is the number of the first call that goes live, `fork` goes live at the first divergence.

    `live_tools` names tools that run as they are; `*` is all. `speed` is `instant`, or `recorded`: as slow as it was.
    """

    policy: Policy = "strict"
    live_tools: Collection[str] = ()
    speed: Literal["instant", "recorded"] = "instant"
    fork: bool = False
    fork_at: int | None = None
    changes: Changes = field(default_factory=Changes)
    max_calls: int | None = None
    """Live calls at most; None is no limit."""
    max_cost: int | None = None
    """Pico-USD that live calls may cost before no more goes out; None is no limit."""

    def checked(self, recording: Recording) -> Rules:
        """These rules, when they can be followed. Raises `ConfigError` otherwise."""
        if self.policy not in POLICIES:
            raise ConfigError(f"policy {self.policy!r} is not usable; good values: {', '.join(POLICIES)}")
        if self.speed not in ("instant", "recorded"):
            raise ConfigError(f"speed {self.speed!r} is not usable; good values: instant, recorded")
        calls = len(recording.calls)
        if self.fork_at is not None and not 1 <= self.fork_at <= calls + 1:
            raise ConfigError(f"--at {self.fork_at} is not usable; the recording has {calls} calls: 1 to {calls + 1}")
        return self


class Rerun(Player):
    """Answers a program from a recording and keeps the account. One for each run; safe in any number of threads."""

    def __init__(self, recording: Recording, rules: Rules = Rules(), new_session_id: str | None = None) -> None:
        self._recording, self._rules = recording, rules.checked(recording)
        self._lock = threading.RLock()
        self._is_live = False
        is_fork = rules.fork or rules.fork_at is not None
        new_id = new_session_id or f"sess-{secrets.token_hex(8)}"
        self.report = Report("fork" if is_fork else "rerun", recording.session_ids, new_id, len(recording.calls))
        self._attributes = {
            semconv.GEN_AI_CONVERSATION_ID: new_id, semconv.SESSION_ID: new_id,
            semconv.JAEGER_EVAL_TRIAL_ID: new_id, semconv.JAEGER_EVAL_ITERATION_INDEX: 0,
            semconv.OTEL_LLM_REPLAY_MODE: self.report.mode, semconv.OTEL_LLM_REPLAY_SOURCE_SESSION_ID: recording.session_ids[0]}
        if is_fork:
            said = {"at": rules.fork_at, **rules.changes.as_json()}
            self._attributes[semconv.OTEL_LLM_REPLAY_CHANGES] = canonical_json({k: v for k, v in said.items() if v is not None})
        self._exact: dict[bytes, list[Entry]] = defaultdict(list)
        self._equal: dict[bytes, list[Entry]] | None = None
        self._functions: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in recording.entries:
            exchange = entry.recorded.exchange
            if entry.number:
                key = exact_key(exchange.api, path_of(exchange), exchange.request_body, exchange.request_type)
                self._exact[key].append(entry)
            else:
                self._functions[entry.step.kind, entry.name].append(entry)

    # ---- what the taps ask --------------------------------------------------------------------------------------------

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The new session, what it replays, and how."""
        return self._attributes

    @property
    def has_recorded_speed(self) -> bool:
        """True with `speed="recorded"`."""
        return self._rules.speed == "recorded"

    @property
    def start_ns(self) -> int:
        """When the recording began: nanoseconds UTC."""
        return self._recording.entries[0].step.start_ns

    @property
    def is_live(self) -> bool:
        """True from the first call on that went out."""
        return self._is_live

    def call(self, question: Question) -> Recorded | Live:
        """The recorded call that answers this one. Raises `ReplayDiverged` under the strict policy."""
        with self._lock:
            if self.report.mode == "fork" and self._is_live:
                return self._live(question)
            entry = self._match(question)
            if entry is not None:
                if self._rules.fork_at is not None and entry.number >= self._rules.fork_at:
                    return self._live(question)
                return self._give(entry)
            return self._missed(question)

    def step(self, kind: str, name: str, arguments: bytes, place: Place) -> Recorded | None:
        """The recorded outcome of a tool or a retrieval with these arguments."""
        with self._lock:
            known = self._functions.get((kind, name), [])
            if name in self._rules.live_tools or "*" in self._rules.live_tools:
                self.report.live_tools += 1
                return None
            fitting = [e for e in known if _same_json(e.recorded.exchange.request_body, arguments)]
            entry = _first(fitting, place)
            if entry is None and fitting and self._is_live:
                entry = fitting[-1]
            if entry is not None:
                return self._result(entry)
            if self._is_live or (self.report.mode == "fork" and self._rules.fork_at is None):
                self._is_live = True
                self.report.live_tools += 1
                return None
            nearest = _first(known, place)
            return self._other_arguments(kind, name, arguments, nearest)

    def ended(self, kind: str, name: str, place: Place, result: bytes, error_type: str | None) -> None:
        """Compares what a step came to with what it came to when it was recorded."""
        with self._lock:
            if self.report.mode == "fork" or error_type == ReplayDiverged.__name__:
                return
            known = self._functions.get((kind, name), [])
            entry = _first([e for e in known if not _came_to(e, result, error_type)], place) or _first(known, place)
            if entry is None:
                return
            entry.used = True
            changes = _came_to(entry, result, error_type)
            if changes:
                self._note("result", entry.label, entry, changes)

    def spent(self, cost: int) -> None:
        """Counts what live calls cost."""
        with self._lock:
            self.report.live_cost += cost

    def beyond(self, recorded: Recorded, reason: str) -> ReplayDiverged:
        """Notes that an answer was wanted further than it was recorded."""
        with self._lock:
            entry = next(e for e in self._recording.entries if e.recorded is recorded)
            return ReplayDiverged(self._note("beyond", entry.label, entry, note=reason, resolution="stopped").text)

    # ---- the end ------------------------------------------------------------------------------------------------------

    def finish(self, program_error: str | None = None) -> Report:
        """The report, with what the program did not ask any more. `program_error` says how it failed, if it did."""
        with self._lock:
            left = [e for e in self._recording.calls if not e.used]
            if program_error is not None and not any(d.resolution == "stopped" for d in self.report.differences):
                self._note("program", "the program", None, note=program_error)
            if self.report.differences or self.report.mode == "fork":
                self.report.unreached = 0 if self.report.mode == "fork" else len(left)
            else:
                for entry in left:
                    self._note("unasked", entry.label, entry)
            return self.report

    # ---- matching -----------------------------------------------------------------------------------------------------

    def _match(self, question: Question) -> Entry | None:
        key = exact_key(question.api, question.path, question.body, question.content_type)
        entry = _first(self._exact.get(key, []), question.place)
        if entry is None and question.body:
            equal = equal_key(question.api, question.path, question.body)
            entry = None if equal is None else _first(self._by_value().get(equal, []), question.place)
        if entry is None and question.body is None:
            entry = _first([e for e in self._recording.calls if not e.recorded.exchange.request_body
                            and e.recorded.exchange.api == question.api], question.place)
        return entry

    def _by_value(self) -> dict[bytes, list[Entry]]:
        """Entries by their request as JSON; made when the first request is not there byte for byte."""
        if self._equal is None:
            self._equal = defaultdict(list)
            for entry in self._recording.calls:
                exchange = entry.recorded.exchange
                key = equal_key(exchange.api, path_of(exchange), exchange.request_body)
                if key is not None:
                    self._equal[key].append(entry)
        return self._equal

    def _give(self, entry: Entry) -> Recorded:
        entry.used = True
        self.report.answered_calls += 1
        return entry.recorded

    def _live(self, question: Question) -> Live:
        """The call goes out. Under a fork with the changes that were given; a change that does not fit the body is none."""
        self._check_caps()
        self._is_live = True
        self.report.live_calls += 1
        changes = self._rules.changes
        if not changes.edits or question.body is None or question.api == "generic":
            return Live()
        edits = changes.edits if question.api != "openai_embeddings" else {k: v for k, v in changes.edits.items() if k != "model"}
        return Live(edit(question.body, edits) if edits else None)

    def _check_caps(self) -> None:
        """Raise before a call goes out that a cap forbids."""
        calls, cost, sent = self._rules.max_calls, self._rules.max_cost, self.report.live_calls
        if calls is not None and sent >= calls:
            raise BudgetExceeded(f"Stopped at the cap of {calls} live calls. Raise --max-calls to let more out.")
        if cost is not None and self.report.live_cost >= cost:
            raise BudgetExceeded(f"Stopped at the cap on cost after {sent} live calls. Raise --max-cost to let more out.")

    def _missed(self, question: Question) -> Recorded | Live:
        nearest = self._nearest(question)
        changes = [] if nearest is None else body_changes(nearest.recorded.exchange.request_body, question.body)
        kind: Kind = "request" if nearest is not None else "extra"
        label = nearest.label if nearest is not None else f"a call to {question.path}"
        note = "" if nearest is not None else self._extra(question)
        if self.report.mode == "fork" and self._rules.fork_at is None:
            return self._live(question)
        if self._rules.policy == "record-new":
            self._note(kind, label, nearest, changes, note, resolution="live")
            return self._live(question)
        if self._rules.policy == "lenient" and nearest is not None:
            self._note(kind, label, nearest, changes, resolution="recorded")
            return self._give(nearest)
        raise ReplayDiverged(self._note(kind, label, nearest, changes, note, resolution="stopped").text)

    def _extra(self, question: Question) -> str:
        """What there is to say of a call when no unused recording is left that it could be."""
        known = self._exact.get(exact_key(question.api, question.path, question.body, question.content_type))
        if known:
            return f"it is {known[0].label}, asked once more than it was recorded"
        words = (question.body or b"").decode("utf-8", "replace")
        return f"{words[-200:]} (is it in another session? --with answers from that one too)"

    def _nearest(self, question: Question) -> Entry | None:
        """The unused call that this one is most likely meant to be."""
        free = [e for e in self._recording.calls if not e.used and e.recorded.exchange.api == question.api]
        here = [e for e in free if e.place == question.place] or free
        return max(here[:MAX_NEAR], default=None,
                   key=lambda e: shared_fields(e.recorded.exchange.request_body, question.body))

    def _other_arguments(self, kind: str, name: str, arguments: bytes, nearest: Entry | None) -> Recorded | None:
        label = nearest.label if nearest is not None else f"{kind} {name}"
        changes = [] if nearest is None else body_changes(nearest.recorded.exchange.request_body, arguments)
        what: Kind = "arguments" if nearest is not None else "extra"
        if self._rules.policy == "record-new":
            self._note(what, label, nearest, changes, resolution="live")
            self.report.live_tools += 1
            return None
        if self._rules.policy == "lenient" and nearest is not None:
            self._note(what, label, nearest, changes, resolution="recorded")
            return self._result(nearest)
        hint = f"--live-tool {name} runs it"
        raise ReplayDiverged(self._note(what, label, nearest, changes, note=hint, resolution="stopped").text)

    def _result(self, entry: Entry) -> Recorded:
        """The outcome of a tool; raises `ReplayDiverged` when the recording does not hold it."""
        exchange = entry.recorded.exchange
        why = (exchange.omitted or ("it never ended" if exchange.response_body is None and entry.step.error_type is None else "")
               or ("it holds what JSON cannot" if exchange.opaque else ""))
        if why:
            note = f"its result is not in the recording ({why}); --live-tool {entry.name} runs it"
            raise ReplayDiverged(self._note("beyond", entry.label, entry, note=note, resolution="stopped").text)
        self._recording.use(entry)
        self.report.answered_tools += 1
        return entry.recorded

    def _note(
        self, kind: Kind, label: str, entry: Entry | None, fields: Collection[FieldChange] = (), note: str = "",
        resolution: str = "",
    ) -> Difference:
        found = Difference(kind, label, entry.step.span_id if entry is not None else None, tuple(fields), note, resolution)
        if len(self.report.differences) < MAX_NOTED:
            self.report.differences.append(found)
        return found


def _first(entries: list[Entry], place: Place) -> Entry | None:
    """The first that is free, at this place if there is one."""
    free = [entry for entry in entries if not entry.used]
    return next((entry for entry in free if entry.place == place), free[0] if free else None)


def _came_to(entry: Entry, result: bytes, error_type: str | None) -> list[FieldChange]:
    """How the outcome of a step differs from its recording; nothing where none was recorded."""
    exchange, before = entry.recorded.exchange, entry.step.error_type
    if before != error_type:
        return [FieldChange("error", before, error_type)]
    if error_type is not None or exchange.response_body is None or exchange.omitted:
        return []
    return body_changes(exchange.response_body, result)


def _same_json(old: bytes | None, new: bytes) -> bool:
    return old == new or not body_changes(old, new)
