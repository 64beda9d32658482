"""Sending over OTLP/gRPC: the same request bytes in one unary call. grpc is imported here alone, when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from otel_llm.store.forward.answers import LATER, MISPLACED, Answer, clean, of_grpc, partial_success
from otel_llm.values.destination import Destination

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class GrpcTransport:
    """Calls the trace service of one destination. Not for several threads at once."""

    def __init__(self, destination: Destination, headers: Mapping[str, str]) -> None:
        self._grpc: Any = import_module("grpc")
        self._destination = destination
        self._metadata = tuple(headers.items())
        self._channel: Any = None
        self._export: Any = None

    def send(self, body: bytes) -> Answer:
        """Send one request and say what came of it; never raises for what a network or a server can do."""
        grpc = self._grpc
        try:
            if self._export is None:
                self._open()
            given = self._destination
            compression = grpc.Compression.Gzip if given.compression == "gzip" else grpc.Compression.NoCompression
            answer = self._export(body, timeout=given.timeout_s, metadata=self._metadata, compression=compression)
        except grpc.RpcError as error:
            trailer: Any = error
            status = dict(trailer.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
            return of_grpc(trailer.code().name, trailer.details() or "", status if isinstance(status, bytes) else b"", len(body))
        except OSError as error:
            return Answer(MISPLACED, clean(f"{type(error).__name__}: {error}"))
        except ValueError as error:
            self.close()
            return Answer(LATER if "closed" in str(error) else MISPLACED, clean(str(error)))
        rejected, words = partial_success(answer)
        return Answer("accepted", words, rejected=rejected)

    def _open(self) -> None:
        grpc, given = self._grpc, self._destination
        scheme, mark, rest = given.url.partition("://")
        target = (rest if mark else given.url).partition("/")[0].rpartition("@")[2]
        options = (("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0),
                   ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000))
        if scheme == "http" and mark or not mark and given.insecure:
            self._channel = grpc.insecure_channel(target, options)
        else:
            key, chain = (None if p is None else Path(p).read_bytes() for p in (given.client_key, given.client_certificate))
            root = None if given.certificate is None else Path(given.certificate).read_bytes()
            self._channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(root, key, chain), options)
        self._export = self._channel.unary_unary(METHOD)

    def close(self) -> None:
        """Let go of the channel."""
        channel, self._channel, self._export = self._channel, None, None
        if channel is not None:
            channel.close()
