"""A program against its recording: which recorded step answers what the program asks, and what is noted when none does.

A call is answered by the recorded call with an equal request (`otel_llm.replay.rerun.matching`). What matches nothing is a
divergence: the nearest unused recording is named with the fields that differ, and the policy decides:

    strict        the program gets `ReplayDiverged`
    lenient       the program gets the answer of the nearest recording
    record-new    the call goes out, and its answer is part of the new session

A **fork** is a rerun that goes live: at a given call, or at the first divergence. From there on calls go out, with the changes
that were given; tools are answered from the recording where it knows their arguments, and run otherwise.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from otel_llm import semconv
from otel_llm.adapters import by_name, read_request
from otel_llm.replay.compare.fields import FieldChange, body_changes
from otel_llm.replay.reissue.plan import Price
from otel_llm.replay.requests.changes import Changes, edit
from otel_llm.replay.rerun.account import Account
from otel_llm.replay.rerun.ignoring import Ignored
from otel_llm.replay.rerun.matching import Index, came_to
from otel_llm.replay.rerun.recording import Entry, Recording, path_of
from otel_llm.replay.rerun.report import Difference, Kind, Report
from otel_llm.replay.rerun.spending import Out, Spending
from otel_llm.values.canonical import canonical_json
from otel_llm.values.errors import UNSENT, BudgetExceeded, ConfigError, NotReplayable, ReplayDiverged
from otel_llm.values.playback import Live, Place, Player, Question, Recorded

Policy = Literal["strict", "lenient", "record-new"]
Speed = Literal["instant", "recorded"]
POLICIES: tuple[Policy, ...] = ("strict", "lenient", "record-new")
MAX_NOTED = 100
MAX_WORDS = 200
"""Characters of a call that is quoted."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a rerun is to go. `fork_at` is the number of the first call that goes live, `fork` goes live at the first divergence.

    `live_tools` names tools that run as they are; `*` is all. `speed` is `instant`, or `recorded`: as slow as it was.
    Raises `ConfigError` for a value that nothing can be done with.
    """

    policy: Policy = "strict"
    live_tools: Collection[str] = ()
    speed: Speed = "instant"
    fork: bool = False
    fork_at: int | None = None
    changes: Changes = field(default_factory=Changes)
    max_calls: int | None = None
    """Live calls at most; None is no limit."""
    max_cost: int | None = None
    """Pico-USD that live calls may cost; None is no limit."""
    only_local: bool = False
    """Live calls may go to this machine and nowhere else, because nobody has said yes to more."""
    ignore: tuple[str, ...] = ()
    """Fields of requests that are not looked at (`otel_llm.replay.rerun.ignoring`)."""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ConfigError(f"policy {self.policy!r} is not usable; good values: {', '.join(POLICIES)}")
        if self.speed not in ("instant", "recorded"):
            raise ConfigError(f"speed {self.speed!r} is not usable; good values: instant, recorded")
        Ignored(self.ignore)

    @property
    def is_fork(self) -> bool:
        """True when the program goes live at some point, with changes or without."""
        return self.fork or self.fork_at is not None

    @property
    def may_go_out(self) -> bool:
        """True when calls may go out."""
        return self.is_fork or self.policy == "record-new"

    def checked(self, recording: Recording) -> Rules:
        """These rules, when they can be followed with this recording. Raises `ConfigError` otherwise."""
        calls = len(recording.calls)
        if self.fork_at is not None and not 1 <= self.fork_at <= calls + 1:
            raise ConfigError(f"--at {self.fork_at} is not usable; the recording has {calls} calls: 1 to {calls + 1}")
        return self


class Rerun(Player):
    """Answers a program from a recording and keeps the account. One for each run; safe in any number of threads."""

    def __init__(
        self, recording: Recording, account: Account, rules: Rules = Rules(), new_session_id: str | None = None,
        price: Price = lambda provider, model, usage: None,
    ) -> None:  # fmt: skip
        self._recording, self._account, self._rules = recording, account, rules.checked(recording)
        self._spending = Spending(account, rules.max_calls, rules.max_cost, price, only_local=rules.only_local)
        self._ignored = Ignored(rules.ignore)
        self._index = Index(recording, self._account.claim, self._ignored)
        self._locks = (os.getpid(), threading.RLock())
        self._is_live = self._is_finished = False
        new_id = new_session_id or f"sess-{secrets.token_hex(8)}"
        self.report = Report("fork" if rules.is_fork else "rerun", recording.session_ids, new_id, len(recording.calls))
        tools = sorted({e.name for e in recording.entries if e.step.kind in ("tool", "retrieval")})
        self.report.absent_tools = {name: tools for name in rules.live_tools if name not in ("*", *tools)}
        self._attributes = {
            semconv.GEN_AI_CONVERSATION_ID: new_id, semconv.SESSION_ID: new_id,
            semconv.JAEGER_EVAL_TRIAL_ID: new_id, semconv.JAEGER_EVAL_ITERATION_INDEX: 0,
            semconv.OTEL_LLM_REPLAY_MODE: self.report.mode, semconv.OTEL_LLM_REPLAY_SOURCE_SESSION_ID: recording.session_ids[0]}
        if rules.is_fork:
            said = {"at": rules.fork_at, **rules.changes.as_json()}
            self._attributes[semconv.OTEL_LLM_REPLAY_CHANGES] = canonical_json({k: v for k, v in said.items() if v is not None})

    @property
    def _lock(self) -> threading.RLock:
        """One lock a process: the child of a fork must not wait for a thread that it does not have."""
        if self._locks[0] != os.getpid():
            self._locks = (os.getpid(), threading.RLock())
        return self._locks[1]

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
    def is_only_local(self) -> bool:
        """True when nothing may be reached but this machine."""
        return self._rules.only_local

    @property
    def start_ns(self) -> int:
        """When the recording began: nanoseconds UTC."""
        return self._recording.entries[0].step.start_ns

    @property
    def questions(self) -> list[str]:
        """What users said in the recording: the words of each new user message, in order, also of calls that helpers made."""
        return self._recording.questions()

    def arguments(self, name: str) -> list[Any]:
        """What the recorded workflow, agent, tool or retrieval of this name was given, each time: JSON values by parameter."""
        return self._recording.arguments(name)

    @property
    def is_live(self) -> bool:
        """True from the first call on that went out."""
        return self._is_live

    def call(self, question: Question) -> Recorded | Live:
        """The recorded call that answers this one. Raises `ReplayDiverged` under the strict policy."""
        with self._lock:
            is_open, at = self.report.mode == "fork" and self._is_live, self._rules.fork_at
            if is_open and at is None:
                return self._live(question)
            while (entry := self._index.call(question)) is not None:
                if at is not None and entry.number >= at:
                    return self._live(question, entry)
                if self._index.take(entry):
                    return self._give(entry)
            return self._live(question) if is_open or self._is_past(at) else self._missed(question)

    def step(self, kind: str, name: str, arguments: bytes, place: Place) -> Recorded | None:
        """The recorded outcome of a tool or a retrieval with these arguments."""
        with self._lock:
            if name in self._rules.live_tools or "*" in self._rules.live_tools:
                self._count("live_tools")
                if self.report.absent_tools.pop(name, None) is not None:
                    self._account.tell({"ran": name})
                return None
            while (entry := self._index.function(kind, name, arguments, place, again=self._is_live)) is not None:
                if self._is_live and _missing(entry):
                    break
                if entry.used or self._take(entry):
                    return self._result(entry)
            if self._is_live or (self.report.mode == "fork" and self._rules.fork_at is None):
                self._is_live = True
                self._count("live_tools")
                return None
            return self._other_arguments(kind, name, arguments, place)

    def ended(self, kind: str, name: str, place: Place, result: bytes, error_type: str | None) -> None:
        """Compares what a step came to with what it came to when it was recorded."""
        with self._lock:
            if self.report.mode == "fork" or error_type in UNSENT:
                return
            while (entry := self._index.outcome(kind, name, place, result, error_type)) is not None:
                if self._index.close(entry):
                    break
            if entry is None:
                return
            changes = came_to(entry, result, error_type)
            if changes:
                self._note("result", entry.label, entry, changes)

    def admit(self, call: Live, *, waits: bool) -> bool:
        """Whether a live call may go out now; False when it must wait for others. Raises `BudgetExceeded` at a cap."""
        assert isinstance(call, Out)
        with self._lock:
            try:
                if not self._spending.admit(call, waits=waits):
                    return False
            except BudgetExceeded as error:
                self._note("capped", f"a call to {path_of(call.url)}", None, note=str(error), resolution="stopped")
                raise
            self._is_live = True
            self._count("live_calls")
            return True

    def spent(self, call: Live, cost: int | None, *, is_paid: bool) -> None:
        """Counts what a live call cost."""
        assert isinstance(call, Out)
        with self._lock:
            if is_paid and cost is None:
                self._count("unpriced_calls")
            elif is_paid and cost is not None:
                self._count("live_cost", cost)
            self._spending.ended(call, cost, is_paid=is_paid)

    def given_up(self, recorded: Recorded, attempts: int) -> ReplayDiverged:
        """Notes that a call was tried less often than it was when it was recorded."""
        change = FieldChange("attempts", len(recorded.exchange.attempts) + 1, attempts)
        return self._stopped("request", recorded, [change])

    def held_off(self, host: str) -> None:
        """Notes a host that the program could not reach; asked by whatever thread tried, so without the lock."""
        if host not in self.report.held_off:
            self.report.held_off.append(host)
            self._account.tell({"held_off": host})

    def beyond(self, recorded: Recorded, reason: str) -> ReplayDiverged:
        """Notes that an answer was wanted further than it was recorded."""
        return self._stopped("beyond", recorded, note=reason)

    def _stopped(self, kind: Kind, recorded: Recorded, fields: Collection[FieldChange] = (), note: str = "") -> ReplayDiverged:
        with self._lock:
            entry = next(e for e in self._recording.entries if e.recorded is recorded)
            return ReplayDiverged(self._note(kind, entry.label, entry, fields, note, resolution="stopped").text)

    def refused(self, reason: str) -> NotReplayable:
        """Notes a process that was not started, because nobody would answer it; gives the error to raise."""
        with self._lock:
            event = {"failed": reason, "exit_code": NotReplayable.exit_code}
            self.report.take(event)
            self._account.tell(event)
            return NotReplayable(reason)

    # ---- the end ------------------------------------------------------------------------------------------------------

    def finish(self, program_error: str | None = None) -> Report:
        """The report, with what the program did not ask any more. `program_error` says how it failed, if it did."""
        with self._lock:
            if not self._is_finished:
                self._is_finished = True
                for event in self._account.others():
                    self.report.take(event)
                claimed = self._account.claimed()
                self.report.conclude([one for one in self._recording.free() if one[0] not in claimed], program_error)
            return self.report

    # ---- what they get -------------------------------------------------------------------------------------------------

    def _give(self, entry: Entry) -> Recorded:
        self._count("answered_calls")
        return entry.recorded

    def _count(self, name: str, more: int = 1) -> None:
        self.report.add(name, more)
        self._account.tell({"add": {name: more}})

    def _is_past(self, at: int | None) -> bool:
        """True when a fork has given all calls before the one where it goes live: what comes now is that one, or a later one."""
        if at is None or self.report.mode != "fork":
            return False
        claimed = self._account.claimed()
        return all(e.used or e.step.span_id in claimed for e in self._recording.calls if e.number < at)

    def _live(self, question: Question, like: Entry | None = None) -> Live:
        """The call may go out, when no cap forbids it, under a fork with the changes that were given."""
        edits = self._rules.changes.edits if question.api != "generic" else {}
        if question.api == "openai_embeddings":
            edits.pop("model", None)
        expected = None
        if self._spending.counts_money:
            like = like or self._index.nearest_call(question) or self._index.used(question)
            expected = self._spending.expected(question, edits, like.step if like is not None else None)
        return Out((lambda body: edit(body, edits)) if edits else None, question.url, expected)

    def _missed(self, question: Question) -> Recorded | Live:
        nearest = self._index.nearest_call(question)
        changes = [] if nearest is None else body_changes(nearest.recorded.exchange.request_body, question.body)
        changes = [change for change in changes if not self._ignored.covers(change.path)]
        kind: Kind = "request" if nearest is not None else "extra"
        label = nearest.label if nearest is not None else f"a call to {path_of(question.url)}"
        note = "" if nearest is not None else self._extra(question)
        if self.report.mode == "fork" and self._rules.fork_at is None:
            return self._live(question)
        if self._rules.policy == "record-new":
            self._note(kind, label, nearest, changes, note, resolution="live")
            return self._live(question)
        if self._rules.policy == "lenient" and nearest is not None:
            if not self._index.take(nearest):
                return self.call(question)
            self._note(kind, label, nearest, changes, resolution="recorded")
            return self._give(nearest)
        raise ReplayDiverged(self._note(kind, label, nearest, changes, note, resolution="stopped").text)

    def _extra(self, question: Question) -> str:
        """What there is to say of a call when no unused recording is left that it could be."""
        known = self._index.used(question)
        if known is not None:
            return f"it is {known.label}, asked once more than it was recorded"
        return f"{_asked(question)} (is it in another session? --with takes that one in)"

    def _other_arguments(self, kind: str, name: str, arguments: bytes, place: Place) -> Recorded | None:
        nearest = self._index.nearest_function(kind, name, arguments, place)
        label = nearest.label if nearest is not None else f"{kind} {name}"
        changes = [] if nearest is None else body_changes(nearest.recorded.exchange.request_body, arguments)
        what: Kind = "arguments" if nearest is not None else "extra"
        if self._rules.policy == "record-new":
            self._note(what, label, nearest, changes, resolution="live")
            self._count("live_tools")
            return None
        if self._rules.policy == "lenient" and nearest is not None:
            if not self._take(nearest):
                return self._other_arguments(kind, name, arguments, place)
            self._note(what, label, nearest, changes, resolution="recorded")
            return self._result(nearest)
        hint = f"--live-tool {name} runs it"
        raise ReplayDiverged(self._note(what, label, nearest, changes, note=hint, resolution="stopped").text)

    def _take(self, entry: Entry) -> bool:
        """A tool's outcome is given, when the recording holds it. Raises `ReplayDiverged` otherwise."""
        why = _missing(entry)
        if why:
            note = f"its result is not in the recording ({why}); --live-tool {entry.name} runs it"
            raise ReplayDiverged(self._note("beyond", entry.label, entry, note=note, resolution="stopped").text)
        return self._index.take(entry)

    def _result(self, entry: Entry) -> Recorded:
        self._count("answered_tools")
        return entry.recorded

    def _note(
        self, kind: Kind, label: str, entry: Entry | None, fields: Collection[FieldChange] = (), note: str = "",
        resolution: str = "",
    ) -> Difference:
        found = Difference(kind, label, entry.step.span_id if entry is not None else None, tuple(fields), note, resolution)
        if len(self.report.differences) < MAX_NOTED:
            self.report.differences.append(found)
            self._account.tell({"difference": found.as_json()})
        else:
            self._count("unlisted")
        return found


def _asked(question: Question) -> str:
    """The last words of what is asked."""
    adapter = by_name(question.api)
    messages = read_request(adapter, question.body).messages if adapter is not None else ()
    words = next((message.text for message in reversed(messages) if message.text.strip()), "")
    return " ".join((words or (question.body or b"").decode("utf-8", "replace")).split())[-MAX_WORDS:]


def _missing(entry: Entry) -> str:
    """Why the outcome of a tool is not in the recording; empty when it is."""
    exchange = entry.recorded.exchange
    if exchange.omitted is not None:
        return exchange.omitted
    if exchange.response_body is None and entry.step.error_type is None:
        return "it never ended"
    return "it holds what JSON cannot" if exchange.opaque else ""
