"""OTLP over gRPC: the three Export methods, on the event loop of the HTTP server and behind the same doors.

Messages are taken as bytes and unpacked here, not by the gRPC library: it would unpack a bomb up to its limit before asking
anybody, and answer what is no protobuf with a code that makes senders try again.

Source: https://opentelemetry.io/docs/specs/otlp/#otlpgrpc
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from otel_llm.server.auth import Keys
from otel_llm.server.limits import Share
from otel_llm.server.otlp_http import rpc_status, success
from otel_llm.server.reception import Reception
from otel_llm.server.refusals import Refused
from otel_llm.server.signals import SIGNALS, Signal
from otel_llm.values.errors import ConfigError

STREAMS = 16
"""Messages that one connection may have under way; a client keeps further ones back without an error."""

_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\x78", "deflate"))
"""How a packed message begins. As protobuf the first is wrong, the second a field that no OTLP request has."""


def start(host: str, port: int, reception: Reception, keys: Keys) -> tuple[Any, int]:
    """A server that listens, still to be started, and its port. Raises `ConfigError` when the port cannot be had."""
    grpc: Any = import_module("grpc")
    server = grpc.aio.server(options=[
        ("grpc.max_receive_message_length", reception.limits.body_bytes),
        ("grpc.per_message_decompression", 0),
        ("grpc.max_concurrent_streams", STREAMS),
        ("grpc.so_reuseport", 0),
    ])
    for signal in SIGNALS:
        method = grpc.unary_unary_rpc_method_handler(_export(signal, reception, keys))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(signal.service, {signal.method: method}),))
    where = f"[{host}]" if ":" in host else host
    try:
        bound = server.add_insecure_port(f"{where}:{port}")
    except RuntimeError:
        bound = 0
    if not bound:
        raise ConfigError(f"Nothing can listen on {where}:{port} (gRPC); another program may. Give another --grpc-port.")
    return server, bound


def _export(signal: Signal, reception: Reception, keys: Keys) -> Any:
    grpc: Any = import_module("grpc")
    async def export(body: bytes, context: Any) -> bytes:
        code = "OK"
        try:
            given = [value for name, value in context.invocation_metadata() or () if name == "authorization"]
            keys.check(given[0] if given and isinstance(given[0], str) else None)
            with reception.gate.enter() as share:
                return success(await _take(body, share))
        except Refused as refused:
            code = refused.kind.grpc_code
            reception.counters.add("refused_total", signal=signal.name, reason=refused.kind.reason)
            await context.abort(getattr(grpc.StatusCode, code), str(refused), (("grpc-status-details-bin", rpc_status(refused)),))
            raise
        except Exception:
            code = "UNKNOWN"
            raise
        finally:
            reception.counters.add("requests_total", protocol="grpc", signal=signal.name, code=code)

    async def _take(body: bytes, share: Share) -> Any:
        share.hold(len(body))
        coding = next((name for magic, name in _MAGIC if body.startswith(magic)), "")
        return await reception.run(partial(reception.take, signal, body, coding=coding))

    return export
