"""Writes YAML that a person would write: two spaces, comments above what they speak of, short lists on one line.

Only what a configuration needs: mappings, lists, text, numbers, booleans. Text that YAML could take for something else is
quoted. A comment travels with its value as `Noted("why", value)`.

    emit({"exporters": {"debug": Noted("says what passes", {"verbosity": "basic"})}})
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

WIDTH = 120
"""A list of scalars stays on one line up to here."""

_PLAIN = re.compile(r"[A-Za-z0-9_./$][A-Za-z0-9_./${}:@=+*-]*(?: [A-Za-z0-9_./$*-][A-Za-z0-9_./${}:@=+*-]*)*")
_NOT_TEXT = re.compile(r"(?i)~|null|true|false|yes|no|on|off|y|n|[-+.]?[0-9][0-9a-fox_.:+-]*|\.inf|\.nan")


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with the comment that stands above it."""

    comment: str
    value: Any


def emit(value: Mapping[str, Any], *, heading: str = "") -> str:
    """The document as text. Sections are set apart by a blank line; `heading` becomes the comment on top."""
    lines = list(_comment(heading, ""))
    for key, item in value.items():
        if lines:
            lines.append("")
        lines += _entry(key, item, "")
    return "\n".join(lines) + "\n"


def literal(text: str) -> str:
    """Text in which the collector shall expand nothing."""
    return text.replace("$", "$$")


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        yield f"{indent}# {line}".rstrip()


def _entry(key: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Noted):
        yield from _comment(value.comment, indent)
        value = value.value
    name = f"{indent}{_scalar(key)}:"
    if isinstance(value, Mapping) and value:
        yield name
        for inner, item in value.items():
            yield from _entry(inner, item, indent + "  ")
    elif isinstance(value, (list, tuple)):
        flow = _flow(value, len(name))
        yield name if flow is None else f"{name} {flow}"
        for item in value if flow is None else ():
            yield from _item(item, indent + "  ")
    else:
        yield f"{name} {_scalar(value)}"


def _item(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Noted):
        yield from _comment(value.comment, indent)
        value = value.value
    if isinstance(value, Mapping) and value:
        first = True
        for key, item in value.items():
            for line in _entry(key, item, indent + "  "):
                yield f"{indent}- {line[len(indent) + 2:]}" if first else line
                first = False
    else:
        yield f"{indent}- {_scalar(value)}"


def _flow(value: Sequence[Any], used: int) -> str | None:
    if any(isinstance(item, (Mapping, list, tuple, Noted)) for item in value):
        return None
    words = [_scalar(item) for item in value]
    text = f"[{', '.join(words)}]"
    is_short = used + 1 + len(text) <= WIDTH and not any(set(word) & set("{}") for word in words)
    return text if is_short or not value else None


def _scalar(value: Any) -> str:
    if value is None or value == {}:
        return "{}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        # no exponent: readers of YAML disagree on which of them are numbers
        return str(int(value)) if value == int(value) else f"{Decimal(repr(value)):f}"
    text = str(value)
    if _PLAIN.fullmatch(text) and not _NOT_TEXT.fullmatch(text) and ": " not in text and not text.endswith(":"):
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable() and character.isascii():
        return character
    return f"\\U{ord(character):08x}"
