"""Starting a program against its recording, and what it reported when it is over: common to `rerun` and `fork`."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from otel_llm._environment import HIDES, PLAN, hidden_by
from otel_llm._replaying import NO_KEY, read_session_file
from otel_llm.cli.app import App
from otel_llm.cli.ids import file_not_wanted
from otel_llm.cli.output import Output, note
from otel_llm.cli.reports import Reports
from otel_llm.cli.run.run import recorded
from otel_llm.cli.table import print_json
from otel_llm.replay.lineage import original
from otel_llm.replay.reading import steps_of
from otel_llm.replay.rerun.account import Account
from otel_llm.replay.rerun.plan import Plan
from otel_llm.replay.rerun.report import Report, told
from otel_llm.report.rerun_pages import rerun_github, rerun_junit
from otel_llm.text import numbers
from otel_llm.text.safe import line
from otel_llm.transfer.session_file import is_session_file
from otel_llm.values.errors import ConfigError, NotReplayable
from otel_llm.values.session import Filter


class Program(click.Command):
    """A command that takes SESSION and, behind `--`, the command line of a program."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without SESSION the first word of the program would be looked for in the store, and not found."""
        if "--" in args:
            before, _, _ = self.make_parser(ctx).parse_args(args[:args.index("--")])
            if not isinstance(before.get("given"), str):
                raise click.UsageError("SESSION is missing, which stands before `--`: @1 is what was recorded last, "
                                       "`otel-llm sessions` lists all.", ctx)
        return super().parse_args(ctx, args)


def sessions_of(app: App, given: tuple[str, ...], *, files: bool = False) -> tuple[str, ...]:
    """Full ids of the sessions and traces that were named; session files as whole paths, where these are welcome."""
    places = {one: os.path.abspath(one) for one in given if is_session_file(one)}
    if places and not files:
        raise file_not_wanted(next(iter(places)))
    for place in places.values():
        read_session_file(place)
    return tuple(dict.fromkeys(places.get(one) or _session(app, one) for one in given))


def _session(app: App, given: str) -> str:
    """The session or trace that an id names. What `@N` counts may be a replay itself; then what it replays is meant."""
    ref = app.store.resolve(given)
    if ref.kind == "trace":
        return ref.id
    if ref.kind == "call":
        raise ConfigError(f"{given} is a call; a program is run against a session: {ref.session_id}")
    found = ref.session_id or ref.id
    source = original(app.store, found) if given.startswith("@") else found
    if source != found:
        note(f"{given} is a replay of {line(source)}, which is meant here.")
    return source


def run_program(
    app: App, plan: Plan, command: tuple[str, ...], reports: Reports, *, expected_exit: int
) -> Report:
    """Run a program by a plan, and make its reports. Where standard output belongs to one, the program prints on standard error.

    Raises `ConfigError` when it cannot be started, `NotReplayable` when the recording does not suffice or the program never
    came to the point of being answered.
    """
    if not command:
        raise ConfigError("no program was given; put it behind `--`: otel-llm replay rerun @1 -- python app.py")
    # a process that the program has left behind may write into it still
    with tempfile.TemporaryDirectory(prefix="otel-llm-rerun-", ignore_cleanup_errors=True) as folder:
        store = app.store_place()
        plan = replace(plan, store=store, shared=folder, new_session_id=f"sess-{secrets.token_hex(8)}")
        place = Path(folder) / "plan.json"
        place.write_text(plan.as_json())
        environ = recorded(dict(app.environ), store if plan.is_recorded else str(Path(folder) / "store"))
        environ[PLAN] = str(place)
        if not plan.rules.may_go_out:
            environ.setdefault("OPENAI_API_KEY", NO_KEY)
        elif environ.get("OPENAI_API_KEY") == NO_KEY:
            del environ["OPENAI_API_KEY"]
        if option := hidden_by(command, environ.get("PATH")):
            raise ConfigError(f"Python's {option} {HIDES[option[1:]]}, through which a rerun begins; leave {option} out.")
        code = _run(command, environ, to_stderr=reports.has_stdout)
        failure = None if code == expected_exit else f"it ended with exit code {code}, not {expected_exit}"
        report = _report(Account(folder), command, code, failure)
        if not plan.is_recorded or not _is_there(app, report.new_session_id):
            report.new_session_id = ""
    reports.write(lambda: rerun_junit(report))
    _print(app, report, reports)
    if report.exit_code and plan.run is None and not reports.has_stdout and not is_session_file(plan.ids[0]):
        _say_of_other_runs(app, plan.ids[0])
    return report


def _run(command: tuple[str, ...], environ: dict[str, str], *, to_stderr: bool) -> int:
    """The program's exit code. A signal that it died of is 128 and more, as in a shell."""
    was_interrupted = False
    try:
        with subprocess.Popen(command, env=environ, stdout=sys.stderr if to_stderr else None) as process, \
                _handing_on(process) as received:
            while True:
                try:
                    code = process.wait()
                    break
                except KeyboardInterrupt:  # the program has got it too, and decides
                    was_interrupted = True
    except OSError as error:
        raise ConfigError(f"cannot run {command[0]!r}: {error.strerror}. Give the program after `--`.") from None
    if was_interrupted:
        raise KeyboardInterrupt
    if received:
        raise SystemExit(128 + received[0])
    return code if code >= 0 else 128 - code


def _is_there(app: App, session_id: str) -> bool:
    """True when the program has recorded something; one that asked nothing and did nothing has not."""
    return bool(app.store.sessions(Filter(session=(session_id,))))


@contextmanager
def _handing_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Let the program have the signals that would end this process, which then outlives it and clears away; gives what came."""
    received: list[int] = []

    def hand_on(number: int, frame: object) -> None:
        received.append(number)
        process.send_signal(number)

    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in wanted:
        signal.signal(number, hand_on)
    try:
        yield received
    finally:
        for number in wanted:
            signal.signal(number, signal.SIG_DFL)


def _report(account: Account, command: tuple[str, ...], code: int, failure: str | None) -> Report:
    events = list(account.told())
    for event in events:
        if "failed" in event:
            raise NotReplayable(event["failed"]) if event["exit_code"] != 2 else ConfigError(event["failed"])
    report = told(events, account.claimed(), failure)
    if report is None:
        raise NotReplayable(f"{command[0]} ended with exit code {code}, and no Python program in it was answered from the "
                            "recording. Is it Python, in an environment that has otel-llm?")
    if failure is not None and all("begin" in event for event in events):
        raise NotReplayable(f"{command[0]} was killed (exit code {code}) before it asked anything.")
    return report


def _say_of_other_runs(app: App, given: str) -> None:
    """A word where a session is less or more than one run of a program, which may be what was meant."""
    session_id = steps_of(app.store, given)[0]
    found = app.store.runs(session_id)
    if len(found) > 1:
        note(f"{line(session_id)} holds {len(found)} runs of a program: --run {len(found)} answers from the last alone, --run 1 "
             "from the first.")
    elif found and len(found[0].session_ids) > 1:
        many = numbers.plural(len(found[0].session_ids) - 1, "more session")
        note(f"The run of the program that recorded {line(session_id)} made {many}: --run 1 answers from all of it.")


def _print(app: App, report: Report, reports: Reports) -> None:
    """The report: as JSON on standard output, for people on standard error, where the program's output is not."""
    if reports.form == "json":
        print_json(Output(app), [report.as_json()], "jsonl")
    elif reports.form == "github":
        for command in rerun_github(report):
            Output(app).write(command)
    else:
        for text in report.text.split("\n"):
            note(("  " if text.startswith(" ") else "") + line(text))
    if report.live_cost:
        note(f"Live calls cost {numbers.cost(report.live_cost)}.")
    if report.new_session_id:
        note(f"The new session: otel-llm show {report.new_session_id}")
