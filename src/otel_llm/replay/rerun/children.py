"""Processes that a program starts while it is rerun, whatever environment it gives them.

A Python program is answered because its environment names the plan and our `sitecustomize`. Programs start others with an
environment of their own: a PYTHONPATH that is replaced, a few variables and no more, nothing. Such a child would ask its
provider. So what is needed is put in wherever Python starts a process, and where an option of Python keeps it from being read,
the process is not started.
"""

from __future__ import annotations

import functools
import inspect
import multiprocessing.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from otel_llm.capture.patching import Patches

Needed = Callable[[Mapping[str, str]], Mapping[str, str]]
Check = Callable[[Sequence[str]], None]


def answer_all(needed: Needed, check: Check) -> Callable[[], None]:
    """Let every process that is started be answered; gives the function that ends it.

    `needed` says which variables a child needs beside those of an environment, `check` raises for a command that must not start.
    """
    patches = Patches()
    patches.wrap(subprocess.Popen, "__init__", lambda original: _popen(original, needed, check))
    for name in ("execve", "posix_spawn", "posix_spawnp"):
        patches.wrap(os, name, lambda original: _with_environment(original, needed, check))
    for owner, name in ((os, "execv"), (os, "system"), (multiprocessing.util, "spawnv_passfds")):
        patches.wrap(owner, name, lambda original: _with_ours(original, needed, check))
    put_back = _own_forkserver()

    def undo() -> None:
        patches.undo()
        put_back()

    return undo


def _popen(original: Callable[..., Any], needed: Needed, check: Check) -> Callable[..., Any]:
    signature = inspect.signature(original)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(self, *args, **kwargs)
        except TypeError:  # the original says it better
            return original(self, *args, **kwargs)
        command, env = given.arguments["args"], given.arguments.get("env")
        if not isinstance(command, (str, bytes, os.PathLike)) and not given.arguments.get("shell"):
            given.arguments["args"] = command = list(command)
            check([os.fsdecode(word) for word in command])
        if env is None:
            with _present(needed):
                return original(*given.args, **given.kwargs)
        given.arguments["env"] = _environment(env, needed)
        return original(*given.args, **given.kwargs)

    return __init__


def _with_environment(original: Callable[..., Any], needed: Needed, check: Check) -> Callable[..., Any]:
    """Of `function(path, arguments, environment, …)`. None is the environment of this process, from Python 3.13 on."""

    def start(path: Any, argv: Any, env: Any, *args: Any, **kwargs: Any) -> Any:
        check([os.fsdecode(word) for word in argv])
        if env is None:
            with _present(needed):
                return original(path, argv, env, *args, **kwargs)
        return original(path, argv, _environment(env, needed), *args, **kwargs)

    return start


def _with_ours(original: Callable[..., Any], needed: Needed, check: Check) -> Callable[..., Any]:
    """Of a function that hands on the environment of this process."""

    def start(*args: Any, **kwargs: Any) -> Any:
        if len(args) > 1:
            check([os.fsdecode(word) for word in args[1]])
        with _present(needed):
            return original(*args, **kwargs)

    return start


def _environment(env: Mapping[Any, Any], needed: Needed) -> dict[str, str]:
    plain = {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()}
    return {**plain, **needed(plain)}


@contextmanager
def _present(needed: Needed) -> Iterator[None]:
    """Our variables in the environment of this process, from which its program may have taken them."""
    missing = {name: value for name, value in needed(os.environ).items() if os.environ.get(name) != value}
    before = {name: os.environ.get(name) for name in missing}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


# ---- the server from which `multiprocessing` forks ----------------------------------------------------------------------

_NAMES = ("ensure_running", "get_inherited_fds", "connect_to_new_process", "set_forkserver_preload")


def _own_forkserver() -> Callable[[], None]:
    """One for the time of a rerun: what it forks has its environment, and that is not the one before or after."""
    before = _put(None) if "multiprocessing.forkserver" in sys.modules else None

    def put_back() -> None:
        if "multiprocessing.forkserver" in sys.modules:
            _retire(_put(before))

    return put_back


def _put(server: Any) -> Any:
    """Another server in the place of the one that is there, which is given back."""
    module: Any = sys.modules["multiprocessing.forkserver"]
    before = module._forkserver
    if server is None:
        server = module.ForkServer()
        server._preload_modules, server._inherited_fds = list(before._preload_modules), before._inherited_fds
    for name in _NAMES:
        setattr(module, name, getattr(server, name))
    module._forkserver = server
    return before


def _retire(server: Any) -> None:
    """Let a server end as soon as nobody needs it; those that it has forked live on."""
    pid, alive = server._forkserver_pid, server._forkserver_alive_fd
    if pid is not None and alive is not None:
        server._forkserver_pid = server._forkserver_alive_fd = None
        os.close(alive)
        threading.Thread(target=functools.partial(os.waitpid, pid, 0), name="otel-llm-forkserver", daemon=True).start()
