"""Asking recorded calls again, one after the other, under caps.

*Frozen* replay: each call goes out with the history that was recorded, whatever the new answers say, so that every
difference is the doing of that one call. Before each call the caps on calls, money and time are checked; when one is
reached nothing more is sent. An error answer of the provider is a result like any other.

Each finished call is compared with its recording and kept in the store at once, so that an interruption loses nothing that
was paid for. All calls of one reissue make one new session.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from otel_llm import semconv
from otel_llm.replay.compare import Answer, answer_of, compare
from otel_llm.replay.credentials import Origin, credential, origin_of, show_origin
from otel_llm.replay.plan import Plan, Planned, Price
from otel_llm.replay.reading import RecordedCall, read
from otel_llm.values.errors import BudgetExceeded, NotReplayable, ReplayError, StoreError
from otel_llm.values.sender import Sender
from otel_llm.values.session import Exchange, ReplayRecord
from otel_llm.values.store import Store


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits on calls, money (pico-USD) and time (seconds); None is no limit."""

    calls: int | None = None
    cost: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Reissued:
    """One call that was asked again: what came back, and how it differs (the shape of `otel_llm.replay.compare`)."""

    planned: Planned
    exchange: Exchange
    old: Answer
    new: Answer
    diff: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as a reissue needs it: the date for records, and a clock that only runs forward."""

    now_ns: Callable[[], int] = time.time_ns
    ticks_ns: Callable[[], int] = time.perf_counter_ns


def new_session_id() -> str:
    """The id of the session that a reissue makes."""
    return f"sess-{secrets.token_hex(8)}"


def reissue(
    plan: Plan,
    store: Store,
    *,
    sender: Sender,
    environ: Mapping[str, str],
    price: Price,
    caps: Caps = Caps(),
    api_key_env: str | None = None,
    session_id: str | None = None,
    clock: Clock = Clock(),
) -> Iterator[Reissued]:
    """Send the calls of a plan, and give each result as soon as it is there.

    Raises `NotReplayable` before anything is sent when a key is missing or no call is left, `BudgetExceeded` when a cap
    keeps a call from being sent, `ReplayError` behind the result of a call to which no response came at all.
    """
    if not plan.planned:
        reasons = "; ".join(dict.fromkeys(skip.reason for skip in plan.skipped))
        raise NotReplayable(f"None of the {len(plan.skipped)} calls can be sent again: {reasons}.")
    keys = {origin: _key(plan, origin, environ, api_key_env) for origin in plan.origins}
    session_id = session_id or new_session_id()
    started, spent = clock.ticks_ns(), 0
    for sent, planned in enumerate(plan.planned):
        _check(caps, planned, sent=sent, of=len(plan.planned), spent=spent, elapsed_ns=clock.ticks_ns() - started)
        request = replace(
            planned.request,
            credential=keys[origin_of(planned.request.url)],
            attributes=_attributes(planned, session_id),
        )
        began = clock.ticks_ns()
        exchange = sender.send(request)
        new = _new_answer(exchange, planned, price, duration_ns=clock.ticks_ns() - began)
        old = recorded_answer(planned.recorded)
        diff = compare(old, new)
        record = ReplayRecord(
            source_span_id=planned.recorded.step.span_id,
            span_id=exchange.span_id,
            session_id=session_id,
            source_session_id=plan.source_session_id,
            changes=plan.changes.as_json(),
            diff=diff,
            time_ns=clock.now_ns(),
        )
        trouble = _keep(store, record)
        cost = new.cost or planned.estimate
        spent += cost.total if cost is not None else 0
        yield Reissued(planned, exchange, old, new, diff)
        if trouble is not None:
            raise trouble
        if exchange.status is None:
            place = show_origin(origin_of(request.url))
            so_far = f"{sent + 1} of {len(plan.planned)} calls were sent."
            raise ReplayError(f"No response came from {place}. {so_far} Is it up, and is the URL right?")


def _keep(store: Store, record: ReplayRecord) -> StoreError | None:
    """Keep a result; what prevents it is raised only when the caller has seen the answer, which may have cost money."""
    try:
        store.record_replay(record)
    except StoreError as error:
        return error
    return None


def _key(plan: Plan, origin: Origin, environ: Mapping[str, str], named: str | None) -> str | None:
    url = next(call.request.url for call in plan.planned if origin_of(call.request.url) == origin)
    return credential(url, environ, named)


def _check(caps: Caps, planned: Planned, *, sent: int, of: int, spent: int, elapsed_ns: int) -> None:
    """Raise when the next call would break a cap."""
    so_far = f"{sent} of {of} calls were sent."
    if caps.calls is not None and sent >= caps.calls:
        raise BudgetExceeded(f"Stopped at the cap of {caps.calls} calls. {so_far} Raise --max-calls to send the rest.")
    if caps.seconds is not None and elapsed_ns >= caps.seconds * 1e9:
        raise BudgetExceeded(f"Stopped at the cap of {caps.seconds:g} s. {so_far} Raise --max-time to send the rest.")
    if caps.cost is None:
        return
    if planned.estimate is None:
        raise BudgetExceeded(
            f"The price of the next call ({planned.model or 'unknown model'}) is unknown, so that --max-cost cannot be kept. "
            f"{so_far} Use --max-calls instead."
        )
    if spent + planned.estimate.total > caps.cost:
        raise BudgetExceeded(f"The next call would pass the cap on cost. {so_far} Raise --max-cost to send the rest.")


def _attributes(planned: Planned, session_id: str) -> dict[str, Any]:
    """What the new span says: its session, which the reissue names, and the call that it repeats."""
    step = planned.recorded.step
    return {
        semconv.GEN_AI_CONVERSATION_ID: session_id,
        semconv.SESSION_ID: session_id,
        semconv.OTEL_LLM_REPLAY_SOURCE_TRACE_ID: step.trace_id,
        semconv.OTEL_LLM_REPLAY_SOURCE_SPAN_ID: step.span_id,
    }


def _new_answer(exchange: Exchange, planned: Planned, price: Price, *, duration_ns: int) -> Answer:
    answer = answer_of(read(exchange), status=exchange.status, duration_ns=duration_ns)
    if answer.usage.input_tokens is None and answer.usage.output_tokens is None:
        return answer
    provider = exchange.provider or planned.recorded.exchange.provider
    costs = (price(provider, model, answer.usage) for model in (answer.model, planned.model) if model)
    return replace(answer, cost=next((cost for cost in costs if cost is not None), None))


def recorded_answer(recorded: RecordedCall) -> Answer:
    """The recorded side of a comparison, with the figures that the store has."""
    step = recorded.step
    answer = answer_of(
        recorded.call,
        status=recorded.exchange.status,
        cost=step.cost,
        duration_ns=step.duration_ns,
        error_type=step.error_type,
    )
    return replace(answer, model=answer.model or step.response_model, usage=step.usage)
