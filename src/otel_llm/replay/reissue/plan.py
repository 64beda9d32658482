"""What a reissue would do, before anything is sent: which calls, what changes in them, what they would cost.

A plan reads the store and touches nothing else. A recorded call becomes one `Planned` request, or stands among the skipped
with its reason. The price is that of the recorded usage under the model that will be asked: an estimate, since nobody knows
how long the next answer will be. A price that nobody knows is said to be unknown and never counted as nothing.

A session may hold calls that are no conversation, embeddings above all. What is changed for a session is meant for its
conversation, so the others go out as they were recorded. Where nothing that was chosen is a conversation, the changes are for
what was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from otel_llm.adapters import by_name, read_request
from otel_llm.replay.conversation import DIALOGUE, Continuation, continuations
from otel_llm.replay.reading import RecordedCall, recorded
from otel_llm.replay.reissue.threads import Threads, said
from otel_llm.replay.requests.changes import Changes
from otel_llm.replay.requests.compose import compose
from otel_llm.replay.requests.credentials import Origin, is_loopback, origin_of
from otel_llm.replay.requests.endpoint import is_azure_deployment, target
from otel_llm.replay.tools import ToolAnswers, tool_answers
from otel_llm.values.call import Cost, Usage
from otel_llm.values.errors import ConfigError, NotReplayable
from otel_llm.values.sender import Outgoing
from otel_llm.values.session import Step
from otel_llm.values.store import Store

Price = Callable[[str | None, str | None, Usage], Cost | None]
"""(provider, model, usage) to money; None when nobody knows."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One call that can be asked again. `model` is the one that its price is that of, in the provider's own words where these
    are recorded (`gpt-4o-2024-08-06`). `estimate` is None when its price is unknown; `warning` says what is not exact.

    `place` is that of its recording among the calls of the plan. `changes` are those that are for it, `lost` is what could not be
    carried over into the format that is asked. `most` is what it can cost at most, where its request limits the answer.
    """

    recorded: RecordedCall
    request: Outgoing
    model: str | None
    estimate: Cost | None
    warning: str | None = None
    place: int = 0
    changes: Changes = Changes()
    lost: tuple[str, ...] = ()
    most: Cost | None = None

    @property
    def is_unchanged(self) -> bool:
        """True when the very bytes go out that were recorded."""
        return self.request.body == self.recorded.exchange.request_body

    @property
    def asked_model(self) -> str | None:
        """The model that the request names."""
        wanted = self.changes.edits.get("model") or self.recorded.step.model
        return wanted if isinstance(wanted, str) else self.model

    @property
    def prompt(self) -> tuple[str, str | None] | None:
        """Name and version of the prompt that it is asked with; None when it comes from none that is known."""
        step = self.recorded.step
        if (given := self.changes.prompt_for(step.prompt_name)) is not None:
            return given.name, given.version
        return (step.prompt_name, step.prompt_version) if step.prompt_name and self.changes.system is None else None


@dataclass(frozen=True, slots=True)
class Skipped:
    """One call that cannot be asked again, and why. `asks_model` is False where nothing is missed: a list, a file, a fetch."""

    step: Step
    reason: str
    asks_model: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """All calls of a reissue, in the order of their recording. `calls` are those that were chosen, `continued` what each goes
    on from, `tools` what tools answered in them."""

    source_session_id: str
    planned: tuple[Planned, ...]
    skipped: tuple[Skipped, ...]
    changes: Changes
    calls: tuple[RecordedCall, ...]
    continued: tuple[Continuation | None, ...]
    tools: ToolAnswers

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

    @property
    def untouched(self) -> tuple[Planned, ...]:
        """The calls that the changes are not for."""
        return tuple(call for call in self.planned if call.changes != self.changes)

    @property
    def unthreaded(self) -> tuple[Planned, ...]:
        """The calls that hold answers and go on from no call of the plan: examples, or a history from elsewhere."""
        return tuple(call for call in self.planned if self.continued[call.place] is None and call.recorded.call is not None
                     and any(message.role == "assistant" for message in call.recorded.call.request.messages))

    def recorded_threads(self) -> Threads:
        """The conversations as they were recorded."""
        answers = {n: said(call.exchange) for n, call in enumerate(self.calls) if by_name(call.exchange.api) is not None}
        return Threads(self.calls, self.continued, self.tools, answers)

    def new_threads(self) -> Threads:
        """The conversations before anything was asked again."""
        return Threads(self.calls, self.continued, self.tools)


def plan(
    store: Store, steps: Iterable[Step], changes: Changes, *, environ: Mapping[str, str], price: Price, is_threaded: bool = False
) -> Plan:
    """The plan for these steps of one session; those that are no calls say, for a threaded one, what tools answered.

    Raises `NotReplayable` when there is no call at all; a plan whose calls are all skipped is a plan.
    """
    steps = list(steps)
    calls = tuple(recorded(store, step) for step in steps if step.kind == "call")
    if not calls:
        raise NotReplayable("There is no call to send again. `otel-llm calls` lists the recorded ones.")
    continued = tuple(continuations(calls))
    tools = tool_answers(calls, continued, store, steps) if is_threaded else ToolAnswers()
    todo = Plan(calls[0].step.session_id, (), (), changes, calls, continued, tools)
    has_talk = any(call.step.operation in DIALOGUE for call in calls)
    history = todo.new_threads() if changes.api is None else todo.recorded_threads()
    planned: list[Planned] = []
    skipped: list[Skipped] = []
    for place, call in enumerate(calls):
        is_for_it = call.step.operation in DIALOGUE or not has_talk
        its = changes if is_for_it else Changes(base_url=changes.base_url)
        try:
            planned.append(_planned(call, place, its, history, environ, price))
        except NotReplayable as reason:
            asks_model = by_name(call.exchange.api) is not None and call.exchange.method.upper() != "GET"
            skipped.append(Skipped(call.step, str(reason), asks_model))
    return replace(todo, planned=tuple(planned), skipped=tuple(skipped))


def why_not(recorded: RecordedCall) -> str | None:
    """Why a call cannot be sent again as it is; None when it can."""
    exchange = recorded.exchange
    if exchange.request_body is None:
        return f"its request was not recorded ({exchange.omitted or 'no bytes on the tape'})"
    if recorded.call is None:
        return f"{exchange.method} {exchange.url} is no call to a model that otel-llm can read"
    if exchange.method.upper() != "POST":
        return f"a {exchange.method} request fetches something and asks no model"
    return None


def _planned(
    recorded: RecordedCall, place: int, changes: Changes, history: Threads, environ: Mapping[str, str], price: Price
) -> Planned:
    step, exchange, call = recorded.step, recorded.exchange, recorded.call
    if (reason := why_not(recorded)) is not None or call is None:
        raise NotReplayable(reason or "it cannot be read")
    if "model" in changes.edits and is_azure_deployment(exchange.url) and changes.base_url is None:
        raise NotReplayable("the model of an Azure deployment stands in its URL; give --base-url instead of --model")
    composed = compose(recorded, changes, whole=lambda body: history.whole(place, body))
    wanted = changes.edits.get("model")
    if wanted is not None and not isinstance(wanted, str):
        raise ConfigError(f"model={wanted!r} is not usable; good values: the name of a model")
    model = wanted or step.response_model or step.model or call.request.model
    request = Outgoing(
        api=composed.api,
        method=exchange.method,
        url=target(exchange.url, changes.base_url, environ, api=composed.api if composed.api != exchange.api else None),
        content_type=exchange.request_type,
        body=composed.body,
        source=(step.trace_id, step.span_id),
        provider=exchange.provider if changes.base_url is None else None,
    )
    known = step.usage != Usage()
    estimate = price(exchange.provider, model, step.usage) if known else None
    if estimate is None and known and wanted is None and step.model != model:
        estimate = price(exchange.provider, step.model, step.usage)
    most = None if estimate is None else most_of(request.api, request.body, exchange.provider, model, step.usage, price)
    return Planned(recorded, request, model, estimate, _warning(recorded), place, changes, composed.lost, most)


def most_of(
    api: str, body: bytes | None, provider: str | None, model: str | None, usage: Usage, price: Price
) -> Cost | None:
    """What a call costs when its answer is as long as its request allows; None when it allows any length."""
    adapter = by_name(api)
    asked = None if adapter is None else read_request(adapter, body, content=False)
    if asked is None or asked.max_tokens is None or usage.input_tokens is None:
        return None
    return price(provider, model, Usage(usage.input_tokens, max(0, asked.max_tokens) * (asked.choice_count or 1)))


def _warning(recorded: RecordedCall) -> str | None:
    exchange = recorded.exchange
    if exchange.redacted:
        return f"{exchange.redacted} secret(s) were redacted; the request goes out as recorded, without them"
    if exchange.exactness == "partial":
        return "its recording is partial"
    return None
