"""One server process: settings → tape → reception → HTTP and gRPC on one event loop, and an indexer beside them.

SIGTERM or SIGINT ends it in order: nothing new is accepted, requests under way are answered, the tape is closed. A second
signal ends it at once, which loses nothing that was acknowledged either.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from otel_llm.server.app import Health, make_app, places
from otel_llm.server.auth import Keys, check_bind
from otel_llm.server.counters import Counters
from otel_llm.server.durable import DurableTape
from otel_llm.server.indexing import Indexing
from otel_llm.server.limits import Limits
from otel_llm.server.reception import Reception
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.errors import ConfigError, StoreUnwritable
from otel_llm.values.settings import Settings

BACKLOG = 512
CONNECTIONS = 900
"""Below the usual limit of 1024 open files: the spool needs some too."""


@dataclass(frozen=True, slots=True)
class Options:
    """Where to listen, for whom, and how much. Port 0 is any free one."""

    host: str = "127.0.0.1"
    port: int = 4319
    grpc_port: int | None = None
    keys: Keys = field(default_factory=Keys)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Listening:
    """Where it really listens."""

    http: str
    grpc: str | None


def serve(directory: Path, settings: Settings, options: Options, ready: Callable[[Listening], None]) -> None:
    """Receive until a signal says stop; `ready` is told where. Raises `ConfigError` or `StoreError` when it cannot begin."""
    check_bind(options.host, options.keys)
    with SqliteStore(directory) as store:
        if store.is_readonly:
            raise StoreUnwritable(f"The store {directory} is read-only here. Run this as somebody who can write it.")
    with _bound(options.host, options.port) as listener:
        asyncio.run(_serve(directory, settings, options, ready, listener))


@contextlib.contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        # With the protocol named, asyncio knows that this is TCP and switches Nagle's algorithm off.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except (OSError, OverflowError, UnicodeError) as error:
        raise _cannot_listen(host, port, error) from None
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise _cannot_listen(host, port, error) from None
        yield listener


def _cannot_listen(host: str, port: int, error: Exception) -> ConfigError:
    return ConfigError(f"Nothing can listen on {host}:{port}: {error}. Give another --host or --port.")


class _Uvicorn(uvicorn.Server):
    """Uvicorn takes the signals itself and dies of them afterwards; here they are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    directory: Path, settings: Settings, options: Options, ready: Callable[[Listening], None], listener: socket.socket
) -> None:
    limits = options.limits
    reception = Reception(DurableTape(directory / "spool", settings), limits, Counters())
    indexing = Indexing(directory) if settings.index else None
    app = make_app(places(Health(reception, indexing, time.time())), options.keys)
    http = _Uvicorn(uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, server_header=False, proxy_headers=False, ws="none",
        limit_concurrency=CONNECTIONS, timeout_keep_alive=30, timeout_graceful_shutdown=limits.stop_s))
    grpc, where = None, None
    if options.grpc_port is not None:
        from otel_llm.server import otlp_grpc

        grpc, bound = otlp_grpc.start(options.host, options.grpc_port, reception, options.keys)
        await grpc.start()
        where = _place(options.host, bound)
    stopping = _stop_on_signals(http, grpc, limits)
    if indexing is not None:
        indexing.start()
    ready(Listening(f"http://{_place(options.host, listener.getsockname()[1])}", where))
    try:
        await http.serve(sockets=[listener])
    finally:
        await asyncio.gather(*stopping)
        if grpc is not None:
            await grpc.stop(limits.stop_s)
        reception.close()
        if indexing is not None:
            indexing.stop()


def _stop_on_signals(http: _Uvicorn, grpc: Any, limits: Limits) -> set[asyncio.Task[None]]:
    """Let both signals end the servers; the tasks that do it, filled when a signal comes."""
    loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def stop() -> None:
        http.force_exit = http.should_exit
        http.should_exit = True
        if grpc is not None and not tasks:
            tasks.add(loop.create_task(grpc.stop(limits.stop_s)))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return tasks


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
