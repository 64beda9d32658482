"""A difference of two answers as lines: changed words in colour (or in marks), tools, then the figures side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from otel_llm.text import numbers
from otel_llm.text.lines import Line, Piece
from otel_llm.text.safe import json_text, line, safe

MOST_SAME = 240
"""Characters of unchanged text between two changes that are shown; the middle of a longer run is left out."""

FIGURES: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("status", "status", str),
    ("error_type", "error", str),
    ("error_message", "message", str),
    ("model", "model", str),
    ("finish_reason", "ended by", str),
    ("input_tokens", "input tokens", numbers.count),
    ("output_tokens", "output tokens", numbers.count),
    ("cost_pico_usd", "cost", numbers.cost),
    ("duration_ns", "latency", numbers.duration),
)
"""The figures of two answers: their name in JSON, what they are called, how they look."""


def diff_lines(diff: Mapping[str, Any], *, color: bool) -> Iterator[Line]:
    """All of a difference in the shape of `otel_llm.replay.compare.answers`, indented by two."""
    if not diff.get("compared", True):
        yield [("  nothing is recorded on both sides that could be compared", "dim")]
    elif diff.get("vectors") is not None:
        yield _vector_line(diff["vectors"])
    elif diff["text"]["same"]:
        yield [("  text  ", "dim"), ("same" if diff["text"]["words"] else "none on either side", "dim")]
    else:
        yield from text_lines(diff["text"]["words"], color=color)
    for change in diff["tool_calls"]["changes"]:
        yield from _tool_lines(change)
    for name, title, show in FIGURES:
        pair = diff.get(name) or {}
        old, new = pair.get("old"), pair.get("new")
        if old is None and new is None:
            continue
        before = numbers.UNKNOWN if old is None else line(show(old))
        after = numbers.UNKNOWN if new is None else line(show(new))
        yield [(f"  {title:<14}", "dim"), (before if before == after else f"{before} → {after}", "")]


def same_text(diff: Mapping[str, Any]) -> str:
    """What is worth a word of two answers that are the same: `404 · 812 ms → 790 ms · $0.0000045`."""
    status = diff["status"]["new"]
    parts = [str(status)] if status is not None and status >= 400 else []
    for name, show in (("duration_ns", numbers.duration), ("cost_pico_usd", numbers.cost)):
        pair = diff.get(name) or {}
        before, after = (show(pair.get(side)) for side in ("old", "new"))
        parts.append(before if before == after else f"{before} → {after}")
    return " · ".join(parts)


def _vector_line(vectors: Mapping[str, Any]) -> Line:
    """How the vectors of two embeddings calls compare, in words."""
    old, new, cosine = vectors["old"], vectors["new"], vectors["cosine"]
    if vectors["same"]:
        return [("  vectors  ", "dim"), (f"same ({numbers.count(old)})", "dim")]
    counts = numbers.count(old) if old == new else f"{numbers.count(old)} → {numbers.count(new)}"
    how = f"cosine similarity of the least similar {cosine:.6f}" if cosine is not None else "not of one kind"
    return [("  vectors  ", "dim"), (f"{counts}, {how}", "")]


def text_lines(words: Sequence[Sequence[str]], *, color: bool) -> Iterator[Line]:
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
