"""Asking recorded calls again, under caps, in order within each conversation, with several conversations side by side.

*Frozen*: each call goes out with the history that was recorded, whatever the new answers say, so that every difference is the
doing of that one call. *Threaded*: the new answers flow into the later turns (`otel_llm.replay.reissue.threads`).

A call goes out when the one that it goes on from has ended. Before each call the caps are asked; when one is reached nothing
more is sent, and what is under way is waited for. An error answer of the provider is a result like any other. Where no response
comes at all nothing more is sent either: it may have been paid for, and so may the next.

Each call is in the journal (`otel_llm.values.journal`) before it goes out, and its answer is on the tape before it is compared
with the recording and kept. So whatever is interrupted, by a key or by `kill -9`, can be gone on with
(`otel_llm.replay.reissue.resume`). All calls of one reissue make one new session.
"""

from __future__ import annotations

import secrets
import threading
from collections import defaultdict
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from queue import Empty, SimpleQueue
from typing import Any

from otel_llm import semconv
from otel_llm.replay.compare.answers import Answer, compare, recorded_answer
from otel_llm.replay.reissue.budget import Budget
from otel_llm.replay.reissue.orders import Means, Orders
from otel_llm.replay.reissue.outcomes import Outcome, Reissued, Unsent, is_paid, new_answer, state_of
from otel_llm.replay.reissue.pace import Pace
from otel_llm.replay.reissue.plan import Plan, Planned
from otel_llm.replay.reissue.threads import NotNeeded, Stopped, said
from otel_llm.replay.requests.compose import compose
from otel_llm.replay.requests.credentials import Origin, credential, origin_of, show_origin
from otel_llm.values.errors import NotReached, NotReplayable, ReplayError
from otel_llm.values.journal import CallKey, Entry, Undertaking
from otel_llm.values.sender import Outgoing
from otel_llm.values.session import Exchange, ReplayRecord

BASE_URL = "OPENAI_BASE_URL"


@dataclass(frozen=True, slots=True)
class _Task:
    number: int
    iteration: int
    planned: Planned

    @property
    def key(self) -> CallKey:
        return CallKey(self.planned.recorded.step.span_id, self.iteration)


@dataclass(frozen=True, slots=True)
class _Back:
    """What a worker brings back: an exchange, or what prevented it."""

    task: _Task
    result: Exchange | BaseException
    duration_ns: int


def new_session_id() -> str:
    """The id of the session that a reissue makes."""
    return f"sess-{secrets.token_hex(8)}"


def begin(plan: Plan, orders: Orders, means: Means, session_id: str) -> Undertaking:
    """Write a reissue into the journal, as `session_id`. Raises `NotReplayable` when there is no call that can be sent."""
    if not plan.planned:
        reasons = "; ".join(dict.fromkeys(skip.reason for skip in plan.skipped))
        raise NotReplayable(f"None of the {len(plan.skipped)} calls can be sent again: {reasons}.")
    options = {**orders.to_options(plan.changes), "calls": [call.step.span_id for call in plan.calls]}
    undertaking = Undertaking(session_id, plan.source_session_id, options, means.clock.now_ns())
    keys = [CallKey(call.recorded.step.span_id, n) for n in range(orders.repeat) for call in plan.planned]
    means.store.journal.begin(undertaking, keys)
    return undertaking


def reissue(
    plan: Plan, means: Means, orders: Orders = Orders(), *, session_id: str | None = None
) -> Generator[Outcome, None, None]:
    """Send the calls of a plan, and give each result as soon as it is there.

    Raises `NotReplayable` before anything is sent when a key is missing or no call is left, `BudgetExceeded` when a cap keeps a
    call from being sent, `ReplayError` when no response came, each when all that was under way has ended.
    """
    keys_of(plan, orders, means.environ)
    undertaking = begin(plan, orders, means, session_id or new_session_id())
    with means.store.journal.hold(undertaking.session_id):
        yield from Work(plan, orders, means, undertaking, {}).outcomes()


def keys_of(plan: Plan, orders: Orders, environ: Mapping[str, str]) -> dict[Origin, str | None]:
    """The key for each place that calls go to. Raises `NotReplayable` or `ConfigError` when one is missing."""
    urls = {origin_of(call.request.url): call.request.url for call in plan.planned}
    return {origin: credential(url, environ, orders.api_key_env) for origin, url in urls.items()}


class Work:
    """The work on one reissue. `entries` is what the journal says of it so far; calls in doubt are sent only with `resend`."""

    def __init__(
        self, plan: Plan, orders: Orders, means: Means, undertaking: Undertaking, entries: Mapping[CallKey, Entry],
        *, resend: bool = False,
    ) -> None:  # fmt: skip
        self._plan, self._orders, self._means, self._undertaking, self._resend = plan, orders, means, undertaking, resend
        self._keys = keys_of(plan, orders, means.environ)
        self.session_id = undertaking.session_id
        self.entries = dict(entries)
        self.tasks = [_Task(n * len(plan.planned) + at, n, call)
                      for n in range(orders.repeat) for at, call in enumerate(plan.planned)]
        self.threads = [plan.new_threads() if orders.is_threaded else None for _ in range(orders.repeat)]
        used = self.entries.values()
        self._budget = Budget(orders.caps, len(self.tasks), sum(e.sends for e in used), sum(e.cost for e in used),
                              undertaking.elapsed_ns)
        self._pace = Pace(orders.interval_ns)
        self._back: SimpleQueue[_Back] = SimpleQueue()
        self._under_way: dict[int, _Task] = {}
        self._ready: list[int] = []
        self._after: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._error: BaseException | None = None
        self._is_waited_for = False
        self._last_ns, self._unsaved_ns = means.clock.ticks_ns(), 0

    # ---- the loop -----------------------------------------------------------------------------------------------------

    def outcomes(self) -> Generator[Outcome, None, None]:
        """What comes of each call, as it comes. What is under way when it is interrupted, or the caller leaves, is waited for
        and kept; interrupted once more, it is not.
        """
        self._arrange()
        try:
            while True:
                wait_ns = 0
                while self._ready and self._error is None and len(self._under_way) < self._orders.concurrency:
                    wait_ns = self._pace.wait_ns(self._means.clock.ticks_ns())
                    task = self.tasks[self._ready[0]]
                    begun = False if wait_ns else self._begin(task)
                    if begun is False:
                        break
                    heappop(self._ready)
                    if begun is not True:
                        self._free(task)
                    if isinstance(begun, Unsent):
                        yield begun
                if not self._under_way and (not wait_ns or self._error is not None):
                    break
                try:
                    back = self._back.get(timeout=wait_ns / 1e9 if wait_ns else None)
                except Empty:
                    continue
                except KeyboardInterrupt as interrupt:
                    if self._is_waited_for:
                        self._under_way.clear()
                        raise
                    self._stop(interrupt)
                    self._say_waiting()
                    continue
                outcome = self._keep(back)
                self._free(back.task)
                if outcome is not None:
                    yield outcome
        finally:
            self._drain()
        if self._error is not None:
            raise self._error

    def _arrange(self) -> None:
        """Put every call behind the one that it goes on from."""
        places = {task.planned.place for task in self.tasks}
        for task in self.tasks:
            at = self._plan.continued[task.planned.place]
            if at is not None and at.parent in places:
                self._after[task.iteration, at.parent].append(task.number)
            else:
                heappush(self._ready, task.number)

    def _free(self, task: _Task) -> None:
        """The calls that go on from this one may go out."""
        for number in self._after.pop((task.iteration, task.planned.place), ()):
            heappush(self._ready, number)

    def _drain(self) -> None:
        """Wait for what is under way, and keep it."""
        self._say_waiting()
        while self._under_way:
            outcome = self._keep(self._back.get())
            if outcome is not None:
                self._means.came_late(outcome)

    def _say_waiting(self) -> None:
        if self._under_way and not self._is_waited_for:
            self._is_waited_for = True
            self._means.waits(len(self._under_way))

    # ---- one call -----------------------------------------------------------------------------------------------------

    def _begin(self, task: _Task) -> bool | Unsent | None:
        """True when a call is on its way, why not when it is not, None when it was answered before.

        False when it has to wait for others, or nothing more is to be sent.
        """
        entry = self.entries.get(task.key, Entry(task.key))
        if entry.state == "answered":
            self._recall(task, entry)
            return None
        if entry.state == "sending" and not self._resend:
            return Unsent(task.planned, task.iteration, "it was sent, and no answer is recorded", in_doubt=True)
        try:
            request = self._compose(task)
        except NotNeeded as reason:
            return Unsent(task.planned, task.iteration, str(reason), is_needed=False)
        except (Stopped, NotReplayable) as reason:
            return Unsent(task.planned, task.iteration, str(reason))
        self._spend_time()
        try:
            if not self._budget.admit(task.planned, task.number):
                return False
        except ReplayError as error:
            self._stop(error)
            return False
        expected = self._budget.expected(task.planned)
        if not self._means.store.journal.claim(self.session_id, task.key, cost=expected, resend=self._resend):
            self._budget.ended(task.planned, task.number, None, is_paid=False)
            return Unsent(task.planned, task.iteration, "another process has sent it")
        self.entries[task.key] = replace(entry, state="sending", sends=entry.sends + 1, cost=entry.cost + expected)
        self._pace.went(self._means.clock.ticks_ns())
        self._under_way[task.number] = task
        threading.Thread(target=self._send, args=(task, request), name="otel-llm-reissue", daemon=True).start()
        return True

    def _recall(self, task: _Task, entry: Entry) -> None:
        """Let a new answer that is recorded already flow on."""
        threads = self.threads[task.iteration]
        if threads is None or entry.span_id is None:
            return
        with suppress(NotNeeded, Stopped, NotReplayable):
            self._compose(task)
        threads.done[task.planned.place] = said(self._means.store.exchange(entry.span_id))

    def _compose(self, task: _Task) -> Outgoing:
        """The request as it goes out now. Raises `NotNeeded`, `Stopped`, `NotReplayable`."""
        planned, threads = task.planned, self.threads[task.iteration]
        body = planned.request.body
        if threads is not None:
            place = planned.place
            now = threads.body(place)
            body = compose(planned.recorded, planned.changes, now=now, whole=lambda value: threads.whole(place, value)).body
        return replace(
            planned.request, body=body, retries=self._orders.retries, credential=self._keys[origin_of(planned.request.url)],
            attributes=self._attributes(task))

    def _send(self, task: _Task, request: Outgoing) -> None:
        result: Exchange | BaseException
        took = 0
        try:
            begun = self._means.clock.ticks_ns()
            result = self._means.sender.send(request)
            took = self._means.clock.ticks_ns() - begun
        except BaseException as error:
            result = error
        self._back.put(_Back(task, result, took))

    def _keep(self, back: _Back) -> Outcome | None:
        """Settle what came back: in the budget, in the journal, among the replays."""
        task, result = back.task, back.result
        planned, number = task.planned, task.number
        del self._under_way[number]
        entry = self.entries[task.key]
        if isinstance(result, NotReached):
            self._budget.unreached(planned, number)
            paid = entry.cost - self._budget.expected(planned)
            self._settle(replace(entry, state="failed", span_id=result.span_id, sends=entry.sends - 1, cost=paid))
            self._stop(ReplayError(f"{result} {self._so_far()} {self._other_place(planned)}"))
            return None
        if isinstance(result, BaseException):
            self._budget.ended(planned, number, None)
            self._stop(result)
            return None
        if result.status is None:
            self._budget.ended(planned, number, None)
            self._settle(entry)
            place = show_origin(origin_of(planned.request.url))
            self._stop(ReplayError(f"No response came from {place} to a call that was sent, so that it may have been paid for. "
                                   f"{self._so_far()} Nothing more is sent."))
            return Unsent(planned, task.iteration, f"it was sent, and no response came from {place}", in_doubt=True)
        new = new_answer(result, planned, self._means.price, duration_ns=back.duration_ns)
        expected = self._budget.expected(planned)
        cost = None if new.cost is None else new.cost.total
        counted = self._budget.ended(planned, number, cost, is_paid=is_paid(result.status))
        self._settle(replace(entry, state=state_of(result.status), span_id=result.span_id, cost=entry.cost - expected + counted))
        threads = self.threads[task.iteration]
        if threads is not None:
            threads.done[planned.place] = said(result)
        return self._record(task, result, new)

    def _record(self, task: _Task, exchange: Exchange, new: Answer) -> Reissued:
        """Compare with the recording and keep the difference. When that fails, the answer is shown before the error is."""
        planned = task.planned
        old = recorded_answer(planned.recorded)
        diff = compare(old, new)
        try:
            self._means.store.record_replay(ReplayRecord(
                source_span_id=planned.recorded.step.span_id,
                span_id=exchange.span_id,
                session_id=self.session_id,
                source_session_id=self._plan.source_session_id,
                changes=self._changes_of(planned),
                diff=diff,
                time_ns=self._means.clock.now_ns(),
            ))
        except Exception as error:
            self._stop(error)
        return Reissued(planned, exchange, old, new, diff, task.iteration)

    def settle_late(self, task: _Task, exchange: Exchange, duration_ns: int | None) -> Reissued:
        """Settle a call in doubt whose answer was on the tape."""
        planned, entry = task.planned, self.entries[task.key]
        new = new_answer(exchange, planned, self._means.price, duration_ns=duration_ns)
        cost = entry.cost - self._budget.expected(planned) + new.cost.total if new.cost is not None else entry.cost
        self._budget.cost += cost - entry.cost
        self._settle(replace(entry, state=state_of(exchange.status), span_id=exchange.span_id, cost=cost))
        return self._record(task, exchange, new)

    # ---- inside -------------------------------------------------------------------------------------------------------

    def _settle(self, entry: Entry) -> None:
        try:
            self._spend_time()
            self._means.store.journal.settle(self.session_id, entry, elapsed_ns=self._unsaved_ns)
        except Exception as error:
            self._stop(error)
            return
        self._unsaved_ns = 0
        self.entries[entry.key] = entry

    def _spend_time(self) -> None:
        """Count the time since the last look."""
        now = self._means.clock.ticks_ns()
        self._unsaved_ns += now - self._last_ns
        self._budget.elapsed_ns += now - self._last_ns
        self._last_ns = now

    def _stop(self, error: BaseException) -> None:
        """Send nothing more; the first reason is the one that is said."""
        self._error = self._error or error

    def _so_far(self) -> str:
        return f"{self._budget.calls} of {len(self.tasks)} calls were sent."

    def _other_place(self, planned: Planned) -> str:
        """How a call gets elsewhere."""
        here = self._means.environ.get(BASE_URL, "").strip()
        if planned.changes.base_url is not None:
            return "Is it up, and is --base-url right?"
        if here and not planned.request.url.startswith(here):
            return f"That is where it was recorded; {BASE_URL} is not looked at. To send it there: --base-url {here}"
        return "That is where it was recorded. Is it up? --base-url URL sends it elsewhere."

    def _changes_of(self, planned: Planned) -> dict[str, Any]:
        """What was changed for a call, as the store keeps it."""
        return {**planned.changes.as_json(), **({"threaded": True} if self._orders.is_threaded else {})}

    def _attributes(self, task: _Task) -> dict[str, Any]:
        """What the new span says: its session, the call that it repeats, and how."""
        step = task.planned.recorded.step
        name, version = task.planned.prompt or (None, None)
        return {
            semconv.GEN_AI_CONVERSATION_ID: self.session_id,
            semconv.SESSION_ID: self.session_id,
            semconv.OTEL_LLM_REPLAY_SOURCE_TRACE_ID: step.trace_id,
            semconv.OTEL_LLM_REPLAY_SOURCE_SPAN_ID: step.span_id,
            semconv.OTEL_LLM_REPLAY_SOURCE_SESSION_ID: self._plan.source_session_id,
            semconv.OTEL_LLM_REPLAY_MODE: "threaded" if self._orders.is_threaded else "frozen",
            semconv.JAEGER_EVAL_TRIAL_ID: self.session_id,
            semconv.JAEGER_EVAL_ITERATION_INDEX: task.iteration,
            **({semconv.GEN_AI_PROMPT_NAME: name} if name else {}),
            **({semconv.GEN_AI_PROMPT_VERSION: version} if version else {}),
        }
