"""From the bytes of an exchange to the call that people can read: one recorded call with its facts, bytes and messages."""

from __future__ import annotations

from dataclasses import dataclass

from otel_llm import semconv
from otel_llm.adapters import by_name, read_call
from otel_llm.values.call import Call
from otel_llm.values.errors import NotFound
from otel_llm.values.session import Exchange, Step
from otel_llm.values.store import Store


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

    Raises `NotFound` when the id names a session or a trace, with the calls that are in it.
    """
    ref = store.resolve(given)
    if ref.kind == "call" and ref.session_id is not None:
        for step in store.steps(ref.session_id):
            if step.span_id == ref.id:
                return step
    calls = [step.span_id for step in store.steps(ref.session_id or ref.id) if step.kind == "call"] if ref.kind != "call" else []
    raise NotFound("call", given, calls[:5])
