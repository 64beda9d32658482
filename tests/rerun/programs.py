"""Programs that were recorded with `otel-llm run`, and what it takes to rerun them or others in their place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator
from otel_llm.values.session import Filter
from support.provider import Provider

ASK = """
def ask(words, model="gpt-4o-mini"):
    import openai  # here, so that a process that asks nothing does without
    client = openai.OpenAI(max_retries=0)
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": "echo: " + words}]).choices[0].message.content
"""


def environment(**more: str) -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "OTEL_"))}, **more}


class Recorded:
    """A recorded program in a folder of its own, where another may be put in its place."""

    def __init__(self, folder: Path, sim: Simulator | Provider, code: str, session_ids: list[str]) -> None:
        self.folder, self.sim, self.session_ids = folder, sim, session_ids
        self.requests = self.asked()
        self.env = environment(OTEL_LLM_STORE=str(folder / "store"), OPENAI_BASE_URL=sim.base_url, OPENAI_API_KEY="sk-x", COLUMNS="120")
        self.write(code)

    def asked(self) -> int:
        return len(self.sim.asked) if isinstance(self.sim, Provider) else self.sim.count.total()

    def write(self, code: str) -> None:
        (self.folder / "ask.py").write_text(ASK)
        (self.folder / "program.py").write_text(textwrap.dedent(code))

    def terminal(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "otel_llm.cli", *words], capture_output=True, text=True, timeout=90, env=self.env,
                              cwd=self.folder)

    def rerun(self, *words: str, python: str = sys.executable) -> tuple[int, dict[str, Any]]:
        first, *rest = self.session_ids
        more = [word for session_id in rest for word in ("--with", session_id)]
        done = self.terminal("replay", "rerun", first, *more, "--no-record", "--json", *words, "--", python,
                             str(self.folder / "program.py"))
        assert self.asked() == self.requests, "it called somebody"
        return done.returncode, json.loads(done.stdout) if done.stdout.startswith("{") else {"said": done.stderr}


Program = Callable[[str], Recorded]


class Shelf:
    """Recordings of programs, each made once; whoever wants one gets a copy."""

    def __init__(self, folder: Path, sim: Simulator | Provider) -> None:
        self._folder, self._sim = folder, sim
        self._made: dict[str, tuple[Path, list[str]]] = {}

    def recorded(self, folder: Path, code: str) -> Recorded:
        if code not in self._made:
            self._made[code] = self._record(self._folder / str(len(self._made)), code)
        store, session_ids = self._made[code]
        shutil.copytree(store, folder / "store")
        return Recorded(folder, self._sim, code, list(session_ids))

    def _record(self, folder: Path, code: str) -> tuple[Path, list[str]]:
        folder.mkdir(parents=True)
        done = Recorded(folder, self._sim, code, []).terminal("run", "--", sys.executable, "program.py")
        assert done.returncode == 0, done.stderr
        with SqliteStore(folder / "store") as store:
            return folder / "store", [row.session_id for row in store.sessions(Filter())]
