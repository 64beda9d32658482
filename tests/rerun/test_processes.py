"""A program of several processes, and processes that end in a hard way: what is reported of them is what they did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import venv
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from otel_llm._replaying import NO_KEY
from otel_llm.replay.rerun.account import Account
from otel_llm.replay.rerun.player import Rerun
from otel_llm.replay.rerun.recording import load
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.session import Filter
from rerun.programs import Program, environment
from support.backends import eventually
from support.recording import recording


def test_processes_side_by_side_that_ask_the_same_get_one_answer_each(program: Program) -> None:
    recorded = program("""
        import subprocess, sys
        children = [subprocess.Popen([sys.executable, "-c", "import ask; print(ask.ask('same'))"]) for _ in range(3)]
        assert [child.wait() for child in children] == [0, 0, 0]
    """)

    code, report = recorded.rerun()

    assert (code, report["outcome"], report["answered_calls"], report["differences"]) == (0, "same", 3, [])


ANSWER = """
import sys, traceback, ask

def answer(words):
    return ask.ask(words)

"""


def shown(program: Program, code: str) -> tuple[int, list[str]]:
    """The exit code of a rerun that asks something else, and the functions in tracebacks that were printed: of others than the
    program `below`."""
    recorded = program(ANSWER + 'answer("one")')
    recorded.write(ANSWER + code)
    done = recorded.terminal("replay", "rerun", recorded.session_ids[0], "--no-record", "--", sys.executable, "program.py")
    assert "\ncall 1 (chat gpt-4o-mini) asks something else" in done.stderr
    places = [line.split('"') for line in done.stderr.splitlines() if line.strip().startswith('File "')]
    return done.returncode, [rest.rpartition(" ")[2] if Path(place).parent == recorded.folder else "below" for _, place, rest in places]


class TestTheTracebackOfAProgramThatWasStopped:
    @pytest.mark.parametrize("hook", ["", "before = sys.excepthook\nsys.excepthook = lambda *error: before(*error)\n"])
    def test_ends_where_the_program_asked(self, program: Program, hook: str) -> None:
        assert shown(program, hook + 'answer("two")') == (1, ["<module>", "answer", "ask"])

    @pytest.mark.parametrize("code", [
        "try:\n    answer('two')\nexcept Exception:\n    traceback.print_exc()",
        "sys.excepthook = traceback.print_exception\nanswer('two')"], ids=["caught", "hook of its own"])
    def test_is_whole_where_the_program_looks_at_it(self, program: Program, code: str) -> None:
        _, places = shown(program, code)

        assert (places[:3], places[-1]) == (["<module>", "answer", "ask"], "below")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_are_answered_and_reported(program: Program, method: str) -> None:
    recorded = program(f"""
        import multiprocessing, ask
        if __name__ == "__main__":
            ask.ask("parent")
            with multiprocessing.get_context("{method}").Pool(2) as pool:
                print(pool.map(ask.ask, ["a", "b", "c", "d"], chunksize=1))
            ask.ask("parent again")
    """)

    code, report = recorded.rerun()

    assert "outcome" in report, report
    assert (code, report["outcome"], report["answered_calls"], report["differences"]) == (0, "same", 6, [])


def test_a_fork_does_not_wait_for_a_thread_that_it_does_not_have(tmp_path: Path) -> None:
    class Slow(Account):
        def claim(self, name: str) -> bool:
            if threading.current_thread() is not threading.main_thread():
                asking.set()
                go_on.wait(10)
            return super().claim(name)

    @otel_llm.tool
    def double(number: int) -> int:
        return number * 2

    asking, go_on = threading.Event(), threading.Event()
    with recording(tmp_path), otel_llm.session("s"):
        double(1)
        double(1)
    with SqliteStore(tmp_path) as store:
        rerun = Rerun(load(store, ["s"]), Slow(tmp_path))
    thread = threading.Thread(target=rerun.step, args=("tool", "double", b'{"number":1}', ()))
    thread.start()
    assert asking.wait(10)

    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        os._exit(0 if rerun.step("tool", "double", b'{"number":1}', ()) is not None else 1)
    status = os.waitpid(pid, 0)[1]

    go_on.set()
    thread.join()
    assert status == 0


def test_a_process_that_outlives_the_rerun_is_answered_no_more(program: Program) -> None:
    recorded = program("import ask; ask.ask('one'); ask.ask('two')")
    recorded.write("""
        import ask, os, sys
        ask.ask("one")
        if os.fork():
            sys.exit()
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        while os.path.exists(os.path.dirname(os.environ["OTEL_LLM_REPLAY_PLAN"])):
            pass
        try:
            ask.ask("two")
        except Exception as error:
            with open("caught.part", "w") as out:
                out.write(type(error).__name__)
            os.rename("caught.part", "caught")
    """)

    recorded.rerun()

    eventually((recorded.folder / "caught").exists)
    assert (recorded.folder / "caught").read_text() == "NotReplayable"


def test_a_difference_in_a_child_that_was_answered_nothing_is_reported(program: Program) -> None:
    code = """
        import subprocess, sys, ask
        ask.ask("one")
        subprocess.run([sys.executable, "-c", {child!r}], stderr=subprocess.DEVNULL)
    """
    recorded = program(code.format(child="pass"))
    recorded.write(code.format(child="import ask; ask.ask('one'); ask.ask('two')"))

    status, report = recorded.rerun()

    assert (status, report["outcome"]) == (1, "diverged")
    assert [difference["kind"] for difference in report["differences"]] == ["extra"]
    assert "asked once more" in report["differences"][0]["note"]


@pytest.mark.parametrize(("end", "expected"), [
    ("os._exit(0)", (0, "same", 2, [])),
    ("os.kill(os.getpid(), 9)", (1, "regressed", 2, ["program"]))])
def test_a_program_that_ends_without_a_word_is_judged_by_what_it_did(program: Program, end: str, expected: Any) -> None:
    recorded = program("import ask; ask.ask('one'); ask.ask('two')")
    recorded.write(f"import ask, os; ask.ask('one'); ask.ask('two'); {end}")

    code, report = recorded.rerun()

    assert (code, report["outcome"], report["answered_calls"], [d["kind"] for d in report["differences"]]) == expected


def test_a_program_that_ends_without_a_word_and_asks_nothing_has_diverged(program: Program) -> None:
    recorded = program("import ask; ask.ask('one')")
    recorded.write("import os; os._exit(0)")

    code, report = recorded.rerun()

    assert (code, [(d["kind"], d["label"]) for d in report["differences"]]) == (1, [("unasked", "call 1 (chat gpt-4o-mini)")])


def test_what_no_process_asked_is_named_once(program: Program) -> None:
    code = """
        import subprocess, sys, ask
        [ask.ask(words) for words in {parent!r}]
        subprocess.run([sys.executable, "-c", "import ask; [ask.ask(words) for words in {child!r}]"], check=True)
    """
    recorded = program(code.format(parent=["a", "b"], child=["c", "d"]))
    recorded.write(code.format(parent=["a"], child=["c"]))

    status, report = recorded.rerun()

    assert (status, report["answered_calls"]) == (1, 2)
    assert sorted((d["kind"], d["label"]) for d in report["differences"]) == [
        ("unasked", "call 2 (chat gpt-4o-mini)"), ("unasked", "call 4 (chat gpt-4o-mini)")]


class TestNothingRunsUnanswered:
    """Where the rerun cannot begin, the program does not begin either: it would call a provider."""

    def test_in_an_interpreter_without_otel_llm(self, program: Program, tmp_path: Path) -> None:
        recorded = program("import ask; ask.ask('one')")
        venv.create(tmp_path / "bare", symlinks=True)
        recorded.write("open('ran', 'w')")

        code, report = recorded.rerun(python=str(tmp_path / "bare/bin/python"))

        assert (code, (tmp_path / "ran").exists()) == (3, False), report

    @pytest.mark.parametrize("more", [{"OTEL_LLM_REPLAY_PLAN": "/no/such/plan"}, {"OTEL_LLM_REPLAY_PLAN": "{folder}"},
                                      {"OTEL_LLM_REPLAY_PLAN": "/no/such/plan", "OTEL_LLM_SEED": "²"}])
    def test_without_a_plan_that_can_be_read(self, tmp_path: Path, more: dict[str, str]) -> None:
        auto = Path(otel_llm.__file__).parent / "_auto"
        env = environment(PYTHONPATH=str(auto), OTEL_LLM_STORE=str(tmp_path / "store"),
                          **{name: value.format(folder=tmp_path) for name, value in more.items()})

        done = subprocess.run([sys.executable, "-c", "print('ran')"], env=env, capture_output=True, text=True)

        assert (done.returncode, done.stdout) == (3, "")
        assert "cannot be rerun" in done.stderr


def test_a_cap_on_live_calls_is_one_for_all_processes(program: Program) -> None:
    code = """
        import subprocess, sys
        for _ in range(2):
            subprocess.run([sys.executable, "-c", "import ask; ask.ask({words!r})"], stderr=subprocess.DEVNULL)
    """
    recorded = program(code.format(words="one"))
    recorded.write(code.format(words="two"))

    done = recorded.terminal("replay", "fork", recorded.session_ids[0], "--max-calls", "1", "--yes", "--json", "--",
                             sys.executable, "program.py")

    assert json.loads(done.stdout)["live_calls"] == 1, done.stderr
    assert recorded.sim.count.total() == recorded.requests + 1


class TestInPython:
    """The processes that are started inside `otel_llm.replaying()`."""

    CODE = """
        import multiprocessing, os, subprocess, sys
        import otel_llm, ask

        def children(method):
            if method == "subprocess":
                subprocess.run([sys.executable, "-c", "import ask; ask.ask('one'); ask.ask('two')"], check=True)
                return
            with multiprocessing.get_context(method).Pool(1) as pool:
                pool.map(ask.ask, ["one", "two"])

        if __name__ == "__main__":
            environ = dict(os.environ)
            with otel_llm.replaying(*sys.argv[2:], check=False) as rerun:
                children(sys.argv[1])
            print(rerun.report.outcome, rerun.report.answered_calls, len(rerun.report.differences), dict(os.environ) == environ)
    """

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "subprocess"])
    def test_are_answered_and_reported(self, program: Program, method: str) -> None:
        recorded = program("import ask; ask.ask('one'); ask.ask('two')")
        recorded.write(self.CODE)

        done = subprocess.run([sys.executable, "program.py", method, *recorded.session_ids], capture_output=True, text=True,
                              env=recorded.env, cwd=recorded.folder, timeout=60)

        assert done.stdout == "same 2 0 True\n", done.stderr
        assert recorded.sim.count.total() == recorded.requests
        with SqliteStore(recorded.folder / "store") as store:
            assert [row.session_id for row in store.sessions(Filter())] == recorded.session_ids

    def test_call_nobody_where_nothing_is_recorded(self, program: Program) -> None:
        recorded = program("import ask; ask.ask('one')")
        recorded.write(self.CODE)

        done = subprocess.run([sys.executable, "program.py", "spawn", *recorded.session_ids], capture_output=True, text=True,
                              env=recorded.env, cwd=recorded.folder, timeout=60)

        assert "ReplayDiverged" in done.stderr
        assert recorded.sim.count.total() == recorded.requests


def test_the_placeholder_of_a_key_goes_into_no_live_program(program: Program) -> None:
    recorded = program("import ask; ask.ask('one')")
    recorded.write("import os; print(os.environ.get('OPENAI_API_KEY'))")
    recorded.env["OPENAI_API_KEY"] = NO_KEY
    session_id = recorded.session_ids[0]

    seen = [recorded.terminal("replay", *words, session_id, "--yes", "--", sys.executable, "program.py").stdout
            for words in (["fork"], ["rerun", "--policy", "record-new"])]

    assert seen == ["None\n", "None\n"]


def test_a_fork_of_local_calls_that_nobody_confirmed_goes_nowhere_else(program: Program) -> None:
    recorded = program("import ask; ask.ask('one')")
    recorded.env["OPENAI_BASE_URL"] = "https://nowhere.invalid/v1"

    done = recorded.terminal("replay", "fork", recorded.session_ids[0], "--at", "1", "--", sys.executable, "program.py")

    assert done.returncode == 1
    assert "Stopped at a call to https://nowhere.invalid" in done.stderr


def test_a_fork_of_local_calls_that_nobody_confirmed_opens_the_network_for_this_machine_alone(program: Program) -> None:
    recorded = program("import ask; ask.ask('one')")
    recorded.write("""
        import ask, socket, sys
        ask.ask("one")
        try:
            socket.create_connection(("192.0.2.1", 443), 0.1)
        except OSError as error:
            print(type(error).__name__)
    """)

    said = [recorded.terminal("replay", "fork", recorded.session_ids[0], "--at", "1", *more, "--", sys.executable, "program.py")
            for more in ([], ["--yes"])]

    assert [(done.returncode, done.stdout == "NetworkBlocked\n") for done in said] == [(0, True), (0, False)]
    assert recorded.sim.count.total() == recorded.requests + 2


def test_the_session_of_a_program_that_starts_over_is_answered_still(program: Program) -> None:
    """`otel_llm.shutdown()` and `init()`, as a test suite has them around each test."""
    recorded = program("""
        import ask, otel_llm
        for words in ("one", "two"):
            otel_llm.init()
            with otel_llm.session("s"):
                print(ask.ask(words))
            otel_llm.shutdown()
    """)

    code, report = recorded.rerun()

    assert (code, report["outcome"], report["answered_calls"]) == (0, "same", 2)


def test_a_fork_that_leaves_the_block_takes_nothing_from_its_parent(program: Program) -> None:
    recorded = program("import ask; ask.ask('one'); ask.ask('two')")
    recorded.write("""
        import os, sys, otel_llm, ask
        with otel_llm.replaying(*sys.argv[1:], check=False) as rerun:
            pid = os.fork()
            if not pid:
                ask.ask("one")
                sys.exit()
            os.waitpid(pid, 0)
            ask.ask("two")
        place = rerun._account._folder
        print(rerun.report.outcome, rerun.report.answered_calls, place.exists())
    """)

    done = subprocess.run([sys.executable, "program.py", *recorded.session_ids], capture_output=True, text=True,
                          env=recorded.env, cwd=recorded.folder, timeout=60)

    assert done.stdout == "same 2 False\n", done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_rerun_that_is_told_to_end_takes_its_program_and_its_files_with_it(program: Program, number: signal.Signals) -> None:
    recorded = program("import ask; ask.ask('one')")
    recorded.write("import ask, signal; ask.ask('one'); print('asked', flush=True); signal.pause()")
    (recorded.folder / "tmp").mkdir()
    with subprocess.Popen([sys.executable, "-m", "otel_llm.cli", "replay", "rerun", recorded.session_ids[0], "--no-record", "--",
                           sys.executable, "program.py"], env={**recorded.env, "TMPDIR": str(recorded.folder / "tmp")},
                          cwd=recorded.folder, stdout=subprocess.PIPE, text=True) as terminal:
        assert terminal.stdout is not None
        asked = terminal.stdout.readline()

        terminal.send_signal(number)
        rest = terminal.stdout.read()  # the program has it open until it ends

    assert (asked, rest, terminal.returncode) == ("asked\n", "", 128 + number)
    assert list((recorded.folder / "tmp").iterdir()) == []
