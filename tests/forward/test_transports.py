"""What goes over the wire: paths, headers, compression, TLS, gRPC. The certificates are for tests alone, valid for 100 years."""

from __future__ import annotations

import gc
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from forward.conftest import Place
from otel_llm.otlp import decode
from support.backends import eventually
from support.otlp_sink import OtlpSink, cut

TLS = Path(__file__).parent / "tls"
CA, CLIENT = str(TLS / "ca.pem"), (str(TLS / "client.pem"), str(TLS / "client.key"))


def context(*, wants_client: bool = False) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    if wants_client:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(CA)
    return made


def sockets() -> list[socket.socket]:
    """Every TCP socket of this process that is open."""
    return [one for one in gc.get_objects() if isinstance(one, socket.socket) and one.family == socket.AF_INET and one.fileno() >= 0]


class TestHttp:
    def test_path_headers_and_compression(self, places: Callable[..., Place], sink: OtlpSink) -> None:
        place = places(OTEL_EXPORTER_OTLP_ENDPOINT=f"{sink.url}/base", OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
                       OTEL_EXPORTER_OTLP_HEADERS="x-scope=team%20a")
        place.record(3)

        assert place.forward()

        (seen,) = sink.seen
        assert (seen.path, seen.headers["content-type"], seen.headers["content-encoding"], seen.headers["x-scope"]) == (
            "/base/v1/traces", "application/x-protobuf", "gzip", "team a")
        assert len(seen.spans) == 3

    def test_a_proxy_of_the_environment_is_used(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        with OtlpSink() as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.setenv("no_proxy", "")
            place.record(1)

            assert place.forward()

            assert proxy.seen[0].path == place.waiting().endpoint

    def test_a_connection_that_breaks_leaves_no_socket_behind(self, place: Place, sink: OtlpSink) -> None:
        """Not even until the next garbage collection: a backend that comes and goes would cost a descriptor each time."""
        place.record(1, "x" * 8_000_000)
        sink.script(cut())
        before = {id(one): one for one in sockets()}
        gc.disable()
        try:
            place.once()

            assert place.waiting().failures == 1
            eventually(sockets, until=lambda found: all(id(one) in before for one in found))
        finally:
            gc.enable()

    def test_a_name_that_nobody_has_is_an_error_to_try_again(self, places: Callable[..., Place]) -> None:
        place = places(OTEL_EXPORTER_OTLP_ENDPOINT="http://nobody.invalid:4318")
        place.record(1)

        place.once()

        one = place.waiting()
        assert (one.state, one.waiting) == ("waiting", 1) and "gaierror" in str(one.last_error)


class TestTls:
    @pytest.fixture
    def secure(self) -> Iterator[OtlpSink]:
        with OtlpSink(tls=context()) as made:
            yield made

    def test_the_certificate_of_the_variable_is_trusted(self, places: Callable[..., Place], secure: OtlpSink) -> None:
        place = places(OTEL_EXPORTER_OTLP_ENDPOINT=secure.url, OTEL_EXPORTER_OTLP_CERTIFICATE=CA)
        place.record(1)

        assert place.forward()

        assert len(secure.spans) == 1

    def test_one_that_nobody_vouches_for_is_said_and_nothing_is_lost(self, places: Callable[..., Place], secure: OtlpSink) -> None:
        place = places(OTEL_EXPORTER_OTLP_ENDPOINT=secure.url)
        place.record(1)

        place.once()

        one = place.waiting()
        assert (one.state, one.waiting, secure.spans) == ("misplaced", 1, []) and "CERTIFICATE_VERIFY_FAILED" in str(one.last_error)

    def test_a_client_shows_its_own(self, places: Callable[..., Place]) -> None:
        with OtlpSink(tls=context(wants_client=True)) as sink:
            place = places(OTEL_LLM_FORWARD=f"there={sink.url};certificate={CA};client_certificate={CLIENT[0]};client_key={CLIENT[1]}")
            place.record(1)

            assert place.forward()

            assert len(sink.spans) == 1

    def test_a_file_that_is_not_there_is_said(self, places: Callable[..., Place], secure: OtlpSink) -> None:
        place = places(OTEL_EXPORTER_OTLP_ENDPOINT=secure.url, OTEL_EXPORTER_OTLP_CERTIFICATE="/nowhere.pem")
        place.record(1)

        place.once()

        assert place.waiting().state == "misplaced"

    def test_tls_to_a_server_without_it_is_said(self, places: Callable[..., Place], sink: OtlpSink) -> None:
        place = places(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url.replace("http:", "https:"))
        place.record(1)

        place.once()

        assert place.waiting().last_error is not None and "TLS" in str(place.waiting().last_error)


class GrpcSink:
    """An OTLP/gRPC receiver; `refuse` says what to answer instead, by the size of the request."""

    def __init__(self, grpc: Any, refuse: Callable[[int], tuple[Any, str] | None]) -> None:
        self.spans: list[Any] = []
        self.metadata: dict[str, Any] = {}

        def export(request: bytes, call: Any) -> bytes:
            self.metadata = dict(call.invocation_metadata())
            if (refused := refuse(len(request))) is not None:
                call.abort(*refused)
            self.spans += decode(request)
            return b""

        service = grpc.method_handlers_generic_handler(
            "opentelemetry.proto.collector.trace.v1.TraceService", {"Export": grpc.unary_unary_rpc_method_handler(export)})
        self.server = grpc.server(ThreadPoolExecutor(2), options=(("grpc.max_receive_message_length", -1),))
        self.server.add_generic_rpc_handlers((service,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()


@pytest.fixture
def grpc_sink() -> Iterator[Callable[..., GrpcSink]]:
    grpc = pytest.importorskip("grpc")
    made: list[GrpcSink] = []

    def make(refuse: Callable[[int], tuple[Any, str] | None] = lambda size: None) -> GrpcSink:
        made.append(GrpcSink(grpc, refuse))
        return made[-1]

    yield make
    for one in made:
        one.server.stop(None).wait()


class TestGrpc:
    def place(self, places: Callable[..., Place], port: int, **environ: str) -> Place:
        return places(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_EXPORTER_OTLP_PROTOCOL="grpc", **environ)

    def test_spans_arrive_with_metadata(self, places: Callable[..., Place], grpc_sink: Callable[..., GrpcSink]) -> None:
        sink = grpc_sink()
        place = self.place(places, sink.port, OTEL_EXPORTER_OTLP_HEADERS="x-api-key=k", OTEL_EXPORTER_OTLP_COMPRESSION="gzip")
        made = place.record(600)

        assert place.forward()

        assert sorted(span.span_id for span in sink.spans) == sorted(made)
        assert sink.metadata["x-api-key"] == "k"

    def test_resource_exhausted_is_halved(self, places: Callable[..., Place], grpc_sink: Callable[..., GrpcSink]) -> None:
        import grpc

        sink = grpc_sink(lambda size: (grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max") if size > 200_000 else None)
        place = self.place(places, sink.port)
        made = place.record(6, "x" * 90_000) + place.record(1, "y" * 900_000)

        assert place.forward()

        assert sorted(span.span_id for span in sink.spans) == sorted(made)
        assert [span.attributes["text"][:16] for span in sink.spans if span.span_id == made[-1]] == ["[900000 characte"]

    def test_each_status_has_its_consequence(self, places: Callable[..., Place], grpc_sink: Callable[..., GrpcSink]) -> None:
        import grpc

        answers = [(grpc.StatusCode.UNAVAILABLE, "not yet"), (grpc.StatusCode.UNAUTHENTICATED, "who?"), (grpc.StatusCode.INVALID_ARGUMENT, "no")]
        sink = grpc_sink(lambda size: answers.pop(0) if answers else None)
        place = self.place(places, sink.port)
        place.record(1)
        states = []

        for _ in range(3):
            place.once()
            place.due()
            one = place.waiting()
            states.append((one.state, one.waiting, one.refused, one.last_error))

        assert states == [("waiting", 1, 0, "UNAVAILABLE: not yet"), ("misplaced", 1, 0, "UNAUTHENTICATED: who?"),
                          ("misplaced", 0, 1, "INVALID_ARGUMENT: no")]

    def test_nobody_there_is_an_error_to_try_again(self, places: Callable[..., Place]) -> None:
        place = self.place(places, 1)
        place.record(1)

        place.once()

        assert (place.waiting().state, place.waiting().waiting) == ("waiting", 1)
