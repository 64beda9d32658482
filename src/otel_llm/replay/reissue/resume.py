"""Going on with a reissue that was interrupted: what the journal says, what the tape knows better, and what is left to do.

A call that the journal calls *sending* was sent, as far as anybody knows, and the process died before it wrote down the answer.
The answer may be on the tape, which is written first: a call of the new session that says which recorded call it repeats, and
which repeat it is. Then the call is settled as if nothing had happened. Where there is none, the call stays in doubt.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass

from otel_llm import semconv
from otel_llm.replay.reissue.orders import Means, Orders
from otel_llm.replay.reissue.outcomes import Outcome
from otel_llm.replay.reissue.plan import Plan, Price, plan
from otel_llm.replay.reissue.sending import Work
from otel_llm.values.errors import NotFound
from otel_llm.values.journal import CallKey, Entry, Undertaking
from otel_llm.values.session import Exchange, Step
from otel_llm.values.store import Store


@dataclass(frozen=True, slots=True)
class Resumption:
    """A reissue that can be gone on with. `late` are the answers that only the tape has."""

    undertaking: Undertaking
    plan: Plan
    orders: Orders
    entries: Mapping[CallKey, Entry]
    late: Mapping[CallKey, tuple[Step, Exchange]]

    @property
    def answered(self) -> int:
        """How many calls have their answer."""
        return sum(entry.state == "answered" for entry in self.entries.values()) + len(self.late)

    @property
    def in_doubt(self) -> tuple[CallKey, ...]:
        """The calls that were sent and have no answer anywhere."""
        return tuple(key for key, entry in self.entries.items() if entry.state == "sending" and key not in self.late)

    @property
    def gone(self) -> int:
        """How many calls are not in the store any more, so that they cannot be sent."""
        there = {call.step.span_id for call in self.plan.calls}
        return sum(key.source_span_id not in there for key, entry in self.entries.items() if entry.state != "answered")

    @property
    def left(self) -> int:
        """How many calls are still to be sent, those in doubt not counted."""
        return sum(entry.state in ("waiting", "failed") for entry in self.entries.values())


def find(given: str, store: Store, *, environ: Mapping[str, str], price: Price) -> Resumption:
    """The reissue that makes this session, as far as it came.

    Raises `NotFound` when there is none, `StoreError` when another process is at work on it.
    """
    undertaking = store.journal.find(given)
    with store.journal.hold(undertaking.session_id):
        entries = {entry.key: entry for entry in store.journal.entries(undertaking.session_id)}
        late = _late(store, undertaking.session_id, entries)
    orders, changes = Orders.from_options(undertaking.options)
    todo = plan(store, _chosen(store, undertaking), changes, environ=environ, price=price, is_threaded=orders.is_threaded)
    return Resumption(undertaking, todo, orders, entries, late)


def go_on(resumption: Resumption, means: Means, orders: Orders, *, resend: bool = False) -> Generator[Outcome, None, None]:
    """Settle what the tape knows, and send what is left; with `resend` also what is in doubt. Raises as `reissue` does."""
    session_id = resumption.undertaking.session_id
    with means.store.journal.hold(session_id):
        work = Work(resumption.plan, orders, means, resumption.undertaking, resumption.entries, resend=resend)
        tasks = {task.key: task for task in work.tasks}
        for key, (step, exchange) in resumption.late.items():
            if key in tasks:
                yield work.settle_late(tasks[key], exchange, step.duration_ns)
        yield from work.outcomes()


def _chosen(store: Store, undertaking: Undertaking) -> list[Step]:
    """The steps that the reissue was made for, as they are now."""
    chosen = set(undertaking.options.get("calls", ()))
    steps = store.steps(undertaking.source_session_id)
    return [step for step in steps if step.span_id in chosen or (step.kind != "call" and len(chosen) > 1)]


def _late(store: Store, session_id: str, entries: Mapping[CallKey, Entry]) -> dict[CallKey, tuple[Step, Exchange]]:
    """Answers on the tape to calls that the journal has none for."""
    doubtful = {key for key, entry in entries.items() if entry.state == "sending"}
    settled = {entry.span_id for entry in entries.values()}
    if not doubtful:
        return {}
    found: dict[CallKey, tuple[Step, Exchange]] = {}
    try:
        steps = store.steps(session_id)
    except NotFound:
        return {}
    for step in steps:
        if step.kind != "call" or step.span_id in settled:
            continue
        said = store.span(step.span_id).attributes
        source, iteration = (said.get(n) for n in (semconv.OTEL_LLM_REPLAY_SOURCE_SPAN_ID, semconv.JAEGER_EVAL_ITERATION_INDEX))
        key = CallKey(str(source), iteration if isinstance(iteration, int) else 0)
        exchange = store.exchange(step.span_id)
        if key in doubtful and exchange.status is not None:
            found[key] = (step, exchange)
    return found
