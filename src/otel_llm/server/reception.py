"""What happens to a request once its body is here, whichever protocol brought it: unpack, weigh, read, write, answer.

This runs in a few threads, off the event loop, and the number of threads bounds how many bodies are objects at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from otel_llm import otlp
from otel_llm.server import signals, weighing
from otel_llm.server.coding import unpack
from otel_llm.server.counters import Counters
from otel_llm.server.durable import DurableTape
from otel_llm.server.limits import Gate, Limits
from otel_llm.server.refusals import MALFORMED, Refused
from otel_llm.server.salvage import Salvaged, salvage
from otel_llm.server.signals import TRACES, Signal
from otel_llm.server.weighing import LIGHT
from otel_llm.values.errors import BadOtlp

WORKERS = 2

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer of a success. With `rejected` or a message it is a partial one."""

    rejected: int = 0
    message: str = ""


class Reception:
    """Takes bodies and writes what they hold. `gate` bounds what is under way."""

    def __init__(self, tape: DurableTape, limits: Limits, counters: Counters) -> None:
        self.tape, self.limits, self.counters = tape, limits, counters
        self.gate = Gate(limits)
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="otel-llm-receive")

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do something heavy off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._workers, work)

    def close(self) -> None:
        """Wait for what is under way and let go of the tape."""
        self._workers.shutdown()
        self.tape.close()

    def take(self, signal: Signal, body: bytes, *, coding: str = "", is_json: bool = False) -> Taken:
        """Write what a body holds. When this returns, it is on the tape. Raises `Refused`."""
        if signal is TRACES:
            self.tape.check()
        body = unpack(body, coding, limit=self.limits.body_bytes)
        self.counters.add("received_bytes_total", len(body), signal=signal.name)
        return self._take_spans(body, is_json=is_json) if signal is TRACES else self._pass_over(signal, body, is_json=is_json)

    def _take_spans(self, body: bytes, *, is_json: bool) -> Taken:
        if len(body) > LIGHT:
            if is_json:
                weighing.weigh_json(body, self.limits)
            else:
                weighing.weigh(body, TRACES.shape, self.limits)
        found = _read(body, is_json=is_json)
        if len(found.spans) > self.limits.spans:
            raise weighing.too_many_spans(len(found.spans), self.limits)
        if found.spans:
            self.tape.write(found.spans, refused=found.refused)
        self.counters.add("spans_total", len(found.spans))
        if not found.refused:
            return Taken()
        self.counters.add("spans_refused_total", found.refused)
        return Taken(found.refused, f"{found.refused} of {found.refused + len(found.spans)} spans are no OTLP. {found.reason}")

    def _pass_over(self, signal: Signal, body: bytes, *, is_json: bool) -> Taken:
        found = signals.count(signal, body, is_json=is_json, limits=self.limits)
        if not found.records:
            return Taken()
        self.counters.add("not_kept_total", found.records, signal=signal.name)
        if found.genai:
            self.counters.add("genai_not_kept_total", found.genai, signal=signal.name)
        return Taken(found.records, f"otel-llm keeps spans only: {found.records} {signal.records} were not kept"
                     f" ({found.genai or 'none'} of GenAI). Send {signal.name} elsewhere.")


def _read(body: bytes, *, is_json: bool) -> Salvaged:
    try:
        return Salvaged((otlp.decode_json if is_json else otlp.decode)(body))
    except BadOtlp as error:
        try:
            return salvage(body, error, is_json=is_json)
        except BadOtlp as final:
            raise Refused(MALFORMED, str(final)) from None
