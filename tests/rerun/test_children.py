"""Processes that a program starts with an environment of its own: they are answered like any other, and call nobody."""

from __future__ import annotations

import multiprocessing.forkserver
import multiprocessing.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from rerun.programs import Program
from support.chat import HELLO
from support.recording import recording

CHILD = [sys.executable, "-c", "import ask; ask.ask('one')"]
KEYS = "{name: os.environ[name] for name in ('OPENAI_API_KEY', 'OPENAI_BASE_URL')}"
CLEARED = f"keys = {KEYS}; os.environ.clear(); os.environ.update(keys)"


@pytest.mark.parametrize("start", [
    "subprocess.run(child, env={**os.environ, 'PYTHONPATH': '.'}, check=True)",
    f"subprocess.run(child, env={KEYS}, check=True)",
    f"subprocess.run(child, env={{os.fsencode(k): os.fsencode(v) for k, v in {KEYS}.items()}}, check=True)",
    f"subprocess.run(shlex.join(child), env={KEYS}, shell=True, check=True)",
    f"{CLEARED}; subprocess.run(child, check=True)",
    f"{CLEARED}; os.system(shlex.join(child))",
    f"os.waitpid(os.posix_spawn(child[0], child, {KEYS}), 0)",
    f"os.spawnve(os.P_WAIT, child[0], child, {KEYS})",
    f"{CLEARED}; os.spawnv(os.P_WAIT, child[0], child)",
    f"os.execve(child[0], child, {KEYS})",
    f"{CLEARED}; os.execv(child[0], child)",
    f"asyncio.run(asyncio_child({KEYS}))",
    f"{CLEARED}; process = multiprocessing.get_context('spawn').Process(target=ask.ask, args=('one',)); process.start(); process.join()",
])
def test_a_child_with_an_environment_of_its_own_is_answered(program: Program, start: str) -> None:
    recorded = program("import ask; ask.ask('one')")
    recorded.write(f"""
        import asyncio, multiprocessing, os, shlex, subprocess, ask
        child = {CHILD!r}

        async def asyncio_child(env):
            await (await asyncio.create_subprocess_exec(*child, env=env)).wait()

        if __name__ == "__main__":
            {start}
    """)

    code, report = recorded.rerun()

    assert (code, report["outcome"], report["answered_calls"], report["differences"]) == (0, "same", 1, [])


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_a_child_that_would_not_hear_of_the_rerun_is_not_started(program: Program, option: str) -> None:
    recorded = program("import ask; ask.ask('one')")
    recorded.write(f"""
        import subprocess, sys, ask
        ask.ask("one")
        try:
            subprocess.run([sys.executable, {option!r}, "-c", "open('ran', 'w')"])
        except Exception:
            pass
    """)

    code, report = recorded.rerun()

    assert (code, (recorded.folder / "ran").exists()) == (3, False)
    assert f"Python's {option}" in report["said"]


def test_the_server_that_multiprocessing_forks_from_is_not_the_one_before_nor_after(program: Program) -> None:
    recorded = program("import ask; ask.ask('one')")
    recorded.write("""
        import multiprocessing, sys, otel_llm, ask

        def asked():
            with multiprocessing.get_context("forkserver").Pool(1) as pool:
                return pool.map(work, ["one"])

        def work(words):
            try:
                return ask.ask(words)
            except Exception as error:
                return type(error).__name__

        if __name__ == "__main__":
            import os
            url, os.environ["OPENAI_BASE_URL"] = os.environ["OPENAI_BASE_URL"], "http://127.0.0.1:9/v1"
            before = asked()
            with otel_llm.replaying(*sys.argv[1:], check=False) as rerun:
                inside = asked()
            print(before, inside, asked(), rerun.report.outcome)
    """)

    done = subprocess.run([sys.executable, "program.py", *recorded.session_ids], capture_output=True, text=True, env=recorded.env,
                          cwd=recorded.folder, timeout=60)

    assert done.stdout == "['APIConnectionError'] ['one'] ['APIConnectionError'] same\n", done.stderr
    assert recorded.sim.count.total() == recorded.requests


def test_afterwards_processes_are_started_as_before(tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [(os, name) for name in ("execv", "execve", "posix_spawn", "posix_spawnp", "system")]
    places += [(multiprocessing.util, "spawnv_passfds"), (multiprocessing.forkserver, "_forkserver"),
               (multiprocessing.forkserver, "ensure_running"), (subprocess.Popen, "__init__")]
    before = [vars(owner)[name] for owner, name in places]
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with recording(tmp_path), otel_llm.session("s"):
        client.chat.completions.create(**HELLO)

    with pytest.raises(ZeroDivisionError), otel_llm.replaying("s", store=tmp_path):
        os.environ["PYTHONPATH"] = os.pathsep.join(["mine", os.environ["PYTHONPATH"]])
        raise ZeroDivisionError

    assert [vars(owner)[name] for owner, name in places] == before
    assert os.environ["PYTHONPATH"] == "mine"
