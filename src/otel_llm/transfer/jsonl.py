"""The export file: everything that a store has of some sessions, one JSON object a line.

    {"otel_llm":"export","version":1}                                             the head
    {"session":{…}} {"resource":{…}} {"scope":{…}} {"step":{…}} … {"replay":{…}}  one a line (`otel_llm.transfer.line`)
    {"manifest":{"sessions":2,"steps":10,"replays":1,"lines":15,"sha256":"…"}}    written last, over every byte before it
                                                        ("damaged": steps that could not be read and are not there)

Nothing in it depends on when or where it was written, so the same content gives the same bytes, also after a journey through
another store. Without its last line a file is cut, and with another checksum it was edited: both are seen before the first line
is imported. Only what comes from a pipe is imported as it arrives, and an error then says how far that came.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

from otel_llm.transfer import line
from otel_llm.transfer.fields import BadLine, shown
from otel_llm.values.archive import Damaged, Intake, Snapshot
from otel_llm.values.errors import BadExport
from otel_llm.values.spandata import ResourceData, ScopeData

VERSION = 1
HEAD = {"otel_llm": "export", "version": VERSION}
MAX_LINE = 1 << 30
UPGRADE = "Upgrade: pip install -U otel-llm"

Thing = TypeVar("Thing", ResourceData, ScopeData)
Progress = Callable[[int], None]
"""Called with the number of steps so far."""


@dataclass(slots=True)
class Written:
    """What an export came to. `damaged` are steps that the store cannot read any more; they are not in the file. `left_out`
    counts replays that a session file does not hold."""

    sessions: int = 0
    steps: int = 0
    replays: int = 0
    left_out: int = 0
    lines: int = 0
    bytes: int = 0
    damaged: list[Damaged] = field(default_factory=list)


def write(snapshot: Snapshot, out: BinaryIO, progress: Progress = lambda steps: None) -> Written:
    """Write the chosen sessions; the manifest comes last."""
    done, digest = Written(), hashlib.sha256()

    def put(value: dict[str, Any]) -> None:
        data = line.dump(value)
        digest.update(data)
        out.write(data)
        done.lines += 1
        done.bytes += len(data)

    put(HEAD)
    for value in lines(snapshot, done, progress):
        put(value)
    manifest = {"sessions": done.sessions, "steps": done.steps, "replays": done.replays, "lines": done.lines,
                **({"damaged": len(done.damaged)} if done.damaged else {}), "sha256": digest.hexdigest()}
    out.write(line.dump({"manifest": manifest}))
    return done


def lines(snapshot: Snapshot, done: Written, progress: Progress = lambda steps: None) -> Iterator[dict[str, Any]]:
    """The lines between head and manifest; `done` follows what they hold."""
    resources: dict[int, tuple[int, ResourceData]] = {}
    scopes: dict[int, tuple[int, ScopeData]] = {}
    for mark in snapshot.sessions():
        yield {"session": line.session_json(mark)}
        done.sessions += 1
        for record in snapshot.records(mark.session_id):
            if isinstance(record, Damaged):
                done.damaged.append(record)
                continue
            resource = scope = 0
            if record.span is not None:
                resource, is_new = _number(resources, record.span.resource)
                if is_new:
                    yield {"resource": line.resource_json(resource, record.span.resource)}
                scope, is_new = _number(scopes, record.span.scope)
                if is_new:
                    yield {"scope": line.scope_json(scope, record.span.scope)}
            yield {"step": line.record_json(record, resource, scope)}
            done.steps += 1
            progress(done.steps)
    for replay in snapshot.replays():
        yield {"replay": line.replay_json(replay)}
        done.replays += 1


def _number(known: dict[int, tuple[int, Thing]], thing: Thing) -> tuple[int, bool]:
    """The number of a resource or scope, and whether it is new. A snapshot gives the same object for the same thing."""
    found = known.get(id(thing))
    if found is not None:
        return found[0], False
    known[id(thing)] = (len(known) + 1, thing)
    return len(known), True


# ---- reading ---------------------------------------------------------------------------------------------------------------


def verify(file: BinaryIO, name: str) -> int:
    """Read a file through without importing anything; how many steps it has.

    Raises `BadExport` when it is no export, of a newer release, cut, or edited; then the first line that cannot be read is named.
    """
    last = Check(name)
    for _, raw in _lines(file, name):
        last.take(raw)
    try:
        return last.finish()
    except BadExport as error:
        file.seek(0)
        raise _located(file, name, error) from None


def take_in(file: BinaryIO, name: str, intake: Intake, progress: Progress = lambda steps: None) -> None:
    """Import a file, line by line.

    Raises `BadExport` with the line that is wrong, or when the manifest is missing or speaks of other lines. What came before is
    then in the store, and the message says how much.
    """
    check, reader = Check(name), Reader(intake)
    try:
        for number, raw in _lines(file, name):
            check.take(raw)
            if number > 1 and not check.is_manifest:
                reader.take(_parsed(raw, name, number), name, number)
                progress(reader.steps)
        check.finish()
    except BadExport as error:
        intake.flush()
        raise BadExport(f"{error} {imported(intake)}") from None
    intake.flush()


def imported(intake: Intake) -> str:
    """A sentence about what is in the store now."""
    if not intake.added and not intake.known:
        return "Nothing was imported."
    many = "1 step was" if intake.added == 1 else f"{intake.added} steps were"
    return f"{many} imported" + (f"; {intake.known} had been there before." if intake.known else ".")


class Check:
    """Follows the lines of a file, and says at its end whether they are those of the manifest."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines = 0
        self.is_manifest = False
        self._digest = hashlib.sha256()
        self._manifest: dict[str, Any] | None = None

    def take(self, raw: bytes) -> None:
        if self.is_manifest:
            raise BadExport(f"{self.name}: line {self.lines + 2} stands behind the manifest, with which an export ends. "
                            "Import several exports as several files.")
        if self.lines == 0:
            _head(raw, self.name)
        if raw.startswith(b'{"manifest":'):
            self.is_manifest = True
            value = _parsed(raw, self.name, self.lines + 1)
            self._manifest = value["manifest"] if isinstance(value["manifest"], dict) else {}
            return
        self._digest.update(raw)
        self.lines += 1

    def finish(self) -> int:
        """The number of steps. Raises `BadExport`."""
        if self.lines == 0:
            raise BadExport(f"{self.name} is empty. `otel-llm export jsonl -o FILE` writes what can be imported.")
        if self._manifest is None:
            raise BadExport(f"{self.name} is cut short: behind line {self.lines} there is no manifest, with which every export "
                            "ends. Export again or copy it again.")
        if self._manifest.get("lines") != self.lines:
            raise BadExport(f"{self.name} is not as it was written: it has {self.lines} lines, and its manifest speaks of "
                            f"{shown(self._manifest.get('lines'))}. Export again or copy it again.")
        if self._manifest.get("sha256") != self._digest.hexdigest():
            raise BadExport(f"{self.name} is not as it was written: its checksum is not that of its manifest. Export again or "
                            "copy it again.")
        steps = self._manifest.get("steps")
        return steps if isinstance(steps, int) else 0


class Reader:
    """Turns lines into values and gives them to an intake; remembers resources and scopes by number."""

    def __init__(self, intake: Intake | None) -> None:
        self.steps = 0
        self._intake = intake
        self._resources: dict[int, ResourceData] = {}
        self._scopes: dict[int, ScopeData] = {}

    def take(self, value: dict[str, Any], name: str, number: int) -> None:
        """One line. Raises `BadExport` when it is not what the format says."""
        try:
            self.give(value)
        except (BadLine, RecursionError) as error:
            raise BadExport(f"{name}: line {number} cannot be imported: {error}.") from None

    def give(self, value: dict[str, Any]) -> None:
        """The same for a line that has no number. Raises `BadLine`."""
        key = next(iter(value), "")
        intake = self._intake
        if key == "step":
            record = line.read_record(value[key], self._resources, self._scopes)
            self.steps += 1
            if intake is not None:
                intake.record(record)
        elif key == "session":
            mark = line.read_session(value[key])
            if intake is not None:
                intake.session(mark)
        elif key == "resource":
            number, resource = line.read_resource(value[key])
            self._resources[number] = resource
        elif key == "scope":
            number, scope = line.read_scope(value[key])
            self._scopes[number] = scope
        elif key == "replay":
            replay = line.read_replay(value[key])
            if intake is not None:
                intake.replay(replay)
        else:
            raise BadLine(f"it is a line of kind {shown(key)}, and kinds are session, resource, scope, step, replay, manifest")


def _lines(file: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers from 1; none is longer than memory should hold."""
    number = 0
    while raw := file.readline(MAX_LINE):
        number += 1
        if len(raw) == MAX_LINE:
            raise BadExport(f"{name}: line {number} is longer than {MAX_LINE} bytes, which no export writes.")
        yield number, raw


def _parsed(raw: bytes, name: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        if not raw.endswith(b"\n"):
            raise BadExport(f"{name} is cut short in the middle of line {number}. Export again or copy it again.") from None
        raise BadExport(f"{name}: line {number} is no JSON ({error}).") from None
    if not isinstance(value, dict):
        raise BadExport(f"{name}: line {number} is {shown(value)}, not an object.")
    return value


def _head(raw: bytes, name: str) -> None:
    """Raise unless this is the first line of an export that this release can read."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or value.get("otel_llm") != "export":
        raise BadExport(f"{name} is no export of otel-llm: it does not begin with {json.dumps(HEAD)}. "
                        "`otel-llm export jsonl -o FILE` writes what can be imported.")
    check_version(value.get("version"), VERSION, name)


def check_version(version: object, known: int, name: str) -> None:
    """Raise unless this release can read the version that a file says it has."""
    if type(version) is not int or version < 1:
        raise BadExport(f"{name} says that its format is {shown(version)}, which no release has written.")
    if version > known:
        raise BadExport(f"{name} was written by a newer release (format {version}; this one knows {known}). {UPGRADE}")


def _located(file: BinaryIO, name: str, error: BadExport) -> BadExport:
    """The error with the first line that cannot be read, when there is one."""
    reader = Reader(None)
    try:
        for number, raw in _lines(file, name):
            if number > 1 and not raw.startswith(b'{"manifest":'):
                reader.take(_parsed(raw, name, number), name, number)
    except BadExport as found:
        return BadExport(f"{error} The first line that is wrong: {str(found).removeprefix(f'{name}: ')}")
    return error
