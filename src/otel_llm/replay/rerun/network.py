"""A closed network: while a program is rerun nothing of it reaches anybody, whatever library asks Python for a connection.

An audit hook of the interpreter sees every `connect` and every name lookup of Python's sockets before it happens. Addresses on
this machine's file system (`AF_UNIX`) stay open, and so do the hosts that the user allows. A hook cannot be removed, so there is
one for the life of the process, which does nothing while no gate is closed. What the interpreter does not see is not held back:
libraries that bring sockets of their own (uvloop, gRPC, database drivers in C), and programs other than Python.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Collection
from typing import Any

EVENTS = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"})


class NetworkBlocked(OSError):
    """A connection was not made because the program is being rerun."""


_closed: list[Gate] = []
_installed: list[bool] = []


class Gate:
    """The network of this process, closed until `open()`; `allowed` are hosts (and addresses) that may be reached.

    `tell` hears of every host that was not reached.
    """

    def __init__(self, allowed: Collection[str] = (), tell: Callable[[str], None] = lambda host: None) -> None:
        self.allowed: set[str] = set()
        self.tell = tell
        for host in allowed:
            self.allow(host)
        _closed.append(self)
        if not _installed:
            _installed.append(True)
            sys.addaudithook(_hook)

    def allow(self, host: str) -> None:
        """Let this host be reached as well."""
        self.allowed.add(host)
        self.allowed.update(_addresses(host))

    def open(self) -> None:
        """Let everything through from now on."""
        with contextlib.suppress(ValueError):  # another thread may do the same
            _closed.remove(self)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _closed or event not in EVENTS:
        return
    host = _host(event, args)
    closed = [gate for gate in _closed if host is not None and host not in gate.allowed]
    for gate in closed:
        gate.tell(str(host))
    if closed:
        raise NetworkBlocked(f"connection to {host}: the program is being rerun and its network is closed; "
                             f"--allow-host {host} opens it for this host")


def _host(event: str, args: tuple[Any, ...]) -> str | None:
    """Where it would go; None for what stays on this machine's file system, or names nobody."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        return _text(args[0]) if args and args[0] is not None else None
    if len(args) < 2 or getattr(args[0], "family", None) not in (socket.AF_INET, socket.AF_INET6):
        return None
    address = args[1]
    return _text(address[0]) if isinstance(address, tuple) and address else None


def _text(host: Any) -> str:
    return host.decode("latin-1") if isinstance(host, bytes) else str(host)


def _addresses(host: str) -> set[str]:
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return set()
