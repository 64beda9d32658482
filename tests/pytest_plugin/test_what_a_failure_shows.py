"""Of a difference a failed test shows the report and the user's own lines, whichever way the test was held against a recording."""

from __future__ import annotations

import re

import pytest

from pytest_plugin.projects import Project

openai = pytest.importorskip("openai", reason="the openai SDK is not installed")
pytest_plugins = "pytester"

TESTS = """
TEXT = os.environ.get("TEXT", "two")

@pytest.mark.otel_llm_session
def test_marked():
    assert ask(TEXT) == "two"

@pytest.mark.otel_llm_session
def test_wrapped():
    try:
        ask(TEXT)
    except Exception as error:
        raise RuntimeError("the agent failed") from error

@pytest.mark.otel_llm_session
def test_fallback():
    try:
        said = ask(TEXT)
    except Exception:
        said = "a fallback"
    assert said == "two"

def test_inside(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with otel_llm.replaying("sessions/test_marked.session"):
        assert ask(TEXT) == "two"

def test_swallowed(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with otel_llm.replaying("sessions/test_marked.session"):
        try:
            ask(TEXT)
        except Exception:
            pass
"""
FRAME = re.compile(r"^([^\s:]+\.py):(\d+): ", re.MULTILINE)


@pytest.fixture
def changed(project: Project) -> Project:
    """A project whose prompt is not as it was recorded."""
    project.tests(TESTS)
    project.live("--otel-llm-record").assert_outcomes(passed=5)
    project.patch.setenv("TEXT", "three")
    return project


def frames(done: pytest.RunResult) -> list[str]:
    return [place.rpartition("/")[2] for place, _ in FRAME.findall(str(done.stdout))]


def test_inside_replaying_it_shows_the_users_own_lines(changed: Project) -> None:
    done = changed.offline("-k", "test_inside")

    done.assert_outcomes(failed=1)
    assert frames(done) == ["test_agent.py", "agent.py"]
    done.stdout.fnmatch_lines(["> *assert ask(TEXT) == \"two\"", "E  *ReplayDiverged: call 1 (chat gpt-4o-mini) asks something else",
                               "E  *messages.0.content: \"echo: two\" → \"echo: three\""])


def test_at_the_end_of_replaying_it_shows_the_block(changed: Project) -> None:
    done = changed.offline("-k", "test_swallowed")

    done.assert_outcomes(failed=1)
    assert frames(done) == ["test_agent.py"]
    done.stdout.fnmatch_lines(["> *with otel_llm.replaying(*", "E  *ReplayDiverged: diverged: 0 of 1 call answered *"])


@pytest.mark.parametrize("option", ["--full-trace", "--tb=long"])
def test_who_asks_for_all_of_it_gets_all_of_it(changed: Project, option: str) -> None:
    done = changed.offline("-k", "test_inside", option)

    assert {"test_agent.py", "agent.py", "_base_client.py", "player.py"} <= set(frames(done))


def test_behind_an_error_of_the_program_it_names_the_line_that_asked(changed: Project) -> None:
    done = changed.offline("-k", "test_wrapped")

    done.stdout.fnmatch_lines(["call 1 (chat gpt-4o-mini) asks something else", "At agent.py:12, in ask."])


def test_beside_a_failure_of_the_test_itself_it_says_how_to_record_it(changed: Project) -> None:
    done = changed.offline("-k", "test_fallback")

    done.stdout.fnmatch_lines([
        "E       AssertionError: assert 'a fallback' == 'two'", "*Captured by otel-llm call*", "diverged: 0 of 1 call *",
        "Recorded in sessions/test_fallback.session.",
        "Where the change is meant: pytest test_agent.py::test_fallback --otel-llm-record=all"])
