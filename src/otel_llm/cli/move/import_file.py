"""`otel-llm import FILE…`: take in what `otel-llm export jsonl` or `export session` wrote.

Files are read through first, so that one that cannot be used is refused before anything is in the store; JSON lines on `-` are
taken as they come. Steps that are there already stay as they are, so importing twice is harmless. Where the file has other
content than the store, which an editor can bring about, it is said how many steps that is.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote
from typing import Any, BinaryIO, cast

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.files import STDOUT
from otel_llm.cli.move.export import archive, progress
from otel_llm.cli.output import note
from otel_llm.text import numbers
from otel_llm.transfer import jsonl, session_file
from otel_llm.transfer.session_file import SessionFile
from otel_llm.values.archive import Intake
from otel_llm.values.errors import BadExport, ConfigError

GZIP = b"\x1f\x8b"
HEAD = 200
"""Bytes in which a file says what it is."""


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(allow_dash=True))
@pass_app
def import_file(app: App, files: tuple[str, ...]) -> None:
    """Take in sessions from files of `export jsonl` or `export session` (`-` reads standard input); what is there stays."""
    checked = {name: _checked(name) for name in files if name != STDOUT}
    for name in files:
        spoken = "standard input" if name == STDOUT else name
        with _opened(name) as file, archive(app.store).importing() as intake:
            found = checked.get(name)
            if name == STDOUT:
                found = _session_file(file, spoken)
            with progress("steps", found.steps if isinstance(found, SessionFile) else found) as shown:
                if isinstance(found, SessionFile):
                    session_file.take_in(found, intake, shown)
                else:
                    jsonl.take_in(file, spoken, intake, shown)
        note(f"{numbers.plural(intake.added, 'step')} imported from {spoken}{_known(intake)}")
        if intake.differing:
            note(f"The store keeps its own content, for a trace is a record. For that of the file take another store: "
                 f"otel-llm --store DIR import {'-' if name == STDOUT else quote(name)}")


def _known(intake: Intake) -> str:
    """What is said of steps that were there before."""
    if not intake.known:
        return ""
    were = "step was" if intake.known == 1 else "steps were"
    other = f", {numbers.count(intake.differing)} of them with other content" if intake.differing else ""
    return f", {numbers.count(intake.known)} {were} there already{other}"


def _checked(name: str) -> SessionFile | int:
    """A session file as it was read, or how many steps the JSON lines have. Raises `BadExport`."""
    with _opened(name) as file:
        return _session_file(file, name) or jsonl.verify(file, name)


def _session_file(file: BinaryIO, name: str) -> SessionFile | None:
    """What a session file holds; None when this is none, of which then nothing was read."""
    kind = session_file.kind_of(cast(Any, file).peek(HEAD)) or ("session" if session_file.is_session_file(name) else "export")
    return session_file.read(file.read(), name) if kind == "session" else None


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
        raise ConfigError(f"{name} is a directory; give a file of `otel-llm export`.") from None
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
