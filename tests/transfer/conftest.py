"""One store with a bit of everything for all tests of this folder, and copies of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator
from otel_llm.values.guard import faults
from transfer.sink import Sink, sink
from transfer.stores import fill


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that real calls made; not to be written."""
    directory = tmp_path_factory.mktemp("filled")
    faults.strict = True
    with Simulator() as sim:
        fill(directory, sim)
    faults.strict = False
    return directory


@pytest.fixture
def source(filled: Path, tmp_path: Path) -> Iterator[SqliteStore]:
    shutil.copytree(filled, tmp_path / "source")
    with SqliteStore(tmp_path / "source") as store:
        yield store


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "copy") as store:
        yield store


@pytest.fixture
def endpoint() -> Iterator[Sink]:
    with sink() as made:
        yield made
