"""`otel-llm run` says when a program will not be recorded, and runs it all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_llm._environment import hidden_by

PROGRAM = "import sys; print('recorded' if 'otel_llm' in sys.modules else 'not recorded')"


def run(*command: str, store: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "otel_llm.cli", "run", "--", *command], capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "OTEL_LLM_STORE": str(store)})


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_an_interpreter_that_looks_away_is_warned_about_before_it_runs(option: str, tmp_path: Path) -> None:
    done = run(sys.executable, option, "-c", PROGRAM, store=tmp_path)

    assert (done.returncode, done.stdout) == (0, "not recorded\n")
    assert done.stderr.startswith(f"Warning: Python's {option} ")
    assert "NOTHING of this program is recorded" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_script_whose_first_line_says_so_is_warned_about(tmp_path: Path) -> None:
    script = tmp_path / "tool"
    script.write_text(f"#!{sys.executable} -I\n{PROGRAM}\n")
    script.chmod(0o755)

    done = run(str(script), store=tmp_path)

    assert (done.stdout, done.stderr.startswith("Warning: Python's -I")) == ("not recorded\n", True)


def test_a_program_that_is_recorded_is_not_warned_about(tmp_path: Path) -> None:
    done = run(sys.executable, "-u", "-c", PROGRAM, "-I", store=tmp_path)

    assert (done.stdout, done.stderr) == ("recorded\n", "")


@pytest.mark.parametrize(("command", "option"), [
    ("python app.py", None), ("python app.py -I", None), ("python -m app -S", None), ("python -c pass -E", None),
    ("python -uI app.py", "-I"), ("python3.12 -W ignore -E app.py", "-E"), ("python -Wignore -S app.py", "-S"),
    ("python -X importtime -B -I app.py", "-I"), ("python -W -I app.py", None), ("python -s -P -B app.py", None),
    ("/usr/bin/env -S python3 -I app.py", "-I"), ("uv run python -ES app.py", "-E"), ("python --check-hash-based-pycs", None),
    ("python - -I", None), ("node -I app.js", None), ("python", None), ("pypy3 -E a.py", "-E"),
])
def test_options_are_read_as_python_reads_them(command: str, option: str | None) -> None:
    assert hidden_by(command.split(), path="/nowhere") == option
