"""A store that was named must be there, unless the command is one that records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.terminal import on_store
from support.recording import Recording

READING = ("sessions", "calls", "show @1", "call @1:1", "search river", "tail -n 1", "replay diff @1:1 @1:1", "replay reissue @1",
           "export jsonl", "doctor",
           "forward status", "forward run --until-empty", "forward retry", "forward drop jaeger --yes",
           "replay rerun @1 -- true", "replay fork @1 -- true", "replay check @1", "replay compare @1")


@pytest.mark.parametrize("command", READING)
def test_a_name_without_a_store_is_refused_and_nothing_is_made(tmp_path: Path, command: str) -> None:
    run = on_store(tmp_path / "stroe", *command.split())

    assert run.code == 2
    assert f"There is no store in {tmp_path / 'stroe'} (--store)." in run.err
    assert not (tmp_path / "stroe").exists()


def test_an_empty_directory_is_no_store(tmp_path: Path) -> None:
    run = on_store(tmp_path, "sessions")

    assert (run.code, list(tmp_path.iterdir())) == (2, [])


def test_the_nearest_store_is_named(rec: Recording) -> None:
    rec.store.catch_up()

    run = on_store(rec.directory.parent / "stroe", "sessions")

    assert f"Did you mean {rec.directory}?" in run.err


def test_a_name_in_the_environment_counts_too(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "otel_llm.cli", "sessions"], capture_output=True, text=True,
                          env={"OTEL_LLM_STORE": str(tmp_path / "no")})

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (f"otel-llm: There is no store in {tmp_path / 'no'} (OTEL_LLM_STORE). "
                           "`otel-llm run -- python app.py` records a program into it.\n")


def test_what_was_recorded_and_not_yet_read_is_a_store(rec: Recording, client: Any) -> None:
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "echo: one"}])

    assert not (rec.directory / "store.sqlite").exists()
    assert len(json.loads(on_store(rec.directory, "calls", "--json").out)) == 1


def test_the_usual_place_may_be_empty() -> None:
    done = subprocess.run([sys.executable, "-m", "otel_llm.cli"], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing is recorded in this store yet." in done.stdout


def test_an_import_makes_its_store(rec: Recording, client: Any, tmp_path: Path) -> None:
    exported = tmp_path / "all.jsonl"
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "echo: one"}])
    on_store(rec.directory, "export", "jsonl", "-o", str(exported))

    done = on_store(tmp_path / "copy", "import", str(exported))

    assert done.code == 0, done.err
    assert len(json.loads(on_store(tmp_path / "copy", "calls", "--json").out)) == 1
