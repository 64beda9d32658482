"""A recorded run of the agent, made by a process of its own, and the terminal to rerun it with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from otel_llm.testing import Simulator, error
from rerun.programs import Program, Shelf, environment

AGENT = Path(__file__).with_name("agent.py")
Terminal = Callable[..., "subprocess.CompletedProcess[str]"]


class Recorded(NamedTuple):
    """What the agent said when it was recorded, and the store in which it is."""

    output: str
    store: Path
    requests: int
    sim: Simulator


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    store = tmp_path_factory.mktemp("store")
    with Simulator(plan=[error(429, headers={"retry-after-ms": "5"}), error(404, when=lambda body: body["model"] == "no-such-model")]
                   ) as sim:
        run = subprocess.run([sys.executable, str(AGENT)], capture_output=True, text=True, timeout=60, env=environment(
            OPENAI_API_KEY="sk-x", OPENAI_BASE_URL=sim.base_url, OTEL_LLM_STORE=str(store)))
        assert run.returncode == 0, run.stderr
        assert "tools ran: Oslo, Rome, umbrellas" in run.stderr
        yield Recorded(run.stdout, store, sim.count.total(), sim)


@pytest.fixture
def terminal(recorded: Recorded) -> Terminal:
    """`otel-llm …` on the store of the recording, in an environment without keys and endpoints unless given."""

    def run(*words: str, env: Mapping[str, str] = {}, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "otel_llm.cli", *words], capture_output=True, text=True, timeout=90,
                              env=environment(OTEL_LLM_STORE=str(recorded.store), COLUMNS="120", **env), **more)

    return run


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    with Simulator() as sim:
        yield Shelf(tmp_path_factory.mktemp("shelf"), sim)


@pytest.fixture
def program(tmp_path: Path, shelf: Shelf) -> Program:
    return lambda code: shelf.recorded(tmp_path, code)
