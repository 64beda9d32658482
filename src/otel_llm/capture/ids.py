"""Trace and span ids that no program can repeat by accident.

The SDK takes its ids from Python's global generator. A program that says `random.seed(0)`, as programs that want to be
reproducible do, would give the same ids in every run, and the second run would look like a redelivery of the first. These ids
come from a generator of their own, seeded by the system, again after a fork.
"""

from __future__ import annotations

import os
import random
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator

_source = random.Random(os.urandom(32))
os.register_at_fork(after_in_child=lambda: _source.seed(os.urandom(32)))


class Ids(IdGenerator):
    """Random ids, never 0."""

    def generate_span_id(self) -> int:
        """64 random bits."""
        return _source.getrandbits(64) or self.generate_span_id()

    def generate_trace_id(self) -> int:
        """128 random bits."""
        return _source.getrandbits(128) or self.generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """They are, so that samplers may rely on it."""
        return True


def tracer_provider(**how: Any) -> TracerProvider:
    """A tracer provider with these ids; `how` is what the SDK's takes."""
    return TracerProvider(id_generator=Ids(), **how)
