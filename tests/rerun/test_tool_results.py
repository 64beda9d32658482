"""What a tool gave, given again: values that JSON knows only by their text, generators, exceptions that are hard to make."""

from __future__ import annotations

import asyncio
import datetime
import enum
import json
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from otel_llm.values.errors import ReplayDiverged
from support.recording import recording

CALM = enum.Enum("CALM", {"YES": "y", "NO": "n"})


@dataclass
class Booking:
    id: uuid.UUID
    at: datetime.datetime
    price: Decimal
    calm: CALM  # type: ignore[valid-type]
    place: Path


class Missing(Exception):
    """Makes its message itself."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no {name}")


class Shop:
    class Closed(Exception):
        def __init__(self, *, hour: int) -> None:
            self.hour = hour
            super().__init__(f"closed at {hour}")


@otel_llm.tool
def booking(number: int) -> Booking:
    return Booking(uuid.UUID(int=number), datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC), Decimal("12.50"), CALM.NO,
                   Path("/srv"))


@otel_llm.tool
def day(number: int) -> datetime.date:
    return datetime.date(2024, 2, number)


@otel_llm.tool
def counted(count: int) -> Generator[int, None, None]:
    yield from range(count)


@otel_llm.tool
def bookings(count: int) -> Iterator[Booking]:
    for number in range(count):
        yield Booking(uuid.UUID(int=number), datetime.datetime(2024, 1, 1), Decimal(number), CALM.YES, Path("x"))


@otel_llm.tool
async def async_bookings(count: int) -> AsyncGenerator[datetime.date, None]:
    for number in range(count):
        yield datetime.date(2024, 1, 1 + number)


@otel_llm.tool
def names(count: int) -> Iterable[str]:
    return [str(number) for number in range(count)]


@otel_llm.tool
def failing(kind: str) -> None:
    if kind == "key":
        raise KeyError("x y")
    if kind == "message":
        raise Missing("key")
    if kind == "keyword":
        raise Shop.Closed(hour=18)
    if kind == "json":
        json.loads("{")
    if kind == "unicode":
        b"\xff".decode()
    if kind == "file":
        Path("/no/such/file").read_bytes()
    raise ValueError()


def caught(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:
        return type(error).__qualname__, isinstance(error, (KeyError, Missing, Shop.Closed, ValueError, OSError)), str(error)


async def _all(items: Any) -> list[Any]:
    return [item async for item in items]


WAYS: dict[str, Callable[[], Any]] = {
    "a dataclass with fields that are not of JSON": lambda: booking(7), "a date": lambda: day(3),
    "a generator": lambda: list(counted(3)), "a generator of objects": lambda: list(bookings(2)),
    "an async generator of dates": lambda: asyncio.run(_all(async_bookings(2))), "an iterable that is a list": lambda: names(3),
    **{f"an exception: {kind}": lambda kind=kind: caught(failing, kind)  # type: ignore[misc]
       for kind in ("key", "message", "keyword", "json", "unicode", "file", "none")}}


@pytest.mark.parametrize("way", WAYS)
def test_a_result_comes_back_as_what_it_was(tmp_path: Path, way: str) -> None:
    with recording(tmp_path), otel_llm.session("s"):
        before = WAYS[way]()

    with otel_llm.replaying("s", store=tmp_path):
        after = WAYS[way]()

    assert (after, type(after)) == (before, type(before))


def test_a_result_that_cannot_be_made_again_is_said(tmp_path: Path) -> None:
    """Rather than to hand the program a text that stands for an object."""
    @otel_llm.tool
    def read(name: str) -> bytes:
        return b"abc"

    class Frame:
        pass

    @otel_llm.tool
    def table() -> Frame:
        return Frame()

    with recording(tmp_path), otel_llm.session("s"):
        read("x")
        table()

    with otel_llm.replaying("s", store=tmp_path, check=False):
        with pytest.raises(ReplayDiverged, match="--live-tool read"):
            read("x")
    with otel_llm.replaying("s", store=tmp_path, live_tools=["read", "table"]) as rerun:
        assert (read("x"), type(table())) == (b"abc", Frame)
    assert rerun.report.outcome == "same"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_generator_that_was_left_early_goes_no_further(tmp_path: Path, is_async: bool) -> None:
    def first() -> Any:
        return next(counted(3))

    async def first_async() -> Any:
        items = async_bookings(3)
        try:
            return await anext(items)
        finally:
            await items.aclose()

    def start() -> Any:
        return asyncio.run(first_async()) if is_async else first()

    with recording(tmp_path), otel_llm.session("s"):
        before = start()

    with otel_llm.replaying("s", store=tmp_path):
        assert start() == before
    with otel_llm.replaying("s", store=tmp_path, check=False) as rerun, pytest.raises(ReplayDiverged, match="further"):
        asyncio.run(_all(async_bookings(3))) if is_async else list(counted(3))
    assert [difference.kind for difference in rerun.report.differences] == ["beyond"]


def test_a_generator_that_returns_a_value_beside_its_items_is_not_made_up(tmp_path: Path) -> None:
    @otel_llm.tool
    def rows(count: int) -> Generator[int, None, str]:
        yield from range(count)
        return "done"

    with recording(tmp_path), otel_llm.session("s"):
        list(rows(2))

    with (otel_llm.replaying("s", store=tmp_path, check=False),
          pytest.raises(ReplayDiverged, match="what JSON cannot.*--live-tool rows")):
        list(rows(2))


@pytest.mark.parametrize("is_async", [False, True])
def test_a_generator_that_failed_gives_what_it_gave_before(tmp_path: Path, is_async: bool) -> None:
    @otel_llm.tool
    def halves(number: int) -> Iterator[int]:
        while True:
            if number % 2:
                raise ValueError("odd")
            number //= 2
            yield number

    @otel_llm.tool
    async def async_halves(number: int) -> AsyncGenerator[int, None]:
        for half in (number // 2, number // 4):
            yield half
        raise ValueError("odd")

    def start() -> Any:
        got: list[int] = []

        async def main() -> None:
            async for half in async_halves(12):
                got.append(half)

        try:
            if is_async:
                asyncio.run(main())
            for half in halves(12):
                got.append(half)
        except ValueError as error:
            return got, str(error)

    with recording(tmp_path), otel_llm.session("s"):
        before = start()

    with otel_llm.replaying("s", store=tmp_path):
        after = start()

    assert after == before == ([6, 3], "odd")


def test_an_async_tool_that_was_cancelled_waits_to_be_cancelled_again(tmp_path: Path) -> None:
    @otel_llm.tool
    async def slow(name: str) -> str:
        await asyncio.sleep(60)
        return name

    async def program() -> str:
        try:
            return await asyncio.wait_for(slow("x"), 0.05)
        except TimeoutError:
            return "too slow"

    with recording(tmp_path), otel_llm.session("s"):
        before = asyncio.run(program())

    with otel_llm.replaying("s", store=tmp_path):
        after = asyncio.run(program())

    assert (before, after) == ("too slow", "too slow")
