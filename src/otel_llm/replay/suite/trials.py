"""A trial: one recorded session in one variant. What it would send and cost, asked before anything is sent.

Only the calls of a conversation are asked again: an embeddings call is the same in every variant. A session without a
conversation is taken as it is. A trial is a reissue (`otel_llm.replay.reissue.sending`) with a journal and a new session of its
own, which carries the tags `suite`, `variant` and `suite_run`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from otel_llm import semconv
from otel_llm.replay.conversation import DIALOGUE
from otel_llm.replay.reissue.plan import Plan, Price, plan
from otel_llm.replay.requests.credentials import Origin
from otel_llm.replay.suite.definition import Run, Variant
from otel_llm.values.sender import Outgoing, Sender
from otel_llm.values.session import Exchange, Step
from otel_llm.values.store import Store


@dataclass(frozen=True, slots=True)
class Trial:
    """A session (`source`) in a variant, asked `repeat` times; `session_id` is the session that comes of it."""

    variant: Variant
    source: str
    session_id: str
    repeat: int
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Need:
    """What a trial would send, repetitions included. Money in pico-USD: `cost` of the calls whose price is known (None when it is
    of none), `most` when every request limits its answer. `prompts` are those of the variant that calls come from."""

    calls: int = 0
    cost: int | None = None
    unpriced: int = 0
    most: int | None = None
    prompts: frozenset[str] = frozenset()
    origins: tuple[Origin, ...] = ()
    skipped: tuple[str, ...] = ()

    def share(self, calls: int) -> Need:
        """The same for so many of the calls, about."""
        part = calls / self.calls if self.calls else 0.0
        cost, most = (None if figure is None else round(figure * part) for figure in (self.cost, self.most))
        return replace(self, calls=calls, cost=cost, most=most, unpriced=round(self.unpriced * part))


def session_id_of(run_id: str, variant: str, source: str, turn: int = 0) -> str:
    """The id of the session that a run makes of a recorded session in a variant; `turn` counts how often it is asked for."""
    return f"sess-{sha256(json.dumps([run_id, variant, source, turn]).encode()).hexdigest()[:16]}"


def trial_of(run: Run, variant: Variant, source: str, repeat: int, turn: int = 0) -> Trial:
    """The trial of a run; that of the recorded answers is the recorded session itself."""
    if variant.is_recorded:
        return Trial(variant, source, source, 1, {})
    tags = {"suite": run.suite, "variant": variant.name, "suite_run": run.run_id}
    return Trial(variant, source, session_id_of(run.run_id, variant.name, source, turn), repeat, tags)


def asked_steps(steps: Iterable[Step]) -> list[Step]:
    """The steps of a session that a suite looks at."""
    steps = list(steps)
    if not any(step.kind == "call" and step.operation in DIALOGUE for step in steps):
        return steps
    return [step for step in steps if step.kind != "call" or step.operation in DIALOGUE]


def plan_of(trial: Trial, store: Store, *, environ: Mapping[str, str], price: Price) -> Plan:
    """What it would send. Raises `NotReplayable` when there is no call, `ConfigError` for a change that makes no sense."""
    return plan(store, asked_steps(store.steps(trial.source)), trial.variant.changes, environ=environ, price=price)


def need_of(todo: Plan, repeat: int) -> Need:
    """What a plan comes to."""
    limits = [call.most.total for call in todo.planned if call.most is not None]
    return Need(
        calls=len(todo.planned) * repeat,
        cost=None if todo.estimate is None else todo.estimate * repeat,
        unpriced=todo.unpriced * repeat,
        most=sum(limits) * repeat if len(limits) == len(todo.planned) else None,
        prompts=frozenset(prompt.name for call in todo.planned
                          if (prompt := todo.changes.prompt_for(call.recorded.step.prompt_name)) is not None),
        origins=todo.origins,
        skipped=tuple(skip.reason for skip in todo.skipped if skip.asks_model),
    )


def total(needs: Sequence[Need]) -> Need:
    """All of them together."""
    known = [need.cost for need in needs if need.cost is not None]
    limits = [need.most for need in needs if need.most is not None]
    return Need(
        calls=sum(need.calls for need in needs), cost=sum(known) if known else None, unpriced=sum(n.unpriced for n in needs),
        most=sum(limits) if len(limits) == len(needs) else None, prompts=frozenset().union(*(need.prompts for need in needs)),
        origins=tuple(dict.fromkeys(origin for need in needs for origin in need.origins)),
        skipped=tuple(reason for need in needs for reason in need.skipped))


@dataclass(frozen=True, slots=True)
class Tagged:
    """A sender whose calls carry tags."""

    sender: Sender
    tags: Mapping[str, str]

    def send(self, request: Outgoing) -> Exchange:
        """The exchange."""
        return self.sender.send(replace(request, attributes={**request.attributes, **semconv.tags(self.tags)}))
