"""What a reissue would do, before anything is sent: which calls, what changes in them, what they would cost.

A plan reads the store and touches nothing else. A recorded call becomes one `Planned` request, or stands among the skipped
with its reason. The price is that of the recorded usage under the model that will be asked: an estimate, since nobody knows
how long the next answer will be. A price that nobody knows is said to be unknown and never counted as nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from otel_llm.replay.changes import Changes, edit
from otel_llm.replay.credentials import Origin, is_loopback, origin_of
from otel_llm.replay.endpoint import is_azure_deployment, target
from otel_llm.replay.reading import RecordedCall, recorded
from otel_llm.values.call import Cost, Usage
from otel_llm.values.errors import ConfigError, NotReplayable
from otel_llm.values.sender import Outgoing
from otel_llm.values.session import Step
from otel_llm.values.store import Store

Price = Callable[[str | None, str | None, Usage], Cost | None]
"""(provider, model, usage) to money; None when nobody knows."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One call that can be asked again. `estimate` is None when its price is unknown; `warning` says what is not exact."""

    recorded: RecordedCall
    request: Outgoing
    model: str | None
    estimate: Cost | None
    warning: str | None = None

    @property
    def is_unchanged(self) -> bool:
        """True when the very bytes go out that were recorded."""
        return self.request.body == self.recorded.exchange.request_body


@dataclass(frozen=True, slots=True)
class Skipped:
    """One call that cannot be asked again, and why."""

    step: Step
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All calls of a reissue, in the order of their recording."""

    source_session_id: str
    planned: tuple[Planned, ...]
    skipped: tuple[Skipped, ...]
    changes: Changes

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where the requests would go, each place once."""
        return tuple(dict.fromkeys(origin_of(call.request.url) for call in self.planned))

    @property
    def needs_confirmation(self) -> bool:
        """True when anything leaves this machine, where somebody may be paid for it."""
        return any(not is_loopback(origin) for origin in self.origins)

    @property
    def estimate(self) -> int | None:
        """Pico-USD over all calls whose price is known; None when none is."""
        known = [call.estimate.total for call in self.planned if call.estimate is not None]
        return sum(known) if known else None

    @property
    def unpriced(self) -> int:
        """How many calls have no known price."""
        return sum(call.estimate is None for call in self.planned)


def plan(store: Store, steps: Iterable[Step], changes: Changes, *, environ: Mapping[str, str], price: Price) -> Plan:
    """The plan for these calls of one session. Steps that are no calls are passed over.

    Raises `NotReplayable` when there is no call at all; a plan whose calls are all skipped is a plan.
    """
    calls = [step for step in steps if step.kind == "call"]
    if not calls:
        raise NotReplayable("There is no call to send again. `otel-llm calls` lists the recorded ones.")
    planned: list[Planned] = []
    skipped: list[Skipped] = []
    for step in calls:
        try:
            planned.append(_planned(recorded(store, step), changes, environ, price))
        except NotReplayable as reason:
            skipped.append(Skipped(step, str(reason)))
    return Plan(calls[0].session_id, tuple(planned), tuple(skipped), changes)


def _planned(recorded: RecordedCall, changes: Changes, environ: Mapping[str, str], price: Price) -> Planned:
    step, exchange, call = recorded.step, recorded.exchange, recorded.call
    if exchange.request_body is None:
        raise NotReplayable(f"its request was not recorded ({exchange.omitted or 'no bytes on the tape'})")
    if call is None:
        raise NotReplayable(f"{exchange.method} {exchange.url} is no call to a model that otel-llm can read")
    if exchange.method.upper() != "POST":
        raise NotReplayable(f"a {exchange.method} request fetches something and asks no model")
    if "model" in changes.edits and is_azure_deployment(exchange.url) and changes.base_url is None:
        raise NotReplayable("the model of an Azure deployment stands in its URL; give --base-url instead of --model")
    body = edit(exchange.request_body, changes.edits)
    wanted = changes.edits.get("model")
    if wanted is not None and not isinstance(wanted, str):
        raise ConfigError(f"model={wanted!r} is not usable; good values: the name of a model")
    model = wanted or step.response_model or step.model or call.request.model
    request = Outgoing(
        api=exchange.api,
        method=exchange.method,
        url=target(exchange.url, changes.base_url, environ),
        content_type=exchange.request_type,
        body=body,
        source=(step.trace_id, step.span_id),
        provider=exchange.provider if changes.base_url is None else None,
    )
    known = step.usage != Usage()
    estimate = price(exchange.provider, model, step.usage) if known else None
    if estimate is None and known and wanted is None and step.model != model:
        estimate = price(exchange.provider, step.model, step.usage)
    return Planned(recorded, request, model, estimate, _warning(recorded))


def _warning(recorded: RecordedCall) -> str | None:
    exchange = recorded.exchange
    if exchange.redacted:
        return f"{exchange.redacted} secret(s) were redacted; the request goes out as recorded, without them"
    if exchange.exactness == "partial":
        return "its recording is partial"
    return None
