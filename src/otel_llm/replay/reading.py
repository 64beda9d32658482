"""From the bytes of an exchange to the call that people can read: one recorded call with its facts, bytes and messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from otel_llm import semconv
from otel_llm.adapters import by_name, read_call
from otel_llm.values.call import Call
from otel_llm.values.errors import ConfigError, NotFound
from otel_llm.values.session import Exchange, Step
from otel_llm.values.store import Store

MOST_NAMED = 5
"""Ids that one remark lists."""


def steps_of(store: Store, given: str) -> tuple[str, list[Step]]:
    """The session that an id leads to, and its steps: all of a session, those of a trace, or the one that is a call."""
    ref = store.resolve(given)
    session_id = ref.session_id or ref.id
    steps = store.steps(session_id)
    if ref.kind == "call":
        steps = [step for step in steps if step.span_id == ref.id]
    if ref.kind == "trace":
        steps = [step for step in steps if step.trace_id == ref.id]
    return session_id, steps


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call as the store has it. `call` is None when its bodies were not kept or no adapter reads them."""

    step: Step
    exchange: Exchange
    call: Call | None


def read(exchange: Exchange) -> Call | None:
    """The call that the bytes of an exchange amount to, a stream put together; None when no adapter reads them."""
    adapter = by_name(exchange.api)
    if adapter is None:
        return None
    call, _ = read_call(
        adapter,
        exchange.provider,
        exchange.request_body,
        exchange.response_body,
        exchange.response_type,
        status=exchange.status,
    )
    return call


def recorded(store: Store, step: Step) -> RecordedCall:
    """A call step together with what went over the wire; where no bytes are, with what its span says."""
    exchange = store.exchange(step.span_id)
    has_bytes = exchange.request_body is not None or exchange.response_body is not None
    return RecordedCall(step, exchange, read(exchange) if has_bytes else _said_by_the_span(store, step))


def _said_by_the_span(store: Store, step: Step) -> Call | None:
    try:
        return semconv.read(store.span(step.span_id).attributes)
    except NotFound:
        return None


def step_of(store: Store, given: str) -> Step:
    """The call that an id names, as a step.

    Raises `ConfigError` when the id names a session or a trace, with the calls that are in it.
    """
    ref = store.resolve(given)
    if ref.kind == "call" and ref.session_id is not None:
        for step in store.steps(ref.session_id):
            if step.span_id == ref.id:
                return step
    if ref.kind == "call":
        raise NotFound("call", given)
    steps = [step for step in store.steps(ref.session_id or ref.id) if step.kind == "call"]
    if ref.kind == "trace":
        steps = [step for step in steps if step.trace_id == ref.id]
    raise ConfigError(f"{given} is a {ref.kind}; {_calls_in(given, ref.kind, steps)}.")


def _calls_in(given: str, kind: str, steps: Sequence[Step]) -> str:
    """Which calls are meant instead: `its calls are @1:1 … @1:5`."""
    if not steps:
        return "there is no call in it"
    ids = [f"{given}:{number + 1}" if kind == "session" else step.span_id for number, step in enumerate(steps)]
    if len(ids) == 1:
        return f"its call is {ids[0]}"
    return f"its calls are {ids[0]} … {ids[-1]}" if kind == "session" else f"its calls are {', '.join(ids[:MOST_NAMED])}"
