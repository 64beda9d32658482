"""Captured text on its way to a terminal: shown, never obeyed.

A prompt, an answer or a tag may hold anything, escape sequences that recolour, retitle or overwrite the terminal among them,
and characters that turn the reading direction round. Here they become visible: `␛` stands for ESC, `\\u202e` for a
right-to-left override. Letters of every script, emoji and their joiners stay what they are.
"""

from __future__ import annotations

import json
import re
from typing import Any

_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
_UNSEEN = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
_UNSAFE = re.compile(f"[{_CONTROLS}{_UNSEEN}]")
_SPACE = re.compile(r"[\t\n\x0b\x0c\r \x85]+")


def safe(text: str) -> str:
    """Text that may stand on a terminal; line ends (as `\\n`) and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_visible, text.replace("\r\n", "\n"))


def line(text: str) -> str:
    """The same in one line: every run of white space is one space."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return safe(_SPACE.sub(" ", text).strip())


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON that a terminal may show: equal to what `json.loads` reads back, with unsafe characters written as escapes."""
    separators = (",", ": ") if indent is not None else (", ", ": ")
    return _UNSAFE.sub(_escaped, json.dumps(value, ensure_ascii=False, indent=indent, separators=separators))


def _escaped(match: re.Match[str]) -> str:
    return match[0] if match[0] == "\n" else json.dumps(match[0])[1:-1]
