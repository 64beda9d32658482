"""What a program takes from nowhere, made to come again: the clock, random numbers, and ids (`uuid4`). Each is opt-in.

A prompt that says today's date, or an id that was made up on the way, differs in every run. *Clock*: while a program is rerun
the time of day begins where the recording began and goes on from there, wherever a program asks for it; what measures time
(`monotonic`, `perf_counter`) stays as it is. The work is done by time-machine (https://pypi.org/project/time-machine/), below
Python's classes, which stay what they are. *Seed*: `random` and `uuid.uuid4` begin at a number, which must have been given to the
recorded run as well.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable

from otel_llm.values.errors import ConfigError

Undo = Callable[[], None]


def seeded(seed: int) -> Undo:
    """Let `random` and `uuid4` begin at a number; gives the function that lets ids be random again, and puts `random` back."""
    state = random.getstate()
    random.seed(seed)
    source = random.Random(seed)
    original = uuid.uuid4
    uuid.uuid4 = lambda: uuid.UUID(int=source.getrandbits(128), version=4)

    def undo() -> None:
        uuid.uuid4 = original
        random.setstate(state)

    return undo


def clock_from(start_ns: int) -> Undo:
    """Let the time of day be `start_ns` (nanoseconds UTC) now, and go on; gives the function that undoes it.

    Raises `ConfigError` when time-machine is not installed.
    """
    try:
        import time_machine
    except ImportError:
        raise ConfigError('the recorded clock needs time-machine: pip install "otel-llm[clock]"') from None
    travel = time_machine.travel(start_ns / 1e9, tick=True)
    travel.start()
    return travel.stop


def real_time_ns() -> Callable[[], int]:
    """The clock that does not travel, as far as time-machine is there."""
    import time_machine

    found: Callable[[], int] = time_machine.escape_hatch.time.time_ns
    return found
