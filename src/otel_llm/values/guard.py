"""Our faults stay ours: the one fence between capture code and the program that it watches.

Whatever capture does while a user's call is under way runs inside `guard("what")`, or, where every call passes and a context
manager is felt, inside `try` with `except Exception as error: swallow("what", error)`. An exception of ours is logged once per
cause and kept from the caller. `KeyboardInterrupt`, `SystemExit`, `GeneratorExit` and `CancelledError` are not ours and pass.

In our own tests a swallowed fault would be a fault that nobody sees, so there `guard.strict = True` makes it raise.
"""

from __future__ import annotations

import logging
from types import TracebackType

log = logging.getLogger("otel_llm")

MAX_CAUSES = 1000


class _Faults:
    """Which causes were logged already; bounded, so that a fault in a loop cannot grow it."""

    def __init__(self) -> None:
        self.strict = False
        self.count = 0
        self.seen: set[tuple[str, str, int]] = set()

    def note(self, what: str, error: Exception) -> None:
        self.count += 1
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next
        cause = (what, type(error).__name__, traceback.tb_lineno if traceback is not None else 0)
        if cause in self.seen or len(self.seen) >= MAX_CAUSES:
            return
        self.seen.add(cause)
        log.warning("otel-llm could not %s; the program goes on without it (logged once)", what, exc_info=error)


faults = _Faults()


def swallow(what: str, error: Exception) -> None:
    """What `guard` does with a fault, for an `except` clause."""
    if faults.strict:
        raise error
    faults.note(what, error)


class guard:
    """A context manager that swallows and logs our own exceptions: `with guard("end the span"): …`."""

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> guard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        if faults.strict:
            return False
        faults.note(self.what, error)
        return True
