"""A body as people read it in a session file, and the exact bytes that it stands for.

| form                                    | stands for |
|-----------------------------------------|------------|
| `{"json": value, "spelling"?}`          | the value, written as its spelling says |
| `{"events": […], "spelling"?, "rest"?}` | an event stream: `{"event"?, "data": value}` where data is JSON, else text |
| `{"text": "…" or ["…", …]}`             | text; a list holds its lines |
| `{"base64": "…"}`                       | bytes that are no UTF-8 |

A spelling is made of a few words: `spaced` (a blank behind `,` and `:`) or `indented` (two blanks a level), `ascii` (everything
else is escaped), `newline` (one at the end). Without any it is what SDKs send: no blanks, text as it is. A form is chosen only
when it gives back the very bytes, so what is written in an unusual way (`1.0e3`, a key twice) stays text.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, NamedTuple, NoReturn

from otel_llm.transfer import line
from otel_llm.transfer.fields import BadLine, shown

Json = dict[str, Any]

MAX_DEPTH = 100
"""Values that are nested deeper stay text; the file around them is read by a parser that has an end, too."""
WORDS = ("spaced", "indented", "ascii", "newline")
_STREAM = re.compile(r"(?:data|event|id|retry)?:")
_EVENT = re.compile(r"(?:event: ([^\r\n]*)\n)?data: ([^\r\n]+)")
_ALLOWED = {"json": {"spelling"}, "events": {"spelling", "rest"}, "text": set(), "base64": set()}


class Spelling(NamedTuple):
    """How a value was written."""

    is_spaced: bool = False
    is_indented: bool = False
    is_ascii: bool = False
    has_newline: bool = False

    def write(self, value: Any) -> str:
        """The value as text. Raises `ValueError` for what JSON has not."""
        between = (",", ": ") if self.is_indented else (", ", ": ") if self.is_spaced else (",", ":")
        text = json.dumps(value, ensure_ascii=self.is_ascii, allow_nan=False, separators=between,
                          indent=2 if self.is_indented else None)
        return text + "\n" if self.has_newline else text

    @property
    def note(self) -> Json:
        """What stands beside the value; nothing when there is nothing to say."""
        words = " ".join(word for word, is_so in zip(WORDS, self, strict=True) if is_so)
        return {"spelling": words} if words else {}


def body_form(data: bytes) -> Json:
    """The form that is easiest to read among those that give back these bytes."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}
    form = _json_form(text) or _events_form(text)
    if form is not None and form_body(form, "") == data:
        return form
    return {"text": text if "\n" not in text else text.split("\n")}


def form_body(value: Any, where: str) -> bytes:
    """The bytes that a form stands for. Raises `BadLine`."""
    kinds = [kind for kind in _ALLOWED if type(value) is dict and kind in value]
    if len(kinds) != 1:
        raise BadLine(f"{where} is {shown(value)}, not an object with one of {', '.join(_ALLOWED)}")
    kind = kinds[0]
    if unknown := sorted(value.keys() - {kind} - _ALLOWED[kind]):
        raise BadLine(f"{where}.{unknown[0]} is not known beside {kind}")
    try:
        if kind == "json":
            return _spelling(value, where).write(value[kind]).encode()
        if kind == "events":
            return _stream(value, where).encode()
        if kind == "text":
            return _text(value[kind], where).encode()
        return line.read_body(value, where)
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadLine):
            raise
        raise BadLine(f"{where}.{kind} cannot be written as it was spelled ({error})") from None


# ---- forms -----------------------------------------------------------------------------------------------------------------


def _json_form(text: str) -> Json | None:
    value = _value(text)
    spelling = None if value is None else _spelled(text, value[0])
    return None if value is None or spelling is None else {"json": value[0], **spelling.note}


def _events_form(text: str) -> Json | None:
    """A stream, with one spelling for all its events; an event that is written otherwise is text."""
    if _STREAM.match(text) is None or "\n\n" not in text:
        return None
    *blocks, rest = text.split("\n\n")
    spelling: Spelling | None = None
    events: list[Any] = []
    for block in blocks:
        found = _EVENT.fullmatch(block)
        value = _value(found[2]) if found is not None and found[2].startswith("{") else None
        if found is None or value is None:
            events.append(block)
            continue
        spelling = spelling if spelling is not None else _spelled(found[2], value[0])
        if spelling is None or spelling.write(value[0]) != found[2]:
            events.append(block)
            continue
        events.append({**({} if found[1] is None else {"event": found[1]}), "data": value[0]})
    return {"events": events, **(spelling or Spelling()).note, **({"rest": rest} if rest else {})}


def _stream(value: Json, where: str) -> str:
    spelling, rest = _spelling(value, where), value.get("rest", "")
    if type(value["events"]) is not list or type(rest) is not str:
        raise BadLine(f"{where} has events that are no list, or a rest that is no text")
    out: list[str] = []
    for number, event in enumerate(value["events"]):
        if type(event) is str:
            out.append(event)
            continue
        if type(event) is not dict or "data" not in event or type(event.get("event", "")) is not str or event.keys() - {
                "event", "data"}:
            raise BadLine(f"{where}.events[{number}] is {shown(event)}, neither text nor {{\"event\"?, \"data\"}}")
        head = f"event: {event['event']}\n" if "event" in event else ""
        out.append(f"{head}data: {spelling.write(event['data'])}")
    return "\n\n".join([*out, rest])


def _text(value: Any, where: str) -> str:
    if type(value) is str:
        return value
    if type(value) is list and all(type(row) is str for row in value):
        return "\n".join(value)
    raise BadLine(f"{where}.text is {shown(value)}, neither text nor a list of lines")


# ---- spellings -------------------------------------------------------------------------------------------------------------


def _spelling(value: Json, where: str) -> Spelling:
    note = value.get("spelling", "")
    words = note.split() if type(note) is str else [repr(note)]
    if unknown := [word for word in words if word not in WORDS]:
        raise BadLine(f"{where}.spelling has {shown(unknown[0])}; words are {', '.join(WORDS)}")
    return Spelling(*(word in words for word in WORDS))


def _spelled(text: str, value: Any) -> Spelling | None:
    """The spelling in which the value is this text; None when it is none of ours."""
    has_newline = text.endswith("\n")
    inner = text[:-1] if has_newline else text
    is_indented = "\n" in inner
    for is_ascii in (False, True) if "\\u" in text and text.isascii() else (False,):
        for is_spaced in (False,) if is_indented else (False, True):
            spelling = Spelling(is_spaced, is_indented, is_ascii, has_newline)
            try:
                if spelling.write(value) == text:
                    return spelling
            except ValueError:
                return None
    return None


def _value(text: str) -> tuple[Any] | None:
    """The value of a JSON text, None when it is none, or none that can stand in the file."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return (value,) if _is_shallow(value, MAX_DEPTH) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _is_shallow(value: Any, left: int) -> bool:
    if type(value) is dict:
        return left > 0 and all(_is_shallow(inner, left - 1) for inner in value.values())
    return type(value) is not list or (left > 0 and all(_is_shallow(inner, left - 1) for inner in value))
