"""Every way in which an end can fail, under load: whatever comes back has everything, once where it is ours."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from forward.conftest import DEAD, LOAD, Place, Program, ended
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.session import Filter
from server.serving import serving
from support.backends import eventually, free_port
from support.otlp_sink import Answer, OtlpSink, cut, hang, reply, stored_then_cut

BAD = {"slow_down": reply(429, retry_after=0.3), "failing": reply(503), "cut": cut(), "hung": hang(), "forgetful": stored_then_cut()}


class Outage:
    """Backends that answer badly until it is over."""

    def __init__(self) -> None:
        self.is_over = False

    @contextmanager
    def sink(self, bad: Answer) -> Iterator[OtlpSink]:
        with OtlpSink(rule=lambda size, number: reply() if self.is_over else bad) as made:
            yield made


def stored(directory: Path) -> list[str]:
    """The span of every step in a store, each as often as it stands there."""
    with SqliteStore(directory) as store:
        assert store.verify() == []
        assert store.losses() == []
        return sorted(step.span_id for row in store.sessions(Filter(), limit=10**6) for step in store.steps(row.session_id))


@pytest.mark.parametrize(("outage_s", "interval_s"), [(0.5, 0.1), pytest.param(60, 5, marks=pytest.mark.slow)])
def test_every_end_that_comes_back_has_everything(
    program: Program, outage_s: float, interval_s: float
) -> None:
    """Two stay away for life, one comes, goes and comes again, five answer badly for a while; one program calls all the time."""
    outage, port = Outage(), free_port()
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))  # accepts and never answers
        sinks = {name: stack.enter_context(outage.sink(bad)) for name, bad in BAD.items()}
        ends = {"dead": DEAD, "silent": f"http://127.0.0.1:{silent.getsockname()[1]};timeout=0.5",
                "away": f"http://127.0.0.1:{port}", **{name: f"{sink.url};timeout=0.5" for name, sink in sinks.items()}}
        forward = {"OTEL_LLM_FORWARD": ",".join(f"{name}={url}" for name, url in ends.items())}
        with OtlpSink(port) as before:
            process = program.start(interval_s, "x", text=LOAD, **forward)
            before.wait(lambda s: len(s.spans) > 0, 60)
        begun = time.monotonic()
        for sink in sinks.values():
            sink.wait(lambda s: len(s.seen) >= 2, 60)
        time.sleep(max(0.0, begun + outage_s - time.monotonic()))

        outage.is_over = True
        sinks["away"] = stack.enter_context(OtlpSink(port))
        for sink in sinks.values():
            sink.wait(lambda s: s.seen != [] and s.seen[-1].status == 200, 90)
        made, _ = ended(process)
        expected = stored(program.store)
        with program.open(**forward) as forwarding:
            for_life = {one.name: (one.waiting, one.sent, one.refused) for one in forwarding.waiting() if one.name not in sinks}
            for name in for_life:
                forwarding.drop(name)
        assert program.forward(60, **forward)
        received = {name: {span.span_id for span in sink.spans} for name, sink in sinks.items()}
        received["away"] |= {span.span_id for span in before.spans}

    assert len(expected) == len(set(expected)) == made
    assert for_life == dict.fromkeys(("dead", "silent"), (made, 0, 0))
    assert received == dict.fromkeys(sinks, set(expected))


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_server_of_ours_that_is_killed_under_load_has_each_span_once(
    tmp_path: Path, places: Callable[..., Place], kills: int
) -> None:
    """kill -9 while a backlog comes in, in requests so small that some are always under way."""
    port, theirs = free_port(), tmp_path / "theirs"
    ours = places(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
    made = ours.record(1500 * (kills + 1))
    left: list[int] = []

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(ours.forward, 120, sleep=lambda seconds: (ours.due(), time.sleep(0.02)))
        for _ in range(kills):
            with serving(theirs, "--port", str(port), "--max-body", "8K") as server:
                eventually(lambda server=server: done.done() or server.counter("spans_total") >= 300, within_s=60,
                           pause_s=0.01)
                server.kill()
                assert not done.done(), done.exception()
                left.append(ours.peek())
        with serving(theirs, "--port", str(port), "--max-body", "8K"):
            assert done.result(120)

    assert sorted(left, reverse=True) == left and min(left) > 0
    assert stored(theirs) == stored(ours.directory) == sorted(made)
