"""Every error that otel-llm raises on purpose, in one tree.

    OtelLLMError
    ├── ConfigError            an argument, option or environment variable has a value that cannot be used
    ├── StoreError             the store cannot be read or written
    │   ├── StoreDamaged       the files are not a store, or are broken
    │   ├── StoreTooNew        the store was written by a newer release
    │   └── StoreUnwritable    read-only directory, full disk, no permission
    ├── NotFound               no session, call or trace has this id
    ├── Ambiguous              a prefix fits more than one id
    ├── BadOtlp                what was received is no OTLP
    ├── BadExport              a file to import is cut, was edited, or is of a newer release
    ├── Undelivered            an endpoint did not take what was sent to it
    └── ReplayError            a replay cannot be done
        ├── NotReplayable      what is recorded does not suffice
        ├── NotReached         no connection to a provider came about, so that nobody was asked
        ├── ReplayDiverged     a program that is rerun does something else than it did
        └── BudgetExceeded     a cap on calls, money or time was reached

Each message says what happened, with which value, and what to do next. None of them ever reaches an instrumented
program: capture catches its own faults (`otel_llm.values.guard`).
"""

from __future__ import annotations

from collections.abc import Iterable


class OtelLLMError(Exception):
    """The root of all errors of this package."""

    exit_code = 4


class ConfigError(OtelLLMError):
    """A value that was given cannot be used; the message lists the good ones."""

    exit_code = 2


class StoreError(OtelLLMError):
    """The store cannot be read or written."""


class StoreDamaged(StoreError):
    """The files at the place of the store are not a store, or are broken."""


class StoreTooNew(StoreError):
    """The store was written by a newer release than this one."""


class StoreUnwritable(StoreError):
    """The store cannot be written: read-only directory, full disk, no permission."""


class NotFound(OtelLLMError):
    """Nothing in the store has this id. `near` holds the nearest ids that exist, best first."""

    exit_code = 2

    def __init__(self, what: str, given: str, near: Iterable[str] = ()) -> None:
        self.given, self.near = given, tuple(near)
        hint = f" Did you mean {', '.join(self.near)}?" if self.near else " `otel-llm sessions` lists what is there."
        super().__init__(f"No {what} {given!r} in this store.{hint}")


class Ambiguous(OtelLLMError):
    """A prefix fits more than one id. `candidates` holds them."""

    exit_code = 2

    def __init__(self, given: str, candidates: Iterable[str]) -> None:
        self.given, self.candidates = given, tuple(candidates)
        super().__init__(f"{given!r} fits {len(self.candidates)} ids: {', '.join(self.candidates)}. Give more characters.")


class BadOtlp(OtelLLMError):
    """What was received is no OTLP; the message says what is wrong with it."""

    exit_code = 2


class BadExport(OtelLLMError):
    """A file cannot be imported: cut, edited, or of a newer release; the message says where, and what was imported."""

    exit_code = 2


class Undelivered(OtelLLMError):
    """An endpoint did not take all that was sent to it; the message says what it said, and how much it took."""


class ReplayError(OtelLLMError):
    """A replay cannot be done."""

    exit_code = 3


class NotReplayable(ReplayError):
    """What is recorded does not suffice for this replay."""


class NotReached(ReplayError):
    """No connection to a provider came about, so that nobody was asked and nobody is paid. `span_id` is the call that failed."""

    def __init__(self, where: str, why: str, span_id: str) -> None:
        self.span_id = span_id
        super().__init__(f"No response came from {where}: {why}.")


class ReplayDiverged(ReplayError):
    """A program that runs against its recording did something else; the message says what, and where."""

    exit_code = 1


class BudgetExceeded(ReplayError):
    """A cap on calls, money or time was reached; nothing more was sent."""


UNSENT = frozenset(kind.__name__ for kind in (ReplayDiverged, NotReplayable, BudgetExceeded))
"""The errors, as the store has them, with which a call in a rerun ends that was not let out."""
