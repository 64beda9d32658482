"""Decorated tools and retrievals in a rerun: results of their kind, exceptions of their kind, and nothing of theirs runs."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import enum
import pathlib
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import pytest

import otel_llm
from otel_llm.values.errors import NotReplayable, ReplayDiverged
from support.recording import recording

RUNS: list[str] = []


@dataclass
class Order:
    number: int
    items: list[str]


class Ticket(pydantic.BaseModel):
    id: str
    order: Order | None = None


class Closed(Exception):
    """Needs two arguments to be made."""

    def __init__(self, shop: str, hour: int) -> None:
        super().__init__(f"{shop} closed at {hour}")


@otel_llm.tool
def order(number: int) -> Order:
    RUNS.append("order")
    return Order(number, ["tea"])


@otel_llm.tool
async def ticket(id: str) -> Ticket:
    RUNS.append("ticket")
    return Ticket(id=id, order=Order(1, []))


@otel_llm.tool
def several(count: int) -> list[Order]:
    RUNS.append("several")
    return [Order(n, []) for n in range(count)]


@otel_llm.retrieval("handbook", top_k=2)
def found(query: str) -> dict[str, Any]:
    RUNS.append("found")
    return {"query": query, "pages": [1, 2]}


@otel_llm.tool
def pieces(text: str) -> Iterator[int]:
    RUNS.append("pieces")
    yield from range(len(text))


@otel_llm.tool
async def async_pieces(text: str) -> AsyncIterator[dict[str, int]]:
    RUNS.append("async_pieces")
    for number in range(len(text)):
        yield {"n": number}


@otel_llm.tool
def shop(name: str) -> str:
    RUNS.append("shop")
    raise Closed(name, 18)


@otel_llm.tool
def number(text: str) -> int:
    RUNS.append("number")
    return int(text)


class Sky(enum.Enum):
    RAIN = "rain"


@dataclass
class Day:
    when: datetime.date
    at: datetime.datetime
    sky: Sky
    id: uuid.UUID
    price: decimal.Decimal
    path: pathlib.PurePosixPath
    tags: frozenset[str]
    pair: tuple[int, str]


@otel_llm.tool
def day(when: datetime.date) -> Day:
    RUNS.append("day")
    return Day(when, datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC), Sky.RAIN, uuid.UUID(int=7), decimal.Decimal("1.10"),
               pathlib.PurePosixPath("/tmp/x"), frozenset({"a", "b"}), (1, "x"))


class NoSuchCity(Exception):
    """Says more than it was given."""

    def __init__(self, city: str) -> None:
        super().__init__(city)
        self.city = city

    def __str__(self) -> str:
        return f"no such city: {self.city}"


@otel_llm.tool
def missing(what: str) -> str:
    RUNS.append("missing")
    if what == "key":
        return {"a": "b"}[what]
    if what == "number":
        return Ticket.model_validate({"id": 7}).id
    if what == "process":
        raise subprocess.CalledProcessError(3, ["false"])
    if what == "text":
        return b"\xff".decode()
    raise NoSuchCity(what)


@otel_llm.tool
def nothing() -> None:
    RUNS.append("nothing")


async def _all() -> list[Any]:
    return [item async for item in async_pieces("ab")]


def caught(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:
        return type(error).__qualname__, [kind for kind in KINDS if isinstance(error, kind)], str(error)


KINDS = (Closed, NoSuchCity, KeyError, subprocess.CalledProcessError, UnicodeDecodeError, ValueError)


def everything() -> list[Any]:
    return [order(7), asyncio.run(ticket("t-1")), several(2), found("x"), list(pieces("abc")), asyncio.run(_all()),
            caught(shop, "corner"), caught(number, "seven"), number("8"), nothing(),
            day(datetime.date(2026, 5, 1)), caught(missing, "key"), caught(missing, "process"), caught(missing, "text"),
            caught(missing, "Atlantis")]


def test_results_and_exceptions_come_back_as_what_they_were_and_nothing_runs(tmp_path: Path) -> None:
    with recording(tmp_path), otel_llm.session("s"):
        before = everything()
    ran = len(RUNS)

    with otel_llm.replaying("s", store=tmp_path) as rerun:
        after = everything()

    assert after == before
    assert (len(RUNS), rerun.report.outcome, rerun.report.answered_tools) == (ran, "same", 15)


def test_another_date_is_another_argument(tmp_path: Path) -> None:
    with recording(tmp_path), otel_llm.session("s"):
        day(datetime.date(2026, 5, 1))

    with (otel_llm.replaying("s", store=tmp_path, check=False),
          pytest.raises(ReplayDiverged, match='when: "2026-05-01" → "1999-09-09"')):
        day(datetime.date(1999, 9, 9))


def test_an_exception_that_cannot_be_made_again_is_said(tmp_path: Path) -> None:
    with recording(tmp_path), otel_llm.session("s"):
        assert caught(missing, "number")[0] == "ValidationError"

    with (otel_llm.replaying("s", store=tmp_path, check=False),
          pytest.raises(ReplayDiverged, match="(?s)ValidationError cannot be made again .*; --live-tool missing runs it")):
        missing("number")


def test_other_arguments_are_named_field_by_field(tmp_path: Path) -> None:
    with recording(tmp_path), otel_llm.session("s"):
        order(7)

    with (otel_llm.replaying("s", store=tmp_path, check=False) as rerun,
          pytest.raises(ReplayDiverged, match=r"tool order is called with other arguments: --live-tool order runs it\n  number: 7 → 8")):
        order(8)

    assert rerun.report.outcome == "diverged"


def test_lenient_gives_the_nearest_result_and_record_new_runs_the_tool(tmp_path: Path) -> None:
    with recording(tmp_path), otel_llm.session("s"):
        order(7)
    RUNS.clear()

    with otel_llm.replaying("s", store=tmp_path, policy="lenient", check=False):
        assert order(8) == Order(7, ["tea"])
    assert RUNS == []
    with otel_llm.replaying("s", store=tmp_path, policy="record-new", check=False):
        assert order(8) == Order(8, ["tea"])
    assert RUNS == ["order"]


def test_a_tool_that_never_ended_cannot_be_answered(tmp_path: Path) -> None:
    @otel_llm.tool
    def slow(n: int) -> int:
        return n

    with recording(tmp_path) as rec, otel_llm.session("s"):
        block = otel_llm.tool("slow", arguments={"n": 1})
        block.__enter__()
        order(1)
        rec.store.catch_up()

        with (otel_llm.replaying("s", store=tmp_path, check=False), pytest.raises((NotReplayable, ReplayDiverged))):
            slow(1)
        block.__exit__(None, None, None)


def test_a_tool_inside_an_answered_tool_is_not_waited_for(tmp_path: Path, sim: Any, client: Any) -> None:
    from support.chat import HELLO

    @otel_llm.tool
    def outer() -> str:
        return f"{order(1).number} {client.chat.completions.create(**HELLO).choices[0].message.content}"

    with recording(tmp_path), otel_llm.session("s"):
        before = outer()

    with otel_llm.replaying("s", store=tmp_path) as rerun:
        assert outer() == before
    assert (rerun.report.answered_tools, rerun.report.answered_calls) == (1, 0)

    with otel_llm.replaying("s", store=tmp_path, live_tools=["outer"]) as rerun:
        assert outer() == before
    assert (rerun.report.live_tools, rerun.report.answered_tools, rerun.report.answered_calls) == (1, 1, 1)


def test_a_workflow_that_comes_to_something_else_has_regressed(tmp_path: Path) -> None:
    name = ["Ada"]

    @otel_llm.workflow
    def greet() -> dict[str, str]:
        return {"hello": name[0]}

    with recording(tmp_path), otel_llm.session("s"):
        greet()
    name[0] = "Bob"

    with (pytest.raises(ReplayDiverged, match=r'workflow greet comes to something else\n  hello: "Ada" → "Bob"'),
          otel_llm.replaying("s", store=tmp_path) as rerun):
        greet()
    assert rerun.report.outcome == "regressed"


class Widget:
    """What JSON cannot say."""


def test_a_result_that_json_cannot_hold_is_no_answer(tmp_path: Path) -> None:
    @otel_llm.tool
    def widget() -> Any:
        return {"found": [Widget(), b"abc"]}

    with recording(tmp_path), otel_llm.session("s"):
        widget()

    with (otel_llm.replaying("s", store=tmp_path, check=False),
          pytest.raises(ReplayDiverged, match=r"not in the recording \(it holds what JSON cannot\); --live-tool widget runs it")):
        widget()
    with otel_llm.replaying("s", store=tmp_path, live_tools=["widget"]):
        widget()


def test_an_exception_of_a_class_inside_a_function_is_of_that_class(tmp_path: Path) -> None:
    class Local(Exception):
        pass

    @otel_llm.tool
    def fails() -> None:
        raise Local("so")

    with recording(tmp_path), otel_llm.session("s"), pytest.raises(Local):
        fails()

    with otel_llm.replaying("s", store=tmp_path), pytest.raises(Local, match="^so$"):
        fails()
