"""Projects for the tests of the plugin."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

import otel_llm
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator
from otel_llm.transfer import session_file
from otel_llm.values.session import Filter
from pytest_plugin.projects import Project
from support.recording import recording

openai = pytest.importorskip("openai", reason="the openai SDK is not installed")


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Imports all that recording and rerunning need: pytester forgets what a project's own run has imported."""
    place = tmp_path_factory.mktemp("warm")
    with Simulator() as sim, recording(place), openai.OpenAI(base_url=sim.base_url, api_key="k") as client, otel_llm.session("s"):
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "echo: one"}])
    with SqliteStore(place) as store, store.snapshot(Filter()) as snapshot, (place / "a.session").open("wb") as out:
        session_file.write(snapshot, out)
    with otel_llm.replaying(place / "a.session", check=False):
        pass


@pytest.fixture
def project(pytester: pytest.Pytester, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    sys.modules.pop("agent", None)
    yield Project(pytester, sim, monkeypatch)
    sys.modules.pop("agent", None)
