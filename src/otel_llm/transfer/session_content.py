"""What a session file says, without what is new in every recording: ids, times, durations.

Two recordings of one program to which a model said the same differ in all of these, and in nothing that a rerun looks at. Times
are left out. Ids are numbered in order of their appearance and replaced wherever they stand, in text too, so that it still counts
which step is whose child, and which result belongs to which tool call. What a function was given or gave is content, whatever
its keys are called; so is the id of a session that the program named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from otel_llm import semconv
from otel_llm.adapters import by_name
from otel_llm.transfer import session_file
from otel_llm.values.errors import BadExport

_ID = re.compile(r"[\w-]{8,}")
"""What an id looks like; what is shorter may be a word."""


class _Part(NamedTuple):
    """A part of the document: keys whose text is an id, keys of what is new in every recording, and other parts inside it."""

    ids: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()
    inside: Mapping[str, _Part] = {}


_PLAIN = _Part()
_ATTRIBUTES = _Part(
    frozenset({semconv.GEN_AI_RESPONSE_ID, semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT, semconv.OTEL_LLM_REQUEST_ID}),
    frozenset({semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, "service.instance.id", "process.pid"}))
_HEADERS = _Part(
    frozenset({"trace_id", "span_id", "parent_span_id", "source_span_id", "request_id"}),
    frozenset({"time_ns", "start_ns", "end_ns", "first_byte_ns", "chunks"}),
    {"attributes": _ATTRIBUTES, "request": _PLAIN, "response": _PLAIN, "changes": _PLAIN, "diff": _PLAIN})
_ASKED = _Part(new=frozenset({"encrypted_content"}))
_ANSWERED = _Part(
    frozenset({"id", "call_id", "item_id", "response_id", "system_fingerprint"}),
    frozenset({"created", "created_at", "completed_at", "obfuscation", "encrypted_content"}),
    {"metadata": _PLAIN, "tools": _PLAIN})
_CALL = _HEADERS._replace(inside={**_HEADERS.inside, "request": _ASKED, "response": _ANSWERED})
_INFERRED = _HEADERS._replace(ids=_HEADERS.ids | {"id"})


def is_same(old: bytes, new: bytes, asked: Callable[[Any], Any] = lambda body: body) -> bool:
    """True when two session files differ in nothing but what is new in every recording; False where the old one is none.

    `asked` gives the body of a request as it is compared.
    """
    try:
        session_file.read(old, "")
    except BadExport:
        return False
    return _content(json.loads(old), asked) == _content(json.loads(new), asked)


def _content(document: Any, asked: Callable[[Any], Any]) -> str:
    for session in document["sessions"]:
        for step in session["steps"]:
            request = step.get("call", {}).get("request", {})
            if "json" in request and _is_call(step["call"]):
                request["json"] = asked(request["json"])
    numbers: dict[str, str] = {}
    for one in _ids(document, _HEADERS):
        numbers.setdefault(one, f"#{len(numbers)}")
    return json.dumps(_lasting(document, _HEADERS, numbers))


def _is_call(value: Any) -> bool:
    """True for the wire of a call of a model, whose body is known."""
    start = value.get("start")
    return type(start) is dict and by_name(start.get("api", "")) is not None


def _part(value: dict[str, Any], around: _Part) -> _Part:
    if around is not _HEADERS:
        return around
    return _CALL if _is_call(value) else _INFERRED if value.get("inferred") is True else around


def _ids(value: Any, around: _Part) -> Iterator[str]:
    if type(value) is list:
        for one in value:
            yield from _ids(one, around)
    elif type(value) is dict:
        part = _part(value, around)
        for key, inner in value.items():
            if key in part.ids and type(inner) is str and _ID.fullmatch(inner):
                yield inner
            elif key not in part.new:
                yield from _ids(inner, _below(part, key))


def _lasting(value: Any, around: _Part, numbers: Mapping[str, str]) -> Any:
    """The value without what is new in every recording."""
    if type(value) is str:
        return _ID.sub(lambda found: numbers.get(found[0], found[0]), value)
    if type(value) is list:
        return [_lasting(one, around, numbers) for one in value]
    if type(value) is not dict:
        return value
    part = _part(value, around)
    return {key: [status for _, status in inner] if key == "attempts" and part is _HEADERS else
            _lasting(inner, _below(part, key), numbers) for key, inner in value.items() if key not in part.new}


def _below(part: _Part, key: str) -> _Part:
    """The part that stands at a key. What is special about a session or a call ends with it."""
    return part.inside.get(key, _HEADERS if part is _CALL or part is _INFERRED else part)
