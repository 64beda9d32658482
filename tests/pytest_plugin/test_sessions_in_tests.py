"""Tests of programs, in projects of their own: recorded once against a provider on loopback, then run against their sessions."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

import otel_llm
from otel_llm.pytest_plugin.marked import file_name
from otel_llm.store.sqlite import SqliteStore
from otel_llm.transfer import session_file
from otel_llm.values.session import Filter
from pytest_plugin.projects import HEAD, Project

openai = pytest.importorskip("openai", reason="the openai SDK is not installed")
pytest_plugins = "pytester"

ROOT = Path(__file__).parent.parent.parent

ONE = """
@pytest.fixture
def first():
    return ask("one")


@pytest.mark.otel_llm_session
def test_a(first):
    assert double(first) == "oneone"
    assert ask(os.environ.get("TEXT", "two")) == os.environ.get("SAYS", "two")
"""


class TestATest:
    def test_is_recorded_once_and_then_runs_offline_with_its_fixtures(self, project: Project) -> None:
        project.tests(ONE)

        recorded = project.live("--otel-llm-record")
        requests = project.sim.count.total()
        rerun = project.offline()

        assert recorded.ret == rerun.ret == 0
        recorded.stdout.fnmatch_lines(["otel-llm: recorded sessions/test_a.session"])
        assert b'"counts": {"sessions": 3, "steps": 3, "replays": 0}' in project.file("test_a").read_bytes()
        assert (requests, project.sim.count.total()) == (2, 2)
        assert "OPENAI_API_KEY" not in os.environ

    def test_without_a_file_says_how_to_record_it(self, project: Project) -> None:
        project.tests(ONE)

        done = project.live()

        done.assert_outcomes(errors=1)
        done.stdout.fnmatch_lines(["sessions/test_a.session is not there. Record it: pytest test_agent.py::test_a --otel-llm-record"])
        assert project.sim.count.total() == 0

    def test_that_asks_something_else_fails_with_the_report_and_its_place(self, project: Project) -> None:
        project.tests(ONE)
        project.live("--otel-llm-record")
        project.patch.setenv("TEXT", "three")

        done = project.offline()

        done.assert_outcomes(failed=1)
        done.stdout.fnmatch_lines([
            "*_ test_a _*",
            "diverged: 1 of 2 calls answered from the recording, 1 tool answered, 1 call not reached",
            "call 2 (chat gpt-4o-mini) asks something else",
            '  messages.0.content: "echo: two" → "echo: three"',
            "",
            "Recorded in sessions/test_a.session.",
            "At agent.py:12, in ask.",
            "Where the change is meant: pytest test_agent.py::test_a --otel-llm-record=all"], consecutive=True)
        done.stdout.no_fnmatch_line("*Traceback*")

    def test_that_catches_the_difference_fails_all_the_same(self, project: Project) -> None:
        project.tests("""
            @pytest.mark.otel_llm_session
            def test_a():
                try:
                    ask(os.environ.get("TEXT", "two"))
                except Exception:
                    pass
            """.replace("\n            ", "\n"))
        project.live("--otel-llm-record")
        project.patch.setenv("TEXT", "three")

        done = project.offline()

        done.assert_outcomes(failed=1)
        done.stdout.fnmatch_lines(["diverged: 0 of 1 call *", "*asks something else"])

    def test_that_fails_by_itself_shows_its_own_failure(self, project: Project) -> None:
        project.tests(ONE)
        project.live("--otel-llm-record")
        project.patch.setenv("SAYS", "zwei")

        done = project.offline()

        done.assert_outcomes(failed=1)
        done.stdout.fnmatch_lines(["E       AssertionError: assert 'two' == 'zwei'"])
        done.stdout.no_fnmatch_line("*diverged*")

    def test_that_fails_by_itself_after_a_difference_shows_both(self, project: Project) -> None:
        project.tests(ONE.replace("_session\n", "_session(policy='lenient')\n"))
        project.live("--otel-llm-record")
        project.patch.setenv("TEXT", "three")
        project.patch.setenv("SAYS", "three")

        done = project.offline()

        done.stdout.fnmatch_lines(["E       AssertionError: assert 'two' == 'three'", "*Captured by otel-llm call*", "diverged: 2 of 2 *",
                                   '  messages.0.content: "echo: two" → "echo: three"'])

    def test_whose_fixture_asks_something_else_is_an_error_with_the_report(self, project: Project) -> None:
        project.tests(ONE.replace('ask("one")', 'ask(os.environ.get("FIRST", "one"))'))
        project.live("--otel-llm-record")
        project.patch.setenv("FIRST", "eins")

        done = project.offline()

        done.assert_outcomes(errors=1)
        done.stdout.fnmatch_lines(["*ERROR at setup of test_a*", "call 1 (chat gpt-4o-mini) asks something else", "  messages.0.content*",
                                   "", "Recorded in sessions/test_a.session.", "At agent.py:12, in ask."])

    def test_lets_nothing_out_in_its_teardown(self, project: Project) -> None:
        project.tests("""
@pytest.fixture
def closing():
    yield
    if "CLOSE" in os.environ:
        ask("bye")

@pytest.mark.otel_llm_session
def test_a(closing):
    ask("one")
""")
        project.live("--otel-llm-record")
        project.patch.setenv("CLOSE", "1")

        done = project.offline()

        done.assert_outcomes(passed=1, errors=1)
        done.stdout.fnmatch_lines(["*ERROR at teardown of test_a*", "*is not in the recording*"])

    def test_leaves_fixtures_of_a_wider_scope_their_network(self, project: Project) -> None:
        project.tests(f"""
import urllib.request

@pytest.fixture(scope="session", autouse=True)
def server():
    assert urllib.request.urlopen("{project.sim.base_url}/models").status == 200
    yield
    assert urllib.request.urlopen("{project.sim.base_url}/models").status == 200

@pytest.fixture(autouse=True)
def mine():
    yield
    with pytest.raises(OSError, match="network is closed"):
        urllib.request.urlopen("{project.sim.base_url}/models")

@pytest.mark.otel_llm_session("{Path(__file__).parent.parent / 'rerun' / 'golden' / '0.1' / 'agent.session'}")
def test_a(server, tmp_path):
    with pytest.raises(OSError, match="network is closed"):
        urllib.request.urlopen("{project.sim.base_url}/models")
    pytest.skip("nothing was asked")
""")

        project.offline().assert_outcomes(skipped=1)

    def test_may_be_a_method_of_a_test_case(self, project: Project) -> None:
        project.tests("""
import unittest

class TestIt(unittest.TestCase):
    @pytest.mark.otel_llm_session
    def test_a(self):
        self.assertEqual(ask("one"), "one")
""")

        project.live("--otel-llm-record").assert_outcomes(passed=1)
        project.offline().assert_outcomes(passed=1)

    def test_may_be_async(self, project: Project) -> None:
        pytest.importorskip("anyio", reason="anyio brings a plugin for async tests")
        project.tests("""
import asyncio

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
@pytest.mark.otel_llm_session
async def test_a():
    async with openai.AsyncOpenAI(max_retries=0) as client:
        async def one(number):
            found = await client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: {number}{os.environ.get('TEXT', '')}"}])
            return found.choices[0].message.content
        assert await asyncio.gather(*map(one, range(3))) == ["0", "1", "2"]
""")

        assert project.live("--otel-llm-record").ret == 0
        assert project.offline().ret == 0
        project.patch.setenv("TEXT", "!")
        project.offline().stdout.fnmatch_lines(["diverged: 0 of 3 calls*"])

    def test_that_is_skipped_needs_no_file_and_a_failure_may_be_expected(self, project: Project) -> None:
        project.tests("""
@pytest.mark.skip
@pytest.mark.otel_llm_session
def test_skipped():
    pass

@pytest.mark.otel_llm_session
def test_skips_itself():
    ask("one")
    if "SKIP" in os.environ:
        pytest.skip("not today")
    ask("two")

@pytest.mark.xfail(strict=True)
@pytest.mark.otel_llm_session
def test_expected():
    ask("one" if "SKIP" not in os.environ else "eins")
    assert "SKIP" in os.environ or not os.environ.get("RECORDING")
""")
        project.live("--otel-llm-record", "-k", "not expected")
        project.file("test_skips_itself").rename(project.file("test_expected"))
        project.live("--otel-llm-record", "-k", "itself")
        project.patch.setenv("SKIP", "1")

        project.offline().assert_outcomes(skipped=2, xfailed=1)


class TestTheMarker:
    def test_takes_a_file_by_the_folder_of_the_test_and_a_session_of_the_store(self, project: Project) -> None:
        (project.path / "deep").mkdir()
        store = project.path / "store"
        body = HEAD + "from pathlib import Path\n" + """
@pytest.mark.otel_llm_session("one.session")
def test_file():
    ask("one")

@pytest.mark.otel_llm_session(Path("..") / "two.session")
def test_path():
    ask("one")

@pytest.mark.otel_llm_session("ticket-17")
def test_id():
    ask("one")
"""
        (project.path / "deep" / "test_agent.py").write_text(body)
        project.live("--otel-llm-record", "-k", "not id")
        with SqliteStore(store) as opened, opened.importing() as intake:
            data = (project.path / "deep" / "one.session").read_bytes()
            inferred = session_file.read(data, "x").session_ids[0]
            session_file.take_in(session_file.read(data.replace(inferred.encode(), b"ticket-17"), "x"), intake)
        project.patch.setenv("OTEL_LLM_STORE", str(store))

        project.offline().assert_outcomes(passed=3)
        assert (project.path / "two.session").exists()

    def test_takes_the_rules_of_replaying(self, project: Project) -> None:
        project.tests("""
RAN = []

@otel_llm.tool
def count():
    RAN.append(1)
    return "x"

@pytest.mark.otel_llm_session(live_tools=["count"], speed="instant", seed=7)
def test_a(otel_llm_rerun):
    import uuid
    ask(str(uuid.uuid4()))
    count()
    assert len(RAN) == 1
""")
        project.live("--otel-llm-record")

        project.offline().assert_outcomes(passed=1)

    def test_takes_a_single_name_where_it_takes_several(self, project: Project) -> None:
        project.tests(f"""
import urllib.request
RAN = []

@otel_llm.tool
def count():
    RAN.append(1)

@pytest.mark.otel_llm_session(live_tools="count", allow_hosts="127.0.0.1", ignore="metadata.run")
def test_a():
    ask("one", metadata={{"run": os.environ.get("RUN", "1")}})
    count()
    assert RAN == [1]
    assert urllib.request.urlopen("{project.sim.base_url}/models").status == 200
""")
        project.live("--otel-llm-record").assert_outcomes(passed=1)
        project.patch.setenv("RUN", "2")

        project.offline().assert_outcomes(passed=1)

    @pytest.mark.parametrize(("marker", "said"), [
        ("(polcy='strict')", "otel_llm_session has no argument 'polcy'; arguments are policy, live_tools, *"),
        ("(3)", "otel_llm_session(3,) names no session: give files (NAME.session) or ids"),
        ("(policy='loose')", "policy 'loose' is not usable; good values: strict, lenient, record-new"),
        ("('a.session', 'b.session')", "b.session is not there. It is one of several, so record it with `otel-llm run` *"),
        ("('a.session', 'nope')", "*a.session is a file, and nope a session of the store*"),
    ])
    def test_that_makes_no_sense_is_an_error(self, project: Project, marker: str, said: str) -> None:
        project.tests(f"@pytest.mark.otel_llm_session{marker}\ndef test_a():\n    pass\n")
        golden = Path(__file__).parent.parent / "rerun" / "golden" / "0.1" / "agent.session"
        for place in (project.path / "a.session", project.file("test_a")):
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(golden.read_bytes())

        done = project.offline()

        done.assert_outcomes(errors=1)
        done.stdout.fnmatch_lines([said])

    @pytest.mark.parametrize(("rule", "said"), [
        ("policy='loose'", "policy 'loose' is not usable; good values: strict, lenient, record-new"),
        ("policy=['strict']", "policy ['strict'] is not usable; good values: *"),
        ("speed='slow'", "speed 'slow' is not usable; good values: instant, recorded"),
        ("ignore=['user.']", "*ignore 'user.' names no field; good: user, metadata.run_id, messages.*.name")])
    def test_with_a_rule_that_cannot_be_used_is_an_error_before_it_is_recorded(self, project: Project, rule: str, said: str) -> None:
        project.tests(f"@pytest.mark.otel_llm_session({rule})\ndef test_a():\n    ask('one')\n")

        done = project.live("--otel-llm-record")

        done.assert_outcomes(errors=1)
        done.stdout.fnmatch_lines([said.replace("[", "[[]", 1)])
        assert (project.sim.count.total(), project.file("test_a").exists()) == (0, False)

    def test_on_a_broken_file_says_what_is_wrong_with_it(self, project: Project) -> None:
        project.tests(ONE)
        project.live("--otel-llm-record")
        project.file("test_a").write_bytes(project.file("test_a").read_bytes().replace(b'"steps": 3', b'"steps": 4'))

        done = project.offline()

        done.assert_outcomes(errors=1)
        done.stdout.fnmatch_lines(["*test_a.session: it cannot be used: it has 3 steps, and counts.steps says 4; *"])
        report, _, _ = str(done.stdout).partition("short test summary info")  # which repeats it whole where CI is set
        assert report.count("it has 3 steps") == 1

    def test_gives_every_parametrised_test_and_every_class_a_file(self, project: Project) -> None:
        project.tests("""
class TestIt:
    @pytest.mark.otel_llm_session
    @pytest.mark.parametrize("word", ["a/b", "..", "x y"])
    def test_a(self, word):
        ask(word)
""")

        project.live("--otel-llm-record")

        assert sorted(path.name for path in (project.path / "sessions").iterdir()) == [
            "TestIt.test_a[..].session", "TestIt.test_a[a%2Fb].session", "TestIt.test_a[x%20y].session"]
        project.offline().assert_outcomes(passed=3)

    def test_names_no_two_tests_by_one_file(self, project: Project) -> None:
        body = "@pytest.mark.otel_llm_session\ndef test_a():\n    ask('one')\n"
        project.tests(body)
        project.tests(body, "test_other")

        done = project.live("--otel-llm-record")

        done.assert_outcomes(errors=2)
        done.stdout.fnmatch_lines([
            "test_other.py::test_a would have the same session file as this test; give one of them a file of its own: "
            '@pytest.mark.otel_llm_session("sessions/test_agent.test_a.session")'])

    def test_makes_file_names_that_every_system_takes(self) -> None:
        long = file_name(["test_" + "x" * 400])

        assert file_name(["TestA", 'test_b[:"ü-\\x00]']) == "TestA.test_b[%3A%22%C3%BC-%5Cx00].session"
        assert len(long) < 200 and long != file_name(["test_" + "x" * 401])


class TestRecording:
    def test_of_what_is_missing_leaves_the_others(self, project: Project) -> None:
        project.tests("""
@pytest.mark.otel_llm_session
def test_a():
    ask("one")

@pytest.mark.otel_llm_session
def test_b():
    ask("two")
""")
        project.live("--otel-llm-record", "test_agent.py::test_a")
        before = project.file("test_a").read_bytes()

        missing = project.live("--otel-llm-record=missing")
        kept = project.file("test_a").read_bytes()
        again = project.live("--otel-llm-record=all")

        missing.stdout.fnmatch_lines(["otel-llm: recorded sessions/test_b.session"])
        assert kept == before
        again.stdout.fnmatch_lines(["otel-llm: unchanged sessions/test_a.session", "otel-llm: unchanged sessions/test_b.session"])

    def test_of_a_test_that_fails_writes_nothing(self, project: Project) -> None:
        project.tests(ONE)
        project.live("--otel-llm-record")
        before = project.file("test_a").read_bytes()
        project.patch.setenv("SAYS", "zwei")

        done = project.live("--otel-llm-record=all")

        done.assert_outcomes(failed=1)
        done.stdout.fnmatch_lines(["sessions/test_a.session was not written, because the test failed."])
        assert project.file("test_a").read_bytes() == before
        assert [path.name for path in (project.path / "sessions").iterdir()] == ["test_a.session"]

    def test_of_nothing_fails(self, project: Project) -> None:
        project.tests("@pytest.mark.otel_llm_session\ndef test_a():\n    pass\n")

        done = project.live("--otel-llm-record")

        done.assert_outcomes(failed=1)
        done.stdout.fnmatch_lines(["sessions/test_a.session was not written: nothing of the test is recorded*"])

    def test_may_stand_before_a_path(self, project: Project) -> None:
        body = "@pytest.mark.otel_llm_session\ndef test_{0}():\n    ask('{0}')\n"
        for name in "abc":
            project.tests(body.format(name), f"test_{name}")

        project.live("--otel-llm-record", "test_a.py::test_a").assert_outcomes(passed=1)
        project.live("--otel-llm-record", "test_a.py", "test_b.py").assert_outcomes(passed=2)
        assert sorted(path.stem for path in (project.path / "sessions").iterdir()) == ["test_a", "test_b"]

    def test_in_another_mode_is_wrong_usage(self, project: Project) -> None:
        done = project.live("--otel-llm-record=none")

        assert done.ret == pytest.ExitCode.USAGE_ERROR
        done.stderr.fnmatch_lines(["*--otel-llm-record=none is not usable; good values: missing, all"])

    @pytest.mark.parametrize("where", ["when it is imported", "when it is called"])
    def test_holds_whatever_the_program_sets_up_itself(self, project: Project, where: str) -> None:
        """What it records in its own store stays apart from what the test records, and goes on afterwards."""
        own = project.path / "own"
        init = f"otel_llm.init(store={str(own)!r}, index=False)"
        body = f"""
{init if where == "when it is imported" else ""}

@pytest.mark.otel_llm_session
def test_a():
    {init}
    with otel_llm.session("mine"):
        ask("one")
    otel_llm.flush()

def test_b():
    {init}
    with otel_llm.session("other"):
        ask("two")
    otel_llm.shutdown()
"""
        project.tests(body)

        done = project.live("--otel-llm-record")

        done.assert_outcomes(passed=2)
        with SqliteStore(own) as store:
            assert [row.session_id for row in store.sessions(Filter())] == ["other"]
        assert b'"id": "mine",' in project.file("test_a").read_bytes()
        project.offline("test_agent.py::test_a").assert_outcomes(passed=1)
        otel_llm.shutdown()


class TestTheFixture:
    def test_gives_the_report_and_the_new_session(self, project: Project) -> None:
        project.tests("""
@pytest.mark.otel_llm_session
def test_a(otel_llm_rerun):
    ask("one")
    if otel_llm_rerun is not None:
        assert otel_llm_rerun.report.answered_calls == 1
        assert otel_llm_rerun.report.new_session_id.startswith("sess-")
    else:
        print("recording")
""")

        project.live("--otel-llm-record", "-s").stdout.fnmatch_lines(["*recording*"])
        done = project.offline("-s")

        done.assert_outcomes(passed=1)
        done.stdout.no_fnmatch_line("*recording*")

    def test_belongs_to_a_marked_test(self, project: Project) -> None:
        project.tests("def test_a(otel_llm_rerun):\n    pass\n")

        project.offline().stdout.fnmatch_lines(["the fixture otel_llm_rerun is for tests with @pytest.mark.otel_llm_session"])


class TestAProjectThatUsesNothingOfIt:
    def test_sees_nothing_of_it(self, project: Project) -> None:
        project.pytester.makepyfile(test_plain="""
            import sys
            import urllib.request

            def test_a():
                loaded = {name.split(".")[1] for name in sys.modules if name.startswith("otel_llm.")}
                assert loaded <= {"_setup", "_version", "capture", "values", "pytest_plugin"}
                assert not {name for name in sys.modules if name.startswith("otel_llm.pytest_plugin.")}
                assert not {"opentelemetry", "openai", "sqlite3", "click"} & set(sys.modules)
                assert urllib.request.urlopen(%r).status == 200
            """ % f"{project.sim.base_url}/models")

        done = project.pytester.runpytest_subprocess("-q", "--strict-markers", "-W", "error")

        assert done.ret == 0
        assert [line for line in done.outlines if line][1:] == [] or done.outlines[-1].startswith("1 passed")
        assert (done.errlines, "otel" in done.stdout.str()) == ([], False)

    def test_may_have_its_interpreter_instrumented_before_pytest_comes(self) -> None:
        """pytest warns of a plugin's package that it finds imported, unless that says it need not be rewritten."""
        assert "PYTEST_DONT_REWRITE" in (otel_llm.__doc__ or "") and "PYTEST_DONT_REWRITE" in (otel_llm.pytest_plugin.__doc__ or "")


class TestWhatIsWrittenAboutIt:
    def test_the_block_in_the_readme_is_recorded_and_runs_offline(self, project: Project) -> None:
        blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
        (block,) = [text for text in blocks if "otel_llm_session" in text]
        (project.path / "test_readme_block.py").write_text(block)
        project.pytester.makeini("[pytest]")

        project.live("--otel-llm-record").assert_outcomes(passed=1)
        project.offline().assert_outcomes(passed=1)
        assert [path.name for path in (project.path / "sessions").iterdir()] == ["test_a_river_is_named.session"]

    def test_the_example_runs_offline(self, project: Project) -> None:
        shutil.copytree(ROOT / "examples" / "offline-tests", project.path, dirs_exist_ok=True)

        project.offline("test_advice.py").assert_outcomes(passed=2)


def test_workers_that_run_side_by_side_record_and_rerun(project: Project) -> None:
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    project.tests("""
@pytest.mark.otel_llm_session
@pytest.mark.parametrize("number", range(4))
def test_a(number):
    ask(str(number))
""")
    project.patch.setenv("OPENAI_BASE_URL", project.sim.base_url)
    project.patch.setenv("OPENAI_API_KEY", "sk-x")

    recorded = project.pytester.runpytest_subprocess("-q", "-n", "2", "--otel-llm-record")

    recorded.assert_outcomes(passed=4)
    recorded.stdout.fnmatch_lines([f"otel-llm: recorded sessions/test_a?{number}?.session" for number in range(4)])
    assert len(list((project.path / "sessions").iterdir())) == 4
    project.offline().assert_outcomes(passed=4)


SHARED = """
@pytest.mark.otel_llm_session("sessions/shared.session")
def test_a():
    ask("one")


class TestIt:
    @pytest.mark.otel_llm_session("sessions/../sessions/shared.session")
    def test_b(self):
        ask("two")
"""


class TestAFileOfTwo:
    @pytest.mark.parametrize("mode", ["missing", "all"])
    def test_is_not_recorded(self, project: Project, mode: str) -> None:
        project.tests(SHARED)

        done = project.live(f"--otel-llm-record={mode}")

        done.assert_outcomes(errors=2)
        done.stdout.fnmatch_lines([
            "test_agent.py::TestIt::test_b has the same session file, sessions/shared.session, so that one recording would *",
            "test_agent.py::test_a has the same session file, sessions/shared.session, so that one recording would *"])
        assert project.sim.count.total() == 0


FOLDER = """
@pytest.fixture
def before():
    return ask("warm up") if os.environ.get("WARM") else None


@pytest.mark.otel_llm_session("refunds")
def test_refunds(before, otel_llm_rerun):
    for question in otel_llm_rerun.questions:
        print("said", word := ask(question.removeprefix("echo: ")))
        double(word)
    print("given", otel_llm_rerun.arguments("double"))
"""


class TestAFolder:
    @pytest.fixture
    def refunds(self, project: Project) -> Project:
        """Sessions of three conversations, recorded by other tests."""
        project.tests("""
@pytest.mark.otel_llm_session
@pytest.mark.parametrize("words", ["late", "wrong,size", "lost"])
def test_it(words):
    for word in words.split(","):
        double(ask(word))
""", "test_recording")
        project.live("--otel-llm-record")
        (project.path / "test_recording.py").unlink()
        (project.path / "sessions").rename(project.path / "refunds")
        (project.path / "refunds" / "notes.txt").write_text("no session")
        return project

    def test_makes_a_test_of_each_session_which_knows_what_users_said_in_it(self, refunds: Project) -> None:
        refunds.tests(FOLDER)

        done = refunds.offline("-s", "-rp")

        done.assert_outcomes(passed=3)
        done.stdout.fnmatch_lines([
            "*said late", "given [[]{'word': 'late'}[]]", "*said lost", "given [[]{'word': 'lost'}[]]", "*said wrong", "said size",
            "given [[]{'word': 'wrong'}, {'word': 'size'}[]]", "PASSED test_agent.py::test_refunds[[]test_it[[]late[]][]]",
            "PASSED test_agent.py::test_refunds[[]test_it[[]lost[]][]]",
            "PASSED test_agent.py::test_refunds[[]test_it[[]wrong,size[]][]]"])

    def test_names_the_session_whose_program_does_something_else(self, refunds: Project) -> None:
        refunds.tests(FOLDER.replace('removeprefix("echo: ")', 'replace("echo: lost", "stolen").removeprefix("echo: ")'))

        done = refunds.offline()

        done.assert_outcomes(passed=2, failed=1)
        done.stdout.fnmatch_lines(["*test_refunds[[]test_it[[]lost[]][]]*", "*messages.0.content: *lost* → *stolen*",
                                   "Recorded in refunds/test_it[[]lost[]].session."])
        assert "--otel-llm-record" not in str(done.stdout)

    def test_is_answered_in_the_set_up_of_its_fixtures_too(self, refunds: Project) -> None:
        refunds.tests(FOLDER)
        refunds.patch.setenv("WARM", "1")

        done = refunds.offline("-k", "late")

        done.assert_outcomes(errors=1)
        done.stdout.fnmatch_lines(["*messages.0.content: *late* → *warm up*"])

    def test_is_never_written(self, refunds: Project) -> None:
        refunds.tests(FOLDER)
        before = {path: path.read_bytes() for path in (refunds.path / "refunds").iterdir()}
        requests = refunds.sim.count.total()

        done = refunds.live("--otel-llm-record=all")

        done.assert_outcomes(passed=3)
        assert {path: path.read_bytes() for path in (refunds.path / "refunds").iterdir()} == before
        assert refunds.sim.count.total() == requests

    def test_that_is_empty_is_an_error(self, project: Project) -> None:
        project.tests(FOLDER)
        (project.path / "refunds").mkdir()

        done = project.offline()

        done.assert_outcomes(errors=1)
        done.stdout.fnmatch_lines(["*refunds has no session file (*.session); `otel-llm export session ID -o *refunds/NAME.session` writes one."])
