"""A price row and the multiplication by it: whole pico-USD a token, nothing rounded.

    row      = null (no such model) | "library" | [[from_ns, units], …]
    unit     = [field, pico-USD a token, children, descendants, joins, direction]

`field` is a place in `FIELDS`; a token counts once, for the most special unit that is priced (`children` are taken off);
`descendants` and `joins` name the fields without which a count that was not reported cannot be known. Rows are plain JSON,
because they are kept in a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from otel_llm.values.call import Cost, Usage

LIBRARY = "library"
"""The row of a model whose price is not one whole number a token; the library calculates it."""

FIELDS: Mapping[str, str] = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_write_input_tokens": "cache_write_tokens",
    "reasoning_output_tokens": "output_reasoning_tokens",
    "text_input_tokens": "input_text_tokens",
    "image_input_tokens": "input_image_tokens",
    "audio_input_tokens": "input_audio_tokens",
    "text_output_tokens": "output_text_tokens",
    "image_output_tokens": "output_image_tokens",
    "audio_output_tokens": "output_audio_tokens",
}
"""The library's usage key by field of `Usage`."""

_counts = attrgetter(*FIELDS)


def units_at(row: list[Any], at_ns: int) -> list[Any]:
    """The units whose day had come; before the first one, the first."""
    units: list[Any] = row[0][1]
    for from_ns, later in row[1:]:
        if from_ns <= at_ns:
            units = later
    return units


def multiply(units: list[Any], usage: Usage) -> Cost | None:
    """Count times price, each token once. None when a count that is priced is unknown, or when the counts contradict."""
    counts = _counts(usage)
    leaves: list[int] = []
    taken = given = other = 0
    for field, pico, children, descendants, joins, direction in units:
        count = counts[field] if field is not None else None
        if count is None:
            if any(counts[d] for d in descendants) or any(counts[a] and counts[b] for a, b in joins):
                return None
            if field is not None and field < 2 and pico:
                return None
            count = 1 if direction == "" else 0
        for child in children:
            count -= leaves[child]
        if count < 0:
            return None
        leaves.append(count)
        if direction == "input":
            taken += count * pico
        elif direction == "output":
            given += count * pico
        else:
            other += count * pico
    return Cost(taken + given + other, taken, given)
