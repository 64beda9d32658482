"""Where spans come in and where they go out, with the limits that hold at both ends.

Everything that can be lost by default is set otherwise here. A receiver takes 64 MiB where gRPC would take 4. A queue counts
bytes, lies on disk, and lets the sender wait when it is full. A retry never ends. Batches are made by bytes behind the queue,
so that what is batched has already been stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from otel_llm.collector_config.choices import JAEGER, REPLAY, Choices
from otel_llm.collector_config.emit import Noted

MAX_MIB = 64
MAX_BYTES = MAX_MIB << 20
LISTEN = "${env:COLLECTOR_LISTEN:-127.0.0.1}"
METRICS_LISTEN = "${env:COLLECTOR_METRICS_LISTEN:-127.0.0.1}"
STORAGE = "file_storage/queues"
TOKENS = "bearertokenauth/gateway"

JAEGER_URL = "${env:JAEGER_ENDPOINT:-http://127.0.0.1:14318}"
REPLAY_URL = "${env:REPLAY_ENDPOINT:-http://127.0.0.1:4319}"

_BATCH_REPLAY = {"flush_timeout": "200ms", "sizer": "bytes", "min_size": 1 << 20, "max_size": 60 << 20}
"""Up to what the receiver takes: a span that is larger than `max_size` cannot be split and would be dropped."""
_BATCH_HTTP = {"flush_timeout": "1s", "sizer": "bytes", "min_size": 1 << 20, "max_size": 16 << 20}
_BATCH_GRPC = {"flush_timeout": "1s", "sizer": "bytes", "min_size": 1 << 20, "max_size": 3_500_000}
"""Below the 4 MiB at which a gRPC server refuses by default; viewers' spans are capped well below."""


def receivers(choices: Choices) -> dict[str, Any]:
    """OTLP over gRPC and HTTP; at a gateway with TLS and a bearer token."""
    guard = _guard() if choices.is_gateway else {}
    return {"otlp": {"protocols": {
        "grpc": {"endpoint": f"{LISTEN}:{choices.ports.grpc}", "max_recv_msg_size_mib": MAX_MIB, **guard},
        "http": {"endpoint": f"{LISTEN}:{choices.ports.http}", "max_request_body_size": MAX_BYTES, **guard},
    }}}


def _guard() -> dict[str, Any]:
    return {
        "tls": {"cert_file": "${env:GATEWAY_CERT_FILE:-/etc/otelcol/tls/tls.crt}",
                "key_file": "${env:GATEWAY_KEY_FILE:-/etc/otelcol/tls/tls.key}", "min_version": "1.2", "reload_interval": "1h"},
        "auth": {"authenticator": TOKENS},
    }


def extensions(choices: Choices) -> dict[str, Any]:
    """Health, the queues' place on disk, and the tokens of a gateway."""
    tokens = {TOKENS: Noted("One token a line, read again when the file changes.",
                            {"filename": "${env:GATEWAY_TOKENS_FILE:-/etc/otelcol/tokens}"})}
    return {
        "health_check": {"endpoint": f"{METRICS_LISTEN}:{choices.ports.health}"},
        STORAGE: Noted("What a backend has not taken yet waits here, also while the collector is not running.", {
            "directory": "${env:COLLECTOR_STORAGE:-./otelcol-queues}", "create_directory": True, "timeout": "10s",
            "compaction": {"on_rebound": True, "directory": "${env:COLLECTOR_STORAGE:-./otelcol-queues}",
                           "cleanup_on_start": True},
        }),
        **(tokens if choices.is_gateway else {}),
    }


def memory_limiter(choices: Choices) -> dict[str, Any]:
    """The collector refuses before it dies: the sender keeps what was refused and tries again."""
    if choices.is_gateway:
        return {"check_interval": "1s", "limit_percentage": 75, "spike_limit_percentage": 20}
    return {"check_interval": "1s", "limit_mib": 1024, "spike_limit_mib": 256}


def replay_exporter(choices: Choices) -> tuple[str, dict[str, Any]]:
    """The way to the replay store."""
    return backend(REPLAY, choices.replay or REPLAY_URL, choices.headers.get(REPLAY, {}), _BATCH_REPLAY, queue_bytes=4 << 30)


def jaeger_exporter(choices: Choices) -> tuple[str, dict[str, Any]]:
    """The way to Jaeger."""
    return viewer(JAEGER, choices.jaeger or JAEGER_URL, choices.headers.get(JAEGER, {}))


def viewer(name: str, url: str, headers: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The way to any OTLP backend."""
    return backend(name, url, headers, _BATCH_GRPC if url.startswith("grpc") else _BATCH_HTTP, queue_bytes=1 << 30)


def backend(name: str, url: str, headers: Mapping[str, str], batch: Mapping[str, Any],
            *, queue_bytes: int) -> tuple[str, dict[str, Any]]:
    """Name and settings of an OTLP exporter; the scheme of the URL decides over HTTP or gRPC."""
    parts = urlsplit(url)
    sent = {"headers": {key: f"${{env:{variable}:-none}}" for key, variable in headers.items()}} if headers else {}
    kept = {"timeout": "60s", **sent, **durable(batch, queue_bytes=queue_bytes)}
    if parts.scheme == "grpc":
        return f"otlp_grpc/{name}", {"endpoint": parts.netloc, "tls": {"insecure": True}, **kept}
    if parts.scheme == "grpcs":
        return f"otlp_grpc/{name}", {"endpoint": parts.netloc, **kept}
    return f"otlp_http/{name}", {"endpoint": url, **kept}


def durable(batch: Mapping[str, Any], *, queue_bytes: int) -> dict[str, Any]:
    """A queue on disk and a retry without end."""
    return {
        "retry_on_failure": {"enabled": True, "initial_interval": "1s", "max_interval": "30s", "max_elapsed_time": 0},
        "sending_queue": {"enabled": True, "storage": STORAGE, "sizer": "bytes", "queue_size": queue_bytes,
                          "block_on_overflow": True, "num_consumers": 4, "batch": dict(batch)},
    }


def clickhouse_exporter(dsn: str) -> tuple[str, dict[str, Any]]:
    """ClickHouse as a second store: everything, unsampled."""
    return "clickhouse", {
        "endpoint": dsn, "username": "${env:CLICKHOUSE_USER:-default}", "password": "${env:CLICKHOUSE_PASSWORD:-}",
        "database": urlsplit(dsn).path.strip("/") or "otel", "create_schema": True, "async_insert": True, "compress": "lz4",
        "timeout": "60s", **durable(_BATCH_HTTP, queue_bytes=1 << 30),
    }


def file_exporter(path: str) -> tuple[str, dict[str, Any]]:
    """OTLP JSON lines in a file."""
    return "file", {"path": path, "flush_interval": "1s"}


def prometheus_exporter(choices: Choices) -> tuple[str, dict[str, Any]]:
    """The page that Prometheus scrapes."""
    return "prometheus", {
        "endpoint": f"{METRICS_LISTEN}:{choices.ports.metrics}", "enable_open_metrics": True, "without_scope_info": True,
        "metric_expiration": Noted("Longer than a quiet night: a series that goes and comes back counts anew.", "24h"),
    }
