"""How a run of the terminal ends.

    0    done                                       3    this cannot be replayed, or a cap was reached
    1    a difference was found, a check failed     4    trouble with the store or a server, or a fault of ours
    2    wrong usage, or nothing by that name     130    interrupted, or not confirmed

An error is one sentence with the value that is wrong and the next step, on stderr; `--debug` adds the traceback. A reader
that has left (`otel-llm calls | head -1`) is no error at all.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import click

from otel_llm.text.safe import safe
from otel_llm.values.errors import OtelLLMError

INTERRUPTED = 130


class ReaderLeft(Exception):
    """Nobody reads the output any more. Click would take the `BrokenPipeError` itself for a failure."""


def run(body: Callable[[], Any], *, is_debug: Callable[[], bool]) -> int:
    """The exit code of a run; what goes wrong in it is said on stderr."""
    try:
        code = body()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (BrokenPipeError, ReaderLeft):
        _swallow_output()
        return 0
    except Exception as error:
        if is_debug():
            traceback.print_exc()
        return _explain(error, debug=is_debug())


def _explain(error: Exception, *, debug: bool) -> int:
    if isinstance(error, click.Abort):
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        say(_usage(error))
        return 2
    if isinstance(error, OtelLLMError):
        say(str(error))
        return error.exit_code
    kind = type(error).__name__
    say(f"Unexpected {kind}: {error}" + ("" if debug else " Run the same command with --debug to see where."))
    return 4


def say(text: str) -> None:
    """One message on stderr, under the program's name."""
    click.echo(f"otel-llm: {safe(text)}", err=True)


def _usage(error: click.ClickException) -> str:
    """What is wrong with the command line, with the good values where click does not list them."""
    message = error.format_message().strip()
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "otel-llm"
    if isinstance(error, click.NoSuchOption) and context is not None and not error.possibilities:
        options = sorted({opt for param in context.command.params if not getattr(param, "hidden", False)
                          for opt in param.opts if opt.startswith("--")})
        message = f"{message.rstrip('.')}. Options are {', '.join(options)}."
    end = "" if message.endswith((".", "?", ")")) else "."
    return f"{message}{end} `{path} --help` says more."


def nearest(given: str, names: list[str]) -> str:
    """The sentence that lists the good names, the nearest first."""
    near = get_close_matches(given, names, n=3, cutoff=0.5)
    return f"Did you mean {', '.join(near)}?" if near else f"Commands are {', '.join(names)}."


def _swallow_output() -> None:
    """Let what is still buffered go nowhere, so that Python does not complain about it while it exits."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass
