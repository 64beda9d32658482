"""Asking recorded calls again: what goes out, what it may cost, what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from otel_llm import semconv
from otel_llm.replay.reissue.budget import Caps
from otel_llm.replay.reissue.orders import Clock, Means, Orders
from otel_llm.replay.reissue.outcomes import Outcome, Reissued
from otel_llm.replay.reissue.plan import Plan, plan
from otel_llm.replay.reissue.sending import reissue
from otel_llm.replay.requests.changes import Changes
from otel_llm.values.call import Cost, Usage
from otel_llm.values.errors import BudgetExceeded, ConfigError, NotReached, NotReplayable, ReplayError
from otel_llm.values.sender import Outgoing, Sender
from otel_llm.values.session import Exchange
from replay.memory_store import T0, Answering, MemoryStore, S, Writer, newcomer

LOCAL = "http://127.0.0.1:8000/v1"
KEY = {"OPENAI_API_KEY": "sk-canary"}


def price(provider: str | None, model: str | None, usage: Usage) -> Cost | None:
    each = {"gpt-4o-mini": 1, "gpt-4.1": 10}.get(model or "")
    return None if each is None else Cost(each * ((usage.input_tokens or 0) + (usage.output_tokens or 0)))


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    newcomer(made)
    return made


class Refusing:
    """A sender that reaches nobody."""

    count = 0

    def send(self, request: Outgoing) -> Exchange:
        self.count += 1
        raise NotReached("https://api.openai.com", "Connection refused", "f" * 16)


def planned(store: MemoryStore, changes: Changes = Changes(), environ: dict[str, str] = KEY) -> Plan:
    return plan(store, store.steps("sess-newcomer01"), changes, environ=environ, price=price)


def send(store: MemoryStore, todo: Plan, sender: Sender, *, environ: dict[str, str] = KEY, clock: Clock = Clock(),
         **orders: Any) -> list[Reissued]:
    outcomes = list(reissue(todo, Means(store, sender, environ, price, clock), Orders(**orders), session_id="sess-new"))
    assert all(isinstance(outcome, Reissued) for outcome in outcomes)
    return outcomes  # type: ignore[return-value]


def test_an_unchanged_reissue_sends_equal_bodies_to_the_same_places(store: MemoryStore) -> None:
    sender = Answering(["Hi."])

    send(store, planned(store), sender)

    recorded = [store.exchanges[s.span_id] for s in store.steps("sess-newcomer01") if s.kind == "call"]
    assert [(r.method, r.url, r.content_type, r.body) for r in sender.sent] == [
        (e.method, e.url, e.request_type, e.request_body) for e in recorded]


def test_a_changed_reissue_changes_that_and_nothing_else(store: MemoryStore) -> None:
    sender = Answering(["Hi."])

    send(store, planned(store, Changes("gpt-4.1", {"temperature": 0})), sender)

    before = json.loads(store.exchanges["a000000000000001"].request_body or b"")
    assert json.loads(sender.sent[0].body) == {**before, "model": "gpt-4.1", "temperature": 0}


def test_each_request_names_its_source_its_session_and_carries_the_key_of_its_origin(store: MemoryStore) -> None:
    sender = Answering(["Hi."])

    send(store, planned(store), sender)

    first, step = sender.sent[0], store.steps("sess-newcomer01")[0]
    assert first.source == (step.trace_id, step.span_id)
    assert first.credential == "sk-canary"
    assert "sk-canary" not in repr(first)
    assert first.attributes == {
        semconv.GEN_AI_CONVERSATION_ID: "sess-new", semconv.SESSION_ID: "sess-new",
        semconv.OTEL_LLM_REPLAY_SOURCE_TRACE_ID: step.trace_id, semconv.OTEL_LLM_REPLAY_SOURCE_SPAN_ID: step.span_id,
        semconv.OTEL_LLM_REPLAY_SOURCE_SESSION_ID: "sess-newcomer01", semconv.OTEL_LLM_REPLAY_MODE: "frozen",
        semconv.JAEGER_EVAL_TRIAL_ID: "sess-new", semconv.JAEGER_EVAL_ITERATION_INDEX: 0}


def test_another_base_url_gets_the_endpoint_and_not_the_key(store: MemoryStore) -> None:
    sender = Answering(["Hi."])

    send(store, planned(store, Changes(base_url=LOCAL + "/")), sender)

    assert {(r.url, r.credential, r.provider) for r in sender.sent} == {(LOCAL + "/chat/completions", None, None)}


def test_each_result_is_kept_with_its_difference(store: MemoryStore) -> None:
    send(store, planned(store, Changes("gpt-4.1")), Answering(["It left on Friday."]), clock=Clock(now_ns=lambda: T0))

    record = store.kept[1]
    assert (record.source_span_id, record.span_id, record.session_id, record.source_session_id, record.time_ns) == (
        "a000000000000003", "f000000000000002", "sess-new", "sess-newcomer01", T0)
    assert record.changes == {"model": "gpt-4.1"}
    assert record.diff["text"]["words"] == [["=", "It left on "], ["-", "Monday"], ["+", "Friday"], ["=", "."]]
    assert record.diff["model"] == {"old": "gpt-4o-mini", "new": "gpt-4.1"}
    assert record.diff["cost_pico_usd"] == {"old": 4_500_000, "new": 180}


def test_an_error_answer_is_a_result_and_not_the_end(store: MemoryStore) -> None:
    results = send(store, planned(store), Answering([(401, "bad key"), "Hi."]))

    assert [r.exchange.status for r in results] == [401, 200, 200, 200, 200]
    assert results[0].diff["status"] == {"old": 200, "new": 401}
    assert not results[0].diff["same"]


def test_a_call_to_which_no_response_comes_is_in_doubt_and_nothing_more_is_sent(store: MemoryStore) -> None:
    sender, outcomes = Answering([(None, "")]), list[Outcome]()

    with pytest.raises(ReplayError, match="No response came from https://api.openai.com to a call that was sent"):
        outcomes.extend(reissue(planned(store), Means(store, sender, KEY, price), session_id="sess-new"))

    assert [entry.state for entry in store.journal.entries("sess-new")] == ["sending", *["waiting"] * 4]
    assert (len(sender.sent), len(store.kept)) == (1, 0)


def test_an_endpoint_that_cannot_be_reached_costs_nothing_and_ends_it_with_a_sentence(store: MemoryStore) -> None:
    sender = Refusing()

    with pytest.raises(ReplayError, match="No response came from https://api.openai.com: Connection refused. 0 of 5 calls were sent."):
        send(store, planned(store), sender)

    assert [(e.state, e.cost) for e in store.journal.entries("sess-new")] == [("failed", 0), *[("waiting", 0)] * 4]
    assert (sender.count, len(store.kept)) == (1, 0)


# ---- price and caps ---------------------------------------------------------------------------------------------------


def test_the_estimate_is_the_recorded_usage_at_the_new_models_price(store: MemoryStore) -> None:
    todo = planned(store, Changes("gpt-4.1"))

    assert [call.estimate and call.estimate.total for call in todo.planned] == [150, 150, None, 330, 150]
    assert (todo.estimate, todo.unpriced) == (780, 1)


def test_a_price_that_nobody_knows_is_unknown_and_not_nothing(store: MemoryStore) -> None:
    todo = planned(store, Changes("gpt-next"))

    assert (todo.estimate, todo.unpriced) == (None, 5)


def test_a_cap_on_calls_holds(store: MemoryStore) -> None:
    sender = Answering(["Hi."])

    with pytest.raises(BudgetExceeded, match="cap of 2 calls. 2 of 5 calls were sent"):
        send(store, planned(store), sender, caps=Caps(calls=2))

    assert len(sender.sent) == 2


def test_a_cap_that_is_not_reached_is_no_error(store: MemoryStore) -> None:
    assert len(send(store, planned(store), Answering(["Hi."]), caps=Caps(calls=5, seconds=60))) == 5


def test_a_cap_on_cost_is_checked_before_each_call_with_what_was_really_spent(store: MemoryStore) -> None:
    sender = Answering(["Hi."])

    with pytest.raises(BudgetExceeded, match="pass the cap on cost. 1 of 5"):
        send(store, planned(store), sender, caps=Caps(cost=30))

    assert len(sender.sent) == 1


def test_a_cap_on_cost_refuses_a_call_of_unknown_price(store: MemoryStore) -> None:
    sender = Answering(["Hi."])

    with pytest.raises(BudgetExceeded, match="gpt-next.* is unknown"):
        send(store, planned(store, Changes("gpt-next")), sender, caps=Caps(cost=10**12))

    assert sender.sent == []


def test_a_cap_on_time_holds(store: MemoryStore) -> None:
    sender = Answering(["Hi."])

    with pytest.raises(BudgetExceeded, match="cap of 20 s. 3 of 5 calls were sent"):
        send(store, planned(store), sender, caps=Caps(seconds=20), clock=Clock(ticks_ns=lambda: len(sender.sent) * 8 * S))

    assert len(sender.sent) == 3
    assert store.journal.undertakings["sess-new"].elapsed_ns == 24 * S


# ---- what cannot be sent again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("exchange", "changes", "reason"), [
    ({"request_body": None, "omitted": "content off"}, Changes(), "was not recorded (content off)"),
    ({"api": "generic", "url": "https://api.openai.com/v1/files"}, Changes(), "no call to a model"),
    ({"api": "openai_fetch_response", "method": "GET", "request_body": b""}, Changes(), "fetches something"),
    ({"request_body": b"\xff"}, Changes("x"), "no JSON"),
    ({"url": "https://m.openai.azure.com/openai/deployments/d/chat/completions"}, Changes(), "set OPENAI_API_VERSION"),
    ({"url": "https://m.openai.azure.com/openai/deployments/d/chat/completions"}, Changes("x"), "stands in its URL"),
])
def test_a_call_that_cannot_be_sent_again_is_skipped_with_its_reason(
    store: MemoryStore, exchange: dict[str, Any], changes: Changes, reason: str
) -> None:
    store.exchanges["a000000000000001"] = replace(store.exchanges["a000000000000001"], **exchange)

    todo = planned(store, changes)

    assert [(skip.step.span_id, reason in skip.reason) for skip in todo.skipped] == [("a000000000000001", True)]
    assert len(todo.planned) == 4


def test_a_redacted_call_goes_out_with_a_warning(store: MemoryStore) -> None:
    store.exchanges["a000000000000001"] = replace(store.exchanges["a000000000000001"], redacted=2, exactness="partial")

    assert "2 secret(s) were redacted" in (planned(store).planned[0].warning or "")


def test_an_azure_deployment_gets_its_version_from_the_environment(store: MemoryStore) -> None:
    url = "https://m.openai.azure.com/openai/deployments/d/chat/completions"
    store.exchanges["a000000000000001"] = replace(store.exchanges["a000000000000001"], url=url)

    todo = planned(store, environ={"OPENAI_API_VERSION": "2024-10-21"})

    assert todo.planned[0].request.url == url + "?api-version=2024-10-21"


def test_nothing_is_sent_when_a_key_is_missing(store: MemoryStore) -> None:
    sender = Answering(["Hi."])

    with pytest.raises(NotReplayable, match="OPENAI_API_KEY is not set"):
        send(store, planned(store), sender, environ={})

    assert sender.sent == []


def test_a_session_without_calls_or_with_none_that_can_be_sent_is_not_replayable(store: MemoryStore) -> None:
    w = Writer(store, "sess-empty")
    w.step("tool", "only")

    with pytest.raises(NotReplayable, match="no call to send again"):
        plan(store, store.steps("sess-empty"), Changes(), environ=KEY, price=price)

    for span_id in store.exchanges:
        store.exchanges[span_id] = replace(store.exchanges[span_id], request_body=None, omitted="content off")
    with pytest.raises(NotReplayable, match="None of the 5 calls"):
        send(store, planned(store), Answering(["Hi."]))


def test_a_model_must_have_a_name(store: MemoryStore) -> None:
    with pytest.raises(ConfigError, match="model=3"):
        planned(store, Changes(settings={"model": 3}))
