"""Running the terminal in a test: in this process for most rows of the contract, on a real pseudo-terminal for the others."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from otel_llm.cli.app import App, wired
from otel_llm.cli.verbs import root
from otel_llm.values.call import Cost, Usage
from replay.memory_store import T0, Answering, MemoryStore, S

PROGRAM = Path(__file__).with_name("program.py")
NOW = T0 + 60 * S


@dataclass(frozen=True)
class Run:
    """What a run left behind."""

    code: int
    out: str
    err: str


def price(provider: str | None, model: str | None, usage: Usage) -> Cost | None:
    """A price table with two models: a micro-dollar a token, and ten."""
    each = {"gpt-4o-mini": 10**6, "gpt-4.1": 10**7}.get(model or "")
    return None if each is None else Cost(each * ((usage.input_tokens or 0) + (usage.output_tokens or 0)))


def app_of(store: Any, sender: Any = None, **fields: Any) -> App:
    fields = {"environ": {}, "now_ns": lambda: NOW, "place_of": lambda settings: settings.store or "/data/store",
              "libraries": lambda: ["openai"], "price_factory": lambda: price, **fields}
    return App(lambda settings: nullcontext(store), lambda settings: nullcontext(sender or Answering(["Hi."])), **fields)


def otel_llm(store: Any, *args: str, sender: Any = None, stdin: str | None = None, **fields: Any) -> Run:
    """Run a command line against a store in memory."""
    result = CliRunner().invoke(root, list(args), obj=app_of(store, sender, **fields), prog_name="otel-llm", input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Run(result.exit_code, result.stdout, result.stderr)


def on_store(directory: Path, *args: str, environ: Mapping[str, str] | None = None, **fields: Any) -> Run:
    """Run a command line as a user would, against the store in a directory; `fields` are those of `App`."""
    app = wired()
    for name, value in fields.items():
        setattr(app, name, value)
    result = CliRunner().invoke(root, ["--store", str(directory), *args], obj=app, prog_name="otel-llm", env=dict(environ or {}))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Run(result.exit_code, result.stdout, result.stderr)


def on_terminal(*args: str, scenario: str = "newcomer", columns: int = 80, environ: Mapping[str, str] | None = None,
                typed: bytes = b"", store: Path | None = None, act: Callable[[subprocess.Popen[bytes]], None] | None = None) -> Run:
    """Run a command line on a pseudo-terminal of so many columns; out and err arrive together, as on a screen.

    With `store` it is the installed program on the store in that directory.
    """
    program = [str(PROGRAM), scenario] if store is None else ["-m", "otel_llm.cli", "--store", str(store)]
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen([sys.executable, *program, *args], stdin=follower, stdout=follower, stderr=follower,
                               env=_environ({"TERM": "xterm-256color", **(environ or {})}), start_new_session=True)
    os.close(follower)
    if typed:
        os.write(leader, typed)
    seen = b""
    try:
        while True:
            if act is not None and b"\n" in seen:
                act(process)
                act = None
            try:
                block = os.read(leader, 65536)
            except OSError:
                break
            if not block:
                break
            seen += block
    finally:
        os.close(leader)
    return Run(process.wait(timeout=20), seen.decode().replace("\r\n", "\n"), "")


def piped(*args: str, scenario: str = "newcomer", environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a command line with its output in a pipe."""
    return subprocess.Popen([sys.executable, str(PROGRAM), scenario, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=_environ(environ or {}))


def _environ(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TZ", "LANG") if name in os.environ}
    return {"PYTHONPATH": str(PROGRAM.parent.parent), "PYTHONIOENCODING": "utf-8", "PAGER": "cat", **kept, **more}


def empty() -> MemoryStore:
    return MemoryStore()
