"""What a program takes from nowhere, made to come again: the clock, random numbers, and ids (`uuid4`). Each is opt-in.

A prompt that says today's date, or an id that was made up on the way, differs in every run. *Clock*: while a program is rerun
the time of day begins where the recording began and goes on from there: `time.time()`, and `now()`, `today()` and `utcnow()` of
`datetime`. *Seed*: `random` and `uuid.uuid4` begin at a number, which must have been given to the recorded run as well. What
measures time (`monotonic`, `perf_counter`, `time_ns`) stays as it is, and so do the times of spans.

Modules that were imported before keep what they have bound by name (`from datetime import datetime`); `otel-llm run` and
`otel-llm replay rerun` come before any import of the program.
"""

from __future__ import annotations

import datetime as datetime_module
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

Undo = Callable[[], None]


def seeded(seed: int) -> Undo:
    """Let `random` and `uuid4` begin at a number; gives the function that lets ids be random again."""
    random.seed(seed)
    source = random.Random(seed)
    original = uuid.uuid4
    uuid.uuid4 = lambda: uuid.UUID(int=source.getrandbits(128), version=4)

    def undo() -> None:
        uuid.uuid4 = original
        random.seed()

    return undo


def clock_from(start_ns: int) -> Undo:
    """Let the time of day be `start_ns` (nanoseconds UTC) now, and go on; gives the function that undoes it."""
    behind_s = time.time() - start_ns / 1e9
    original, real = time.time, (datetime_module.datetime, datetime_module.date)
    moment, day = _moved(behind_s)
    time.time = lambda: original() - behind_s
    datetime_module.datetime, datetime_module.date = moment, day  # type: ignore[misc]

    def undo() -> None:
        time.time = original
        datetime_module.datetime, datetime_module.date = real  # type: ignore[misc]

    return undo


def _moved(behind_s: float) -> tuple[Any, Any]:
    """`datetime` and `date` whose now is so much earlier. What they make are the real ones, and the real ones are theirs."""
    real_moment: Any = datetime_module.datetime
    real_day: Any = datetime_module.date
    behind = datetime_module.timedelta(seconds=behind_s)

    class Kind(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, real_moment if cls.__name__ == "datetime" else real_day)

        def __subclasscheck__(cls, other: Any) -> bool:
            return issubclass(other, real_moment if cls.__name__ == "datetime" else real_day)

    class Moment(real_moment, metaclass=Kind):  # type: ignore[misc]
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return real_moment(*args, **kwargs)

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real_moment.now(tz) - behind

        @classmethod
        def utcnow(cls) -> Any:
            return real_moment.now(datetime_module.UTC).replace(tzinfo=None) - behind

        @classmethod
        def today(cls) -> Any:
            return real_moment.now() - behind

    class Day(real_day, metaclass=Kind):  # type: ignore[misc]
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return real_day(*args, **kwargs)

        @classmethod
        def today(cls) -> Any:
            return (real_moment.now() - behind).date()

    for kind, name in ((Moment, "datetime"), (Day, "date")):
        kind.__name__ = kind.__qualname__ = name
        kind.__module__ = "datetime"
    return Moment, Day
