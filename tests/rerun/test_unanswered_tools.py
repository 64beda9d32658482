"""A tool of a rerun that cannot be answered does not run: it may send, delete or pay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

import otel_llm
from otel_llm.capture.recorder import Recorder
from otel_llm.values.errors import NotReplayable
from support.recording import recording

RAN: list[str] = []


@otel_llm.tool
def mail(to: str) -> str:
    """Sends a letter."""
    RAN.append(to)
    return f"sent to {to}"


@otel_llm.tool
async def mail_later(to: str) -> str:
    """The same."""
    RAN.append(to)
    return f"sent to {to}"


@otel_llm.tool
def mails(to: str) -> Any:
    """The same, one by one."""
    RAN.append(to)
    yield f"sent to {to}"


WAYS: dict[str, Callable[[str], Any]] = {
    "function": mail, "coroutine": lambda to: asyncio.run(mail_later(to)), "generator": lambda to: "".join(mails(to))}


@pytest.mark.parametrize("way", WAYS)
def test_a_tool_is_answered_while_instrumentation_is_suppressed(tmp_path: Path, way: str) -> None:
    with recording(tmp_path), otel_llm.session("s"):
        WAYS[way]("ada")
    RAN.clear()

    with otel_llm.replaying("s", store=tmp_path) as rerun, suppress_instrumentation():
        said = WAYS[way]("ada")

    assert (said, RAN, rerun.report.outcome, rerun.report.answered_tools) == ("sent to ada", [], "same", 1)


@pytest.mark.parametrize("way", WAYS)
def test_a_fault_of_ours_lets_no_tool_run(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with recording(tmp_path), otel_llm.session("s"):
        WAYS[way]("ada")
    RAN.clear()

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(Recorder, "around", fail)
    with otel_llm.replaying("s", store=tmp_path, check=False), pytest.raises(NotReplayable, match="a fault of ours"):
        WAYS[way]("ada")

    assert RAN == []
