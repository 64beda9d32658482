"""JSON for people and for git: what fits stands on one line, everything else is opened up, one member a line.

Keys stay in their order. Text is written as it is; only control characters and what UTF-8 cannot hold (a lone surrogate) are
escaped. Long rows of numbers, such as an embedding or the sizes of chunks, fill their lines instead of taking one a number.
"""

from __future__ import annotations

import json
import re
from typing import Any

WIDTH = 120
ROWS, ROW_WIDTH = "events", 600
"""Items in lists of this name stay on one line up to this width: an event of a stream is read, and compared, as one."""
STEP = "  "
_LONE = re.compile("[\ud800-\udfff]")
_quoted = json.encoder.encode_basestring


def document(value: Any) -> bytes:
    """The value as a file, with one newline at its end."""
    text = _LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", _lay(value, ""))
    return text.encode() + b"\n"


def _lay(value: Any, indent: str) -> str:
    kind = type(value)
    inner = indent + STEP
    if kind is dict and value:
        first, last = "{", "}"
        parts = [f"{_quoted(key)}: {_rows(item, inner) if key == ROWS else _lay(item, inner)}" for key, item in value.items()]
    elif (kind is list or kind is tuple) and value:
        first, last = "[", "]"
        parts = [_lay(item, inner) for item in value]
    else:
        return _quoted(value) if kind is str else json.dumps(value)
    if len(indent) + sum(map(len, parts)) + 2 * len(parts) <= WIDTH and not any("\n" in part for part in parts):
        return f"{first}{', '.join(parts)}{last}"
    if first == "[" and not any(sign in part for part in parts for sign in '"{\n'):
        return f"[\n{inner}{_filled(parts, inner)}\n{indent}]"
    return f"{first}\n{inner}" + f",\n{inner}".join(parts) + f"\n{indent}{last}"


def _rows(value: Any, indent: str) -> str:
    """A list with an item a line, as far as the items fit."""
    if type(value) is not list or not value:
        return _lay(value, indent)
    inner = indent + STEP
    parts = [row if len(row := json.dumps(item, ensure_ascii=False)) <= ROW_WIDTH else _lay(item, inner) for item in value]
    return f"[\n{inner}" + f",\n{inner}".join(parts) + f"\n{indent}]"


def _filled(parts: list[str], inner: str) -> str:
    """Numbers, as many to a line as fit."""
    rows: list[list[str]] = [[]]
    room = WIDTH - len(inner)
    for part in parts:
        if rows[-1] and len(part) + 2 > room:
            rows.append([])
            room = WIDTH - len(inner)
        rows[-1].append(part)
        room -= len(part) + 2
    return f",\n{inner}".join(", ".join(row) for row in rows)
