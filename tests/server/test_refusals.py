"""What is not taken, and how that is said: never with a crash, never with a 5xx for bad input, never at the cost of memory."""

from __future__ import annotations

import gzip
import json
import random
import socket
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.terminal import otel_llm
from otel_llm import otlp
from replay.memory_store import MemoryStore
from server.serving import JSON, KEY, PROTOBUF, Serving, command, environment, gzipped, protobuf, serving, span, spans
from support.backends import eventually

MIB = 1 << 20
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("refusals") / "store", "--grpc-port", "0", OTEL_LLM_INDEX="0") as made:
        yield made


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One that wants a key."""
    directory = tmp_path_factory.mktemp("guarded")
    (directory / "keys").write_text(f"# who\n{KEY}\n", encoding="utf-8")
    with serving(directory / "store", "--grpc-port", "0", "--api-key-file", str(directory / "keys"), OTEL_LLM_INDEX="0",
                 OTEL_LLM_API_KEYS="another-key-here, ") as made:
        yield made


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One that takes requests up to a megabyte."""
    with serving(tmp_path_factory.mktemp("small") / "store", "--max-body", "1M", "--grpc-port", "0", OTEL_LLM_INDEX="0") as made:
        yield made


def call(server: Serving, body: bytes, metadata: Any = (), compression: Any = None, path: str = TRACES) -> Any:
    """A raw message over gRPC: the answer, or the error."""
    import grpc

    with grpc.insecure_channel(str(server.grpc), options=[("grpc.max_send_message_length", -1)]) as channel:
        try:
            return channel.unary_unary(path)(body, metadata=metadata, compression=compression, timeout=30)
        except grpc.RpcError as error:
            return error


def retry_s(error: Any) -> int | None:
    """The delay of the RetryInfo that an error carries."""
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    (packed,) = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    for detail in Status.FromString(packed).details:
        info = RetryInfo()
        if detail.Unpack(info):
            return int(info.retry_delay.seconds)
    return None


class TestMalformed:
    @pytest.mark.parametrize(("body", "kind", "words"), [
        (b"\xff" * 40, PROTOBUF, "no ExportTraceServiceRequest"),
        (b"hello", PROTOBUF, "no ExportTraceServiceRequest"),
        (b"{", JSON, "no JSON"),
        (b"[]", JSON, "not an object"),
        (b"\xff\xfe", JSON, "no JSON"),
        (b'{"resourceSpans": ' + b"[" * 100_000, JSON, "no JSON"),
        (b"[" * 3_000_000, JSON, "no JSON"),
    ])
    def test_a_body_that_is_no_otlp_is_a_bad_request_with_the_reason(
        self, server: Serving, body: bytes, kind: str, words: str
    ) -> None:
        answer = server.post(body, kind=kind)

        assert (answer.status, answer.headers["content-type"]) == (400, kind)
        assert words in answer.body.decode("utf-8", "replace")

    @pytest.mark.parametrize("path", ["/v1/logs", "/v1/metrics"])
    @pytest.mark.parametrize(("body", "kind"), [(b"\xff" * 40, PROTOBUF), (b"[7]", JSON), (b'{"resourceLogs": 7, "resourceMetrics": 7}', JSON)])
    def test_so_is_one_of_the_other_signals(self, server: Serving, path: str, body: bytes, kind: str) -> None:
        assert server.post(body, path, kind=kind).status == 400

    @pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
    @pytest.mark.parametrize("cut", [True, False])
    def test_what_does_not_unpack_is_a_bad_request(self, server: Serving, coding: str, cut: bool) -> None:
        pack = {"gzip": gzipped, "deflate": zlib.compress, "zstd": zstandard.ZstdCompressor().compress}[coding]
        body = pack(protobuf([1]))[:-5] if cut else b"no such thing"

        assert server.post(body, coding=coding).status == 400

    def test_an_attribute_nested_too_deep_is_a_bad_request(self, server: Serving) -> None:
        value: Any = {"stringValue": "x"}
        for _ in range(90):
            value = {"arrayValue": {"values": [value]}}
        request = json.loads(otlp.encode_json([span(1)]))
        request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"] = [{"key": "k", "value": value}]

        assert "deep" in server.post(json.dumps(request), kind=JSON).json["message"]

    def test_over_grpc_it_is_an_invalid_argument(self, server: Serving) -> None:
        error = call(server, b"\xff" * 40)

        assert (error.code().name, retry_s(error)) == ("INVALID_ARGUMENT", None)
        assert "ExportTraceServiceRequest" in error.details()

    @pytest.mark.parametrize(("kind", "coding"), [("text/plain", None), ("", None), (PROTOBUF, "br"), (PROTOBUF, "gzip, gzip")])
    def test_an_unknown_type_or_coding_is_415_and_says_which_are_known(self, server: Serving, kind: str, coding: str | None) -> None:
        answer = server.post(protobuf([1]), kind=kind, coding=coding)

        assert answer.status == 415
        assert b"gzip" in answer.body or b"protobuf" in answer.body

    def test_other_paths_and_methods_are_not_there(self, server: Serving) -> None:
        assert server.ask("GET", "/v1/traces").status == 405
        assert server.ask("GET", "/").status == 404


class TestLimits:
    BOMB = bytes(256 * MIB)

    @pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
    def test_a_bomb_is_413_and_costs_little_memory(self, server: Serving, coding: str) -> None:
        pack = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.ZstdCompressor().compress}[coding]
        server.post(gzipped(protobuf([1])), coding="gzip")
        before = server.memory("VmRSS")

        answer = server.post(pack(self.BOMB), coding=coding)

        assert answer.status == 413
        assert server.memory("VmHWM") - before <= 64 * MIB

    def test_a_bomb_over_grpc_as_well(self, server: Serving) -> None:
        import grpc

        server.post(protobuf([1]))
        before = server.memory("VmRSS")

        error = call(server, gzip.compress(self.BOMB)[:], compression=grpc.Compression.NoCompression)

        assert error.code().name == "RESOURCE_EXHAUSTED"
        assert retry_s(error) is None
        assert server.memory("VmHWM") - before <= 64 * MIB

    @pytest.mark.parametrize(("body", "kind"), [
        (b"\x0a\x00" * (16 * MIB), PROTOBUF), (b'{"resourceSpans":[' + b"{}," * (10 * MIB) + b"{}]}", JSON),
        (b'{"x":[' + b'"ab",' * (6 * MIB) + b'""]}', JSON)], ids=["messages", "objects", "strings"])
    def test_a_body_of_millions_of_empty_things_is_413_before_they_are_made(self, server: Serving, body: bytes, kind: str) -> None:
        before = server.memory("VmHWM")

        answer = server.post(gzip.compress(body, 1), kind=kind, coding="gzip")

        assert answer.status == 413
        assert server.memory("VmHWM") - before <= 64 * MIB + 2 * len(body)

    def test_braces_in_a_prompt_weigh_nothing(self, server: Serving) -> None:
        made = span(2, attributes={"prompt": '{"[,\\' * (MIB)})

        assert server.post(otlp.encode_json([made]), kind=JSON).status == 200

    @pytest.mark.parametrize("kind", [PROTOBUF, JSON])
    def test_too_many_spans_are_413(self, server: Serving, kind: str) -> None:
        many = [span(1)] * 50_001

        answer = server.post(gzipped(otlp.encode(many) if kind == PROTOBUF else otlp.encode_json(many)), kind=kind, coding="gzip")

        assert answer.status == 413
        assert b"50001 spans" in answer.body

    def test_a_larger_body_than_allowed_is_413_whether_it_says_so_or_not(self, small: Serving) -> None:
        body = protobuf([3], 3_000_000)

        declared = small.post(body)
        chunked = small.post(iter([body[:1_000_000], body[1_000_000:]]))
        over_grpc = call(small, body)

        assert (declared.status, chunked.status, over_grpc.code().name) == (413, 413, "RESOURCE_EXHAUSTED")
        assert small.post(protobuf([3], 900_000)).status == 200

    def test_a_request_too_many_is_told_to_come_back(self, tmp_path: Path) -> None:
        from otel_llm.server.limits import Gate, Limits
        from otel_llm.server.refusals import BUSY, Refused

        gate = Gate(Limits(requests=1, body_bytes=10))
        with gate.enter() as share:
            with pytest.raises(Refused) as at_the_door, gate.enter():
                pass
            share.hold(40)
            with pytest.raises(Refused) as too_heavy:
                share.hold(1)

        assert at_the_door.value.kind == too_heavy.value.kind == BUSY
        assert (gate.requests, gate.bytes) == (0, 0)

    def test_a_sender_that_hangs_up_in_the_middle_leaves_nothing_behind(self, server: Serving) -> None:
        host, port = server.place.split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-protobuf\r\n"
                               b"content-length: 1000000\r\n\r\n" + bytes(10_000))
            eventually(lambda: server.counter("in_flight_bytes") == 10_000)

        assert eventually(lambda: server.counter("in_flight_bytes") == 0)


class TestKeys:
    @pytest.mark.parametrize("headers", [
        {}, {"authorization": "Bearer wrong-key-here"}, {"authorization": KEY}, {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer "}, {"authorization": f"Bearer {KEY}x"}])
    def test_without_the_right_key_nothing_is_taken(self, guarded: Serving, headers: dict[str, str]) -> None:
        answer = guarded.post(protobuf([1]), **headers)

        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert guarded.ask("GET", "/metrics", headers=headers).status == 401
        assert guarded.ask("GET", "/no/such/path", headers=headers).status == 401

    @pytest.mark.parametrize("key", [KEY, "another-key-here"])
    def test_with_a_key_of_the_file_or_the_environment_it_is(self, guarded: Serving, key: str) -> None:
        assert guarded.post(protobuf([1]), authorization=f"Bearer {key}").status == 200
        assert call(guarded, protobuf([1]), [("authorization", f"Bearer {key}")]) == b""

    def test_over_grpc_it_is_unauthenticated(self, guarded: Serving) -> None:
        assert call(guarded, protobuf([1])).code().name == "UNAUTHENTICATED"
        assert call(guarded, protobuf([1]), [("authorization", "Bearer wrong-key")]).code().name == "UNAUTHENTICATED"

    def test_health_is_open_and_says_no_more_than_numbers(self, guarded: Serving) -> None:
        answer = guarded.ask("GET", "/healthz")

        assert answer.status == 200
        assert sorted(answer.json) == ["index_lag_s", "spool_bytes", "status"]


class TestBrowsers:
    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:4319", "192.0.2.7", "", "[", "localhost@evil.example:1"])
    def test_a_name_that_points_here_is_not_this_host(self, server: Serving, host: str) -> None:
        answer = server.post(protobuf([1]), Host=host)

        assert answer.status == 403

    @pytest.mark.parametrize("host", ["localhost:4319", "127.0.0.1", "[::1]:4319", "LOCALHOST"])
    def test_loopback_names_are(self, server: Serving, host: str) -> None:
        assert server.post(protobuf([1]), Host=host).status == 200

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000", "", "http://["])
    def test_a_page_from_elsewhere_may_not_speak(self, server: Serving, origin: str) -> None:
        assert server.post(protobuf([1]), origin=origin).status == 403

    def test_a_foreign_page_with_a_key_may_not_either(self, guarded: Serving) -> None:
        assert guarded.post(protobuf([1]), origin="https://evil.example", authorization=f"Bearer {KEY}").status == 403


class TestFuzz:
    """Bodies of every kind of wrong: an answer each, none of them 5xx, and the server is as well as before."""

    def test_mutated_bodies(self, server: Serving) -> None:
        pick = random.Random(20261)
        made = spans([1, 2, 3], 60)
        seeds = [(otlp.encode(made), PROTOBUF), (otlp.encode_json(made), JSON)]
        codings = {"gzip": gzipped, "deflate": zlib.compress, "zstd": zstandard.ZstdCompressor().compress}
        seen = set()
        for _ in range(1700):
            body, kind = pick.choice(seeds)
            mutated = mutate(bytearray(body), pick)
            coding = pick.choice([None, None, *codings])
            packed = mutated if coding is None else codings[coding](mutated)
            if coding is not None and pick.random() < 0.3:
                packed = mutate(bytearray(packed), pick)
            path = pick.choice(["/v1/traces"] * 4 + ["/v1/logs", "/v1/metrics"])

            seen.add(server.post(packed, path, kind=kind, coding=coding).status)

        assert seen == {200, 400}
        assert server.post(protobuf([1])).status == 200

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(body=st.binary(max_size=200) | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
            ["resourceSpans", "scopeSpans", "spans", "resource", "scope", "attributes", "key", "value", "traceId", "events", "links",
             "stringValue", "arrayValue", "kvlistValue", "values", "resourceLogs", "scopeLogs", "logRecords", "status"]), inner, max_size=3),
        max_leaves=12).map(lambda value: json.dumps(value).encode()))
    @pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs"])
    @pytest.mark.parametrize("kind", [PROTOBUF, JSON])
    def test_generated_bodies(self, server: Serving, path: str, kind: str, body: bytes) -> None:
        assert server.post(body, path, kind=kind).status in (200, 400)

    def test_mutated_messages_over_grpc(self, server: Serving) -> None:
        import grpc

        pick = random.Random(20262)
        seed = protobuf([1, 2, 3], 60)
        seen = set()
        with grpc.insecure_channel(str(server.grpc)) as channel:
            export = channel.unary_unary(TRACES)
            for _ in range(300):
                body = mutate(bytearray(seed), pick)
                body = pick.choice([lambda b: b, gzipped, zlib.compress])(body)
                try:
                    export(body, timeout=30)
                    seen.add("OK")
                except grpc.RpcError as error:
                    seen.add(error.code().name)

        assert seen <= {"OK", "INVALID_ARGUMENT"}


def mutate(body: bytearray, pick: random.Random) -> bytes:
    """The body with some of its bytes flipped, cut out, doubled or replaced."""
    for _ in range(pick.randint(1, 6)):
        at, size = pick.randrange(len(body) + 1), pick.randint(1, 20)
        kind = pick.randrange(5)
        if kind == 0 and at < len(body):
            body[at] ^= 1 << pick.randrange(8)
        elif kind == 1:
            del body[at : at + size]
        elif kind == 2:
            body[at:at] = body[at : at + size]
        elif kind == 3:
            body[at : at + size] = pick.randbytes(size)
        elif pick.random() < 0.2:
            del body[at:]
    return bytes(body)


class TestStarting:
    def run(self, store: Path, *arguments: str, **environ: str) -> tuple[int, str]:
        done = subprocess.run(command(store, *arguments), env=environment(**environ), capture_output=True, text=True, timeout=30)
        return done.returncode, done.stderr

    def test_an_address_that_others_reach_is_refused_without_keys(self, tmp_path: Path) -> None:
        code, said = self.run(tmp_path / "store", "--host", "0.0.0.0")

        assert code == 2
        assert "OTEL_LLM_API_KEYS" in said and "--api-key-file" in said
        assert not (tmp_path / "store").exists()

    def test_with_a_key_any_address_may_be_listened_on(self, tmp_path: Path) -> None:
        with serving(tmp_path / "store", "--host", "0.0.0.0", OTEL_LLM_API_KEYS=KEY) as made:
            made.url = made.url.replace("0.0.0.0", "127.0.0.1")

            assert made.post(protobuf([1]), authorization=f"Bearer {KEY}", Host="replay.example:4319").status == 200
            assert made.post(protobuf([1])).status == 401

    def test_a_port_that_is_taken_is_said(self, tmp_path: Path, server: Serving) -> None:
        taken = server.place.split(":")[1]
        grpc_taken = str(server.grpc).split(":")[1]

        assert self.run(tmp_path / "store", "--port", taken)[0] == 2
        code, said = self.run(tmp_path / "store", "--grpc-port", grpc_taken)
        assert (code, "--grpc-port" in said) == (2, True)

    @pytest.mark.parametrize(("arguments", "words"), [
        (("--api-key-file", "/no/such/file"), "one key a line"), (("--max-body", "lots"), "such as 16M"),
        (("--port", "70000"), "--port"), (("--host", "no.such.host.invalid"), "no key")])
    def test_a_wrong_option_is_said(self, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
        code, said = self.run(tmp_path / "store", *arguments)

        assert code == 2
        assert words in said

    def test_without_the_extra_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("otel_llm.cli.run.serve.find_spec", lambda name: None)

        run = otel_llm(MemoryStore(), "serve")

        assert (run.code, run.out) == (2, "")
        assert "pip install 'otel-llm[server]'" in run.err

    def test_ipv6_loopback_is_loopback(self, tmp_path: Path) -> None:
        if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists() or "00000000000000000000000000000001" not in Path(
                "/proc/net/if_inet6").read_text():
            pytest.skip("this machine has no ::1")
        with serving(tmp_path / "store", "--host", "::1", "--grpc-port", "0") as made:
            assert made.url.startswith("http://[::1]:")
            assert made.post(protobuf([1])).status == 200
            assert call(made, protobuf([1])) == b""

    def test_a_key_that_anybody_could_guess_is_refused(self, tmp_path: Path) -> None:
        assert self.run(tmp_path / "store", OTEL_LLM_API_KEYS="x")[0] == 2

    def test_a_store_that_cannot_be_opened_ends_it_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        (tmp_path / "store" / "store.sqlite").write_bytes(b"no store at all " * 100)

        assert self.run(tmp_path / "store")[0] == 4
