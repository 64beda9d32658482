"""Which run a program is answered from, when its session holds several; and what CI gets to read of a rerun."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import otel_llm
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Answer, Simulator, raw
from otel_llm.values.errors import ReplayDiverged
from rerun.programs import environment

PROGRAM = '''
import sys
import openai, otel_llm

otel_llm.init()

@otel_llm.workflow
def ask(question):
    answer = openai.OpenAI(max_retries=0).chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content

with otel_llm.session("user-42"):
    print(*map(ask, sys.argv[1:]))
'''


SEVERAL = PROGRAM.replace('with otel_llm.session("user-42"):\n    print(*map(ask, sys.argv[1:]))', '''
for number, question in enumerate(sys.argv[1:]):
    with otel_llm.session(f"user-{number}"):
        print(ask(question))
''')

WORKERS = '''
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import openai, otel_llm

def ask(question):
    client = openai.OpenAI(max_retries=0)
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: {question}"}])
    return question

def work(question):
    with otel_llm.session("user-42"):
        return ask(question)

if __name__ == "__main__":
    otel_llm.init()
    with otel_llm.session("user-42"), otel_llm.workflow("all"):
        ask("begin")
        with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
            print(*pool.map(work, range(2)))
'''


def answer(content: str) -> Answer:
    """A chat completion that says this."""
    return raw(json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}).encode())


def rerun(store: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "otel_llm.cli", "--store", str(store), "replay", "rerun", *words], timeout=60,
                          capture_output=True, text=True, env=environment(COLUMNS="120"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that uses one session id in all its runs, and its store. Its first run was answered `one`, its second `two`."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "program.py").write_text(PROGRAM)
    with Simulator(plan=[answer("one"), answer("two")]) as sim:
        for said in ("one\n", "two\n"):
            done = subprocess.run([sys.executable, "program.py", "Hello?"], capture_output=True, text=True, timeout=60, cwd=folder,
                                  env=environment(OPENAI_API_KEY="sk-x", OPENAI_BASE_URL=sim.base_url,
                                                  OTEL_LLM_STORE=str(folder / "store")))
            assert (done.returncode, done.stdout) == (0, said), done.stderr
    return folder


@pytest.fixture
def program(tmp_path: Path, recorded: Path) -> list[str]:
    """The command line of that program; a copy of its store is in the test's directory."""
    shutil.copytree(recorded / "store", tmp_path / "store")
    return [sys.executable, str(recorded / "program.py"), "Hello?"]


def traces(store: Path) -> list[str]:
    with SqliteStore(store) as opened:
        return list(dict.fromkeys(step.trace_id for step in opened.steps("user-42")))


class TestSeveralRunsInOneSession:
    def test_all_of_them_are_expected_and_it_is_said_how_to_be_answered_from_one(
        self, tmp_path: Path, program: list[str]
    ) -> None:
        run = rerun(tmp_path / "store", "user-42", "--no-record", "--", *program)

        assert (run.returncode, run.stdout) == (1, "one\n"), run.stderr
        assert run.stderr == (
            "diverged: 1 of 2 calls answered from the recording\n"
            "call 2 (chat gpt-4o-mini) was not asked any more\n"
            "user-42 holds 2 runs of a program: --run 2 answers from the last alone, --run 1 from the first.\n")

    @pytest.mark.parametrize(("number", "said"), [("1", "one\n"), ("2", "two\n"), ("-1", "two\n"), ("-2", "one\n")])
    def test_a_rerun_is_answered_from_the_run_that_is_named(
        self, tmp_path: Path, program: list[str], number: str, said: str
    ) -> None:
        run = rerun(tmp_path / "store", "user-42", "--run", number, "--no-record", "--", *program)

        assert (run.returncode, run.stdout, run.stderr) == (0, said, "same: 1 of 1 call answered from the recording\n")

    @pytest.mark.parametrize("number", ["0", "3", "-3"])
    def test_a_run_that_there_is_not_is_refused(self, tmp_path: Path, program: list[str], number: str) -> None:
        run = rerun(tmp_path / "store", "user-42", "--run", number, "--no-record", "--", *program)

        assert (run.returncode, run.stdout) == (2, "")
        assert run.stderr == f"otel-llm: run {number} is not usable; user-42 holds 2: 1 to 2, or -1 for the last\n"

    def test_a_run_that_made_several_sessions_answers_from_all_of_them(self, tmp_path: Path, sim: Simulator) -> None:
        place = tmp_path / "program.py"
        place.write_text(SEVERAL)
        command = [sys.executable, str(place), "echo: a", "echo: b", "echo: c"]
        for _ in range(2):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(
                OPENAI_API_KEY="sk-x", OPENAI_BASE_URL=sim.base_url, OTEL_LLM_STORE=str(tmp_path / "store")))
            assert (done.returncode, done.stdout) == (0, "a\nb\nc\n"), done.stderr
        with SqliteStore(tmp_path / "store") as store:
            first, second = store.runs("user-1")
            assert [run.session_ids for run in (first, second)] == [("user-1", "user-0", "user-2")] * 2
            assert (len(first.span_ids), len(second.span_ids), first.span_ids & second.span_ids) == (6, 6, frozenset())
            assert first.start_ns < first.end_ns < second.start_ns < second.end_ns

        one = rerun(tmp_path / "store", "user-1", "--no-record", "--", *command)
        run = rerun(tmp_path / "store", "user-1", "--run", "-1", "--no-record", "--", *command)

        assert one.returncode == 1
        assert (run.returncode, run.stdout) == (0, "a\nb\nc\n"), run.stderr
        assert run.stderr == "same: 3 of 3 calls answered from the recording\n"

    def test_a_fork_is_answered_from_all_of_a_run_and_counts_its_calls(self, tmp_path: Path, sim: Simulator) -> None:
        place = tmp_path / "program.py"
        place.write_text(SEVERAL)
        command = [sys.executable, str(place), "echo: a", "echo: b", "echo: c"]
        env = environment(OPENAI_API_KEY="sk-x", OPENAI_BASE_URL=sim.base_url, OTEL_LLM_STORE=str(tmp_path / "store"))
        subprocess.run(command, check=True, timeout=60, env=env)
        before = sim.count.total()

        run = subprocess.run([sys.executable, "-m", "otel_llm.cli", "replay", "fork", "user-1:1", "--run", "1", "--model", "gpt-4.1",
                              "--", *command], timeout=60, capture_output=True, text=True, env=env)

        assert (run.returncode, run.stdout) == (0, "a\nb\nc\n"), run.stderr
        assert "From call 2 of 3 on the program runs live." in run.stderr
        assert "forked: 1 of 3 calls answered from the recording, 2 live\n" in run.stderr
        assert [json.loads(e.request_body)["model"] for e in sim.exchanges[before:]] == ["gpt-4.1", "gpt-4.1"]

    def test_a_session_that_is_less_than_its_run_says_how_to_be_answered_from_all_of_it(self, tmp_path: Path, sim: Simulator) -> None:
        place = tmp_path / "program.py"
        place.write_text(SEVERAL)
        command = [sys.executable, str(place), "echo: a", "echo: b"]
        subprocess.run(command, check=True, timeout=60, env=environment(
            OPENAI_API_KEY="sk-x", OPENAI_BASE_URL=sim.base_url, OTEL_LLM_STORE=str(tmp_path / "store")))

        run = rerun(tmp_path / "store", "user-1", "--no-record", "--", *command)

        assert run.returncode == 1
        assert run.stderr.endswith(
            "The run of the program that recorded user-1 made 1 more session: --run 1 answers from all of it.\n")

    def test_processes_that_were_at_work_at_the_same_time_are_one_run(self, tmp_path: Path, sim: Simulator) -> None:
        place = tmp_path / "program.py"
        place.write_text(WORKERS)
        command = [sys.executable, str(place)]
        for _ in range(2):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(
                OPENAI_API_KEY="sk-x", OPENAI_BASE_URL=sim.base_url, OTEL_LLM_STORE=str(tmp_path / "store")))
            assert (done.returncode, done.stdout) == (0, "0 1\n"), done.stderr

        run = rerun(tmp_path / "store", "user-42", "--run", "2", "--no-record", "--", *command)

        assert (run.returncode, run.stdout) == (0, "0 1\n"), run.stderr
        assert run.stderr == "same: 3 of 3 calls answered from the recording\n"

    def test_a_rerun_is_answered_from_the_trace_that_is_named(self, tmp_path: Path, program: list[str]) -> None:
        first, second = traces(tmp_path / "store")

        for named, said in ((first, "one\n"), (second[:10], "two\n")):
            run = rerun(tmp_path / "store", named, "--no-record", "--", *program)

            assert (run.returncode, run.stdout) == (0, said), run.stderr
            assert run.stderr == "same: 1 of 1 call answered from the recording\n"

    def test_several_traces_make_one_recording(self, tmp_path: Path, program: list[str]) -> None:
        first, second = traces(tmp_path / "store")

        run = rerun(tmp_path / "store", first, "--with", second, "--no-record", "--", *program, "Hello?")

        assert (run.returncode, run.stdout) == (0, "one two\n"), run.stderr

    def test_python_names_traces_too(self, tmp_path: Path, program: list[str]) -> None:
        import openai

        def ask() -> str | None:
            client = openai.OpenAI(base_url="https://nowhere.invalid/v1", api_key="sk-x")
            said = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello?"}])
            return said.choices[0].message.content

        second = traces(tmp_path / "store")[1]
        with otel_llm.replaying(second, store=tmp_path / "store") as rerun:
            assert ask() == "two"

        assert (rerun.report.outcome, rerun.report.session_ids, rerun.report.recorded_calls) == ("same", ("user-42",), 1)
        assert (rerun.questions, rerun.arguments("ask"), rerun.arguments("no-such-step")) == (["Hello?"], [{"question": "Hello?"}], [])
        with pytest.raises(ReplayDiverged, match="asked once more than it was recorded"):
            with otel_llm.replaying(second, store=tmp_path / "store"):
                ask()
                ask()


class TestForCI:
    def test_junit_has_a_case_for_each_session_and_says_how_it_went(self, tmp_path: Path, program: list[str]) -> None:
        file = tmp_path / "rerun.xml"
        second = traces(tmp_path / "store")[1]

        same = rerun(tmp_path / "store", second, "--no-record", "--junit", str(file), "--", *program)

        root = ET.fromstring(file.read_text())
        assert (same.returncode, root.attrib) == (0, {"name": "otel-llm", "tests": "1", "failures": "0", "errors": "0", "skipped": "0"})
        other = rerun(tmp_path / "store", second, "--no-record", "--junit", str(file), "--", *program[:-1], "Bye\x1b[31m?")
        root = ET.fromstring(file.read_text())
        (case,) = root.iter("testcase")
        failure = case.find("failure")
        assert other.returncode == 1 and failure is not None
        assert (root.get("failures"), case.get("name"), failure.get("type")) == ("1", "user-42", "diverged")
        assert failure.get("message") == "diverged: 0 of 1 call answered from the recording, 1 call not reached"
        assert failure.text == (
            "call 1 (chat gpt-4o-mini) asks something else\n"
            '  messages.0.content: "Hello?" → "Bye\\u001b[31m?"')

    def test_junit_on_standard_output_has_it_alone(self, tmp_path: Path, program: list[str]) -> None:
        second = traces(tmp_path / "store")[1]

        run = rerun(tmp_path / "store", second, "--no-record", "--junit", "-", "--", *program)
        both = rerun(tmp_path / "store", second, "--no-record", "--junit", "-", "--json", "--", *program)

        assert (run.returncode, ET.fromstring(run.stdout).get("tests")) == (0, "1") and run.stderr.startswith("two\n")
        assert (both.returncode, both.stdout) == (2, "")
        assert both.stderr == "otel-llm: --json and --junit - would both write to standard output; give one of them a file.\n"

    def test_a_host_that_was_held_off_is_named_in_every_report_of_a_rerun_that_is_the_same(
        self, tmp_path: Path, program: list[str]
    ) -> None:
        """A library that phones home, and lives with it when it cannot, does not make a program another one."""
        place, file, second = Path(program[1]), tmp_path / "rerun.xml", traces(tmp_path / "store")[1]
        place.write_text(place.read_text() + """
import contextlib, socket
with contextlib.suppress(OSError):
    socket.create_connection(("telemetry.invalid", 443))
""")
        said = "Held off the network: telemetry.invalid (--allow-host lets the program reach a host)."

        terminal = rerun(tmp_path / "store", second, "--no-record", "--junit", str(file), "--", *program)
        as_json = rerun(tmp_path / "store", second, "--no-record", "--json", "--", *program)
        on_github = rerun(tmp_path / "store", second, "--no-record", "--github", "--", *program)

        assert (terminal.returncode, as_json.returncode, on_github.returncode) == (0, 0, 0)
        assert said in terminal.stderr
        assert (json.loads(as_json.stdout)["outcome"], json.loads(as_json.stdout)["held_off"]) == ("same", ["telemetry.invalid"])
        assert [found.text for found in ET.fromstring(file.read_text()).iter("system-out")] == [said]
        assert on_github.stdout.splitlines() == [
            f"::notice title=rerun of user-42::same: 1 of 1 call answered from the recording%0A{said}"]

    def test_github_gets_an_annotation_for_each_difference_and_obeys_nothing_that_was_captured(
        self, tmp_path: Path, program: list[str]
    ) -> None:
        second = traces(tmp_path / "store")[1]

        run = rerun(tmp_path / "store", second, "--no-record", "--github", "--", *program[:-1], "Bye?\n::warning::gotcha")

        assert run.returncode == 1
        commands = [line for line in run.stdout.splitlines() if line.startswith("::")]
        assert commands == [
            "::error title=user-42::call 1 (chat gpt-4o-mini) asks something else%0A"
            '  messages.0.content: "Hello?" → "Bye?\\n::warning::gotcha"',
            "::error title=rerun of user-42::diverged: 0 of 1 call answered from the recording, 1 call not reached"]

    def test_a_report_that_cannot_be_written_is_refused_before_the_program_begins(self, tmp_path: Path, program: list[str]) -> None:
        run = rerun(tmp_path / "store", "user-42", "--junit", str(tmp_path / "nowhere" / "x.xml"), "--", *program)

        assert (run.returncode, run.stdout) == (2, "")
        assert "--junit" in run.stderr
