"""In which order rows are listed, and which are long enough: `--sort` and `--min-duration`.

A list comes from the store newest first, a page at a time. Another order needs all of it, of which only as many rows are kept
as will be shown. An unknown figure comes last.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import click

from otel_llm.cli.filters import read_seconds
from otel_llm.cli.look.rows import total
from otel_llm.values.call import Usage
from otel_llm.values.session import SessionRow

Row = TypeVar("Row")
Figure = Callable[[Any], int | None]

NEWEST = "time"
PAGE = 1000


def tokens(usage: Usage) -> int | None:
    """All tokens of a call; None when none are known."""
    known = [count for count in (usage.input_tokens, usage.output_tokens) if count is not None]
    return sum(known) if known else None


def session_duration_ns(row: SessionRow) -> int:
    """From the first thing in a session to the last."""
    return row.last_ns - row.first_ns


SESSION_ORDERS: Mapping[str, Figure] = {
    NEWEST: lambda row: row.last_ns, "cost": lambda row: total(row.cost), "tokens": lambda row: tokens(row.usage),
    "duration": session_duration_ns, "calls": lambda row: row.calls}
CALL_ORDERS: Mapping[str, Figure] = {
    NEWEST: lambda step: step.start_ns, "cost": lambda step: total(step.cost), "tokens": lambda step: tokens(step.usage),
    "duration": lambda step: step.duration_ns}


@dataclass(frozen=True, slots=True)
class Order:
    """What `--sort` and `--min-duration` ask for."""

    figures: Mapping[str, Figure]
    sort: str = NEWEST
    least_ns: int = 0

    @property
    def is_usual(self) -> bool:
        """True when the store's own order, without a condition, will do."""
        return self.sort == NEWEST and not self.least_ns


def order_options(figures: Mapping[str, Figure]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--sort` and `--min-duration`, as the parameters `sort` and `min_duration` for `make_order`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        command = click.option("--min-duration", metavar="TIME", help="Took at least so long: 500ms, 2s, 1m.")(command)
        return click.option("--sort", type=click.Choice(list(figures)), default=NEWEST, show_default=True,
                            help="Newest first, or the greatest first.")(command)

    return decorate


def make_order(figures: Mapping[str, Figure], sort: str, min_duration: str | None) -> Order:
    """The order that these options mean. Raises `ConfigError` with the good values."""
    least = 0 if min_duration is None else round(read_seconds(min_duration, "--min-duration") * 1e9)
    return Order(figures, sort, least)


def listed(
    page: Callable[[int, int], list[Row]], order: Order, *, limit: int, key: Callable[[Row], str]
) -> tuple[list[Row], bool]:
    """So many rows in this order, and whether there are more. `page` gives rows by limit and offset, `key` tells them apart."""
    if order.is_usual:
        found = page(limit + 1, 0)
    else:
        figure, took = order.figures[order.sort], order.figures["duration"]
        fitting = (row for row in _all(page, key) if not order.least_ns or (took(row) or 0) >= order.least_ns)
        if order.sort == NEWEST:
            found = list(islice(fitting, limit + 1))
        else:
            found = heapq.nlargest(limit + 1, fitting, key=lambda row: _rank(figure(row)))
    return found[:limit], len(found) > limit


def _rank(figure: int | None) -> tuple[bool, int]:
    return figure is not None, figure or 0


def _all(page: Callable[[int, int], list[Row]], key: Callable[[Row], str]) -> Iterator[Row]:
    """Every row once, also when new ones come while the pages are read."""
    seen: set[str] = set()
    offset = 0
    while True:
        rows = page(PAGE, offset)
        yield from (row for row in rows if key(row) not in seen)
        seen.update(map(key, rows))
        offset += len(rows)
        if len(rows) < PAGE:
            return
