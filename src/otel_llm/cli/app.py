"""What a verb is given to work with: where to find the store, how to send, and how to print.

`App` is the only thing that travels through click's context. `main()` lets `otel_llm._setup` fill it; a test fills it with
what it likes:

    App(store_factory, sender_factory)

Both factories take the `Settings` in force and return a context manager that gives the `Store` (or the `Sender`) and closes
it behind the verb. They are called when a verb first needs them, so that `--help` opens nothing.

A store that was named and is not there is an error for whoever reads it: a slip of the pen must not leave an empty store
behind. Only what records makes one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_llm.values.call import Cost, Usage
from otel_llm.values.errors import StoreError
from otel_llm.values.sender import Sender
from otel_llm.values.settings import Settings
from otel_llm.values.store import Store

if TYPE_CHECKING:
    from otel_llm.replay.reissue.plan import Price

StoreFactory = Callable[[Settings], AbstractContextManager[Store]]
SenderFactory = Callable[[Settings], AbstractContextManager[Sender]]


STORE_PARTS = ("store.sqlite", "spool")
"""What a directory has when it is a store; the second alone when nobody has read it yet."""
RECORDING = frozenset({"import"})
"""Verbs that may make the store that they are given."""


class NoStore(StoreError):
    """The store that was named is not there."""

    exit_code = 2


def _environ() -> Mapping[str, str]:
    return os.environ


@dataclass(slots=True)
class App:
    """The surroundings of one run of the terminal."""

    store_factory: StoreFactory
    sender_factory: SenderFactory
    price_factory: Callable[[], Price] = lambda: _price_table()
    place_of: Callable[[Settings], str] = lambda settings: _place_of(settings)
    libraries: Callable[[], Iterable[str]] = lambda: _libraries()
    environ: Mapping[str, str] = field(default_factory=_environ)
    now_ns: Callable[[], int] = time.time_ns
    sleep: Callable[[float], None] = time.sleep
    store_directory: str | None = None
    """What `--store` said."""
    color: str = "auto"
    use_pager: bool = True
    debug: bool = False
    _settings: Settings | None = None
    _store: Store | None = None
    _sender: Sender | None = None
    _price: Price | None = None

    @property
    def settings(self) -> Settings:
        """The settings in force; `--store` goes before the environment. A bad value in the environment is an error here."""
        if self._settings is None:
            self._settings = Settings.resolve({"store": self.store_directory}, self.environ, strict=True)
        return self._settings

    @property
    def store(self) -> Store:
        """The store, opened once and closed when the verb is done."""
        if self._store is None:
            self._store = click.get_current_context().find_root().with_resource(self.store_factory(self.settings))
        return self._store

    def store_place(self) -> str:
        """The directory of the store as the user may know it."""
        return self.place_of(self.settings)

    @property
    def price(self) -> Price:
        """What calls cost today, by the price table."""
        if self._price is None:
            self._price = self.price_factory()
        return self._price

    @property
    def sender(self) -> Sender:
        """The sender, opened once and closed (its spans written) when the verb is done."""
        if self._sender is None:
            self._sender = click.get_current_context().find_root().with_resource(self.sender_factory(self.settings))
        return self._sender


def wired() -> App:
    """The App of the installed program; the wiring is imported when a verb first wants store or sender."""
    return App(_wired_store, _wired_sender)


def check_store(settings: Settings) -> None:
    """Raise `NoStore`, with the nearest one that is there, when a store was named and there is none."""
    source = settings.sources.get("store", "default")
    place = Path(_place_of(settings))
    if source == "default" or any((place / part).exists() for part in STORE_PARTS):
        return
    beside = {path.parent.name: path.parent for path in place.parent.glob("*/store.sqlite")}
    near = [str(beside[name]) for name in get_close_matches(place.name, beside, n=3, cutoff=0.6)]
    hint = f"Did you mean {', '.join(near)}?" if near else "`otel-llm run -- python app.py` records a program into it."
    raise NoStore(f"There is no store in {place} ({'--store' if source == 'argument' else source}). {hint}")


@contextmanager
def _wired_store(settings: Settings) -> Iterator[Store]:
    from otel_llm import _setup

    context = click.get_current_context(silent=True)
    if context is None or context.info_name not in RECORDING:
        check_store(settings)
    with closing(_setup.open_store(settings)) as store:
        yield store


@contextmanager
def _wired_sender(settings: Settings) -> Iterator[Sender]:
    from otel_llm import _setup

    sender, finish = _setup.make_sender(settings)
    try:
        yield sender
    finally:
        finish()


def _place_of(settings: Settings) -> str:
    from otel_llm import _setup

    return str(_setup.store_directory(settings))


def _libraries() -> Iterable[str]:
    from otel_llm import _setup

    return _setup.LIBRARIES


def _price_table() -> Price:
    from otel_llm.pricing import PriceTable

    table = PriceTable()

    def price(provider: str | None, model: str | None, usage: Usage) -> Cost | None:
        return table.exact(provider, model, usage, time.time_ns())

    return price


def app_of(ctx: click.Context) -> App:
    """The App of a context; a wired one when nobody passed any."""
    return ctx.find_object(App) or wired()


pass_app = click.make_pass_decorator(App)
