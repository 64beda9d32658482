"""The budget of a suite, handed out to its trials, of which several are under way.

A trial gets a grant before it begins, and each of its calls is held against that grant (`otel_llm.replay.reissue.budget`). What
is granted and not spent comes back. Calls are granted exactly. Money is granted by what the trial can cost at most; where its
requests do not limit their answers, by its estimate times the worst ratio of cost to estimate that was seen so far; until one
is seen, one trial goes alone, with all that is left. A trial that needs more than its grant is gone on with later, alone. So
the cap on money is passed by one call of a trial that is under way, as in a reissue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from otel_llm.replay.reissue.budget import Caps
from otel_llm.replay.suite.trials import Need
from otel_llm.values.errors import BudgetExceeded


@dataclass(frozen=True, slots=True)
class Grant:
    """What a trial may use from now on; None is no limit. `is_all` says that there is no more to be had."""

    calls: int | None = None
    cost: int | None = None
    seconds: float | None = None
    is_all: bool = False

    def caps(self, *, sends: int, cost: int, elapsed_ns: int) -> Caps:
        """The same as caps of a reissue that has used so much already."""
        return Caps(None if self.calls is None else sends + self.calls, None if self.cost is None else cost + self.cost,
                    None if self.seconds is None else elapsed_ns / 1e9 + self.seconds)


@dataclass(slots=True)
class Purse:
    """What is left. `of` is the number of calls of the whole suite; `calls`, `cost` and `elapsed_ns` are used up."""

    caps: Caps
    of: int
    calls: int = 0
    cost: int = 0
    elapsed_ns: int = 0
    _granted: dict[str, tuple[Grant, Need]] = field(default_factory=dict)
    _ratio: float | None = None

    def grant(self, ticket: str, need: Need, *, wants_all: bool = False) -> Grant | None:
        """Leave for a trial to begin; None when it has to wait for others. Raises `BudgetExceeded` when there is nothing left."""
        others = bool(self._granted)
        seconds = self._seconds()
        calls = self._calls(need, others=others)
        money = self._money(need, others=others, wants_all=wants_all)
        if calls == 0 or money is False:
            return None
        cost, is_all = money
        made = Grant(calls, cost, seconds, is_all)
        self._granted[ticket] = (made, need)
        return made

    def settle(self, ticket: str, *, calls: int, cost: int) -> Grant:
        """Take back what a trial did not use of its grant, which is given."""
        grant, need = self._granted.pop(ticket)
        self.calls += calls
        self.cost += cost
        if need.cost and cost and calls:
            expected = need.cost * calls / need.calls
            self._ratio = max(self._ratio or 1.0, cost / expected)
        return grant

    def exceeded(self, which: str) -> BudgetExceeded:
        """What to say when a cap was reached."""
        return BudgetExceeded(f"Stopped at budget.{which}. {self.calls:,} of {self.of:,} calls were sent. Raise it in the file "
                              "and go on with --resume.")

    def _seconds(self) -> float | None:
        if self.caps.seconds is None:
            return None
        left = self.caps.seconds - self.elapsed_ns / 1e9
        if left <= 0:
            raise self.exceeded("max_time")
        return left

    def _calls(self, need: Need, *, others: bool) -> int | None:
        """How many calls; 0 to wait."""
        if self.caps.calls is None:
            return None
        left = self.caps.calls - self.calls - sum(grant.calls or 0 for grant, _ in self._granted.values())
        if left <= 0 and not others:
            raise self.exceeded("max_calls")
        return min(left, need.calls) if left >= need.calls or not others else 0

    def _money(self, need: Need, *, others: bool, wants_all: bool) -> tuple[int | None, bool] | Literal[False]:
        """How much money, and whether that is all there is; False to wait."""
        if self.caps.cost is None:
            return None, True
        left = self.caps.cost - self.cost - sum(grant.cost or 0 for grant, _ in self._granted.values())
        if left <= 0 and not others:
            raise self.exceeded("max_cost")
        bound = need.most
        if bound is None and need.cost is not None and self._ratio is not None:
            bound = round(need.cost * self._ratio)
        bound = None if bound is None else max(bound, need.cost or 0)
        if bound is not None and bound <= left and not wants_all:
            return bound, False
        return False if others else (left, True)
