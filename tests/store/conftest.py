"""A tape and a store in a temporary directory, and faults that raise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.guard import faults
from store.frames_help import Recording


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """What `guard` would swallow fails the test."""
    before, faults.strict = faults.strict, True
    yield
    faults.strict = before


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


@pytest.fixture
def tape(spool: Spool) -> Recording:
    return Recording(spool)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path) as opened:
        yield opened
