"""A difference of two answers as lines: changed words in colour (or in marks), tools, then the figures side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from otel_llm.cli import numbers
from otel_llm.cli.output import Line, Piece
from otel_llm.cli.safe import json_text, line, safe

MOST_SAME = 240
"""Characters of unchanged text between two changes that are shown; the middle of a longer run is left out."""

_FIGURES = (
    ("status", "status", str),
    ("error_type", "error", str),
    ("model", "model", str),
    ("finish_reason", "ended by", str),
    ("input_tokens", "input tokens", numbers.count),
    ("output_tokens", "output tokens", numbers.count),
    ("cost_pico_usd", "cost", numbers.cost),
    ("duration_ns", "latency", numbers.duration),
)


def diff_lines(diff: Mapping[str, Any], *, color: bool) -> Iterator[Line]:
    """All of a difference in the shape of `otel_llm.replay.compare`, indented by two."""
    if diff["text"]["same"]:
        yield [("  text  ", "dim"), ("same" if diff["text"]["words"] else "none on either side", "dim")]
    else:
        yield from _text_lines(diff["text"]["words"], color=color)
    for change in diff["tool_calls"]["changes"]:
        yield from _tool_lines(change)
    for name, title, show in _FIGURES:
        pair = diff.get(name) or {}
        old, new = pair.get("old"), pair.get("new")
        if old is None and new is None:
            continue
        before = numbers.UNKNOWN if old is None else line(show(old))
        after = numbers.UNKNOWN if new is None else line(show(new))
        yield [(f"  {title:<14}", "dim"), (before if before == after else f"{before} → {after}", "")]


def _text_lines(words: list[list[str]], *, color: bool) -> Iterator[Line]:
    """The words in their order. Without colour, `[-gone-]` and `{+come+}` mark them, as `git diff --word-diff` does."""
    pieces: list[Piece] = []
    for place, (sign, text) in enumerate(words):
        shown = safe(text)
        if sign == "=":
            pieces.append((_shortened(shown, first=place == 0, last=place == len(words) - 1), ""))
        elif sign == "-":
            pieces.append((shown if color else f"[-{shown}-]", "removed"))
        else:
            pieces.append((shown if color else f"{{+{shown}+}}", "added"))
    current: list[Piece] = [("  ", "")]
    for text, style in pieces:
        first, *rest = text.split("\n")
        current.append((first, style))
        for part in rest:
            yield current
            current = [("  ", ""), (part, style)]
    yield current


def _shortened(text: str, *, first: bool, last: bool) -> str:
    if len(text) <= MOST_SAME:
        return text
    half = MOST_SAME // 2
    return ("" if first else text[:half]) + " […] " + ("" if last else text[-half:])


def _tool_lines(change: Mapping[str, Any]) -> Iterator[Line]:
    name = line(str(change["name"]))
    old, new = (None if value is None else line(json_text(value)) for value in (change["old"], change["new"]))
    if old is not None:
        yield [("  tool - ", "dim"), (f"{name}({old})", "removed")]
    if new is not None:
        yield [("  tool + ", "dim"), (f"{name}({new})", "added")]
