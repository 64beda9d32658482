"""The ways in: one line, no line, an OpenTelemetry set-up of one's own. Each in a real process against a provider on loopback."""

from __future__ import annotations

import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forward.conftest import PATIENT
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator, error
from otel_llm.values.session import Filter

BIN = Path(sys.executable).parent
PROGRAM = """
import openai
client = openai.OpenAI()
history = [{"role": "user", "content": "echo: one"}]
reply = client.chat.completions.create(model="gpt-4o-mini", messages=history).choices[0].message
history += [reply.model_dump(exclude_none=True), {"role": "user", "content": "echo: two"}]
print(client.chat.completions.create(model="gpt-4o-mini", messages=history).choices[0].message.content)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(PROGRAM)
    return path


class Ran:
    """A finished process and the store that it left."""

    def __init__(self, done: subprocess.CompletedProcess[str], store: Path) -> None:
        self.done, self.directory = done, store

    @property
    def store(self) -> SqliteStore:
        return SqliteStore(self.directory)


def run(tmp_path: Path, sim: Simulator, *command: str, **environ: str) -> Ran:
    place = tmp_path / "store"
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "OPENAI_BASE_URL": sim.base_url, "OPENAI_API_KEY": "k", "OTEL_LLM_STORE": str(place), **environ})
    assert done.returncode == 0, done.stderr
    return Ran(done, place)


def test_otel_llm_run_records_a_program_that_never_imports_it(tmp_path: Path, sim: Simulator, program: Path) -> None:
    ran = run(tmp_path, sim, str(BIN / "otel-llm"), "run", "--", sys.executable, str(program))

    (session,) = ran.store.sessions(Filter())
    assert (session.calls, session.turns, session.title, session.inferred) == (2, 2, "echo: one", True)
    assert ran.done.stdout == "two\n" and ran.done.stderr == ""


def test_otel_llm_run_still_runs_a_sitecustomize_of_the_machine(tmp_path: Path, sim: Simulator, program: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text("print('theirs')")

    ran = run(tmp_path, sim, str(BIN / "otel-llm"), "run", "--", sys.executable, str(program), PYTHONPATH=str(other))

    assert ran.done.stdout.endswith("theirs\ntwo\n")


def test_opentelemetry_instrument_records_a_program_that_never_imports_it(tmp_path: Path, sim: Simulator, program: Path) -> None:
    ran = run(tmp_path, sim, str(BIN / "opentelemetry-instrument"), sys.executable, str(program),
              OTEL_TRACES_EXPORTER="replay", OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none", OTEL_SERVICE_NAME="shop")

    (session,) = ran.store.sessions(Filter())
    assert (session.calls, session.service) == (2, "shop")
    assert all(ran.store.span(step.span_id).name == step.name for step in ran.store.steps(session.session_id))


def test_our_configurator_writes_spans_in_the_callers_thread(tmp_path: Path, sim: Simulator, program: Path) -> None:
    program.write_text(PROGRAM + "\nimport os; os._exit(0)\n")

    ran = run(tmp_path, sim, str(BIN / "opentelemetry-instrument"), sys.executable, "-u", str(program), OTEL_PYTHON_CONFIGURATOR="otel_llm",
              OTEL_TRACES_EXPORTER="replay", OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none")

    steps = ran.store.calls(Filter())
    assert len(steps) == 2
    assert all(ran.store.span(s.span_id).scope.name == "otel_llm" for s in steps)


def test_disabled_means_that_nothing_is_recorded(tmp_path: Path, sim: Simulator, program: Path) -> None:
    ran = run(tmp_path, sim, str(BIN / "otel-llm"), "run", "--", sys.executable, str(program), OTEL_SDK_DISABLED="true")

    assert not ran.directory.exists()


def test_a_store_that_cannot_be_written_does_not_stop_the_program(tmp_path: Path, sim: Simulator, program: Path) -> None:
    ran = run(tmp_path, sim, str(BIN / "otel-llm"), "run", "--", sys.executable, str(program), OTEL_LLM_STORE="/proc/nowhere")

    assert ran.done.stdout == "two\n"
    assert ran.done.stderr.count("otel-llm cannot write to /proc/nowhere/spool") == 1


def test_a_bad_value_in_the_environment_warns_and_the_default_holds(tmp_path: Path, sim: Simulator, program: Path) -> None:
    ran = run(tmp_path, sim, str(BIN / "otel-llm"), "run", "--", sys.executable, str(program), OTEL_LLM_CONTENT="perhaps")

    assert "OTEL_LLM_CONTENT='perhaps' is not usable; good values: true or false" in ran.done.stderr
    assert ran.store.sessions(Filter())[0].calls == 2


class Sink(http.server.BaseHTTPRequestHandler):
    """An OTLP/HTTP receiver that keeps the names of spans."""

    names: list[str] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.names.extend(span.name for span in scope.spans)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        return None


@pytest.fixture
def otlp() -> Iterator[str]:
    Sink.names = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_with_an_otlp_endpoint_the_spans_go_there_too(tmp_path: Path, sim: Simulator, program: Path, otlp: str) -> None:
    program.write_text(f"{PATIENT}\n{program.read_text()}")
    ran = run(tmp_path, sim, str(BIN / "otel-llm"), "run", "--", sys.executable, str(program), OTEL_EXPORTER_OTLP_ENDPOINT=otlp)

    assert Sink.names == ["chat gpt-4o-mini"] * 2
    assert ran.store.sessions(Filter())[0].calls == 2


NEWCOMER = """
import json, openai
import otel_llm; otel_llm.init()
client = openai.OpenAI(max_retries=0)
def ask(history, **more):
    message = client.chat.completions.create(model="gpt-4o-mini", messages=history, **more).choices[0].message
    history.append(message.model_dump(exclude_none=True))
    return message
tools = [{"type": "function", "function": {"name": "lookup_order", "description": "Look up an order by its number.",
          "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}}}]
history = [{"role": "system", "content": "You are a support agent."}, {"role": "user", "content": "Where is my order 4711?"}]
wanted = ask(history, tools=tools)
for call in wanted.tool_calls:
    history.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps({"status": "shipped"})})
ask(history, tools=tools)
history.append({"role": "user", "content": "echo: a stream please"})
words = ""
for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=history, stream=True, stream_options={"include_usage": True}):
    if chunk.choices and chunk.choices[0].delta.content:
        words += chunk.choices[0].delta.content
history.append({"role": "assistant", "content": words})
history.append({"role": "user", "content": "echo: this one fails"})
try:
    ask(history)
except openai.InternalServerError:
    history.pop()
history.append({"role": "user", "content": "echo: and this one works"})
ask(history)
"""


def test_the_newcomers_session_is_one_session_without_any_session_code(tmp_path: Path, sim: Simulator) -> None:
    sim.script(error(500, when=lambda body: "fails" in json.dumps(body["messages"][-1])))

    ran = run(tmp_path, sim, sys.executable, "-c", NEWCOMER)

    (session,) = ran.store.sessions(Filter())
    steps = ran.store.steps(session.session_id)
    assert (session.calls, session.turns, session.errors, session.status) == (5, 4, 1, "recovered")
    assert [s.state for s in steps] == ["ok", "ok", "ok", "error", "ok"]
    assert [s.stream for s in steps] == [False, False, True, False, False] and steps[2].first_chunk_ns
    assert [s.request_preview for s in steps][2:] == ["echo: a stream please", "echo: this one fails", "echo: and this one works"]
    assert session.usage.input_tokens == sum(s.usage.input_tokens or 0 for s in steps)
    assert session.cost is not None and session.cost.total == sum(s.cost.total for s in steps if s.cost)
    shown = subprocess.run([str(BIN / "otel-llm"), "--store", str(ran.directory), "show", "@1", "--messages"], capture_output=True,
                           text=True, check=True).stdout
    assert [shown.count(text) for text in ("Where is my order 4711?", '"status": "shipped"', "this one fails")] == [1, 1, 1]


def test_the_examples_run(tmp_path: Path, sim: Simulator) -> None:
    examples = Path(__file__).parent.parent / "examples"

    first = run(tmp_path, sim, sys.executable, str(examples / "one-line" / "chat.py"))
    second = run(tmp_path, sim, sys.executable, str(examples / "existing-opentelemetry" / "app.py"))

    assert first.done.stderr == "" and "A-77" in first.done.stdout
    assert {"GET /suggest", "chat gpt-4o-mini"} < set(second.done.stdout.splitlines())
    assert sorted(s.calls for s in second.store.sessions(Filter())) == [1, 4]


@pytest.mark.skipif(openai.__version__.startswith("1."), reason="the demo is written for today's SDK")
def test_the_demo_shows_a_session_a_search_and_a_diff(tmp_path: Path) -> None:
    done = subprocess.run([str(BIN / "otel-llm"), "--store", str(tmp_path / "store"), "demo"], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "the built-in simulator (nothing leaves this machine)" in done.stdout
    assert "recovered" in done.stdout and "lookup_order" in done.stdout and "→ gpt-4.1" in done.stdout


def test_programs_that_seed_random_do_not_repeat_their_ids(tmp_path: Path, sim: Simulator) -> None:
    """Else the second run would be taken for a redelivery of the first, and be lost."""
    program = "import random; random.seed(0); import openai; openai.OpenAI().models.list(); random.seed(0); openai.OpenAI().models.list()"
    env = {**os.environ, "OPENAI_API_KEY": "x", "OPENAI_BASE_URL": sim.base_url, "OTEL_LLM_STORE": str(tmp_path / "store")}
    for way in (["-m", "otel_llm.cli", "run", "--", sys.executable], []):
        auto = {} if way else {"OTEL_TRACES_EXPORTER": "replay"}
        tool = [] if way else [str(Path(sys.executable).with_name("opentelemetry-instrument"))]
        for _ in range(2):
            subprocess.run([*tool, sys.executable, *way, "-c", program], env={**env, **auto}, check=True, capture_output=True)

    calls = SqliteStore(tmp_path / "store").calls(Filter())
    assert len({call.span_id for call in calls}) == len(calls) == 8
