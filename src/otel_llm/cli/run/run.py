"""`otel-llm run -- python app.py`: record a program that never heard of otel-llm.

The program's interpreters find our `sitecustomize` first, call `otel_llm.init()` and begin as they would have. Environment and
arguments are handed on; this process becomes the program, so signals and exit codes are its own.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from otel_llm._environment import HIDES, hidden_by, python_path
from otel_llm.cli.app import App, pass_app
from otel_llm.cli.output import note
from otel_llm.values.errors import ConfigError


@click.command("run", context_settings={"ignore_unknown_options": True})
@click.option("--seed", type=int, metavar="N", help="Let random numbers and uuid4 begin here, so that a rerun can do the same.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
@pass_app
def run(app: App, seed: int | None, command: tuple[str, ...]) -> None:
    """Run a program with recording switched on: otel-llm run -- python app.py"""
    environ = recorded(dict(os.environ), app.store_directory)
    if seed is not None:
        environ["OTEL_LLM_SEED"] = str(seed)
    if option := hidden_by(command, environ.get("PATH")):
        note(f"Warning: Python's {option} {HIDES[option[1:]]}, through which recording begins: NOTHING of this program is "
             f"recorded. Leave {option} out, or call otel_llm.init() in the program.")
    try:
        os.execvpe(command[0], list(command), environ)
    except OSError as error:
        raise ConfigError(f"cannot run {command[0]!r}: {error.strerror}. Give the program after `--`.") from None


def recorded(environ: dict[str, str], store: str | None) -> dict[str, str]:
    """The environment in which a Python program records itself."""
    environ["PYTHONPATH"] = python_path(environ)
    if store:
        environ["OTEL_LLM_STORE"] = str(Path(store).absolute())
    return environ
