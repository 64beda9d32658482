"""Real programs and a backend that fails in every way that matters: nothing is lost, nothing waits for it."""

from __future__ import annotations

import signal
import socket
import time
from collections import Counter

import pytest

from forward.conftest import Program, exit_seconds
from support.otlp_sink import OtlpSink, hang, reply, stored_then_cut

EXIT_S = 0.5
DEAD = "http://127.0.0.1:9"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def received(sink: OtlpSink) -> list[str]:
    return sorted(span.span_id for span in sink.spans)


def test_a_short_program_has_sent_its_spans_when_it_ends(program: Program, sink: OtlpSink) -> None:
    program.run(2, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

    assert received(sink) == program.span_ids()
    assert len(sink.spans) == 2


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("backend", ["dead", "hung", "dark"])
def test_the_end_does_not_wait_for_a_backend(program: Program, backend: str, protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as silent:  # accepts and never answers
        url = {"dead": DEAD, "hung": f"http://127.0.0.1:{silent.getsockname()[1]}", "dark": "http://192.0.2.1:4318"}[backend]
        process = program.start(20, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)

        took = exit_seconds(process, "19")

    assert took <= EXIT_S
    assert len(program.span_ids()) == 20


def test_what_a_dead_backend_missed_goes_out_with_the_next_short_program(program: Program) -> None:
    """It is asked once more at the end of a program, however lately it failed."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program.run(5, OTEL_EXPORTER_OTLP_ENDPOINT=url)

    with OtlpSink(port) as sink:
        program.run(1, OTEL_EXPORTER_OTLP_ENDPOINT=url)

        assert received(sink) == program.span_ids()


def test_what_a_dead_backend_missed_goes_out_while_the_next_program_runs(program: Program) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program.run(5, OTEL_EXPORTER_OTLP_ENDPOINT=url)

    with OtlpSink(port) as sink:
        process = program.start(1, text="""
import sys, time
import otel_llm; otel_llm.init()
import openai
openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "echo: last"}])
sys.stdin.readline()
""", OTEL_EXPORTER_OTLP_ENDPOINT=url)
        sink.wait(lambda s: len(s.spans) >= 6)
        process.kill()
        process.communicate()

        assert received(sink) == program.span_ids()


def test_what_nobody_sent_goes_out_with_forward_run(program: Program) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program.run(5, OTEL_EXPORTER_OTLP_ENDPOINT=url)

    with OtlpSink(port) as sink:
        done = program.otel_llm("forward", "run", "--until-empty", "--timeout", "40")

        assert (done.returncode, done.stdout) == (0, f"otlp\t{url}/v1/traces\tsent 5\twaiting 0\trefused 0\n")
        assert received(sink) == program.span_ids()


def test_a_program_that_is_killed_while_it_forwards_loses_nothing(program: Program) -> None:
    with OtlpSink() as sink:
        sink.script(hang())
        process = program.start(30, text="""
import os, signal, sys, threading
import otel_llm; otel_llm.init()
import openai
client = openai.OpenAI(max_retries=0)
for n in range(int(sys.argv[1])):
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: {n}"}])
print("done", flush=True)
threading.Thread(target=otel_llm.flush, daemon=True).start()
signal.pause()
""", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        sink.wait(lambda s: len(s.seen) >= 1)
        process.send_signal(signal.SIGKILL)
        process.communicate()

        program.otel_llm("forward", "run", "--until-empty", "--timeout", "20", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

        assert received(sink) == program.span_ids()
        assert len(sink.spans) == 30


def test_a_program_that_dies_before_anything_is_indexed_loses_nothing(program: Program, sink: OtlpSink) -> None:
    process = program.start(3, text="""
import os, sys
import otel_llm; otel_llm.init()
import openai
client = openai.OpenAI()
for n in range(int(sys.argv[1])):
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: {n}"}])
os.kill(os.getpid(), 9)
""", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    process.communicate(timeout=30)

    program.otel_llm("forward", "run", "--until-empty", "--timeout", "20", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

    assert received(sink) == program.span_ids()
    assert len(sink.spans) == 3


def test_two_programs_at_once_send_each_span_once(program: Program, sink: OtlpSink) -> None:
    both = [program.start(25, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url) for _ in range(2)]
    for process in both:
        process.communicate(timeout=60)

    program.otel_llm("forward", "run", "--until-empty", "--timeout", "20", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

    assert received(sink) == program.span_ids()
    assert len(sink.spans) == 50


def test_a_backend_that_answers_badly_for_a_while_gets_everything(program: Program) -> None:
    with OtlpSink() as sink:
        sink.script(reply(503), reply(429, retry_after=0.2), stored_then_cut(), reply(500))
        process = program.start(10, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        process.communicate(timeout=60)

        program.otel_llm("forward", "run", "--until-empty", "--timeout", "40", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

        counts = Counter(received(sink))
        assert sorted(counts) == program.span_ids() and len(counts) == 10


def test_a_forked_child_and_its_parent_both_arrive(program: Program, sink: OtlpSink) -> None:
    program.run(text="""
import os
import otel_llm; otel_llm.init()
import openai
client = openai.OpenAI()
ask = lambda text: client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": text}])
ask("echo: before")
child = os.fork()
ask(f"echo: {child}")
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
""", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

    program.otel_llm("forward", "run", "--until-empty", "--timeout", "20", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

    assert received(sink) == program.span_ids()
    assert len(sink.spans) == 3


def test_flush_hands_over_to_the_backend_too(program: Program, sink: OtlpSink) -> None:
    process = program.start(text="""
import os
import otel_llm; otel_llm.init()
import openai
openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "echo: x"}])
otel_llm.flush()
os._exit(0)
""", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    process.communicate(timeout=30)

    assert len(sink.spans) == 1


def test_a_provider_of_ones_own_keeps_its_exporter_and_ours_sends_nothing_there(program: Program, sink: OtlpSink) -> None:
    """The standard endpoint belongs to whoever made the provider; `OTEL_LLM_FORWARD` is ours in any case."""
    with OtlpSink() as other:
        program.run(text="""
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
import otel_llm; otel_llm.init()
import openai
openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "echo: x"}])
""", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_LLM_FORWARD=f"other={other.url}")

        program.otel_llm("forward", "run", "--until-empty", "--timeout", "20")

        assert (len(sink.spans), len(other.spans)) == (0, 1)


def test_a_replay_is_sent_as_well(program: Program, sink: OtlpSink) -> None:
    program.run(1)

    done = program.otel_llm("replay", "reissue", "@1", "--yes", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    program.otel_llm("forward", "run", "--until-empty", "--timeout", "20", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

    assert done.returncode == 0, done.stderr
    assert len(sink.spans) == 1


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http/protobuf"])
def test_a_backend_that_is_away_for_60_seconds_misses_nothing(program: Program, protocol: str) -> None:
    port = free_port()
    process = program.start(120, text="""
import sys, time
import otel_llm; otel_llm.init()
import openai
client = openai.OpenAI(max_retries=0)
until = time.monotonic() + int(sys.argv[1])
while time.monotonic() < until:
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "echo: x"}])
    time.sleep(0.02)
""", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    seen: list[str] = []
    for away, here in ((0, 10), (60, 0)):
        time.sleep(away)
        with OtlpSink(port) as sink:
            sink.wait(lambda s: len(s.spans) > 100, 60)
            time.sleep(here)
            if not here:
                process.communicate(timeout=60)
                program.otel_llm("forward", "run", "--until-empty", "--timeout", "60")
            seen += received(sink)

    assert sorted(set(seen)) == program.span_ids()
    assert len(seen) - len(set(seen)) <= 512
