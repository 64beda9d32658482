"""Real programs and a backend that fails in every way that matters: nothing is lost, nothing waits for it."""

from __future__ import annotations

import signal
import socket
from collections import Counter

import pytest

from forward.conftest import DEAD, EXIT_S, PATIENT, STEPS, Program, ended
from support.backends import free_port
from support.otlp_sink import OtlpSink, hang, reply, stored_then_cut


def received(sink: OtlpSink) -> list[str]:
    return sorted(span.span_id for span in sink.spans)


def test_a_short_program_has_sent_its_spans_when_it_ends(program: Program, sink: OtlpSink) -> None:
    """On a busy machine the little time at its end may not be enough, and the next one sends them: one of a few does it at once."""
    for ran in range(1, 6):
        program.run(2, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        if len(sink.spans) == 2 * ran:
            break

    assert received(sink) == program.span_ids()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_end_does_not_wait_for_backends(program: Program, sink: OtlpSink, protocol: str) -> None:
    """What forwarding adds to the end of a program, be its backends dead, mute, out of reach or failing.

    A busy machine adds to it too, so the best of a few counts; a wait of ours would be in each of them.
    """
    sink.script(*[reply(503), reply(429, retry_after=3600)] * 50)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as silent:  # accepts and never answers
        urls = {"dead": DEAD, "mute": f"http://127.0.0.1:{silent.getsockname()[1]}", "dark": "http://192.0.2.1:4318", "failing": sink.url}
        forward = ",".join(f"{name}={url};protocol={protocol}" for name, url in urls.items())
        made, added = 0, [EXIT_S + 1]
        while min(added) > EXIT_S and len(added) <= 5:
            bare, bare_s = ended(program.start(1000, text=STEPS))
            sending, sending_s = ended(program.start(1000, text=STEPS, OTEL_LLM_FORWARD=forward))
            made += bare + sending
            added.append(sending_s - bare_s)

    assert min(added) <= EXIT_S
    assert len(program.span_ids()) == made


def test_what_a_dead_backend_missed_goes_out_with_the_next_short_program(program: Program) -> None:
    """It is asked once more at the end of a program, however lately it failed."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program.run(5, text=STEPS, OTEL_EXPORTER_OTLP_ENDPOINT=url)

    with OtlpSink(port) as sink:
        program.run(1, text=PATIENT + STEPS, OTEL_EXPORTER_OTLP_ENDPOINT=url)

        assert received(sink) == program.span_ids()


def test_what_a_dead_backend_missed_goes_out_while_the_next_program_runs(program: Program) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program.run(5, text=STEPS, OTEL_EXPORTER_OTLP_ENDPOINT=url)

    with OtlpSink(port) as sink:
        process = program.start(text="""
import functools, sys
from otel_llm.store import background
background.run = functools.partial(background.run, interval_s=0.2)
import otel_llm; otel_llm.init()
with otel_llm.workflow("last"):
    pass
sys.stdin.readline()
""", OTEL_EXPORTER_OTLP_ENDPOINT=url)
        sink.wait(lambda s: len(s.spans) >= 6)
        process.kill()
        process.communicate()

        assert received(sink) == program.span_ids()


def test_what_nobody_sent_goes_out_with_forward_run(program: Program) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program.run(5, text=STEPS, OTEL_EXPORTER_OTLP_ENDPOINT=url)

    with OtlpSink(port) as sink:
        done = program.otel_llm("forward", "run", "--until-empty", "--timeout", "40")

        assert (done.returncode, done.stdout) == (0, f"otlp\t{url}/v1/traces\tsent 5\twaiting 0\trefused 0\n")
        assert received(sink) == program.span_ids()


def test_a_program_that_is_killed_while_it_forwards_loses_nothing(program: Program) -> None:
    with OtlpSink() as sink:
        sink.script(hang())
        process = program.start(30, text="""
import signal, sys, threading
import otel_llm; otel_llm.init()
for n in range(int(sys.argv[1])):
    with otel_llm.workflow(f"step {n}"):
        pass
threading.Thread(target=otel_llm.flush, daemon=True).start()
signal.pause()
""", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        sink.wait(lambda s: len(s.seen) >= 1)
        process.send_signal(signal.SIGKILL)
        process.communicate()

        assert program.forward(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

        assert received(sink) == program.span_ids()
        assert len(sink.spans) == 30


def test_a_program_that_dies_before_anything_is_indexed_loses_nothing(program: Program, sink: OtlpSink) -> None:
    process = program.start(3, text="""
import os, sys
import otel_llm; otel_llm.init()
for n in range(int(sys.argv[1])):
    with otel_llm.workflow(f"step {n}"):
        pass
os.kill(os.getpid(), 9)
""", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    process.communicate(timeout=30)

    assert program.forward(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

    assert received(sink) == program.span_ids()
    assert len(sink.spans) == 3


def test_two_programs_at_once_send_each_span_once(program: Program, sink: OtlpSink) -> None:
    both = [program.start(500, text=PATIENT + STEPS, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url) for _ in range(2)]
    for process in both:
        process.communicate(timeout=60)

    assert program.forward(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

    assert received(sink) == program.span_ids()
    assert len(sink.spans) == 1000


def test_a_backend_that_answers_badly_for_a_while_gets_everything(program: Program) -> None:
    with OtlpSink() as sink:
        sink.script(reply(503), reply(429, retry_after=0.2), stored_then_cut(), reply(500))
        process = program.start(10, text=STEPS, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        process.communicate(timeout=60)

        assert program.forward(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

        counts = Counter(received(sink))
        assert sorted(counts) == program.span_ids() and len(counts) == 10


def test_a_forked_child_and_its_parent_both_arrive(program: Program, sink: OtlpSink) -> None:
    program.run(text="""
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads, from Python 3.12 on
import otel_llm; otel_llm.init()
with otel_llm.workflow("before"):
    pass
child = os.fork()
with otel_llm.workflow("child" if child == 0 else "parent"):
    pass
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
""", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

    assert program.forward(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

    assert received(sink) == program.span_ids()
    assert len(sink.spans) == 3


def test_flush_hands_over_to_the_backend_too(program: Program, sink: OtlpSink) -> None:
    process = program.start(text="""
import os
import otel_llm; otel_llm.init()
with otel_llm.workflow("one"):
    pass
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
with otel_llm.workflow("one"):
    pass
""", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_LLM_FORWARD=f"other={other.url}")

        assert program.forward()

        assert (len(sink.spans), len(other.spans)) == (0, 1)


def test_a_replay_is_sent_as_well(program: Program, sink: OtlpSink) -> None:
    program.run(1)

    done = program.otel_llm("replay", "reissue", "@1", "--yes", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    assert program.forward(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)

    assert done.returncode == 0, done.stderr
    assert len(sink.spans) == 1
