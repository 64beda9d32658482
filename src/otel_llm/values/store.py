"""What the rest of the product may ask of a store. SQLite answers it today; anything else that answers it will do.

All reading methods first take in what processes have left in the spool (`catch_up`), so that a reader sees every call that
has returned, in a living or a dead program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from otel_llm.values.journal import Journal
from otel_llm.values.session import Exchange, Filter, Hit, Loss, Ref, ReplayRecord, Run, SessionRow, Step
from otel_llm.values.spandata import SpanData


class Store(Protocol):
    """A place where sessions are kept. Errors: `StoreError` and its kinds, `NotFound`, `Ambiguous`."""

    def sessions(self, where: Filter, *, limit: int = 50, offset: int = 0) -> list[SessionRow]:
        """Sessions, newest first (by their last step)."""

    def branches(self, session_id: str, *, limit: int = 50) -> list[SessionRow]:
        """The sessions that replay this one or were forked from it, oldest first."""

    def calls(self, where: Filter, *, limit: int = 50, offset: int = 0) -> list[Step]:
        """LLM calls, newest first."""

    def steps(self, session_id: str) -> list[Step]:
        """All steps of a session in order of start; parents come before their children."""

    def runs(self, session_id: str) -> list[Run]:
        """The runs of programs that recorded something in a session, in order of their start."""

    def resolve(self, given: str) -> Ref:
        """The thing that an id, a unique prefix of at least 4 characters, `@N` or `session:N` names.

        `@1` is the newest session that is listed (`LISTED`), `sess-…:3` the third call of a session. Raises `NotFound` with the
        nearest ids, or `Ambiguous`.
        """

    def exchange(self, span_id: str) -> Exchange:
        """The exact bytes of a call; of a marked step its arguments and its result as JSON."""

    def span(self, span_id: str) -> SpanData:
        """The span as the SDK ended it, every attribute as it was."""

    def search(self, text: str, where: Filter, *, limit: int = 50) -> Iterator[Hit]:
        """Calls and tools in whose content all words of the text stand (a quoted phrase: in that order), newest first."""

    def losses(self) -> list[Loss]:
        """The ledger: what was not kept, by reason."""

    def record_replay(self, record: ReplayRecord) -> None:
        """Keep the outcome of a re-issued call."""

    def replays(self, session_id: str) -> list[ReplayRecord]:
        """What was re-issued from, or in, a session."""

    @property
    def journal(self) -> Journal:
        """What reissues are going to send, and what came of it."""

    def facts(self) -> Mapping[str, Any]:
        """Where the store is, its version, size in bytes and counts; what `otel-llm doctor` prints."""
