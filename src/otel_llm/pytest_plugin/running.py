"""One marked test on its way: answered from its recording, or run live and recorded.

    begin ─┬─ Rerunning   replaying(…) around set-up and body; its report is the verdict
           └─ Recording   a store of its own around set-up and body; a test that passed leaves the session file

Both end with the teardown of the test, whatever became of it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from otel_llm import _setup
from otel_llm._replaying import NO_KEY, replaying
from otel_llm.pytest_plugin import UNCHANGED, WRITTEN
from otel_llm.pytest_plugin.aside import recording_aside
from otel_llm.pytest_plugin.frames import own
from otel_llm.pytest_plugin.marked import Marked, check_alone, read_marker
from otel_llm.replay.rerun import seams
from otel_llm.replay.rerun.player import Rerun
from otel_llm.transfer import session_file
from otel_llm.transfer.session_content import is_same
from otel_llm.values.errors import OtelLLMError, ReplayError
from otel_llm.values.session import Filter
from otel_llm.values.settings import Settings

KEY = "OPENAI_API_KEY"
_NO_FAILURE = (pytest.skip.Exception, pytest.xfail.Exception, pytest.exit.Exception, KeyboardInterrupt, SystemExit)


class Run(Protocol):
    """A test between its set-up and its teardown."""

    @property
    def rerun(self) -> Rerun | None:
        """The rerun; None when the test is recorded."""

    def judge(self, error: BaseException | None) -> str | None:
        """What is wrong although the body ended so; None when its own outcome holds."""

    def explained(self, error: BaseException) -> str | None:
        """The words for an error of set-up or teardown, None when pytest knows better."""

    def close(self) -> None:
        """The end; may be called again."""


def begin(item: pytest.Item, marker: pytest.Mark, file: Path | None = None) -> Run:
    """Begin what the marker and the command line say, with one `file` of the marker's folder if it names one.

    Fails the test when that cannot be done.
    """
    marked = read_marker(item, marker, file)
    mode, file = item.config.getoption("otel_llm_record"), marked.file
    if file is not None and (mode == "all" or (mode == "missing" and not file.exists())):
        check_alone(item, marked)
        return Recording(marked, file)
    for place in filter(session_file.is_session_file, marked.sessions):
        if not os.path.exists(place):
            how = f"Record it: {marked.command('--otel-llm-record')}"
            if file is None:
                how = "It is one of several, so record it with `otel-llm run` and `otel-llm export session`."
            pytest.fail(f"{marked.shown(place)} is not there. {how}", pytrace=False)
    try:
        return Rerunning(marked)
    except OtelLLMError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


class Rerunning:
    """A test that is answered from its recording."""

    def __init__(self, marked: Marked) -> None:
        self._marked = marked
        self._end = ExitStack()
        with ExitStack() as stack:
            if KEY not in os.environ and marked.rules.get("policy") != "record-new":
                os.environ[KEY] = NO_KEY
                stack.callback(os.environ.pop, KEY, None)
            self._rerun = stack.enter_context(replaying(*marked.sessions, check=False, **marked.rules))
            self._end = stack.pop_all()

    @property
    def rerun(self) -> Rerun:
        return self._rerun

    def judge(self, error: BaseException | None) -> str | None:
        if isinstance(error, _NO_FAILURE):
            return None
        cause = _cause(error)
        report = self._rerun.finish(None if error is None else f"{type(error).__name__}: {error}".partition("\n")[0][:200])
        if error is not None and cause is None:
            if any(difference.kind != "program" for difference in report.differences):
                self._marked.item.add_report_section("call", "by otel-llm", self._told(report.text, None))
            return None
        if cause is None and not report.exit_code:
            return None
        return self._told(report.text if report.exit_code else str(cause), error)

    def explained(self, error: BaseException) -> str | None:
        cause = _cause(error)
        if cause is None:
            return None
        return self._told(str(cause), error)

    def close(self) -> None:
        self._end.close()

    def _told(self, what: str, error: BaseException | None) -> str:
        sessions = [self._marked.shown(one) if session_file.is_session_file(one) else one for one in self._marked.sessions]
        lines = [what, "", f"Recorded in {', '.join(sessions)}.", *self._where(error)]
        if self._marked.file is not None:
            lines.append(f"Where the change is meant: {self._marked.command('--otel-llm-record=all')}")
        return "\n".join(lines)

    def _where(self, error: BaseException | None) -> Iterator[str]:
        """The place in the user's own code that led to the difference: that of the innermost error which passed any."""
        for one in reversed(_chain(error)):
            if frames := list(own(one, self._marked.item.config)):
                file, line, name = frames[-1]
                yield f"At {self._marked.shown(file)}:{line}, in {name}."
                return


class Recording:
    """A test that runs live. Its session file is written when it has passed."""

    rerun = None

    def __init__(self, marked: Marked, file: Path) -> None:
        self._marked, self._file = marked, file
        self._folder = tempfile.mkdtemp(prefix="otel-llm-")
        self._end, self._live = ExitStack(), ExitStack()
        self._end.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._end.push(self._live)
        with ExitStack() as stack:
            stack.enter_context(recording_aside(self._folder))
            if marked.rules.get("seed") is not None:
                stack.callback(seams.seeded(marked.rules["seed"]))
            self._live.push(stack.pop_all())

    def judge(self, error: BaseException | None) -> str | None:
        self._live.close()
        shown = self._marked.shown(self._file)
        if error is not None:
            if not isinstance(error, _NO_FAILURE):
                self._marked.item.add_report_section("call", "by otel-llm", f"{shown} was not written, because the test failed.")
            return None
        try:
            told = self._write()
            if told is None:
                return f"{shown} was not written: nothing of the test is recorded, no call and no tool. Does otel-llm know its " \
                       "library, and is OTEL_SDK_DISABLED unset?"
        except (OtelLLMError, OSError) as problem:
            return f"{shown} could not be written: {problem}"
        self._marked.item.user_properties.append((told, shown))
        return None

    def explained(self, error: BaseException) -> str | None:
        return None

    def close(self) -> None:
        self._end.close()

    def _write(self) -> str | None:
        """Write the file under another name first: whoever reads it meanwhile, in another worker too, sees a whole one.

        Gives the property that tells of it. What says the same as before leaves no change for git: then the file stays.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        young = self._file.with_name(f".{self._file.name[:100]}.{os.getpid()}.part")
        try:
            with _setup.open_store(Settings(store=self._folder)) as store, store.snapshot(Filter()) as snapshot:
                with young.open("wb") as out:
                    steps = session_file.write(snapshot, out).steps
            if not steps:
                return None
            if self._file.exists() and is_same(self._file.read_bytes(), young.read_bytes(), self._marked.ignored.without):
                return UNCHANGED
            young.replace(self._file)
            return WRITTEN
        finally:
            young.unlink(missing_ok=True)


def _cause(error: BaseException | None) -> ReplayError | None:
    """The error of a rerun that is behind an error, or among those of a group."""
    return next((one for one in _chain(error) if isinstance(one, ReplayError)), None)


def _chain(error: BaseException | None) -> list[BaseException]:
    """An error and all that are behind it, up to that of a rerun; of a group those that are in it."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or any(one is known for known in found):
            continue
        found.append(one)
        if isinstance(one, ReplayError):
            break
        waiting += [*(one.exceptions if isinstance(one, BaseExceptionGroup) else ()), one.__cause__, one.__context__]
    return found
