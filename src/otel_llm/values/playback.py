"""What a tap asks while a program runs against its recording, and what it is told.

In a rerun nobody is called: before a request leaves, the tap asks the `Player`, and answers the program from what the player
gives, a `Recorded` step. `Live` lets the request go out after all (a fork goes on from there). A player that has no answer
raises `ReplayDiverged`, which reaches the program. Capture knows this protocol, replay implements it, `_setup` brings the two
together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from otel_llm.values.errors import ReplayDiverged
from otel_llm.values.session import Exchange, Step

Place = tuple[str, ...]
"""The names of the steps (workflow, agent, tool, retrieval) around a call or a step, outermost first."""


@dataclass(frozen=True, slots=True)
class Question:
    """A call that the program is about to make. `url` ends before the query; `body` is redacted, None for a streamed upload."""

    api: str
    method: str
    url: str
    content_type: str
    body: bytes | None
    place: Place = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A step of the recording, with what went over the wire (of a tool its arguments and its result as JSON)."""

    step: Step
    exchange: Exchange


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """The request goes out, once `Player.admit` lets it; `change` makes what is sent of the body that the program wrote, None
    leaves it as it is."""

    change: Callable[[bytes], bytes] | None = None


class Player(Protocol):
    """Answers a program from a recording. Methods are called from any thread."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What stands on every span of the rerun, before what the program says: its new session, what it replays."""

    @property
    def has_recorded_speed(self) -> bool:
        """True when answers and their chunks come as slowly as they did."""

    def call(self, question: Question) -> Recorded | Live:
        """The answer to a call. Raises `ReplayDiverged` when the recording has none."""

    def admit(self, call: Live, *, waits: bool) -> bool:
        """Whether a live call goes out now. False when it is to ask again in a while, if it `waits`: others that are under way
        may spend what is left. Raises `BudgetExceeded` at a cap."""

    def step(self, kind: str, name: str, arguments: bytes, place: Place) -> Recorded | None:
        """The outcome of a tool or a retrieval; None when the function itself is to run. Raises `ReplayDiverged`."""

    def ended(self, kind: str, name: str, place: Place, result: bytes, error_type: str | None) -> None:
        """What a step came to that was not answered from the recording."""

    def spent(self, call: Live, cost: int | None, *, is_paid: bool) -> None:
        """What a live call cost that is over, in pico-USD; None when nobody knows. Nobody may be paid for it, as for errors."""

    def given_up(self, recorded: Recorded, attempts: int) -> ReplayDiverged:
        """The program tried less often than when it was recorded: notes it, and gives the error to raise."""

    def beyond(self, recorded: Recorded, reason: str) -> ReplayDiverged:
        """The program wants more of an answer than was recorded: notes it, and gives the error to raise."""
