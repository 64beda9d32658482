"""What comes of the calls of a reissue: an answer and how it differs, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from otel_llm.replay.compare.answers import Answer, answer_of
from otel_llm.replay.reading import read
from otel_llm.replay.reissue.plan import Planned, Price
from otel_llm.values.journal import EntryState
from otel_llm.values.session import Exchange

REFUSED = frozenset({401, 403, 429, 503})
"""Answers that may be others when the call is sent again: a resume does so."""


@dataclass(frozen=True, slots=True)
class Reissued:
    """One call that was asked again: what came back, and how it differs (the shape of `otel_llm.replay.compare.answers`)."""

    planned: Planned
    exchange: Exchange
    old: Answer
    new: Answer
    diff: Mapping[str, Any]
    iteration: int = 0


@dataclass(frozen=True, slots=True)
class Unsent:
    """One call that was not asked, and why. `is_needed` is False for one that the new answers made superfluous; `in_doubt` says
    that it was sent, and nobody knows whether it was answered and paid for."""

    planned: Planned
    iteration: int
    reason: str
    is_needed: bool = True
    in_doubt: bool = False


Outcome = Reissued | Unsent


def state_of(status: int | None) -> EntryState:
    """What the journal says of a call that ended so."""
    return "failed" if status in REFUSED else "answered"


def is_paid(status: int | None) -> bool:
    """Whether somebody may be paid for an answer: not for a refusal."""
    return status is None or status < 400 or (status >= 500 and status not in REFUSED)


def new_answer(exchange: Exchange, planned: Planned, price: Price, *, duration_ns: int | None) -> Answer:
    """The new side of a comparison, with what it cost."""
    answer = answer_of(read(exchange), status=exchange.status, duration_ns=duration_ns, body=exchange.response_body)
    if answer.usage.input_tokens is None and answer.usage.output_tokens is None:
        return answer
    provider = exchange.provider or planned.recorded.exchange.provider
    costs = (price(provider, model, answer.usage) for model in (answer.model, planned.model) if model)
    return replace(answer, cost=next((cost for cost in costs if cost is not None), None))
