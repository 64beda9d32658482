"""Sending the trials of a suite, several at a time, within its budget.

Each trial is a reissue of its own, in a thread of its own; its calls go out one after the other. A trial whose journal says
that all is answered is passed over, one that was begun is gone on with: so a run that was interrupted, however, goes on where
it was, and no answered call is bought twice. When something stops the run (a cap, no connection, a key that is refused),
nothing more is begun, and what is under way is waited for.

An answer that refuses (429, 503 after all retries) says nothing of a variant: the call stays without an answer, and is sent again
when the run is gone on with.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

from otel_llm.replay.reissue import resume
from otel_llm.replay.reissue.budget import Caps
from otel_llm.replay.reissue.orders import Means, Orders
from otel_llm.replay.reissue.outcomes import REFUSED, Outcome, Reissued, Unsent
from otel_llm.replay.reissue.sending import reissue
from otel_llm.replay.suite.budget import Grant, Purse
from otel_llm.replay.suite.trials import Need, Tagged, Trial, plan_of
from otel_llm.values.errors import BudgetExceeded, NotFound, ReplayError
from otel_llm.values.journal import CallKey, Entry

HOPELESS = frozenset({401, 403})
"""Refusals that every other call would get too."""


@dataclass(slots=True)
class Conducted:
    """What became of the trials. `unsent` are calls without an answer, by new session and call; `stopped` says why not all was
    sent."""

    unsent: dict[tuple[str, CallKey], Unsent] = field(default_factory=dict)
    refused: int = 0
    sent: int = 0
    stopped: ReplayError | None = None

    @property
    def in_doubt(self) -> int:
        """How many calls were sent and have no recorded answer."""
        return sum(each.in_doubt for each in self.unsent.values())


@dataclass(frozen=True, slots=True)
class _Ended:
    trial: Trial
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Conductor:
    """How trials are sent. `heard` is told of each outcome, `paused` after each trial."""

    means: Means
    purse: Purse
    is_threaded: bool = False
    concurrency: int = 1
    retries: int = 2
    resend: bool = False
    heard: Callable[[Trial, Outcome], object] = lambda trial, outcome: None
    paused: Callable[[], object] = lambda: None

    def conduct(self, trials: Sequence[tuple[Trial, Need]]) -> Conducted:
        """Send what is not answered yet. Raises what is no `ReplayError` (a store that cannot be written) when all has ended."""
        return _Work(self, trials).conduct()


def entries_of(means: Means, trial: Trial) -> list[Entry]:
    """What the journal says of a trial; nothing of one that was not begun."""
    return means.store.journal.entries(trial.session_id)


@dataclass(frozen=True, slots=True)
class Used:
    """What journals say: how often calls went out, what they count (pico-USD), how many have an answer, are in doubt, have
    none."""

    sends: int = 0
    cost: int = 0
    answered: int = 0
    in_doubt: int = 0
    left: int = 0


def used_of(entries: Sequence[Entry]) -> Used:
    """What was used for these calls."""
    states = [entry.state for entry in entries]
    return Used(sum(entry.sends for entry in entries), sum(entry.cost for entry in entries), states.count("answered"),
                states.count("sending"), len(states) - states.count("answered"))


class _Work:
    def __init__(self, conductor: Conductor, trials: Sequence[tuple[Trial, Need]]) -> None:
        self._with, self._means, self._purse = conductor, conductor.means, conductor.purse
        self._ready = deque((trial, need, False) for trial, need in trials)
        self._under_way: dict[str, tuple[Trial, Need, Used]] = {}
        self._back: SimpleQueue[tuple[Trial, Outcome] | _Ended] = SimpleQueue()
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._done = Conducted()
        self._last_ns = self._means.clock.ticks_ns()

    def conduct(self) -> Conducted:
        try:
            while True:
                while self._ready and self._error is None and len(self._under_way) < self._with.concurrency and self._begin():
                    pass
                if not self._under_way:
                    break
                self._take(self._back.get())
        finally:
            self._drain()
        if self._error is not None and not isinstance(self._error, ReplayError):
            raise self._error
        self._done.stopped = self._error
        return self._done

    def _begin(self) -> bool:
        """Begin the first trial that is left; False when it has to wait, or nothing more is to be begun."""
        trial, need, wants_all = self._ready[0]
        before = used_of(entries_of(self._means, trial))
        if before.answered and not before.left:
            self._ready.popleft()
            return True
        self._spend_time()
        try:
            grant = self._purse.grant(trial.session_id, need.share(before.left) if before.left else need, wants_all=wants_all)
        except BudgetExceeded as error:
            self._stop(error)
            return False
        if grant is None:
            return False
        self._ready.popleft()
        self._under_way[trial.session_id] = trial, need, before
        threading.Thread(target=self._work, args=(trial, grant, before), name="otel-llm-suite", daemon=True).start()
        return True

    def _work(self, trial: Trial, grant: Grant, before: Used) -> None:
        error: BaseException | None = None
        try:
            with closing(self._outcomes(trial, grant, before)) as outcomes:
                for outcome in outcomes:
                    self._back.put((trial, outcome))
                    if self._stopping.is_set():
                        break
        except BaseException as caught:
            error = caught
        self._back.put(_Ended(trial, error))

    def _outcomes(self, trial: Trial, grant: Grant, before: Used) -> Generator[Outcome, None, None]:
        means = replace(self._means, sender=Tagged(self._means.sender, trial.tags), waits=lambda count: None)
        environ, price = means.environ, means.price
        orders = Orders(self._with.is_threaded, trial.repeat, retries=self._with.retries, api_key_env=trial.variant.api_key_env)

        def under(caps_of: Callable[..., Caps], elapsed_ns: int) -> Orders:
            return replace(orders, caps=caps_of(sends=before.sends, cost=before.cost, elapsed_ns=elapsed_ns))

        try:
            begun = resume.find(trial.session_id, means.store, environ=environ, price=price)
        except NotFound:
            todo = plan_of(trial, means.store, environ=environ, price=price)
            yield from reissue(todo, means, under(grant.caps, 0), session_id=trial.session_id)
        else:
            yield from resume.go_on(begun, means, under(grant.caps, begun.undertaking.elapsed_ns), resend=self._with.resend)

    def _take(self, back: tuple[Trial, Outcome] | _Ended) -> None:
        if isinstance(back, _Ended):
            self._end(back.trial, back.error)
            return
        trial, outcome = back
        key = trial.session_id, CallKey(outcome.planned.recorded.step.span_id, outcome.iteration)
        if isinstance(outcome, Reissued):
            self._done.sent += 1
            self._done.unsent.pop(key, None)
            self._look_at(outcome.exchange.status)
        else:
            self._done.unsent[key] = outcome
        self._with.heard(trial, outcome)

    def _look_at(self, status: int | None) -> None:
        self._done.refused += status in REFUSED
        if status in HOPELESS:
            self._stop(ReplayError(f"The provider refused with {status}, as it would every other call; nothing more is sent. "
                                   "Check the key and what it may do, and go on with --resume."))

    def _end(self, trial: Trial, error: BaseException | None) -> None:
        """Count what a trial used. One that needed more than its grant stands in line again, as long as there is more."""
        _, need, before = self._under_way.pop(trial.session_id)
        now = used_of(entries_of(self._means, trial))
        grant = self._purse.settle(trial.session_id, calls=now.sends - before.sends, cost=now.cost - before.cost)
        self._spend_time()
        self._with.paused()
        if isinstance(error, BudgetExceeded) and not grant.is_all and self._error is None:
            self._ready.appendleft((trial, need, True))
        elif isinstance(error, BudgetExceeded):
            self._stop(self._purse.exceeded(self._which()))
        elif error is not None:
            self._stop(error)

    def _which(self) -> str:
        """The cap that keeps the next call from being sent."""
        caps, purse = self._purse.caps, self._purse
        if caps.calls is not None and purse.calls >= caps.calls:
            return "max_calls"
        return "max_time" if caps.seconds is not None and purse.elapsed_ns >= caps.seconds * 1e9 else "max_cost"

    def _spend_time(self) -> None:
        now = self._means.clock.ticks_ns()
        self._purse.elapsed_ns += now - self._last_ns
        self._last_ns = now

    def _stop(self, error: BaseException) -> None:
        """Begin nothing more; the first reason is the one that is said."""
        self._error = self._error or error
        self._stopping.set()

    def _drain(self) -> None:
        """Wait for what is under way."""
        self._stopping.set()
        if self._under_way:
            self._means.waits(len(self._under_way))
        while self._under_way:
            self._take(self._back.get())


def keys_of(trial: Trial, conducted: Conducted, entries: Sequence[Entry]) -> Mapping[CallKey, str | None]:
    """The calls of a trial with the span of their answer; None where an answer is missing, and nothing for calls not needed."""
    found: dict[CallKey, str | None] = {}
    for entry in entries:
        unsent = conducted.unsent.get((trial.session_id, entry.key))
        if entry.state == "answered":
            found[entry.key] = entry.span_id
        elif unsent is None or unsent.is_needed:
            found[entry.key] = None
    return found
