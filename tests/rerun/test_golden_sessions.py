"""Session files of every release answer their programs for ever.

A folder of `golden/` is one release: a program, the session file that this release wrote of it, and what the program printed.
They are never regenerated and never edited: a test that fails here says that users' session files no longer work. A release
that writes files in another way gets a folder of its own.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import openai
import pytest

from otel_llm.store.sqlite import SqliteStore
from otel_llm.transfer import session_file
from otel_llm.values.session import Filter
from rerun.programs import environment

RELEASES = sorted(path for path in Path(__file__).with_name("golden").iterdir() if path.is_dir())


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
class TestASessionFile:
    @pytest.mark.skipif(not hasattr(openai.OpenAI, "responses"), reason="the program uses the Responses API, which came with 1.66")
    def test_answers_its_program_offline(self, release: Path, tmp_path: Path) -> None:
        command = ["-m", "otel_llm.cli", "replay", "rerun", str(release / "agent.session"), "--json", "--", sys.executable,
                   str(release / "agent.py")]

        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=90, env=environment(
            OTEL_LLM_STORE=str(tmp_path / "store")))

        report = json.loads(done.stdout)
        assert done.returncode == 0, done.stderr
        assert (report["outcome"], report["differences"], report["live_calls"]) == ("same", [], 0)
        assert report["answered_calls"] == report["recorded_calls"] > 0
        assert (release / "agent.txt").read_text() in done.stderr

    def test_can_be_imported_with_all_its_steps(self, release: Path, tmp_path: Path) -> None:
        found = session_file.read((release / "agent.session").read_bytes(), "agent.session")

        with SqliteStore(tmp_path) as store:
            with store.importing() as intake:
                session_file.take_in(found, intake)
            (row,) = store.sessions(Filter())

        assert (row.session_id, row.steps, intake.added) == ("travel-desk", found.steps, found.steps)


def test_a_file_of_this_release_is_written_as_it_was(tmp_path: Path) -> None:
    """As long as the format is the same, importing and exporting changes no byte."""
    data = (RELEASES[-1] / "agent.session").read_bytes()
    out = io.BytesIO()
    with SqliteStore(tmp_path) as store:
        with store.importing() as intake:
            session_file.take_in(session_file.read(data, "agent.session"), intake)
        with store.snapshot(Filter()) as snapshot:
            session_file.write(snapshot, out)

    assert out.getvalue() == data
