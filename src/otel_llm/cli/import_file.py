"""`otel-llm import FILE…`: take in what `otel-llm export jsonl` wrote.

Files are read through first, so that a cut or edited one is refused before anything of it is in the store; `-` is taken as it
comes. Steps that are there already stay as they are, so importing twice is harmless.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import click

from otel_llm.cli import numbers
from otel_llm.cli.app import App, pass_app
from otel_llm.cli.export import STDOUT, archive, progress
from otel_llm.cli.output import note
from otel_llm.transfer import jsonl
from otel_llm.values.errors import BadExport, ConfigError

GZIP = b"\x1f\x8b"


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@pass_app
def import_file(app: App, files: tuple[str, ...]) -> None:
    """Take in sessions from files of `export jsonl` (`-` reads standard input); what is there already stays as it is."""
    sizes: list[int | None] = []
    for name in files:
        if name == STDOUT:
            sizes.append(None)
            continue
        with _opened(name) as file:
            sizes.append(jsonl.verify(file, name))
    for name, steps in zip(files, sizes, strict=True):
        with _opened(name) as file, progress("steps", steps) as shown:
            with archive(app.store).importing() as intake:
                jsonl.take_in(file, "standard input" if name == STDOUT else name, intake, shown)
        known = f", {numbers.plural(intake.known, 'step')} were there already" if intake.known else ""
        note(f"{numbers.plural(intake.added, 'step')} imported from {'standard input' if name == STDOUT else name}{known}")


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """A file or standard input, unpacked when it is gzip. Raises `ConfigError` or `BadExport`."""
    file = io.BufferedReader(_raw(name))
    try:
        is_packed = file.peek(2)[:2] == GZIP
        yield cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb") if is_packed else file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadExport(f"{name} is cut short or damaged: {error}") from None
    except IsADirectoryError:
        raise ConfigError(f"{name} is a directory; give a file of `otel-llm export jsonl`.") from None
    finally:
        if name == STDOUT:
            file.detach()
        else:
            file.close()


def _raw(name: str) -> io.RawIOBase:
    if name == STDOUT:
        return cast(io.RawIOBase, sys.stdin.buffer)
    try:
        return io.FileIO(name)
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror or error}.") from None
