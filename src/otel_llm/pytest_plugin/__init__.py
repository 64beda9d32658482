"""The pytest plugin: a test runs against a recorded session, offline, and fails when its program does something else.

    @pytest.mark.otel_llm_session                        against <folder of the test>/sessions/<name of the test>.session
    @pytest.mark.otel_llm_session("refund.session")      against this file, seen from the folder of the test
    @pytest.mark.otel_llm_session("refunds")             against each session file in this folder: a test for each
    @pytest.mark.otel_llm_session("ticket-17")           against a session in the store

    pytest --otel-llm-record                             runs tests live whose file is not there, and writes it
    pytest --otel-llm-record=all                         does so with all of them; a file that would say the same stays as it is

Answers come from the recording while function-scoped fixtures are set up and while the test runs; in their teardown nothing
goes out either. Fixtures of a wider scope serve other tests as well, so they are set up before and taken down after, with the
network as it is. pytest loads this module in every project that has otel-llm beside it: without the marker it does nothing, and
all that it needs is imported when the first marked test begins.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from otel_llm.pytest_plugin.running import Run
    from otel_llm.replay.rerun.player import Rerun

MARKER = "otel_llm_session"
FIXTURE = "_otel_llm_session"
MODES = ("missing", "all")
WRITTEN, UNCHANGED = "otel_llm_session_file", "otel_llm_session_file_unchanged"
"""The property of a test's report that names the file it wrote, or left as it was; in a distributed run that is how the news
travels."""

_RUN: pytest.StashKey[Run] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("otel-llm", "tests against recorded sessions (otel-llm)")
    group.addoption(
        "--otel-llm-record", nargs="?", const=MODES[0], default=None, metavar="missing|all",
        help="Run marked tests live and write their session files: those that are missing (default), or all.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARKER}(*sessions, policy=…, live_tools=…): run the test against recorded sessions, "
                                       "offline; arguments are those of otel_llm.replaying.")
    mode = config.getoption("otel_llm_record")
    if mode is not None and mode not in MODES:
        _give_back(config, mode)


def _give_back(config: pytest.Config, word: str) -> None:
    """A path behind `--otel-llm-record`, which the parser took for the value of the option, is where to look for tests."""
    if not (config.invocation_params.dir / word.partition("::")[0]).exists():
        raise pytest.UsageError(f"--otel-llm-record={word} is not usable; good values: {', '.join(MODES)}")
    config.option.otel_llm_record = MODES[0]
    others = config.args if config.args_source is config.ArgsSource.ARGS else []
    config.args = [word, *others]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A marker that names a folder makes a test of each session file in it."""
    marker = metafunc.definition.get_closest_marker(MARKER)
    if marker is not None and marker.args:
        from otel_llm.pytest_plugin.marked import files_in

        files = files_in(metafunc.definition, marker)
        if files is not None:
            metafunc.fixturenames.append(FIXTURE)
            metafunc.parametrize(FIXTURE, files, indirect=True, ids=[file.stem for file in files])


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker(MARKER) is not None and isinstance(item, pytest.Function):
        names = item.fixturenames
        if FIXTURE in names:
            names.remove(FIXTURE)
        names.insert(_first_of_the_test(item, names), FIXTURE)


def _first_of_the_test(item: Any, names: list[str]) -> int:
    """The place before all function-scoped fixtures; pytest has sorted the names by scope."""
    known = item._fixtureinfo.name2fixturedefs
    scopes = [known[name][-1].scope if name in known else None for name in names]
    return scopes.index("function") if "function" in scopes else len(names)


@pytest.fixture(name=FIXTURE)
def _session(request: pytest.FixtureRequest) -> Generator[None, None, None]:
    """Around a marked test, inserted by the plugin."""
    from otel_llm.pytest_plugin.running import begin

    marker = request.node.get_closest_marker(MARKER)
    run = request.node.stash[_RUN] = begin(request.node, marker, getattr(request, "param", None))
    yield
    run.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, None]:
    outcome = yield
    run = item.stash.get(_RUN, None)
    if run is not None:
        failure = run.judge(outcome.excinfo[1] if outcome.excinfo else None)
        if failure is not None:
            outcome.force_exception(pytest.fail.Exception(failure, pytrace=False))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    run = item.stash.get(_RUN, None)
    if run is None and call.excinfo is not None and "otel_llm._replaying" in sys.modules:
        from otel_llm.pytest_plugin.frames import shortened

        call.excinfo = shortened(item, call.excinfo)
    outcome = yield
    if run is None:
        return
    if call.when != "call" and call.excinfo is not None and (words := run.explained(call.excinfo.value)) is not None:
        outcome.get_result().longrepr = words
    if call.when == "teardown":
        del item.stash[_RUN]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.getoption("otel_llm_record") is not None:
        words = {WRITTEN: "recorded", UNCHANGED: "unchanged"}
        places = {(place, words[key]) for report in terminalreporter.getreports("passed") for key, place in report.user_properties
                  if key in words}
        for place, word in sorted(places):
            terminalreporter.write_line(f"otel-llm: {word} {place}")


@pytest.fixture
def otel_llm_rerun(request: pytest.FixtureRequest) -> Rerun | None:
    """The rerun in which the test runs: its `report` so far, what users said. None while the test is recorded."""
    run = request.node.stash.get(_RUN, None)
    if run is None:
        pytest.fail(f"the fixture otel_llm_rerun is for tests with @pytest.mark.{MARKER}", pytrace=False)
    found: Rerun | None = run.rerun
    return found
