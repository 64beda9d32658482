"""Lines of text, made of pieces `(text, style)`, and how many columns they take on a terminal.

A style is a word, such as `error` or `dim`, or empty; whoever prints knows what it looks like (`otel_llm.cli.output`). What is
captured has passed `otel_llm.text.safe` before it becomes a piece.
"""

from __future__ import annotations

from collections.abc import Sequence

Piece = tuple[str, str]
Line = Sequence[Piece]


def width_of(text: str) -> int:
    """Columns that a text takes on a terminal: two for a wide character, none for a joiner."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def clip(text: str, width: int) -> str:
    """The text in at most so many columns, with an ellipsis where something is missing."""
    if width_of(text) <= width:
        return text
    from rich.cells import set_cell_size

    return set_cell_size(text, max(width - 1, 0)).rstrip() + "…" if width > 0 else ""


def cut(pieces: Line, width: int) -> list[Piece]:
    """A line in at most so many columns."""
    if sum(width_of(text) for text, _ in pieces) <= width:
        return list(pieces)
    kept: list[Piece] = []
    left = width
    for text, style in pieces:
        used = width_of(text)
        if used >= left:
            kept.append((clip(text, left) if used > left else clip(text + "…", left), style))
            return kept
        kept.append((text, style))
        left -= used
    return kept
