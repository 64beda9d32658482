"""The simulator itself: a socket, a thread a connection, and the record of what was said.

    with Simulator() as sim:
        client = OpenAI(base_url=sim.base_url, api_key="test")
        sim.script(error(429), cut(after_bytes=40))
        ...
        assert sim.count["/v1/chat/completions"] == 2

Two promises make it usable without a sleep. A request is counted before it is answered, and its exchange is in
`exchanges` before the last byte of the response leaves: whoever has read a response to its end also sees its exchange.
And whatever waits in here, at a gate, in a hang, in a delay, ends at once when the client or the simulator leaves.
"""

import socket
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from .connection import Host, serve
from .responses import Memory
from .routes import answer
from .script import Answer, Script
from .wire import Exchange, Reply, Request


class Simulator:
    """A language model provider on a loopback port, until `close()` or the end of the `with` block.

    Attributes:
        exchanges: What was asked and answered, in the order in which the answers were finished.
        count: Requests by path, counted on arrival; `count.total()` is all of them.
    """

    def __init__(
        self,
        latency_s: float = 0.0,
        chunk_delay_s: float = 0.0,
        *,
        plan: Iterable[Answer] = (),
        port: int = 0,
        keep_exchanges: int | None = None,
    ) -> None:
        """Start to listen.

        Args:
            latency_s: Wait before each answer.
            chunk_delay_s: Wait between the parts of a stream.
            plan: Scripted answers to begin with, as `script()` takes them.
            port: 0 takes a free one.
            keep_exchanges: How many of the latest exchanges to keep; None keeps all of them.

        Raises:
            OSError: the port is taken.
        """
        self.exchanges: list[Exchange] = []
        self.count: Counter[str] = Counter()
        self._keep_exchanges = keep_exchanges
        self._script = Script(plan)
        self._memory = Memory()
        self._changed = threading.Condition()
        self._leaving = threading.Event()
        self._connections: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._host = Host(self._answer, self._keep, self._leaving, latency_s, chunk_delay_s)
        self._acceptor = threading.Thread(target=self._accept, name="simulator", daemon=True)
        self._acceptor.start()

    @property
    def url(self) -> str:
        """The address without a path: what an Azure client takes as its endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The address an OpenAI client takes as `base_url`; ends in `/v1`."""
        return f"{self.url}/v1"

    @property
    def pending(self) -> int:
        """How many scripted answers have not been given yet."""
        return len(self._script)

    def script(self, *answers: Answer) -> None:
        """Append answers to the queue that comes before the normal ones."""
        self._script.add(*answers)

    def wait_for(self, requests: int, timeout_s: float = 10.0) -> bool:
        """True as soon as so many requests have arrived in all; False when the time is over."""
        with self._changed:
            return self._changed.wait_for(lambda: self.count.total() >= requests, timeout_s)

    def wait_for_exchanges(self, exchanges: int, timeout_s: float = 10.0) -> bool:
        """True as soon as so many exchanges are over, also those that the client left; False when the time is over."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.exchanges) >= exchanges, timeout_s)

    def close(self) -> None:
        """Stop listening and drop every connection. Closing twice is fine."""
        if self._leaving.is_set():
            return
        self._leaving.set()
        with suppress(OSError):  # a connection is the one thing that wakes accept() on every system
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._acceptor.join(5)
        self._listener.close()
        with self._changed:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._leaving.is_set():
                connection.close()
                return
            threading.Thread(target=self._serve, args=(connection,), name="simulator-client", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._changed:
            self._connections.add(connection)
        try:
            serve(connection, self._host)
        finally:
            with self._changed:
                self._connections.discard(connection)

    def _answer(self, request: Request) -> Reply:
        with self._changed:
            self.count[request.path] += 1
            self._changed.notify_all()
        scripted = self._script.take(request)
        if scripted is None:
            reply = answer(request, self._memory)
        else:
            reply = scripted.make(request, lambda: answer(request, self._memory))
        named = {"x-request-id": f"req_{request.digest('request')[:32]}", "openai-processing-ms": "1"}
        return replace(reply, headers={**named, **reply.headers})

    def _keep(self, exchange: Exchange) -> None:
        with self._changed:
            self.exchanges.append(exchange)
            if self._keep_exchanges is not None:
                del self.exchanges[: -self._keep_exchanges or None]
            self._changed.notify_all()
