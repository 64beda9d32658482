"""Running a program against its recording: `otel_llm.replaying()` in Python, and what `otel-llm replay rerun` starts.

    otel-llm replay rerun ─ plan.json ─→ the program's interpreters ─ init() ─ begin(plan) ─ taps ask the player
                          ←─ what each of them tells, line by line (`otel_llm.replay.rerun.account`) ─┘

The plan is a file that OTEL_LLM_REPLAY_PLAN names: which sessions or traces of which store, the rules, the directory that they
share.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from otel_llm import _setup
from otel_llm._environment import HIDES, PLAN, STORE, hidden_by, python_path, without_ours
from otel_llm.replay.rerun import children, ending, seams
from otel_llm.replay.rerun.account import Account
from otel_llm.replay.rerun.network import Gate
from otel_llm.replay.rerun.plan import Plan, read_plan
from otel_llm.replay.rerun.player import Rerun, Rules
from otel_llm.replay.rerun.recording import Recording, base_url, load
from otel_llm.replay.rerun.report import Report
from otel_llm.replay.rerun.spending import Out
from otel_llm.transfer import session_file
from otel_llm.transfer.session_file import SessionFile
from otel_llm.values.call import Cost, Usage
from otel_llm.values.errors import ConfigError, NotReplayable, ReplayDiverged
from otel_llm.values.playback import Live, Place, Recorded
from otel_llm.values.session import Ref
from otel_llm.values.settings import Settings

MEMORY, ROOM = "/dev/shm", 16_000_000
NO_KEY = "no-key-is-needed-for-a-rerun"
"""In the place of a key where there is none: SDKs want one, and nobody gets it."""


class _Gated(Rerun):
    """A rerun whose network opens with its first live call: to this machine alone, where nobody has said yes to more."""

    gate: Gate | None = None

    def admit(self, call: Live, *, waits: bool) -> bool:
        goes = super().admit(call, waits=waits)
        if goes and isinstance(call, Out) and self.gate is not None:
            if self.is_only_local:
                self.gate.allow(urlsplit(call.url).hostname or "")
            else:
                self.gate.open()
        return goes

    def step(self, kind: str, name: str, arguments: bytes, place: Place) -> Recorded | None:
        given = super().step(kind, name, arguments, place)
        if self.is_live and self.gate is not None and not self.is_only_local:
            self.gate.open()
        return given


def begin(path: str) -> None:
    """Run this process against its recording. Called as the interpreter starts, when the environment names a plan.

    What keeps it from beginning ends the program: a rerun that calls a paid provider would be worse. Whoever started the rerun
    says why. Raises what nobody can be told.
    """
    plan = read_plan(path)
    account = Account(plan.shared)
    try:
        if plan.is_recorded:
            _setup.init()
        recording = _load(Settings.resolve({"store": plan.store}), plan.ids, plan.run)
        player = _Gated(recording, account, plan.rules, plan.new_session_id, _price)
        _play(player)
        _seams(player, clock=plan.clock, seed=plan.seed)
        player.gate = Gate(plan.allowed_hosts, player.held_off) if plan.is_closed else None
        if not plan.rules.may_go_out and (place := base_url(recording)) is not None:
            os.environ.setdefault("OPENAI_BASE_URL", place)
        _answer_children(player)
        ending.show_where_it_asked()
        account.tell({"begin": {
            "mode": player.report.mode, "session_ids": recording.session_ids, "new_session_id": plan.new_session_id,
            "recorded_calls": len(recording.calls), "steps": recording.free(),
            "absent_tools": player.report.absent_tools}})
    except Exception as error:
        account.tell({"failed": str(error), "exit_code": getattr(error, "exit_code", 3)})
        if not account.is_open:
            raise
        os._exit(3)
    atexit.register(account.tell, {"over": True})


def _price(provider: str | None, model: str | None, usage: Usage) -> Cost | None:
    recorder = _setup.recorder()
    prices = recorder.prices if recorder is not None else None
    return None if prices is None else prices.exact(provider, model, usage, time.time_ns())


@contextlib.contextmanager
def replaying(
    *sessions: str | os.PathLike[str],
    policy: str = "strict",
    live_tools: str | Collection[str] = (),
    speed: str = "instant",
    allow_hosts: str | Collection[str] = (),
    block_network: bool = True,
    clock: bool = False,
    seed: int | None = None,
    run: int | None = None,
    ignore: str | Collection[str] = (),
    check: bool = True,
    store: str | os.PathLike[str] | None = None,
) -> Iterator[Rerun]:
    """Run what is inside against a recording: `with otel_llm.replaying("@1"): main()`.

    Calls get the recorded answers through the SDK's own parser, decorated tools and retrievals their recorded results, the
    network is closed; in Python programs and workers that are started inside it is the same. When the block is over and something
    differed, `ReplayDiverged` is raised with the report; with `check=False` it is not, and the report is what the `with` block
    gave: `rerun.report`.

    Args:
        sessions: ids of sessions or traces in the store, as the terminal takes them, or paths of session files (`*.session`).
        policy: `strict` raises `ReplayDiverged` at the call that is not in the recording, `lenient` answers with the nearest,
            `record-new` lets it go out.
        live_tools: tools that run as they are, one name or several; `*` is all.
        speed: `instant`, or `recorded`: answers and chunks as slowly as they came.
        allow_hosts: hosts that may be reached all the same.
        block_network: False leaves the network open; calls are answered from the recording even so.
        clock: let the time of day begin where the recording began; needs the extra `clock`.
        seed: let `random` and `uuid4` begin at the number that the recorded run was given (`otel-llm run --seed`).
        run: answer from all that the Nth run of a program in the first session recorded, in whatever sessions: 1, or -1 for the
            last.
        ignore: fields of requests that are new in every run, by their place: `metadata.run_id`, `messages.*.name`.
        store: directory of the store (default: the setting).

    Raises `NotReplayable` when the recording does not suffice, `ConfigError` inside another rerun.
    """
    settings = Settings.resolve({"store": store})
    rules = Rules(policy, several(live_tools), speed, ignore=several(ignore))  # type: ignore[arg-type]
    allow_hosts = several(allow_hosts)
    names = [os.fspath(one) for one in sessions]
    names = [os.path.abspath(one) if session_file.is_session_file(one) else one for one in names]
    with _shared_folder() as shared:
        recording = _load(settings, names, run)
        player = _Gated(recording, Account(shared), rules)
        found = tuple(names) if any(map(session_file.is_session_file, names)) else recording.ids
        plan = Plan(found, rules, allow_hosts, clock, seed, run, is_recorded=False, is_closed=block_network,
                    store=str(_setup.store_directory(settings).absolute()), shared=shared,
                    new_session_id=player.report.new_session_id)
        place = None if rules.may_go_out else base_url(recording)
        with _playing(player), _undoing(_seams(player, clock=clock, seed=seed)), _answered_children(plan, player, place):
            player.gate = Gate(allow_hosts, player.held_off) if block_network else None
            try:
                yield player
            except BaseException as error:
                player.finish(f"{type(error).__name__}: {error}"[:500])
                raise
        report: Report = player.finish()
    if check and report.exit_code:
        raise ReplayDiverged(report.text)


def several(names: str | Collection[str]) -> tuple[str, ...]:
    """A single name stands for itself, and not for its letters."""
    return (names,) if isinstance(names, str) else tuple(names)


@contextlib.contextmanager
def _shared_folder() -> Iterator[str]:
    """A directory that goes with the process that made it; a fork of that process leaves it where it is."""
    folder, owner = tempfile.mkdtemp(prefix="otel-llm-rerun-", dir=_room(0)), os.getpid()
    try:
        yield folder
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _answered_children(plan: Plan, player: Rerun, base: str | None) -> Iterator[None]:
    """The environment in which Python programs that are started inside are answered too. Where nobody says otherwise, `base`
    is where the SDK finds its provider."""
    place = Path(plan.shared) / "plan.json"
    place.write_text(plan.as_json())
    had_ours = python_path(os.environ) == os.environ.get("PYTHONPATH")
    names = {PLAN: str(place), "PYTHONPATH": python_path(os.environ)}
    if base is not None and "OPENAI_BASE_URL" not in os.environ:
        names["OPENAI_BASE_URL"] = base
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    undo = _answer_children(player)
    try:
        yield
    finally:
        undo()
        for name, value in before.items():
            if os.environ.get(name) == names[name]:  # unless the program has changed it
                del os.environ[name]
                os.environ.update({} if value is None else {name: value})
        if "PYTHONPATH" in os.environ and not had_ours:  # the program's own words stay, ours do not
            os.environ["PYTHONPATH"] = without_ours(os.environ)


def _answer_children(player: Rerun) -> Callable[[], None]:
    """Have every process answered that this one starts, whatever environment it gets; gives the function that undoes it."""
    kept = {name: os.environ[name] for name in (PLAN, STORE) if os.environ.get(name)}

    def needed(environ: Mapping[str, str]) -> dict[str, str]:
        return {**{name: value for name, value in kept.items() if not environ.get(name)}, "PYTHONPATH": python_path(environ)}

    def check(command: Sequence[str]) -> None:
        option = hidden_by(command, os.environ.get("PATH")) if command else None
        if option is not None:
            raise player.refused(f"Python's {option} {HIDES[option[1:]]}, through which a rerun answers a program, so "
                                 f"`{' '.join(command)[:80]}` was not started.")

    return children.answer_all(needed, check)


@contextlib.contextmanager
def _playing(player: _Gated) -> Iterator[None]:
    undo = _play(player)
    try:
        yield
    finally:
        undo()
        if player.gate is not None:
            player.gate.open()


def _seams(player: Rerun, *, clock: bool, seed: int | None) -> list[Callable[[], None]]:
    """Clock and random numbers as they were; gives what undoes it."""
    undo: list[Callable[[], None]] = []
    if clock:
        undo.append(seams.clock_from(player.start_ns))
        undo.append(_real_times_of_spans())
    if seed is not None:
        undo.append(seams.seeded(seed))
    return undo


def _real_times_of_spans() -> Callable[[], None]:
    """The rerun happens now: its spans keep the real time while the program's clock stands elsewhere."""
    from opentelemetry.sdk import trace

    module: Any = trace
    before = module.time_ns
    module.time_ns = seams.real_time_ns()

    def undo() -> None:
        module.time_ns = before

    return undo


@contextlib.contextmanager
def _undoing(functions: list[Callable[[], None]]) -> Iterator[None]:
    try:
        yield
    finally:
        for function in reversed(functions):
            function()


def _play(player: _Gated) -> Callable[[], None]:
    """Let the taps ask this player; gives the function that undoes it. Instruments what is not instrumented yet."""
    is_ours = _setup.recorder() is None
    if is_ours:
        _setup.instrument()
    recorder = _setup.recorder()
    if recorder is None:
        raise ConfigError("otel-llm is switched off here (OTEL_SDK_DISABLED), so nothing can be rerun.")
    if recorder.player is not None:
        raise ConfigError("A rerun is under way already; one after the other, please.")
    recorder.play(player)

    def undo() -> None:
        recorder.stop()
        for library in list(_setup._cell.leaving):
            _setup._cell.untap(library)
        if is_ours and not _setup._cell.started:  # unless the program has called `init()` meanwhile
            _setup.uninstrument()
        if _setup.recorder() is None:
            _setup._cell.recorder = None

    return undo


def _load(settings: Settings, sessions: Collection[str], run: int | None) -> Recording:
    """The recording of sessions in the store, or in session files."""
    if not sessions:
        raise ConfigError("no session was named; `otel-llm sessions` lists what is there")
    files = [given for given in sessions if session_file.is_session_file(given)]
    if files and len(files) < len(sessions):
        other = next(given for given in sessions if given not in files)
        raise ConfigError(f"{files[0]} is a file, and {other} a session of the store; a rerun is answered from one kind. "
                          f"`otel-llm import {files[0]}` puts the file into the store.")
    if files:
        return _from_files(files, run)
    with _setup.open_store(settings) as store:
        return load(store, [_id_of(store.resolve(given)) for given in sessions], run)


def _id_of(ref: Ref) -> str:
    """What a rerun is answered from: a trace that was named, else the whole session."""
    return ref.id if ref.kind == "trace" else ref.session_id or ref.id


def _from_files(places: Collection[str], run: int | None) -> Recording:
    """The recording in session files, by way of a store that is gone afterwards."""
    files = [read_session_file(place) for place in places]
    room = _room(sum(os.path.getsize(place) for place in places))
    with tempfile.TemporaryDirectory(prefix="otel-llm-", dir=room) as folder:
        with _setup.open_store(Settings(store=folder)) as store:
            for found in files:
                with store.importing() as intake:
                    session_file.take_in(found, intake)
            ids = [session_id for found in files for session_id in found.session_ids]
            if not ids:
                raise NotReplayable(f"There is no step in {', '.join(places)}, so there is nothing to answer with.")
            return load(store, ids, run)


def _room(size: int) -> str | None:
    """Where the store of a moment goes: into memory, where the system has a place there with room for it. A disk takes 40 ms."""
    try:
        has_room = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 10 * size + ROOM
    except OSError:
        has_room = False
    return MEMORY if has_room else None


def read_session_file(place: str) -> SessionFile:
    """A session file. Raises `ConfigError` when it is not there, `BadExport` when it cannot be used."""
    try:
        return session_file.read(Path(place).read_bytes(), place)
    except OSError as error:
        raise ConfigError(f"{place} cannot be read: {error.strerror or error}. `otel-llm export session ID -o {place}` writes "
                          "it.") from None
