"""The session file: one recorded session, or a few, as a JSON document that lies beside the tests and is read in a review.

    {"otel_llm": "session", "version": 1, "minor"?, "counts": {"sessions", "steps", "replays"},
     "resources": […], "scopes": […],
     "sessions": [{"id", "inferred", "replay_of"?, "steps": [{"trace_id", "span_id", "span"?, "call"?, "cost"?}, …]}, …],
     "replays": […]}

It holds what `export jsonl` holds, in the same words (`otel_llm.transfer.line`), with three differences that make it fit to be
read and edited: bodies are written out (`otel_llm.transfer.session_bodies`); `resent`, where the request is the body that was
finally sent, is `true` instead of its length; and a replay is in it only where both of its sessions are, since what else became
of a session later is no part of its recording. Nothing depends on when or where it was written: the same content gives the same
bytes, also after a journey through another store.

There is no checksum, since editing is welcome. The counts show a file that was cut or badly merged, every field has a type, and a
key that nobody knows is a slip (`otel_llm.transfer.session_keys`): what cannot be used is named with its step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from otel_llm import semconv
from otel_llm.transfer import fields as f
from otel_llm.transfer import jsonl, line, session_keys
from otel_llm.transfer.fields import BadLine, checked, shown
from otel_llm.transfer.session_bodies import body_form, form_body
from otel_llm.transfer.session_keys import BODIES, COUNTS, FILE, MINOR, PARTS, SESSION
from otel_llm.transfer.session_layout import document
from otel_llm.values.archive import Intake, Snapshot
from otel_llm.values.errors import BadExport

Json = dict[str, Any]

VERSION = 1
SUFFIX = ".session"
_HEAD = re.compile(rb'\s*\{\s*"otel_llm"\s*:\s*"([a-z]+)"')
WRITE = "`otel-llm export session ID -o FILE` writes one."

_NAMING = (semconv.GEN_AI_CONVERSATION_ID, semconv.SESSION_ID, semconv.SERVICE_NAME)


@dataclass(frozen=True, slots=True)
class SessionFile:
    """A file that was read and can be used: its sessions that have steps, how many, and its lines as `export jsonl` has them."""

    session_ids: tuple[str, ...]
    steps: int
    lines: tuple[Json, ...]


def is_session_file(place: str) -> bool:
    """True when a word names a session file and no session in a store."""
    return place.endswith(SUFFIX)


def kind_of(head: bytes) -> str | None:
    """What a file says in its first bytes that it is: `session`, `export` (JSON lines), or None when it does not say."""
    found = _HEAD.match(head)
    return None if found is None else found[1].decode("ascii")


# ---- writing ---------------------------------------------------------------------------------------------------------------


def write(snapshot: Snapshot, out: BinaryIO, progress: jsonl.Progress = lambda steps: None) -> jsonl.Written:
    """Write the chosen sessions. Steps that cannot be read any more are in `damaged`, and not in the file; `left_out` counts
    replays of which only one session is in it. Where a newer release has recorded what this one does not know, the file is of a
    newer minor version.
    """
    done, minor = jsonl.Written(), MINOR
    parts: dict[str, list[Json]] = {"resource": [], "scope": [], "session": [], "replay": []}
    for one in jsonl.lines(snapshot, done, progress):
        ((kind, value),) = one.items()
        if kind == "session":
            parts[kind].append({**value, "steps": []})
        elif kind == "step":
            parts["session"][-1]["steps"].append(opened := _opened(value))
            minor = max(minor, MINOR + any(session_keys.unknown(opened, PARTS[kind])))
        else:
            parts[kind].append(value)
    inside = {session["id"] for session in parts["session"]}
    replays = [one for one in parts["replay"] if {one["session_id"], one["source_session_id"]} <= inside]
    done.replays, done.left_out = len(replays), len(parts["replay"]) - len(replays)
    data = document({
        "otel_llm": "session", "version": VERSION, **({"minor": minor} if minor else {}),
        "counts": {"sessions": done.sessions, "steps": done.steps, "replays": done.replays},
        "resources": parts["resource"], "scopes": parts["scope"], "sessions": parts["session"], "replays": replays})
    out.write(data)
    done.bytes = len(data)
    return done


def _opened(step: Json) -> Json:
    """A step of a line with its bodies written out; the session is the one around it."""
    out = {key: value for key, value in step.items() if key != "session"}
    if "call" in step:
        call = out["call"] = dict(step["call"])
        bodies = {name: line.read_body(call[name], name) for name in BODIES if name in call}
        end = call.get("end")
        if end is not None and end.get("resent") == len(bodies.get("request", b"")):
            call["end"] = {**end, "resent": True}
        call.update((name, body_form(data)) for name, data in bodies.items())
    return out


# ---- reading ---------------------------------------------------------------------------------------------------------------


def read(data: bytes, name: str) -> SessionFile:
    """Read a file through. Raises `BadExport`, with the step and the field that is wrong; nothing else, whatever stands in it."""
    value = _parsed(data, name)
    where, reader = "it", jsonl.Reader(None)
    is_newer = type(minor := value.get("minor")) is int and minor > MINOR
    found: list[Json] = []
    sessions: set[str] = set()
    steps: dict[tuple[str, str], str] = {}
    try:
        for where, kind, part, session_id in _parts(value):
            if not is_newer:
                session_keys.check(kind, part)
            if kind == "document":
                checked(part, FILE, "the document")
                continue
            one = {kind: _closed(part, session_id) if kind == "step" else part}
            if kind == "session":
                one = {kind: {key: item for key, item in checked(part, SESSION, kind).items() if key != "steps"}}
            reader.give(one)
            _check_names(kind, part)
            if kind == "session":
                _once(part["id"], sessions)
            elif kind == "step":
                _check_step(part)
                first = steps.setdefault((part["trace_id"], part["span_id"]), where)
                if first != where:
                    raise BadLine(f"it has the trace_id and span_id of {first}; every step has its own")
            found.append(one)
        where = "it"
        _check_counts(value["counts"], found)
    except (BadLine, RecursionError) as error:
        raise BadExport(f"{name}: {where} cannot be used: {error}.") from None
    return SessionFile(tuple(dict.fromkeys(one["step"]["session"] for one in found if "step" in one)), reader.steps, tuple(found))


def take_in(found: SessionFile, intake: Intake, progress: jsonl.Progress = lambda steps: None) -> None:
    """Import what was read."""
    reader = jsonl.Reader(intake)
    for one in found.lines:
        reader.give(one)
        progress(reader.steps)
    intake.flush()


def _parsed(data: bytes, name: str) -> Json:
    """The document. Raises `BadExport` when it is none, or of a newer release."""
    if not data.strip():
        raise BadExport(f"{name} is empty. {WRITE}")
    try:
        value = json.loads(data, object_pairs_hook=lambda pairs: _object(pairs, name))
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
        said = "is cut short" if is_cut else "is no JSON"
        raise BadExport(f"{name} {said}: {error.msg} in line {error.lineno}, column {error.colno}.") from None
    except (ValueError, RecursionError) as error:
        raise BadExport(f"{name} is no JSON: {error}.") from None
    if type(value) is not dict or value.get("otel_llm") != "session":
        raise BadExport(f'{name} is no session file: it has no "otel_llm": "session". {WRITE}')
    jsonl.check_version(value.get("version"), VERSION, name)
    return value


def _object(pairs: list[tuple[str, Any]], name: str) -> Json:
    """An object of the document. Of a key that stands in it twice JSON keeps the second, and nobody would see what became of the
    first."""
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadExport(f"{name}: an object has the key {shown(twice)} twice (its keys: {', '.join(keys)}); "
                        "one of them is too many.")
    return value


def _parts(value: Json) -> Iterator[tuple[str, str, Any, str]]:
    """What the document is made of, in the order of lines: where it stands, its kind, itself, and the session around a step.

    What was given is checked before the next is asked for.
    """
    yield "it", "document", value, ""
    for kind in ("resource", "scope"):
        for number, one in enumerate(value[f"{kind}s"], 1):
            yield f"{kind} {number}", kind, one, ""
    for number, session in enumerate(value["sessions"], 1):
        yield f"session {number}", "session", session, ""
        for at, step in enumerate(session["steps"], 1):
            span_id = step.get("span_id") if type(step) is dict else None
            more = f" (span_id {span_id[:16]})" if type(span_id) is str else ""
            yield f"step {at} of session {session['id']}{more}", "step", step, session["id"]
    for number, replay in enumerate(value.get("replays", ()), 1):
        yield f"replay {number}", "replay", replay, ""


def _closed(step: Any, session_id: str) -> Any:
    """The inverse of `_opened`. Raises `BadLine`."""
    if type(step) is not dict:
        raise BadLine(f"it is {shown(step)}, not an object")
    out = {**step, "session": session_id}
    call = step.get("call")
    if type(call) is dict:
        bodies = {name: form_body(call[name], f"call.{name}") for name in BODIES if name in call}
        call = out["call"] = {**call, **{name: line.body_json(data) for name, data in bodies.items()}}
        end = call.get("end")
        if type(end) is dict and end.get("resent") is True:
            call["end"] = {**end, "resent": len(bodies.get("request", b""))}
    return out


def _once(session_id: str, known: set[str]) -> None:
    if session_id in known:
        raise BadLine(f"there is a session {shown(session_id)} before it; every session stands once")
    known.add(session_id)


def _check_step(step: Json) -> None:
    """Raise when a store could not keep this step, or not in a session."""
    if "span" not in step and "start" not in step.get("call", {}):
        raise BadLine("it has neither a span nor call.start")


def _check_names(kind: str, part: Json) -> None:
    """Raise where something would have to be called, or found, by what is no UTF-8."""
    start = part.get("call", {}).get("start", {}) if kind == "step" else {}
    span = part.get("span", {}) if kind == "step" else part if kind in ("resource", "scope") else {}
    names = {"call.start.api": start.get("api"), "call.start.url": start.get("url"),
             "name": span.get("name") if kind == "scope" else None}
    for attributes in (start.get("attributes", {}), span.get("attributes", {})):
        names |= {name: attributes[name] for name in _NAMING if name in attributes}
    for name, value in names.items():
        if isinstance(value, str) and not f.is_utf8(value):
            raise BadLine(f"{name} is {shown(value)}, which is no UTF-8")


def _check_counts(counts: Json, found: list[Json]) -> None:
    """Raise when there is more or less than the head of the file says."""
    checked(counts, COUNTS, "counts")
    for name in COUNTS:
        there = sum(1 for one in found if name[:-1] in one)
        if counts[name] != there:
            raise BadLine(f"it has {there} {name}, and counts.{name} says {counts[name]}; where the change is meant, write "
                          f"{there} there")
