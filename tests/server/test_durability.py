"""200 means written: through kill -9, a full disk, a removed directory and a stop in mid-request, once each."""

from __future__ import annotations

import http.client
import resource
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from otel_llm import otlp
from otel_llm.server import durable
from otel_llm.server.durable import DurableTape
from otel_llm.server.refusals import UNWRITABLE, Refused
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.guard import faults
from otel_llm.values.session import Filter
from otel_llm.values.settings import Settings
from otel_llm.values.spandata import EventData, ResourceData
from server.serving import PROTOBUF, Serving, protobuf, serving, span, spans
from support.backends import eventually

PRICE_OF_A_SPAN = 10_000


class Sender(threading.Thread):
    """Sends batches one behind the other until the server is gone; remembers what was answered with 200."""

    def __init__(self, server: Serving, first: int, *, size: int = 3) -> None:
        super().__init__()
        self.server, self.next, self.size = server, first, size
        self.answered: list[str] = []

    def run(self) -> None:
        connection = self.server.connect()
        try:
            while True:
                numbers = range(self.next, self.next + self.size)
                self.next += self.size
                connection.request("POST", "/v1/traces", protobuf(numbers, PRICE_OF_A_SPAN), {"content-type": PROTOBUF})
                response = connection.getresponse()
                response.read()
                if response.status == 200:
                    self.answered += [span(n).span_id for n in numbers]
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()


def stored(store: Path) -> Counter[str]:
    """Every step in the store by its span id."""
    with SqliteStore(store) as opened:
        assert opened.verify() == []
        return Counter(step.span_id for row in opened.sessions(Filter(), limit=10**6) for step in opened.steps(row.session_id))


def test_kill_9_under_load_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    answered: list[str] = []
    for round_ in range(3):
        with serving(tmp_path / "store") as server:
            senders = [Sender(server, 1 + 100_000 * (3 * round_ + n)) for n in range(3)]
            for sender in senders:
                sender.start()
            eventually(lambda senders=senders, wanted=150 * (round_ + 1): sum(len(s.answered) for s in senders) >= wanted)

            server.kill()

            for sender in senders:
                sender.join()
                answered += sender.answered

    found = stored(tmp_path / "store")
    assert len(answered) >= 900
    assert [span_id for span_id in answered if found[span_id] == 0] == []
    assert max(found.values()) == 1


def test_what_comes_again_is_stored_once(tmp_path: Path) -> None:
    with serving(tmp_path / "store") as server:
        for _ in range(3):
            assert server.post(protobuf([1, 2])).status == 200
    with serving(tmp_path / "store") as server:
        assert server.post(protobuf([2, 3])).status == 200

    assert stored(tmp_path / "store") == Counter(span(n).span_id for n in (1, 2, 3))


class TestFullDisk:
    LIMIT = 400_000
    """The largest file; the store's own file is smaller."""

    def prepare(self) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.LIMIT, resource.RLIM_INFINITY))

    def test_what_cannot_be_written_is_never_answered_with_200(self, tmp_path: Path) -> None:
        large, small = protobuf([1, 2], 2 * self.LIMIT), protobuf([3, 4])
        with serving(tmp_path / "store", "--grpc-port", "0", prepare=self.prepare, OTEL_LLM_INDEX="0") as server:
            refused = server.post(large)
            unhealthy = server.ask("GET", "/healthz")
            meanwhile = server.post(small)
            eventually(lambda: server.post(small).status == 200)
            healthy = server.ask("GET", "/healthz")
            over_grpc = export(server, large)

            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            eventually(lambda: server.post(large).status == 200)
            counted = server.counter("refused_total")

        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        assert b"nothing of this request is acknowledged" in refused.body
        assert (unhealthy.status, unhealthy.json["status"]) == (503, "unwritable")
        assert meanwhile.status == 503
        assert healthy.status == 200
        assert (over_grpc.code().name, retry_s(over_grpc)) == ("UNAVAILABLE", 5)
        assert counted >= 3
        assert stored(tmp_path / "store") == Counter(span(n).span_id for n in (1, 2, 3, 4))
        with SqliteStore(tmp_path / "store") as store:
            assert store.losses() == []

    def test_an_exporter_of_the_sdk_sends_again_until_it_is_written(self, tmp_path: Path) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor

        with serving(tmp_path / "store", prepare=self.prepare, OTEL_LLM_INDEX="0") as server:
            provider = TracerProvider(shutdown_on_exit=False)
            provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{server.url}/v1/traces", timeout=20)))
            helper = threading.Thread(target=lambda: (
                eventually(lambda: server.counter("refused_total") >= 1),
                resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))))
            helper.start()

            with provider.get_tracer("t").start_as_current_span("chat", attributes={"filling": "x" * 2 * self.LIMIT}) as made:
                pass
            helper.join()
            provider.shutdown()

        assert stored(tmp_path / "store") == Counter([f"{made.get_span_context().span_id:016x}"])


def export(server: Serving, body: bytes) -> Any:
    import grpc

    with grpc.insecure_channel(str(server.grpc)) as channel:
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")(body, timeout=30)
        return error.value


def retry_s(error: Any) -> int | None:
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    (packed,) = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    info = RetryInfo()
    assert Status.FromString(packed).details[0].Unpack(info)
    return int(info.retry_delay.seconds)


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_request_under_way_is_answered_and_kept(self, tmp_path: Path, number: int) -> None:
        body = protobuf([1])
        with serving(tmp_path / "store", "--grpc-port", "0") as server:
            host, port = server.place.split(":")
            with socket.create_connection((host, int(port)), timeout=20) as connection:
                connection.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-protobuf\r\n"
                                   b"content-length: %d\r\n\r\n" % len(body) + body[:10])
                eventually(lambda: server.counter("in_flight_bytes") == 10)
                server.connections.pop().close()
                server.process.send_signal(number)
                eventually(lambda: not accepts(host, int(port)))

                connection.sendall(body[10:])

                assert connection.recv(100).startswith(b"HTTP/1.1 200")
            assert server.process.wait(timeout=20) == 0

        assert stored(tmp_path / "store") == Counter([span(1).span_id])

    def test_an_idle_server_stops_at_once(self, tmp_path: Path) -> None:
        with serving(tmp_path / "store", "--grpc-port", "0") as server:
            server.post(protobuf([1]))
            begun = time.monotonic()

            assert server.stop() == 0
            assert time.monotonic() - begun < 3


def accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


class TestTape:
    """The tape behind the server, in this process."""

    @pytest.fixture
    def tape(self, tmp_path: Path) -> DurableTape:
        return DurableTape(tmp_path / "spool", Settings())

    def names(self, tmp_path: Path) -> list[str]:
        return sorted(stored(tmp_path))

    def test_many_resources_do_not_make_it_grow(self, tape: DurableTape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(durable, "MAX_ORIGINS", 10)
        made = [span(n, resource=ResourceData({"service.name": f"s{n}"})) for n in range(1, 60)]

        for one in made:
            tape.write([one])
            assert len(tape._origins) <= 12
        tape.close()

        with SqliteStore(tmp_path) as store:
            assert {s.span_id: store.span(s.span_id) for s in made} == {s.span_id: s for s in made}

    def test_a_directory_that_was_removed_is_made_again(self, tape: DurableTape, tmp_path: Path) -> None:
        import shutil

        tape.write(spans([1]))
        shutil.rmtree(tmp_path / "spool")

        tape.write(spans([2]))
        tape.close()

        assert self.names(tmp_path) == [span(2).span_id]

    def test_a_failure_holds_nothing_in_memory_and_counts_nothing_as_lost(
        self, tape: DurableTape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import errno
        import os

        real, broken = os.write, [False]

        def write(fd: int, data: bytes) -> int:
            if broken[0]:
                raise OSError(errno.ENOSPC, "full")
            return real(fd, data)

        monkeypatch.setattr(os, "write", write)
        monkeypatch.setattr(durable, "PAUSE_S", 0.0)
        tape.write(spans([1]))
        broken[0] = True
        for _ in range(50):
            with pytest.raises(Refused) as refused:
                tape.write(spans([2, 3], 100_000))
        assert refused.value.kind == UNWRITABLE
        assert (tape._spool, tape.is_writable) == (None, False)
        broken[0] = False
        tape.write(spans([2, 3]))
        tape.close()

        assert tape.is_writable
        assert self.names(tmp_path) == sorted(span(n).span_id for n in (1, 2, 3))
        with SqliteStore(tmp_path) as store:
            assert store.losses() == []

    def test_when_secrets_cannot_be_looked_for_the_span_stays_without_its_words(
        self, tape: DurableTape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from otel_llm.redaction import Redactor

        def broken(self: Redactor, body: bytes) -> Any:
            raise RuntimeError("broken")

        monkeypatch.setattr(Redactor, "redact", broken)
        faults.strict = False

        tape.write([span(1, status_message="words", attributes={
            "gen_ai.usage.input_tokens": 3, "gen_ai.request.model": "m", "otel_llm.request.body": "{}"})])
        tape.close()

        with SqliteStore(tmp_path) as store:
            assert store.span(span(1).span_id).attributes == {"gen_ai.usage.input_tokens": 3}
            assert store.exchange(span(1).span_id).omitted == "redaction failed"

    def test_where_content_is_off_none_is_written(self, tmp_path: Path) -> None:
        tape = DurableTape(tmp_path / "spool", Settings(content=False))
        word = "unmistakable"

        tape.write(otlp.decode(otlp.encode([span(1, status_message=word, events=(EventData("exception", 1, {"exception.message": word}),), attributes={
            "gen_ai.operation.name": "chat", "gen_ai.input.messages": word, "gen_ai.prompt.variable.x": word,
            "gen_ai.evaluation.explanation": word, "input.value": word, "gen_ai.completion.0.content": word,
            "otel_llm.request.body": word, "otel_llm.response.body": word})])))
        tape.close()

        assert not any(word.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        with SqliteStore(tmp_path) as store:
            assert store.exchange(span(1).span_id).omitted == "content off"
