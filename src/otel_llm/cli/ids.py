"""Ids on the command line: what they may name, and how the shell completes them.

The store resolves them: a whole id, a unique prefix of at least 4 characters, `@1` for the latest session, `SESSION:3` for
the third call of a session.
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
from otel_llm.cli.numbers import cost, plural
from otel_llm.cli.safe import line
from otel_llm.replay import reading
from otel_llm.values.errors import ConfigError, NotFound
from otel_llm.values.session import Filter, Step
from otel_llm.values.store import Store

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_COMPLETIONS = 50
_HARMLESS = re.compile(r"[A-Za-z0-9_.@%+=,/-]+")


class SessionId(click.types.StringParamType):
    """An id argument that the shell completes with the latest sessions."""

    name = "id"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            with app_of(ctx).store_factory(app_of(ctx).settings) as store:
                found = store.sessions(Filter(), limit=MAX_COMPLETIONS)
        except Exception:  # a shell that completes must not print errors
            return []
        return [  # a shell puts what it completes on its command line as it is, where `$(…)` would run
            CompletionItem(row.session_id, help=line(f"{row.title} · {plural(row.calls, 'call')} · "
                                                     f"{cost(row.cost.total if row.cost else None)}"))
            for row in found
            if row.session_id.startswith(incomplete) and _HARMLESS.fullmatch(row.session_id)
        ]


def id_argument(name: str = "given", metavar: str = "ID") -> Callable[[Command], Command]:
    """A required id argument."""
    return click.argument(name, metavar=metavar, type=SessionId())


def steps_of(store: Store, given: str) -> tuple[str, list[Step]]:
    """The session that an id leads to, and its steps: all of a session, those of a trace, or the one that is a call."""
    try:
        return reading.steps_of(store, given)
    except NotFound:
        if Path(given).is_file():
            raise ConfigError(f"{given} is a file, and this wants what is in the store. First: otel-llm import {quote(given)}; "
                              "then name the session by its id.") from None
        raise


def with_sessions(store: Store, where: Filter, named: Iterable[str] = (), *, must_exist: bool = True) -> Filter:
    """The filter with the sessions it names, and those named besides, by their full ids.

    A session that does not exist is an error, unless it may still come to be (`tail`).
    """
    full: list[str] = []
    for given in (*named, *where.session):
        try:
            ref = store.resolve(given)
            full.append(ref.session_id or ref.id)
        except NotFound:
            if must_exist:
                raise
            full.append(given)
    return replace(where, session=tuple(dict.fromkeys(full)))
