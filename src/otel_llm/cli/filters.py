"""Which sessions or calls: the options that every list shares, and the `Filter` that they make.

Inside one option a comma means *or*; options that are given several times all have to hold. `--where KEY=VALUE` takes the
fields of the table below; any other key is a tag that something here has. So these two lines ask for the same:

    otel-llm calls --tag team=search --status error
    otel-llm calls --where team=search --where status=error
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from otel_llm.text.numbers import PICO
from otel_llm.values.errors import ConfigError
from otel_llm.values.session import Filter
from otel_llm.values.store import Store

FIELDS = ("session", "user", "model", "provider", "status", "operation", "prompt")
"""Keys of `--where` that are fields; any other key is a tag."""

SESSION_STATUS = ("ok", "error", "recovered", "running")
CALL_STATUS = ("ok", "error", "running", "incomplete")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_MILLIS = re.compile(r"(\d+(?:\.\d+)?)\s*ms")
_TIMES = "30m, 2h, 3d, 1w, or a date and time such as 2025-03-02 or 2025-03-02T14:00"


def filter_options(*, statuses: Sequence[str], session: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The filter options of a list, as keyword parameters for `make_filter`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        options = [
            click.option("--since", metavar="TIME", help=f"Started at or after: {_TIMES}."),
            click.option("--until", metavar="TIME", help="Started before."),
            *([click.option("--session", "sessions", multiple=True, metavar="ID", help="In this session.")] if session else []),
            click.option("--user", multiple=True, metavar="ID", help="Of this user; a,b means either."),
            click.option("--tag", multiple=True, metavar="KEY=VALUE", help="With this tag."),
            click.option("--model", multiple=True, metavar="NAME", help="By this model; a,b means either."),
            click.option("--status", multiple=True, metavar="STATUS", help=f"One of {', '.join(statuses)}; a,b means either."),
            click.option("--originals", is_flag=True, help="Leave out replays, forks, and all that `sessions --all` adds."),
            click.option("--min-cost", metavar="USD", help="Cost at least this much."),
            click.option("--max-cost", metavar="USD", help="Cost at most this much."),
            click.option("--where", multiple=True, metavar="KEY=VALUE",
                         help=f"A field ({', '.join(FIELDS)}) or a tag; a comma means or, repeating means and."),
        ]
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def make_filter(
    *,
    now_ns: int,
    statuses: Sequence[str],
    since: str | None = None,
    until: str | None = None,
    user: Iterable[str] = (),
    tag: Iterable[str] = (),
    model: Iterable[str] = (),
    status: Iterable[str] = (),
    min_cost: str | None = None,
    max_cost: str | None = None,
    where: Iterable[str] = (),
    originals: bool = False,
) -> Filter:
    """The filter that these options mean. Raises `ConfigError` with the good values."""
    pairs = [(name, text) for name, texts in (("user", user), ("model", model), ("status", status)) for text in texts]
    pairs += [_pair(text, "--where") for text in where]
    tags = [_pair(text, "--tag") for text in tag]
    wanted: dict[str, tuple[str, ...]] = {}
    tagged: dict[str, tuple[str, ...]] = {}
    for key, text in pairs:
        is_field = key in FIELDS
        _narrow(wanted if is_field else tagged, key if is_field else key.removeprefix("tag."), text)
    for key, text in tags:
        _narrow(tagged, key, text)
    for word in wanted.get("status", ()):
        if word not in statuses:
            raise ConfigError(f"status {word!r} is not usable; good values: {', '.join(statuses)}")
    result = Filter(
        since_ns=None if since is None else read_time(since, now_ns, "--since"),
        until_ns=None if until is None else read_time(until, now_ns, "--until"),
        tags=tagged,
        min_cost=None if min_cost is None else read_usd(min_cost, "--min-cost"),
        max_cost=None if max_cost is None else read_usd(max_cost, "--max-cost"),
        kinds=("original",) if originals else (),
    )
    return replace(result, **wanted)  # type: ignore[arg-type]


def check_where(store: Store, where: Iterable[str]) -> None:
    """Raise `ConfigError` for a key of `--where` that is no field, and no tag of anything that is recorded."""
    for text in where:
        key, _ = _pair(text, "--where")
        tagged = Filter(tags={key.removeprefix("tag."): ()})
        if key not in FIELDS and not store.sessions(tagged, limit=1) and not store.calls(tagged, limit=1):
            raise ConfigError(f"--where {text!r} is not usable: there is no field {key!r}, and nothing here has such a tag; good "
                              f"values: a tag, or one of {', '.join(FIELDS)}")


def _pair(text: str, option: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip() or not value.strip():
        raise ConfigError(f"{option} {text!r} is not usable; good values: KEY=VALUE or KEY=VALUE,VALUE with a key that is a tag "
                          f"or one of {', '.join(FIELDS)}")
    return key.strip(), value


def _narrow(wanted: dict[str, tuple[str, ...]], key: str, text: str) -> None:
    """One more condition on a key: of the values so far, those that it also welcomes."""
    values = tuple(value for value in (part.strip() for part in text.split(",")) if value)
    if not values:
        raise ConfigError(f"{key}={text!r} names no value")
    before = wanted.get(key, values)
    both = tuple(value for value in before if value in values)
    if not both:
        raise ConfigError(f"Nothing can be {key}={','.join(before)} and {key}={text}; for either of them write "
                          f"{key}={','.join((*before, *values))}")
    wanted[key] = both


def read_time(text: str, now_ns: int, option: str) -> int:
    """A point in time: so long ago, or a date that is local where it names no zone."""
    if match := _AGO.fullmatch(text.strip().lower()):
        return now_ns - int(float(match[1]) * _UNITS[match[2]] * 1e9)
    try:
        when = datetime.fromisoformat(text.strip())
        return int((when if when.tzinfo else when.astimezone()).timestamp() * 1e6) * 1000
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"{option} {text!r} is no time; good values: {_TIMES}") from None


def read_seconds(text: str, option: str) -> float:
    """A length of time in seconds, such as `500ms`, `90s`, `2m` or `90`."""
    word = text.strip().lower()
    if match := _MILLIS.fullmatch(word):
        return float(match[1]) / 1000
    match = _AGO.fullmatch(word if not word.isdecimal() else word + "s")
    if match is None:
        raise ConfigError(f"{option} {text!r} is no length of time; good values: 90s, 2m, 1h, 500ms")
    return float(match[1]) * _UNITS[match[2]]


def read_usd(text: str, option: str) -> int:
    """Dollars as pico-USD."""
    try:
        dollars = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        dollars = Decimal("NaN")
    if not dollars.is_finite() or dollars < 0:
        raise ConfigError(f"{option} {text!r} is no amount of money; good values: dollars such as 0.05 or 2")
    return int(dollars * PICO)
