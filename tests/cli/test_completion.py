"""What a shell is told to complete: ids of the store, the latest sessions, and the files that a command takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from support.recording import Recording

MODEL = "gpt-4o-mini"


@pytest.fixture
def many(rec: Recording, client: Any) -> Recording:
    """An old trip and an older one, and 60 sessions after them."""
    for name in ("trip-2", "trip_1", "trip-1", *(f"later-{n}" for n in range(60))):
        with otel_llm.session(name):
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}])
    return rec


def completed(rec: Recording, line: str, folder: Path) -> list[str]:
    """What bash is told to complete the last word of a line with."""
    environ = {**os.environ, "_OTEL_LLM_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")),
               "OTEL_LLM_STORE": str(rec.directory)}
    done = subprocess.run([sys.executable, "-m", "otel_llm.cli"], env=environ, cwd=folder, text=True, capture_output=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_an_id_is_completed_however_many_sessions_are_newer(many: Recording, tmp_path: Path) -> None:
    found = completed(many, "otel-llm show trip-", tmp_path)

    assert found == ["plain,trip-1", "plain,trip-2"]


def test_a_sign_that_a_pattern_would_read_stands_for_itself(many: Recording, tmp_path: Path) -> None:
    found = [completed(many, f"otel-llm show {word}", tmp_path) for word in ("trip_", "%", "TRIP")]

    assert found == [["plain,trip_1"], [], []]


def test_an_at_sign_is_completed_with_the_latest_sessions(many: Recording, tmp_path: Path) -> None:
    found = [completed(many, f"otel-llm show {word}", tmp_path) for word in ("@", "@3", "@x")]

    assert found == [[f"plain,@{n}" for n in range(1, 10)], ["plain,@3"], []]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "sessions").mkdir(parents=True)
    for name in ("trip-9.session", "notes.txt", "refunds.toml", "sessions/$(touch pwned).session", "sessions/a.session"):
        (folder / name).write_text("")
    return folder


@pytest.mark.parametrize(("line", "found"), [
    ("otel-llm replay rerun trip-", ["plain,trip-1", "plain,trip-2", "plain,trip-9.session"]),
    ("otel-llm replay rerun sessions/", ["plain,sessions/a.session"]),
    ("otel-llm replay rerun ../", ["file,../"]),
    ("otel-llm show trip-9", []),
    ("otel-llm replay suite ", ["plain,refunds.toml"]),
    ("otel-llm replay bisect ref", ["plain,refunds.toml"]),
    ("otel-llm replay suite sess", ["file,sess"]),
    ("otel-llm import trip", ["file,trip"]),
])
def test_files_are_completed_where_a_command_takes_them(many: Recording, files: Path, line: str, found: list[str]) -> None:
    """What is `file` the shell completes by itself."""
    assert completed(many, line, files) == found
