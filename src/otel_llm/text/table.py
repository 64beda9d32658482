"""Rows as text in the two forms that take no JSON: an aligned table for people, tab-separated lines for programs.

The table fits the width of a terminal. The growing column (a title, first words) shrinks first; then whole columns go, those with
the lowest `keep` first; a line never wraps. Columns that are None for `keep` always stay. Tab-separated text has every column,
figures bare (`cost_usd` without `$`), unknown as `–`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from otel_llm.text.lines import Piece, clip, width_of
from otel_llm.text.numbers import UNKNOWN
from otel_llm.text.safe import line

Row = TypeVar("Row")

GAP = "  "
LEAST = 16
"""Columns that a growing column keeps before others go."""


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One column: `name` in a header of tab-separated text, `title` on a terminal.

    `shown` makes the cell for people, `bare` that for programs. `keep` says how long it stays on a narrow terminal; with
    `is_bare` it is for programs alone.
    """

    name: str
    title: str
    shown: Callable[[Row], str]
    bare: Callable[[Row], object]
    keep: int | None = None
    is_right: bool = False
    grows: bool = False
    most: int = 40
    style: Callable[[Row], str] = lambda row: ""
    is_bare: bool = False


def tab_separated(row: Row, columns: Sequence[Column[Row]]) -> str:
    """One row for programs: as many fields as columns, whatever the text in them."""
    return "\t".join(_bare(column.bare(row)) for column in columns)


def _bare(value: object) -> str:
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ",".join(f"{line(str(k))}={line(str(v))}" for k, v in value.items()) or UNKNOWN
    if isinstance(value, (list, tuple)):
        return ",".join(line(str(item)) for item in value) or UNKNOWN
    return line(str(value)) or UNKNOWN


def aligned(rows: Sequence[Row], columns: Sequence[Column[Row]], width: int) -> Iterator[list[Piece]]:
    """The table as lines of pieces, none wider than the terminal."""
    columns = [column for column in columns if not column.is_bare]
    cells = {column.name: [line(column.shown(row)) for row in rows] for column in columns}
    kept, widths = fit(columns, cells, width)
    titles = (_pad(clip(c.title, widths[c.name]), widths[c.name], right=c.is_right) for c in kept)
    yield [(GAP.join(titles).rstrip(), "dim")]
    for index, row in enumerate(rows):
        pieces: list[Piece] = []
        for place, column in enumerate(kept):
            text = _pad(clip(cells[column.name][index], widths[column.name]), widths[column.name], right=column.is_right)
            pieces.append((text if place < len(kept) - 1 else text.rstrip(), column.style(row)))
            if place < len(kept) - 1:
                pieces.append((GAP, ""))
        yield pieces


def fit(
    columns: Sequence[Column[Row]], cells: Mapping[str, Sequence[str]], width: int
) -> tuple[list[Column[Row]], dict[str, int]]:
    """The columns that stay, and how wide each is."""
    kept = list(columns)
    natural = {
        c.name: max([width_of(c.title), *(width_of(cell) for cell in cells[c.name])]) if c.grows
        else min(max([width_of(c.title), *(width_of(cell) for cell in cells[c.name])]), c.most)
        for c in columns
    }
    while True:
        room = width - len(GAP) * (len(kept) - 1) - sum(natural[c.name] for c in kept if not c.grows)
        growing = [c for c in kept if c.grows]
        needed = sum(min(natural[c.name], LEAST) for c in growing)
        droppable = [c for c in kept if c.keep is not None]
        if room >= needed or not droppable:
            break
        kept.remove(min(droppable, key=lambda c: c.keep or 0))
    widths = {c.name: natural[c.name] for c in kept}
    for column in growing:
        widths[column.name] = max(min(natural[column.name], room), 1)
    excess = sum(widths.values()) + len(GAP) * (len(kept) - 1) - width
    for column in sorted(kept, key=lambda c: -widths[c.name]):
        less = min(max(excess, 0), widths[column.name] - 1)
        widths[column.name] -= less
        excess -= less
    return kept, widths


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * max(width - width_of(text), 0)
    return space + text if right else text + space
