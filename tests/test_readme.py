"""The README is part of the product: its tables are complete, its blocks run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_llm.cli.verbs import EXPORT_VERBS, FORWARD_VERBS, REPLAY_VERBS, VERBS
from otel_llm.server.auth import VARIABLE
from otel_llm.testing import Simulator
from otel_llm.values.settings import STANDARD_VARIABLES, VARIABLES
from support.otlp_sink import OtlpSink

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PYTHON = [text for kind, text in BLOCKS if kind == "python" and "client" in text]
SHELL = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line]


def test_the_first_two_shell_blocks_are_one_command_each() -> None:
    first = [text for kind, text in BLOCKS if kind == "sh"][:2]

    assert [text.count("\n") for text in first] == [1, 1]
    assert first[0].rstrip().endswith("otel-llm demo") and first[1].rstrip().endswith("pytest -q")


def test_every_environment_variable_is_in_the_table_and_no_other() -> None:
    table = README.partition("## Environment variables")[2].partition("\n## ")[0]
    written = set(re.findall(r"`(OTEL_[A-Z_]+)`", table))

    assert written == {v.name for v in VARIABLES} | set(STANDARD_VARIABLES) | {VARIABLE}


def test_every_command_is_in_the_table_and_no_other() -> None:
    table = README.partition("## Commands")[2].partition("\n## ")[0]
    written = {re.sub(r" [A-Z[-].*", "", name) for name in re.findall(r"^\| `otel-llm ([^`]+)`", table, re.MULTILINE)}

    groups = {"replay": REPLAY_VERBS, "export": EXPORT_VERBS, "forward": FORWARD_VERBS}
    there = {v.name for v in VERBS if v.name not in groups} | {f"{name} {v.name}" for name, verbs in groups.items() for v in verbs}
    assert written == there


def test_every_public_name_is_mentioned() -> None:
    import otel_llm

    missing = [n for n in otel_llm.__all__ if not n.startswith("__") and not re.search(rf"[`.]{n}\b", README)]

    assert missing == []


@pytest.fixture
def place(tmp_path: Path, sim: Simulator) -> Any:
    environ = {**os.environ, "OPENAI_BASE_URL": sim.base_url, "OPENAI_API_KEY": "k", "OTEL_LLM_STORE": str(tmp_path / "store"),
               "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    (tmp_path / "app.py").write_text(PYTHON[0])

    def run(*command: str, shell: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(shell or list(command), shell=shell is not None, cwd=tmp_path, env=environ, text=True,
                              capture_output=True)

    return run


def test_every_python_block_runs(place: Any) -> None:
    for text in PYTHON:
        done = place(sys.executable, "-c", text)
        assert (done.returncode, done.stderr) == (0, ""), text


def test_what_a_rerun_of_a_changed_program_says_is_what_is_shown(place: Any, tmp_path: Path) -> None:
    (shown,) = [text for kind, text in BLOCKS if kind == "text" and text.startswith("diverged")]
    place(sys.executable, "app.py")
    (tmp_path / "app.py").write_text(PYTHON[0].replace("Norway", "Sweden"))

    done = place(shell="otel-llm replay rerun @1 -- python app.py")

    assert done.returncode == 1
    assert shown in done.stderr


def test_every_shell_line_runs(place: Any, tmp_path: Path) -> None:
    """What goes to Jaeger goes to a receiver on loopback here."""
    place(sys.executable, "app.py")

    with OtlpSink() as jaeger:
        run_lines(place, tmp_path, jaeger)

        assert {"gen_ai.input.messages" in span.attributes for span in jaeger.spans} == {True}


def run_lines(place: Any, tmp_path: Path, jaeger: OtlpSink) -> None:
    for line in SHELL[2:]:
        if line.startswith("sqlite3"):
            if shutil.which("sqlite3") is None:
                continue
            line = line.replace("~/.local/share/otel-llm", str(tmp_path / "store"))
        done = place(shell=line.replace("http://localhost:4318", jaeger.url))
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert done.stdout or " taken by " in done.stderr, line
