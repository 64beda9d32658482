"""Ids on the command line: what they may name, and how the shell completes them.

The store resolves them: a whole id, a unique prefix of at least 4 characters, `@1` for the latest session, `SESSION:3` for
the third call of a session. A shell completes them from the store, and the files that some commands take from the folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from otel_llm.cli.app import app_of
from otel_llm.replay import reading
from otel_llm.text.numbers import cost, plural
from otel_llm.text.safe import line
from otel_llm.transfer.session_file import SUFFIX
from otel_llm.values.errors import ConfigError, NotFound
from otel_llm.values.session import LISTED, Filter, Ref, Step
from otel_llm.values.store import Store

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_COMPLETIONS = 50
MAX_LATEST = 9
"""So many of `@1`, `@2`, … are offered."""
_HARMLESS = re.compile(r"[A-Za-z0-9_.@%+=,/-]+")


def _offered(value: str, help: str | None = None) -> list[CompletionItem]:
    """A completion. A shell puts it on its command line as it is, where `$(…)` would run: then there is none."""
    return [CompletionItem(value, help=help)] if _HARMLESS.fullmatch(value) else []


def _files(incomplete: str, suffix: str) -> list[CompletionItem]:
    """The files with this suffix in the folder that was typed; where there are none the shell completes by itself."""
    folder, _, name = incomplete.rpartition("/")
    start = incomplete[: len(incomplete) - len(name)]
    try:
        found = sorted(path.name for path in Path(start or ".").iterdir() if path.name.endswith(suffix) and path.is_file())
    except OSError:
        found = []
    return [item for each in found if each.startswith(name) for item in _offered(start + each)]


class SessionId(click.types.StringParamType):
    """An id argument that the shell completes with the latest sessions, and `@` with the latest of all."""

    name = "id"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        latest = incomplete.startswith("@")
        where = Filter(kinds=LISTED) if latest else Filter(session_prefix=incomplete)
        try:
            with app_of(ctx).store_factory(app_of(ctx).settings) as store:
                found = store.sessions(where, limit=MAX_LATEST if latest else MAX_COMPLETIONS)
        except Exception:  # a shell that completes must not print errors
            return []
        named = [(f"@{place}" if latest else row.session_id, row) for place, row in enumerate(found, 1)]
        return [item for name, row in named if name.startswith(incomplete)
                for item in _offered(name, line(" · ".join([*([row.session_id] if latest else []), row.title,
                                                            plural(row.calls, "call"),
                                                            cost(row.cost.total if row.cost else None)])))]


class SessionOrFile(SessionId):
    """An id, or a session file."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = [*super().shell_complete(ctx, param, incomplete), *_files(incomplete, SUFFIX)]
        return found or [CompletionItem(incomplete, type="file")]


class TomlFile(click.types.StringParamType):
    """The name of a TOML file."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _files(incomplete, ".toml") or [CompletionItem(incomplete, type="file")]


def id_argument(name: str = "given", metavar: str = "ID", *, or_file: bool = False) -> Callable[[Command], Command]:
    """A required id argument."""
    return click.argument(name, metavar=metavar, type=SessionOrFile() if or_file else SessionId())


def resolve(store: Store, given: str) -> Ref:
    """What an id leads to. Raises `NotFound`, or `ConfigError` when it is the name of a file, which is not in the store."""
    try:
        return store.resolve(given)
    except NotFound:
        if Path(given).is_file():
            raise file_not_wanted(given) from None
        raise


def file_not_wanted(given: str) -> ConfigError:
    """The error of a file that was named where something in the store is wanted."""
    return ConfigError(f"{given} is a file, and this wants what is in the store. First: otel-llm import {quote(given)}; "
                       "then name the session by its id.")


def steps_of(store: Store, given: str) -> tuple[str, list[Step]]:
    """The session that an id leads to, and its steps: all of a session, those of a trace, or the one that is a call."""
    resolve(store, given)
    return reading.steps_of(store, given)


def with_sessions(store: Store, where: Filter, named: Iterable[str] = (), *, must_exist: bool = True) -> Filter:
    """The filter with the sessions it names, and those named besides, by their full ids.

    A session that does not exist is an error, unless it may still come to be (`tail`).
    """
    full: list[str] = []
    for given in (*named, *where.session):
        try:
            ref = resolve(store, given) if must_exist else store.resolve(given)
            full.append(ref.session_id or ref.id)
        except NotFound:
            if must_exist:
                raise
            full.append(given)
    return replace(where, session=tuple(dict.fromkeys(full)))
