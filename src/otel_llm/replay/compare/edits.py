"""The shortest way from one sequence to another, as `difflib` writes it, in time that grows with what differs.

`difflib.SequenceMatcher` takes time cubic in the number of equal elements where nothing else is equal: two essays that share
their spaces and commas keep it busy for minutes. Myers's algorithm takes the product of the length and the number of edits, and
it can give up: beyond `most` edits everything between the common beginning and the common end counts as replaced, which is also
what a reader wants to see of two texts that have little in common.

Source: E. Myers, An O(ND) Difference Algorithm and Its Variations (1986)
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

MOST = 1_000
"""Edits (elements that went or came) that are looked for."""

Opcode = tuple[str, int, int, int, int]
"""(equal | replace | delete | insert, from and to in the old sequence, from and to in the new one)."""


def opcodes(old: Sequence[Hashable], new: Sequence[Hashable], most: int = MOST) -> tuple[list[Opcode], bool]:
    """The steps from old to new, and whether they are the shortest way (False: too many edits, the middle is replaced)."""
    shorter = min(len(old), len(new))
    head = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    tail = next((n for n in range(shorter - head) if old[-1 - n] != new[-1 - n]), shorter - head)
    rows, columns = len(old) - head - tail, len(new) - head - tail
    path = _path(old[head : head + rows], new[head : head + columns], most)
    is_shortest = path is not None
    equal = [(head + i, head + j, length) for i, j, length in path or ()]
    blocks = [(0, 0, head), *equal, (head + rows, head + columns, tail), (len(old), len(new), 0)]
    found: list[Opcode] = []
    i = j = 0
    for row, column, length in blocks:
        if i < row or j < column:
            found.append(("replace" if i < row and j < column else "delete" if i < row else "insert", i, row, j, column))
        if length:
            found.append(("equal", row, row + length, column, column + length))
        i, j = row + length, column + length
    return found, is_shortest


def _path(old: Sequence[Hashable], new: Sequence[Hashable], most: int) -> list[tuple[int, int, int]] | None:
    """The runs of equal elements on the shortest way: (place in old, place in new, length). None beyond so many edits."""
    rows, columns = len(old), len(new)
    if not rows or not columns:
        return []
    reach = {1: 0}
    trail: list[dict[int, int]] = []
    for edits in range(min(rows + columns, most) + 1):
        trail.append(reach)
        reach = dict(reach)
        for diagonal in range(-edits, edits + 1, 2):
            if not -columns <= diagonal <= rows:
                continue
            down = diagonal == -edits or (diagonal != edits and reach.get(diagonal - 1, -1) < reach.get(diagonal + 1, -1))
            row = reach.get(diagonal + 1, 0) if down else reach.get(diagonal - 1, -1) + 1
            column = row - diagonal
            while row < rows and column < columns and old[row] == new[column]:
                row, column = row + 1, column + 1
            reach[diagonal] = row
            if row >= rows and column >= columns:
                return _back(trail, rows, columns)
    return None


def _back(trail: list[dict[int, int]], row: int, column: int) -> list[tuple[int, int, int]]:
    """The equal runs of a way that was found, walked from its end."""
    runs: list[tuple[int, int, int]] = []
    for edits in range(len(trail) - 1, -1, -1):
        reach, diagonal = trail[edits], row - column
        down = diagonal == -edits or (diagonal != edits and reach.get(diagonal - 1, -1) < reach.get(diagonal + 1, -1))
        before = diagonal + 1 if down else diagonal - 1
        start_row = reach.get(before, 0) if edits else 0
        start_column = start_row - before if edits else 0
        inner_row = start_row if down or not edits else start_row + 1
        inner_column = start_column + 1 if down and edits else start_column
        if row > inner_row:
            runs.append((inner_row, inner_column, row - inner_row))
        row, column = start_row, start_column
    return runs[::-1]
