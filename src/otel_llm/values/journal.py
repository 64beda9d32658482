"""The journal of a reissue: what is written down before a call is sent, so that a crash never buys an answered call twice.

Every call that is to be sent has an entry from the start. It goes from one state to the next, each step durable before what
it speaks of happens:

    waiting ──> sending ──> answered     the provider answered; `span_id` is the call that has the answer
                       └──> failed       it surely was not billed (no connection, 401, 403, 429, 503); a resume sends it again

An entry that says *sending* while nobody is at work on it is **in doubt**: the request may have gone out and no answer came to be
recorded. The answer may be on the tape all the same; then it is settled. Else it stays in doubt until somebody says that
it shall be sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

EntryState = Literal["waiting", "sending", "answered", "failed"]


class CallKey(NamedTuple):
    """Which call of a reissue: the recorded one that is asked again, and the number of the repeat, from 0."""

    source_span_id: str
    iteration: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One call in the journal. `sends` is how often it went out; `cost` (pico-USD) what it counts against the budget: what it
    cost, or, while that is not known, what it was expected to cost."""

    key: CallKey
    state: EntryState = "waiting"
    span_id: str | None = None
    sends: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Undertaking:
    """A reissue as a whole. `options` is what was asked for, as JSON; `elapsed_ns` how long it has been at work so far."""

    session_id: str
    source_session_id: str
    options: Mapping[str, Any]
    time_ns: int
    elapsed_ns: int = 0


class Journal(Protocol):
    """Keeps the entries. Each method is done when it returns: what it wrote survives the death of the process."""

    def begin(self, undertaking: Undertaking, keys: Iterable[CallKey]) -> None:
        """Write down a reissue and all that it is going to send."""

    def find(self, given: str) -> Undertaking:
        """The reissue that makes a session, by its id or a unique prefix of at least 4 characters.

        Raises `NotFound` or `Ambiguous`.
        """

    def entries(self, session_id: str) -> list[Entry]:
        """All its calls, in the order in which they were written down."""

    def claim(self, session_id: str, key: CallKey, *, cost: int, resend: bool = False) -> bool:
        """Say that a call is about to be sent. False when somebody else has sent it; `resend` takes one in doubt as well."""

    def settle(self, session_id: str, entry: Entry, *, elapsed_ns: int = 0) -> None:
        """Say what came of a call, and how much longer the reissue has been at work."""

    def hold(self, session_id: str) -> AbstractContextManager[None]:
        """Be the only process that works on a reissue. Raises `StoreError` when another one does."""
