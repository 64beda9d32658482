"""What the tests of replay share: a provider on loopback that counts, and a store with a session to replay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.provider import Provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as made:
        yield made


@pytest.fixture
def stage(tmp_path: Path, provider: Provider) -> Iterator[object]:
    pytest.importorskip("openai", reason="the openai SDK is not installed")
    from replay.agents import Stage

    yield Stage(tmp_path / "store", provider)
