"""What the tests of forwarding share: stores with something in them, programs that record, and a backend on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from otel_llm.store.forward.process import forwards_for
from otel_llm.store.forward.status import Forwarding
from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator
from otel_llm.values.settings import Settings
from store.frames_help import Recording, chat_request, chat_response, message
from support.otlp_sink import OtlpSink

CALLS = """
import os, sys, time
import otel_llm; otel_llm.init()
import openai
client = openai.OpenAI(max_retries=0)
for n in range(int(sys.argv[1])):
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: {n}"}])
    print(n, flush=True)
"""


class Place:
    """A store, a tape into it, and the environment that says where its spans go."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self.directory = directory
        self.environ = dict(environ)
        self.settings = Settings.resolve({"store": directory}, self.environ, strict=True)
        self.spool = Spool(directory / "spool")
        forwards_for(self.spool, directory, self.settings, self.environ)
        self.tape = Recording(self.spool)

    def record(self, count: int, text: str = "hello", **attributes: Any) -> list[str]:
        """So many spans without a call; their ids."""
        return [self.tape.step(f"step {n}", {"text": text, **attributes}) for n in range(count)]

    def call(self, prompt: str = "What is it?", answer: str = "It is that.") -> str:
        """One call and its span."""
        number = self.tape.number
        span_id = self.tape.call(chat_request(message("user", prompt)), chat_response(answer))
        self.tape.number = number
        trace, span, at = self.tape.next()
        from otel_llm.values.spandata import SpanData

        self.tape.span(SpanData(trace, span, None, "chat gpt-4o-mini", "client", at, at + 1000, {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini"}))
        assert span == span_id
        return span_id

    def open(self) -> Forwarding:
        return Forwarding(self.directory, self.settings, self.environ)

    def forward(self, timeout_s: float = 20) -> bool:
        """Send until nothing waits, without its pauses; True when nothing does."""
        with self.open() as forwarding:
            return forwarding.run(until_empty=True, timeout_s=timeout_s)

    def once(self) -> None:
        """One round, whatever comes of it."""
        with self.open() as forwarding:
            forwarding.run(until_empty=False, timeout_s=1e-6, sleep=lambda seconds: None)

    def due(self) -> None:
        """Let every wait be over, as time would."""
        with SqliteStore(self.directory) as store:
            store.connection.execute("UPDATE destination SET retry_ns = 1 WHERE retry_ns > 0")

    def waiting(self) -> Any:
        """The one destination."""
        with self.open() as forwarding:
            (one,) = forwarding.waiting()
            return one


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, sink: OtlpSink) -> Iterator[Place]:
    made = Place(tmp_path / "store", {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url})
    yield made
    made.spool.close()


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Makes places with an environment of their own."""
    made: list[Place] = []

    def make(**environ: str) -> Place:
        made.append(Place(tmp_path / f"store{len(made)}", environ))
        return made[-1]

    yield make
    for one in made:
        one.spool.close()


class Program:
    """A program that records calls, as a process of its own."""

    def __init__(self, tmp_path: Path, sim: Simulator) -> None:
        self.store = tmp_path / "store"
        self._tmp_path = tmp_path
        self._environ = {**os.environ, "OPENAI_BASE_URL": sim.base_url, "OPENAI_API_KEY": "k", "OTEL_LLM_STORE": str(self.store)}

    def start(self, *arguments: object, text: str = CALLS, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", text, *map(str, arguments)], cwd=self._tmp_path, text=True,
                                env={**self._environ, **environ}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *arguments: object, text: str = CALLS, **environ: str) -> str:
        process = self.start(*arguments, text=text, **environ)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        return out

    def otel_llm(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(Path(sys.executable).parent / "otel-llm"), *arguments], capture_output=True, text=True,
                              timeout=60, env={**self._environ, **environ}, cwd=self._tmp_path)

    def span_ids(self) -> list[str]:
        """Every span in the store."""
        with SqliteStore(self.store) as store:
            store.catch_up()
            return sorted(span.hex() for (span,) in store.connection.execute("SELECT span_id FROM step WHERE span_pack IS NOT NULL"))


@pytest.fixture
def program(tmp_path: Path, sim: Simulator) -> Program:
    return Program(tmp_path, sim)


def exit_seconds(process: subprocess.Popen[str], last_line: str) -> float:
    """How long a process takes from its last line of output to its end."""
    assert process.stdout is not None and process.stderr is not None
    for line in process.stdout:
        if line.strip() == last_line:
            break
    begun = time.monotonic()
    process.wait(timeout=60)
    took = time.monotonic() - begun
    assert (process.returncode, process.communicate()[1]) == (0, "")
    return took


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked `slow` runs when it is asked for: `pytest -m slow`."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow and not config.option.markexpr:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
