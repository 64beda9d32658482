"""Properties run the same everywhere: no clock, no memory of earlier runs, examples from a fixed seed."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "knowledge", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("knowledge")
