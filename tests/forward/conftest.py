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

from otel_llm.store.forward.courier import THROTTLED
from otel_llm.store.forward.process import forwards_for
from otel_llm.store.forward.queue import Waiting, waiting
from otel_llm.store.forward.status import Forwarding
from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator
from otel_llm.values.settings import Settings
from store.frames_help import Recording, chat_request, chat_response, message
from support.otlp_sink import OtlpSink

DEAD = "http://127.0.0.1:9"
EXIT_S = 0.5
"""What forwarding may add to the end of a program, whatever its backends do."""

CALLS = """
import sys
import otel_llm; otel_llm.init()
import openai
client = openai.OpenAI(max_retries=0)
for n in range(int(sys.argv[1])):
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: {n}"}])
print(sys.argv[1], flush=True)
"""
"""So many calls; the number of spans is the last that it prints."""

STEPS = """
import sys
import otel_llm; otel_llm.init()
for n in range(int(sys.argv[1])):
    with otel_llm.workflow(f"step {n}"):
        pass
print(sys.argv[1], flush=True)
"""
"""The same without calls, where starting an SDK would take longer than the test."""

PATIENT = "import otel_llm._setup; otel_llm._setup.EXIT_S = 20"
"""The first line of a program whose end may take its time, where a busy machine must not decide a test."""

LOAD = """
import functools, sys, threading
from otel_llm.store import background
from otel_llm.store.forward import courier
interval_s = float(sys.argv[1])
background.run = functools.partial(background.run, interval_s=interval_s)
courier.BACKOFF_S = min(courier.BACKOFF_S, interval_s)
import otel_llm; otel_llm.init()
import openai
client, count, stopped = openai.OpenAI(max_retries=0), 0, threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
while not stopped.wait(0.01):
    with otel_llm.workflow("answer"):
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: {sys.argv[2]}"}])
    count += 2
print(count, flush=True)
"""
"""Calls in workflows until its input is closed, indexed and forwarded every so many seconds (5 as usual, or fewer)."""


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

    def failed(self, message: str, **attributes: Any) -> None:
        """A span that ended in an exception with this message, which an event on it tells as well."""
        from otel_llm.values.spandata import EventData, SpanData

        trace, span, at = self.tape.next()
        event = EventData("exception", at, {"exception.type": "ValueError", "exception.message": message})
        self.tape.span(SpanData(trace, span, None, "step", "internal", at, at + 1000, attributes, events=(event,),
                                status_code="error", status_message=message))

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

    def forward(self, timeout_s: float = 20, *, sleep: Callable[[float], Any] = time.sleep) -> bool:
        """Send until nothing waits; True when nothing does."""
        with self.open() as forwarding:
            return forwarding.run(until_empty=True, timeout_s=timeout_s, sleep=sleep)

    def once(self) -> None:
        """One round, whatever comes of it."""
        with self.open() as forwarding:
            forwarding.run(until_empty=False, timeout_s=1e-6, sleep=lambda seconds: None)

    def due(self) -> None:
        """Let every wait be over, as time would."""
        with SqliteStore(self.directory) as store:
            store.connection.execute("UPDATE destination SET retry_ns = 1 WHERE retry_ns > 0")

    def waiting(self) -> Waiting:
        """The one destination."""
        with self.open() as forwarding:
            (one,) = forwarding.waiting()
            return one

    def peek(self) -> int:
        """How many spans wait for it, as far as the spool is indexed."""
        with SqliteStore(self.directory) as store:
            return sum(one.waiting for one in waiting(store.connection.execute))


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
        self._started: list[subprocess.Popen[str]] = []
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        self._environ = {**kept, "OPENAI_BASE_URL": sim.base_url, "OPENAI_API_KEY": "k", "OTEL_LLM_STORE": str(self.store)}

    def start(self, *arguments: object, text: str = CALLS, **environ: str) -> subprocess.Popen[str]:
        made = subprocess.Popen([sys.executable, "-c", text, *map(str, arguments)], cwd=self._tmp_path, text=True,
                                env={**self._environ, **environ}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._started.append(made)
        return made

    def close(self) -> None:
        """End what a test that failed has left running."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def run(self, *arguments: object, text: str = CALLS, **environ: str) -> str:
        process = self.start(*arguments, text=text, **environ)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        return out

    def forward(self, timeout_s: float = 20, **environ: str) -> bool:
        """What `otel-llm forward run --until-empty` does, here and without waits that nobody asked for; True when nothing waits."""
        with self.open(**environ) as forwarding:

            def pause(seconds: float) -> None:
                forwarding._store.connection.execute(
                    "UPDATE destination SET retry_ns = 1 WHERE retry_ns > 0 AND state <> ?", (THROTTLED,))
                time.sleep(min(seconds, 0.05))

            return forwarding.run(until_empty=True, timeout_s=timeout_s, sleep=pause)

    def open(self, **environ: str) -> Forwarding:
        return Forwarding(self.store, Settings.resolve({"store": self.store}, environ, strict=True), environ)

    def otel_llm(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(Path(sys.executable).parent / "otel-llm"), *arguments], capture_output=True, text=True,
                              timeout=60, env={**self._environ, **environ}, cwd=self._tmp_path)

    def waiting(self) -> Waiting:
        """The one destination, as far as the program itself has come."""
        with SqliteStore(self.store) as store:
            (one,) = waiting(store.connection.execute)
            return one

    def span_ids(self) -> list[str]:
        """Every span in the store; one that stands there twice is given twice."""
        with SqliteStore(self.store) as store:
            store.catch_up()
            return sorted(self._span_ids(store))

    def sent_ids(self) -> set[str]:
        """The spans that the program itself has indexed and that wait for nobody."""
        with SqliteStore(self.store) as store:
            return set(self._span_ids(store, "AND step NOT IN (SELECT step FROM outbox)"))

    def _span_ids(self, store: SqliteStore, condition: str = "") -> Iterator[str]:
        for (span,) in store.connection.execute(f"SELECT span_id FROM step WHERE span_pack IS NOT NULL {condition}"):
            yield span.hex()


@pytest.fixture
def program(tmp_path: Path, sim: Simulator) -> Iterator[Program]:
    made = Program(tmp_path, sim)
    yield made
    made.close()


def ended(process: subprocess.Popen[str]) -> tuple[int, float]:
    """How many spans a program has made, which is all that it prints, and the seconds from there to its end."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    said = process.stdout.readline()
    begun = time.monotonic()
    process.wait(timeout=60)
    took = time.monotonic() - begun
    process.stdin = None
    assert (process.returncode, process.communicate()[1]) == (0, "")
    return int(said), took
