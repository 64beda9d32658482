"""The budget of a suite: exact in calls, passed by no more than one call in money, spent by one trial alone until a price is seen."""

from __future__ import annotations

import pytest

from otel_llm.replay.reissue.budget import Caps
from otel_llm.replay.suite.budget import Grant, Purse
from otel_llm.replay.suite.trials import Need
from otel_llm.values.errors import BudgetExceeded


class TestCalls:
    def test_they_are_granted_up_to_the_cap_and_what_is_not_sent_comes_back(self) -> None:
        purse = Purse(Caps(calls=5), 9)

        first, second = purse.grant("a", Need(3)), purse.grant("b", Need(3))
        purse.settle("a", calls=1, cost=0)
        third = purse.grant("b", Need(3))

        assert (first, second, third) == (Grant(3, None, None, True), None, Grant(3, None, None, True))

    def test_the_last_trial_gets_what_is_left_and_then_there_is_nothing(self) -> None:
        purse = Purse(Caps(calls=5), 9, calls=3)

        assert purse.grant("a", Need(3)) == Grant(2, None, None, True)
        purse.settle("a", calls=2, cost=0)
        with pytest.raises(BudgetExceeded, match=r"Stopped at budget.max_calls. 5 of 9 calls were sent. Raise it in the file and go on "):
            purse.grant("b", Need(3))


class TestMoney:
    def test_until_a_price_is_seen_one_trial_goes_alone_with_all_there_is(self) -> None:
        purse = Purse(Caps(cost=100), 9)

        assert purse.grant("a", Need(1, cost=10)) == Grant(None, 100, None, True)
        assert purse.grant("b", Need(1, cost=10)) is None

    def test_then_each_gets_its_estimate_times_the_worst_that_was_seen(self) -> None:
        purse = Purse(Caps(cost=100), 9)
        purse.grant("a", Need(2, cost=10))
        purse.settle("a", calls=2, cost=15)

        granted = [purse.grant(name, Need(2, cost=20)) for name in "bcd"]

        assert granted == [Grant(None, 30, None, False), Grant(None, 30, None, False), None]

    def test_a_limit_on_the_answer_is_a_limit_on_the_cost(self) -> None:
        purse = Purse(Caps(cost=100), 9)

        assert [purse.grant(name, Need(1, cost=10, most=40)) for name in "abc"] == [Grant(None, 40, None, False)] * 2 + [None]

    def test_a_trial_that_needs_more_than_its_grant_gets_all_when_it_is_alone(self) -> None:
        purse = Purse(Caps(cost=100), 9)
        purse.grant("a", Need(1, cost=10, most=40))
        assert purse.grant("b", Need(1, cost=10, most=40), wants_all=True) is None

        purse.settle("a", calls=1, cost=50)

        assert purse.grant("b", Need(1, cost=10, most=40), wants_all=True) == Grant(None, 50, None, True)

    def test_when_it_is_spent_nothing_is_granted(self) -> None:
        with pytest.raises(BudgetExceeded, match="Stopped at budget.max_cost"):
            Purse(Caps(cost=100), 9, cost=100).grant("a", Need(1, cost=1))


class TestTime:
    def test_what_is_left_is_granted_and_what_ran_before_counts(self) -> None:
        assert Purse(Caps(seconds=60), 9, elapsed_ns=45 * 10**9).grant("a", Need(1)) == Grant(None, None, 15.0, True)
        with pytest.raises(BudgetExceeded, match="Stopped at budget.max_time"):
            Purse(Caps(seconds=60), 9, elapsed_ns=60 * 10**9).grant("a", Need(1))


def test_a_grant_counts_from_what_a_trial_has_used_already() -> None:
    assert Grant(2, 30, 5.0).caps(sends=3, cost=12, elapsed_ns=2 * 10**9) == Caps(5, 42, 7.0)
    assert Grant().caps(sends=3, cost=12, elapsed_ns=2 * 10**9) == Caps()


def test_what_is_left_of_a_trial_is_a_share_of_its_need() -> None:
    assert Need(4, cost=20, unpriced=0, most=40).share(1) == Need(1, cost=5, unpriced=0, most=10)
    assert Need().share(0) == Need()
