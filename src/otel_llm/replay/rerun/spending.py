"""What a program that goes live may spend: caps on its live calls and their cost, asked before each call goes out.

The budget of a reissue (`otel_llm.replay.reissue.budget`) decides in each process. What other processes have spent, and have
under way, stands in the account that they share, and counts as spent: nobody waits for another process, which may never end.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from otel_llm.adapters import by_name, read_request
from otel_llm.replay.reissue.budget import Budget, Caps
from otel_llm.replay.reissue.plan import Price, most_of
from otel_llm.replay.requests.changes import edit
from otel_llm.replay.requests.credentials import is_loopback, origin_of, show_origin
from otel_llm.replay.rerun.account import Account
from otel_llm.values.call import Cost, Usage
from otel_llm.values.errors import BudgetExceeded
from otel_llm.values.playback import Live, Question
from otel_llm.values.session import Step

BYTES_A_TOKEN = 4
"""Of a request that resembles none of the recording, to say about what it costs."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a live call is expected to cost, and what it can cost at most (`otel_llm.replay.reissue.budget.Priced`)."""

    model: str | None
    estimate: Cost | None
    most: Cost | None


@dataclass(frozen=True, slots=True, eq=False)
class Out(Live):
    """A call that is to go out, to `url`. `expected` is None where nothing is paid, or nobody counts the money."""

    url: str = ""
    expected: Expected | None = None


class Spending:
    """The caps of a program: at most `calls` live ones that cost at most `cost` pico-USD; None is no limit."""

    def __init__(self, account: Account, calls: int | None, cost: int | None, price: Price, *, only_local: bool) -> None:
        self._account, self._calls, self._cost, self._price, self._only_local = account, calls, cost, price, only_local
        self._budgets: dict[int, Budget] = {}

    @property
    def counts_money(self) -> bool:
        """True when there is a cap on cost."""
        return self._cost is not None

    def expected(self, question: Question, edits: Mapping[str, Any], like: Step | None) -> Expected | None:
        """What a call is expected to cost: what the recorded one did that it is like, with the model that is asked now."""
        if question.method == "GET":
            return None
        body = edit(question.body, edits) if edits and question.body is not None else question.body
        adapter = by_name(question.api)
        if adapter is None:
            return Expected(None, None, None)
        asked = read_request(adapter, body, content=False).model
        usage = like.usage if like is not None else Usage()
        if usage.input_tokens is None:
            usage = Usage(len(body or b"") // BYTES_A_TOKEN, 0)
        provider = like.provider if like is not None else "openai"
        names = (like.response_model, asked) if like is not None and like.model == asked else (asked,)
        for model in filter(None, names):
            if (estimate := self._price(provider, model, usage)) is not None:
                return Expected(asked, estimate, most_of(question.api, body, provider, model, usage, self._price))
        return Expected(asked, None, None)

    def admit(self, call: Out, *, waits: bool) -> bool:
        """Count a call as under way. False when it must wait until others have ended, if it `waits` at all.

        Raises `BudgetExceeded` when a cap forbids it.
        """
        if self._only_local and not is_loopback(origin := origin_of(call.url)):
            raise BudgetExceeded(f"Stopped at a call to {show_origin(origin)}: the recorded calls went to this machine; nobody "
                                 "has confirmed that others may go out. --yes does.")
        with self._account.locked():
            if call.expected is not None and not self._has_money(call, call.expected, waits=waits):
                return False
            if self._calls is not None and not self._has_calls(self._calls):
                self.ended(call, None, is_paid=False)
                raise BudgetExceeded(f"Stopped at the cap of {self._calls} live calls. Raise --max-calls to let more out.")
        return True

    def ended(self, call: Out, cost: int | None, *, is_paid: bool) -> None:
        """Count a call as under way no more; what it cost has been told before."""
        if call.expected is not None:
            budget = self._budget()
            held = budget.held
            budget.ended(call.expected, id(call), cost, is_paid=is_paid)
            self._account.tell({"held": budget.held - held})

    def _has_money(self, call: Out, expected: Expected, *, waits: bool) -> bool:
        if self._account.total("unpriced_calls"):
            raise BudgetExceeded("Stopped after a live call whose cost nobody knows (no answer, or one without usage or of a "
                                 "model without a price), so that --max-cost cannot be kept. Use --max-calls instead.")
        budget, total = self._budget(), self._account.total
        held = budget.held
        budget.calls, budget.cost = total("live_calls"), total("live_cost") + total("held") - held
        if not budget.admit(expected, id(call), waits=waits):
            return False
        self._account.tell({"held": budget.held - held})
        return True

    def _has_calls(self, most: int) -> bool:
        return any(self._account.claim(f"live-{n}") for n in range(self._account.total("live_calls"), most))

    def _budget(self) -> Budget:
        """That of this process: a fork has none of the calls that its parent has under way."""
        return self._budgets.setdefault(os.getpid(), Budget(Caps(cost=self._cost)))
