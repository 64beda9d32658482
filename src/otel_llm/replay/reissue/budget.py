"""Caps on calls, money and time, asked before each call, however many are under way: in a reissue, and in a program gone live.

What has been spent is known of calls that have ended; a call that is under way counts with what it can cost at most: its estimate
times the worst ratio of cost to estimate that was seen so far, or what its request allows where it limits the answer, whichever
is more. Until one of the two is known, one call goes alone. When those that are under way could together pass the cap, the next
call waits for them. So the cap is passed by one call at most: the last one, when it costs more than its estimate. Where the
wait would have no end, as while a program asks in the midst of an answer that it reads, those under way count as spent.

A call of which nobody knows what it cost counts with its estimate, and one that may have been paid for counts as paid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from otel_llm.values.call import Cost
from otel_llm.values.errors import BudgetExceeded


class Priced(Protocol):
    """A call before it is sent: the model that is asked, what it is expected to cost, and what it can cost at most."""

    @property
    def model(self) -> str | None: ...

    @property
    def estimate(self) -> Cost | None: ...

    @property
    def most(self) -> Cost | None: ...


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits on calls, money (pico-USD) and time (seconds); None is no limit."""

    calls: int | None = None
    cost: int | None = None
    seconds: float | None = None


@dataclass(slots=True)
class Budget:
    """What has been used of the caps. `of` is the number of calls that there are to send, for what is said; None when nobody
    knows it."""

    caps: Caps
    of: int | None = None
    calls: int = 0
    cost: int = 0
    elapsed_ns: int = 0
    _under_way: dict[int, int] = field(default_factory=dict)
    _ratio: float | None = None

    def admit(self, planned: Priced, ticket: int, *, waits: bool = True) -> bool:
        """Count a call as under way. False when it must wait until others have ended, if it `waits` at all.

        Raises `BudgetExceeded` when it would break a cap.
        """
        so_far, rest = f"{self.calls} of {self.of} calls were sent.", "send the rest"
        if self.of is None:
            so_far, rest = f"{self.calls} live call{'' if self.calls == 1 else 's'} went out.", "let more out"
        caps, estimate = self.caps, planned.estimate
        if caps.calls is not None and self.calls >= caps.calls:
            raise BudgetExceeded(f"Stopped at the cap of {caps.calls} calls. {so_far} Raise --max-calls to {rest}.")
        if caps.seconds is not None and self.elapsed_ns >= caps.seconds * 1e9:
            raise BudgetExceeded(f"Stopped at the cap of {caps.seconds:g} s. {so_far} Raise --max-time to {rest}.")
        if caps.cost is not None:
            if estimate is None:
                raise BudgetExceeded(
                    f"The price of the next call ({planned.model or 'unknown model'}) is unknown, so that --max-cost cannot be "
                    f"kept. {so_far} Use --max-calls instead.")
            bound = self._bound(planned)
            taken = self.cost + self.held
            if waits and self._under_way and (bound is None or taken + bound > caps.cost):
                return False
            if taken + estimate.total > caps.cost:
                raise BudgetExceeded(f"The next call would pass the cap on cost. {so_far} Raise --max-cost to {rest}.")
        self._under_way[ticket] = self._bound(planned) or self.expected(planned)
        self.calls += 1
        return True

    @property
    def held(self) -> int:
        """What the calls under way count with."""
        return sum(self._under_way.values())

    def ended(self, planned: Priced, ticket: int, cost: int | None, *, is_paid: bool = True) -> int:
        """Count a call as ended. Gives what it counts: its cost, else its estimate; nothing when nobody is paid for it."""
        del self._under_way[ticket]
        counted = 0 if not is_paid else self.expected(planned) if cost is None else cost
        if cost and planned.estimate is not None and planned.estimate.total > 0:
            self._ratio = max(self._ratio or 1.0, cost / planned.estimate.total)
        self.cost += counted
        return counted

    def unreached(self, planned: Priced, ticket: int) -> None:
        """Count a call as not sent at all."""
        self.ended(planned, ticket, None, is_paid=False)
        self.calls -= 1

    @staticmethod
    def expected(planned: Priced) -> int:
        """What a call is expected to cost; 0 when nobody knows."""
        return 0 if planned.estimate is None else planned.estimate.total

    def _bound(self, planned: Priced) -> int | None:
        """What a call can cost at most; None while nobody can say."""
        if planned.most is None and self._ratio is None:
            return None
        return max(round(self.expected(planned) * (self._ratio or 1)), 0 if planned.most is None else planned.most.total)
