"""Whatever was recorded stays text in the reports of a suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import otel_llm
from otel_llm.testing import Simulator
from replay_suite.recorded_sessions import answer, suite, write_suite
from support.recording import Recording

HOSTILE = "<script>alert(1)</script> \x1b[31mred\x07 \u202egnp ]]> &lt;\n::error::owned\n##[error]x"


def test_captured_words_are_shown_and_never_obeyed(rec: Recording, client: Any, sim: Simulator, tmp_path: Path) -> None:
    for number in range(8):
        with otel_llm.session(f"s-{number}"):
            client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: fine {HOSTILE}"}])
    sim.script(answer(HOSTILE, when=lambda body: body["model"] == "gpt-4.1-mini", times=8))
    file = write_suite(tmp_path, 'models = ["gpt-4o-mini", "gpt-4.1-mini"]\nchecks = ["contains=fine"]\n')

    done = suite(rec.directory, file, "--github", "--html", str(tmp_path / "r.html"), "--junit", str(tmp_path / "r.xml"))
    shown = suite(rec.directory, file, "--resume")

    page, root = (tmp_path / "r.html").read_text(), ET.parse(tmp_path / "r.xml").getroot()
    obeyed = [line for line in done.out.splitlines() if line.startswith(("::error::owned", "##["))]
    assert done.code == shown.code == 1
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert root.get("failures") == "9"
    assert [character for character in "\x1b\x07\u202e" if character in shown.out + done.out + page] == []
    assert obeyed == []
