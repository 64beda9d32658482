"""How a reissue runs: side by side and in order, no faster than asked, within its caps, trying again where nobody was paid."""

from __future__ import annotations

import json
import threading
from queue import SimpleQueue
from typing import Any

import pytest

from otel_llm.capture.sender import HttpSender, retry_after
from otel_llm.replay.reissue.budget import Budget, Caps
from otel_llm.replay.reissue.orders import Means, Orders
from otel_llm.replay.reissue.pace import Pace, read_rate
from otel_llm.replay.reissue.plan import Plan, plan
from otel_llm.replay.reissue.sending import reissue
from otel_llm.replay.requests.changes import Changes
from otel_llm.values.call import Cost
from otel_llm.values.errors import BudgetExceeded, ConfigError, NotReached
from otel_llm.values.sender import Outgoing
from otel_llm.values.session import Exchange
from replay.agents import MODEL, Stage, chat_agent, user
from replay.memory_store import Answering, MemoryStore, Writer
from replay.test_reissue import KEY, price
from support.provider import Provider
from support.recording import Recording


def talks(store: MemoryStore, *lengths: int, more: dict[str, Any] | None = None) -> Plan:
    """A session of so many conversations, each of so many turns; the turns of all are recorded in turn."""
    w = Writer(store, "sess-talks")
    histories: list[list[Any]] = [[] for _ in lengths]
    for turn in range(max(lengths)):
        for n, length in enumerate(lengths):
            if turn < length:
                histories[n] += [user(f"{n}.{turn}")]
                w.chat(list(histories[n]), f"Answer {n}.{turn}", cost=15, more=more)
                histories[n] += [{"role": "assistant", "content": f"Answer {n}.{turn}"}]
    return plan(store, store.steps("sess-talks"), Changes(), environ=KEY, price=price)


class Slow(Answering):
    """Answers when so many calls are there at once, or nobody else comes for a while."""

    def __init__(self, together: int) -> None:
        super().__init__(["Hi."])
        self.barrier, self.lock = threading.Barrier(together), threading.Lock()
        self.now, self.most_at_once, self.order = 0, 0, list[str]()

    def send(self, request: Outgoing) -> Exchange:
        with self.lock:
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
            self.order.append(json.loads(request.body)["messages"][-1]["content"])
        try:
            self.barrier.wait(timeout=0.2)
        except threading.BrokenBarrierError:
            pass
        with self.lock:
            self.now -= 1
            return super().send(request)


def run(todo: Plan, store: MemoryStore, sender: Any, **orders: Any) -> list[Any]:
    return list(reissue(todo, Means(store, sender, KEY, price), Orders(**orders), session_id="sess-new"))


class TestSideBySide:
    def test_conversations_go_side_by_side_and_each_in_its_order(self) -> None:
        store = MemoryStore()
        todo, sender = talks(store, 3, 3, 3), Slow(3)

        outcomes = run(todo, store, sender, concurrency=3)

        assert len(outcomes) == 9
        assert sender.most_at_once == 3
        assert all([each for each in sender.order if each.startswith(f"{n}.")] == [f"{n}.{turn}" for turn in range(3)] for n in range(3))

    def test_no_more_than_asked_for_are_under_way(self) -> None:
        store = MemoryStore()
        todo, sender = talks(store, *[1] * 6), Slow(2)

        run(todo, store, sender, concurrency=2)

        assert sender.most_at_once == 2

    def test_alone_they_go_in_the_order_of_their_recording(self) -> None:
        store = MemoryStore()
        todo, sender = talks(store, 2, 2), Slow(1)

        run(todo, store, sender)

        assert sender.order == ["0.0", "1.0", "0.1", "1.1"]

    def test_repeats_are_samples_with_a_number_each(self) -> None:
        store = MemoryStore()
        todo, sender = talks(store, 2), Answering(["Hi."])

        outcomes = run(todo, store, sender, repeat=3)

        assert [outcome.iteration for outcome in outcomes] == [0, 0, 1, 1, 2, 2]
        assert [request.attributes["jaeger.eval.iteration_index"] for request in sender.sent] == [0, 0, 1, 1, 2, 2]
        assert {request.attributes["jaeger.eval.trial_id"] for request in sender.sent} == {"sess-new"}

    def test_what_is_under_way_when_the_reader_leaves_is_waited_for_and_kept(self) -> None:
        store = MemoryStore()
        todo, sender, told, late = talks(store, 1, 1, 1), Slow(2), list[int](), list[Any]()
        means = Means(store, sender, KEY, price, waits=told.append, came_late=late.append)

        outcomes = reissue(todo, means, Orders(concurrency=2), session_id="s")
        next(outcomes)
        outcomes.close()

        assert [entry.state for entry in store.journal.entries("s")].count("answered") == len(store.kept) == len(sender.sent)
        assert len(told) <= 1
        assert 1 + len(late) == len(sender.sent)

    def test_interrupted_it_gives_what_was_under_way_and_sends_nothing_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, got, told = MemoryStore(), list[Any](), list[int]()
        todo, sender = talks(store, 1, 1, 1), Slow(2)
        waiting = iter([True])

        class Interrupted(SimpleQueue[Any]):
            def get(self, block: bool = True, timeout: float | None = None) -> Any:
                if next(waiting, False):
                    raise KeyboardInterrupt
                return super().get(block, timeout)

        monkeypatch.setattr("otel_llm.replay.reissue.sending.SimpleQueue", Interrupted)

        with pytest.raises(KeyboardInterrupt):
            for outcome in reissue(todo, Means(store, sender, KEY, price, waits=told.append), Orders(concurrency=2), session_id="s"):
                got.append(outcome)

        assert (len(got), len(sender.sent), told) == (2, 2, [2])
        assert [entry.state for entry in store.journal.entries("s")] == ["answered", "answered", "waiting"]


class TestCaps:
    def test_a_cap_on_calls_holds_side_by_side(self) -> None:
        store = MemoryStore()
        todo, sender = talks(store, *[1] * 8), Slow(3)

        with pytest.raises(BudgetExceeded, match="cap of 5 calls. 5 of 8 calls were sent"):
            run(todo, store, sender, concurrency=3, caps=Caps(calls=5))

        assert len(sender.sent) == 5

    def test_a_cap_on_cost_is_passed_by_one_call_at_most_however_dear_the_calls_turn_out(self) -> None:
        """Every call is expected to cost 15 and costs 18; ten of them may together cost 100."""
        for concurrency in (1, 3, 8):
            store = MemoryStore()
            todo, sender = talks(store, *[1] * 10), Slow(concurrency)

            with pytest.raises(BudgetExceeded, match="pass the cap on cost"):
                run(todo, store, sender, concurrency=concurrency, caps=Caps(cost=100))

            spent = sum(record.diff["cost_pico_usd"]["new"] for record in store.kept)
            assert 100 - 18 < spent < 100 + 18

    def test_a_limit_on_the_answer_bounds_what_a_call_can_cost(self) -> None:
        store = MemoryStore()
        todo = talks(store, *[1] * 3, more={"max_tokens": 50})

        assert {call.most for call in todo.planned} == {Cost(60)}

        budget = Budget(Caps(cost=100), of=3)
        assert [budget.admit(call, n) for n, call in enumerate(todo.planned[:2])] == [True, False]
        budget.ended(todo.planned[0], 0, 15)
        assert budget.admit(todo.planned[1], 1)

    def test_without_a_limit_the_first_call_goes_alone_and_the_worst_so_far_is_expected(self) -> None:
        store = MemoryStore()
        first, second, third = talks(store, *[1] * 3).planned
        budget = Budget(Caps(cost=150), of=3)

        assert (budget.admit(first, 0), budget.admit(second, 1)) == (True, False)
        budget.ended(first, 0, 60)
        assert (budget.admit(second, 1), budget.admit(third, 2)) == (True, False)
        assert (budget.ended(second, 1, None), budget.cost) == (15, 75)

    def test_a_refusal_costs_nothing_and_a_lost_answer_its_estimate(self) -> None:
        store = MemoryStore()
        todo = talks(store, 1, 1, 1)

        run(todo, store, Answering([(429, "No."), (500, "Oops."), "Hi."]))

        entries = store.journal.entries("sess-new")
        assert [(e.state, e.sends, e.cost) for e in entries] == [("failed", 1, 0), ("answered", 1, 15), ("answered", 1, 18)]


class TestPace:
    def test_calls_go_out_evenly(self) -> None:
        pace = Pace(read_rate("4/s"))

        assert pace.wait_ns(0) == 0
        pace.went(0)
        assert (pace.wait_ns(0), pace.wait_ns(200_000_000), pace.wait_ns(250_000_000)) == (250_000_000, 50_000_000, 0)

    @pytest.mark.parametrize(("text", "interval_ns"), [("5/s", 200_000_000), ("60/min", 10**9), ("0.5/s", 2 * 10**9)])
    def test_a_rate_is_read(self, text: str, interval_ns: int) -> None:
        assert read_rate(text) == interval_ns

    @pytest.mark.parametrize("text", ["fast", "0/s", "5", "-1/s", "5/day"])
    def test_what_is_no_rate_is_refused_with_good_ones(self, text: str) -> None:
        with pytest.raises(ConfigError, match="good values: 5/s, 60/min"):
            read_rate(text)

    def test_a_rate_holds_over_http(self, stage: Stage) -> None:
        import time

        with stage.record({"?": "Yes."}) as client:
            for n in range(4):
                client.chat.completions.create(model=MODEL, messages=[user(str(n))])

        begun = time.monotonic()
        done = stage.reissue("--rate", "20/s", "--concurrency", "4")

        assert done.code == 0
        assert time.monotonic() - begun >= 3 / 20


class TestTryingAgain:
    @pytest.fixture
    def waited(self) -> list[float]:
        return []

    @pytest.fixture
    def sender(self, rec: Recording, waited: list[float]) -> HttpSender:
        from otel_llm import _setup

        recorder = _setup.recorder()
        assert recorder is not None
        return HttpSender(recorder, "test", sleep=waited.append, chance=lambda: 0.5)

    @staticmethod
    def request(provider: Provider, retries: int = 2) -> Outgoing:
        return Outgoing("openai_chat", "POST", f"{provider.base_url}/chat/completions", "application/json",
                        json.dumps({"model": MODEL, "messages": [user("Hi.")]}).encode(), retries=retries)

    @pytest.mark.parametrize(("status", "calls"), [(429, 3), (503, 3), (400, 1), (401, 1), (500, 1), (502, 1), (504, 1)])
    def test_only_what_surely_nobody_was_paid_for(self, sender: HttpSender, provider: Provider, status: int, calls: int) -> None:
        provider.decide = lambda body: status

        exchange = sender.send(self.request(provider))

        assert (exchange.status, len(provider.asked), len(exchange.attempts)) == (status, calls, calls - 1)

    def test_the_answer_to_a_later_attempt_is_the_answer_and_all_are_one_call(
        self, sender: HttpSender, provider: Provider, rec: Recording, waited: list[float]
    ) -> None:
        answers = iter([429, 503, "Yes."])
        provider.decide = lambda body: next(answers)

        exchange = sender.send(self.request(provider))

        assert (exchange.status, [status for _, status in exchange.attempts]) == (200, [429, 503])
        assert waited == [0.5 * 1.125, 1.0 * 1.125]
        assert len(rec.calls) == 1
        assert [status for _, status in rec.store.exchange(exchange.span_id).attempts] == [429, 503]

    @pytest.mark.parametrize(("headers", "waits"), [
        ({"retry-after": "3"}, [3.375] * 2), ({"retry-after-ms": "200", "retry-after": "9"}, [0.225] * 2), ({"retry-after": "61"}, []),
        ({"x-should-retry": "false"}, []), ({"retry-after": "soon"}, [0.5625, 1.125])])
    def test_the_provider_says_how_long_to_wait(
        self, sender: HttpSender, provider: Provider, waited: list[float], headers: dict[str, str], waits: list[float]
    ) -> None:
        provider.decide, provider.headers = lambda body: 429, headers

        sender.send(self.request(provider))

        assert waited == pytest.approx(waits)

    def test_a_date_to_wait_for_is_understood(self) -> None:
        assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1445412475.0) == 5.0
        assert retry_after({}, 0.0) is None

    def test_where_nobody_listens_nobody_was_asked(self, sender: HttpSender, provider: Provider, waited: list[float]) -> None:
        request = self.request(provider)
        provider.close()

        with pytest.raises(NotReached, match="No response came from http://127.0.0.1:[0-9]+: Connection refused."):
            sender.send(request)

        assert len(waited) == 2

    def test_a_lost_connection_is_not_tried_again(self, sender: HttpSender, provider: Provider, waited: list[float]) -> None:
        provider.decide = lambda body: None

        exchange = sender.send(self.request(provider))

        assert (exchange.status, exchange.response_body, len(provider.asked), waited) == (None, None, 1, [])


def test_the_key_of_another_origin_is_sent_nowhere(stage: Stage) -> None:
    with stage.record({"?": "Yes."}) as client:
        chat_agent(client, ["Hi."])

    stage.reissue(OPENAI_API_KEY="sk-canary")
    stage.reissue(OPENAI_API_KEY="sk-canary", OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    stage.reissue(OPENAI_API_KEY="sk-canary", OPENAI_BASE_URL=stage.provider.base_url)

    assert stage.provider.keys[1:] == [None, None, "Bearer sk-canary"]
