"""A test that is recorded again and says the same leaves its session file as it is, whatever ids and times are new."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_llm.testing.script import Answer, raw, sse
from pytest_plugin.projects import Project

openai = pytest.importorskip("openai", reason="the openai SDK is not installed")
pytest_plugins = "pytester"

AGENT = """
MODEL = {"model": "gpt-4o-mini"}


@pytest.mark.otel_llm_session(ignore="metadata.run")
def test_a():
    with otel_llm.session(os.environ.get("NAME", "mine")), openai.OpenAI(max_retries=0) as client:
        question = {"role": "user", "content": os.environ.get("TEXT", "Double one.")}
        said = client.chat.completions.create(messages=[question], metadata={"run": os.environ.get("RUN", "1")}, **MODEL)
        (wanted,) = said.choices[0].message.tool_calls
        told = {"role": "tool", "tool_call_id": wanted.id, "content": double("one")}
        for part in client.chat.completions.create(messages=[question, said.choices[0].message, told], stream=True, **MODEL):
            pass
    ask("no session")
"""


def answers(run: str, *, word: str = "oneone", fingerprint: str | None = "fp_", total: Any = 3, second: str = "") -> list[Answer]:
    """What a provider says in a run: its ids, times and padding are new in each."""
    head = {"created": 1_700_000_000 + sum(run.encode()), "model": "gpt-4o-mini",
            "system_fingerprint": fingerprint and f"{fingerprint}{run}"}
    asks = [{"id": f"call_{run}abcdef", "type": "function", "function": {"name": "double", "arguments": '{"word": "one"}'}}]
    first = {"id": f"chatcmpl-{run}-1", "object": "chat.completion", **head, "choices": [{
        "index": 0, "message": {"role": "assistant", "content": None, "tool_calls": asks}, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": total}}
    parts = [{"id": second or f"chatcmpl-{run}-2", "object": "chat.completion.chunk", **head, "obfuscation": run, "choices": [{
        "index": 0, "delta": {"content": text}, "finish_reason": None}]} for text in (word[:3], word[3:])]
    return [raw(json.dumps(first).encode(), headers={"x-request-id": f"req_{run}xyz"}), sse(*parts)]


@pytest.fixture
def recorded(project: Project) -> Iterator[Project]:
    """A project with a test that was recorded once."""
    project.tests(AGENT)
    project.sim.script(*answers("first"))
    project.live("--otel-llm-record").assert_outcomes(passed=1)
    yield project


def state(place: Path) -> tuple[bytes, int]:
    return place.read_bytes(), place.stat().st_mtime_ns


def test_with_new_ids_and_times_alone_the_file_is_left_as_it_is(recorded: Project) -> None:
    before = state(recorded.file("test_a"))
    recorded.sim.script(*answers("later"))
    recorded.patch.setenv("RUN", "2")

    done = recorded.live("--otel-llm-record=all")

    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["otel-llm: unchanged sessions/test_a.session"])
    done.stdout.no_fnmatch_line("*recorded*")
    assert state(recorded.file("test_a")) == before
    assert os.listdir(recorded.path / "sessions") == ["test_a.session"]
    recorded.patch.setenv("RUN", "1")
    recorded.offline().assert_outcomes(passed=1)


@pytest.mark.parametrize(("environ", "said"), [
    ({}, {"word": "two two"}),
    ({}, {"fingerprint": None}),
    ({}, {"total": 3.0}),
    ({}, {"second": "chatcmpl-later-1"}),
    ({"NAME": "yours"}, {}),
    ({"TEXT": "Double two."}, {}),
])
def test_with_other_content_it_is_written(recorded: Project, environ: dict[str, str], said: dict[str, Any]) -> None:
    """Not even 3.0 for 3; and two answers that had different ids have the same now."""
    before = recorded.file("test_a").read_bytes()
    recorded.sim.script(*answers("later", **said))
    for name, value in environ.items():
        recorded.patch.setenv(name, value)

    done = recorded.live("--otel-llm-record=all")

    done.stdout.fnmatch_lines(["otel-llm: recorded sessions/test_a.session"])
    assert recorded.file("test_a").read_bytes() != before


@pytest.mark.parametrize(("old", "new"), [
    (b'"version": 1', b'"version": 9'), (b'"sessions": [', b'"sessions": '), (b'"start_ns": ', b'"start_ns": -'),
    (b'"oneone"', b'"twotwo"')])
def test_over_a_file_that_cannot_be_used_or_was_edited_it_is_written(recorded: Project, old: bytes, new: bytes) -> None:
    place = recorded.file("test_a")
    place.write_bytes(place.read_bytes().replace(old, new, 1))
    recorded.sim.script(*answers("later"))

    done = recorded.live("--otel-llm-record=all")

    done.stdout.fnmatch_lines(["otel-llm: recorded sessions/test_a.session"])
    recorded.offline().assert_outcomes(passed=1)
