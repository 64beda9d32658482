"""Caps on calls, money and time, asked before each call, however many are under way.

What has been spent is known of calls that have ended; a call that is under way counts with what it can cost at most: its estimate
times the worst ratio of cost to estimate that was seen so far, or what its request allows where it limits the answer, whichever
is more. Until one of the two is known, one call goes alone. When those that are under way could together pass the cap, the next
call waits for them. So the cap is passed by one call at most: the last one, when it costs more than its estimate.

A call of which nobody knows what it cost counts with its estimate, and one that may have been paid for counts as paid.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from otel_llm.replay.reissue.plan import Planned
from otel_llm.values.errors import BudgetExceeded


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits on calls, money (pico-USD) and time (seconds); None is no limit."""

    calls: int | None = None
    cost: int | None = None
    seconds: float | None = None


@dataclass(slots=True)
class Budget:
    """What has been used of the caps. `of` is the number of calls that there are to send, for what is said."""

    caps: Caps
    of: int
    calls: int = 0
    cost: int = 0
    elapsed_ns: int = 0
    _under_way: dict[int, int] = field(default_factory=dict)
    _ratio: float | None = None

    def admit(self, planned: Planned, ticket: int) -> bool:
        """Count a call as under way. False when it must wait until others have ended.

        Raises `BudgetExceeded` when it would break a cap.
        """
        so_far = f"{self.calls} of {self.of} calls were sent."
        caps, estimate = self.caps, planned.estimate
        if caps.calls is not None and self.calls >= caps.calls:
            raise BudgetExceeded(f"Stopped at the cap of {caps.calls} calls. {so_far} Raise --max-calls to send the rest.")
        if caps.seconds is not None and self.elapsed_ns >= caps.seconds * 1e9:
            raise BudgetExceeded(f"Stopped at the cap of {caps.seconds:g} s. {so_far} Raise --max-time to send the rest.")
        if caps.cost is not None:
            if estimate is None:
                raise BudgetExceeded(
                    f"The price of the next call ({planned.model or 'unknown model'}) is unknown, so that --max-cost cannot be "
                    f"kept. {so_far} Use --max-calls instead.")
            bound = self._bound(planned)
            if self._under_way and (bound is None or self.cost + sum(self._under_way.values()) + bound > caps.cost):
                return False
            if self.cost + estimate.total > caps.cost:
                raise BudgetExceeded(f"The next call would pass the cap on cost. {so_far} Raise --max-cost to send the rest.")
        self._under_way[ticket] = self._bound(planned) or self.expected(planned)
        self.calls += 1
        return True

    def ended(self, planned: Planned, ticket: int, cost: int | None, *, is_paid: bool = True) -> int:
        """Count a call as ended. Gives what it counts: its cost, else its estimate; nothing when nobody is paid for it."""
        del self._under_way[ticket]
        counted = 0 if not is_paid else self.expected(planned) if cost is None else cost
        if cost and planned.estimate is not None and planned.estimate.total > 0:
            self._ratio = max(self._ratio or 1.0, cost / planned.estimate.total)
        self.cost += counted
        return counted

    def unreached(self, planned: Planned, ticket: int) -> None:
        """Count a call as not sent at all."""
        self.ended(planned, ticket, None, is_paid=False)
        self.calls -= 1

    @staticmethod
    def expected(planned: Planned) -> int:
        """What a call is expected to cost; 0 when nobody knows."""
        return 0 if planned.estimate is None else planned.estimate.total

    def _bound(self, planned: Planned) -> int | None:
        """What a call can cost at most; None while nobody can say."""
        if planned.most is None and self._ratio is None:
            return None
        return max(round(self.expected(planned) * (self._ratio or 1)), 0 if planned.most is None else planned.most.total)
