"""Workflow commands of GitHub Actions: a step that does not pass becomes an annotation.

A runner obeys every line of a log that looks like a command, also one that a model wrote. So captured text goes into commands
only escaped, and where it is printed otherwise commands are switched off around it (`stopped`).

Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from otel_llm.report.junit import message
from otel_llm.report.lines import counts_text, name_of, pair_text, verdict
from otel_llm.text.safe import safe
from otel_llm.values.comparison import Comparison, Pair

MAX_ANNOTATIONS = 10
"""GitHub shows no more errors of one step."""
MAX_TEXT = 3_000

_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def github(comparisons: Iterable[Comparison]) -> Iterator[str]:
    """The commands, one a line: an error for each step that does not pass, then what it all came to."""
    for comparison in comparisons:
        failing = [pair for pair in comparison.pairs if not comparison.passes(pair)]
        for pair in failing[:MAX_ANNOTATIONS]:
            yield _annotation(comparison, pair)
        counts = "; ".join(counts_text(comparison, side) for side in range(1, len(comparison.sides)))
        more = len(failing) - MAX_ANNOTATIONS
        rest = f" {more} more of them have no annotation." if more > 0 else ""
        level = "notice" if comparison.exit_code == 0 else "error"
        yield command(level, f"{verdict(comparison)[0]}: {counts}.{rest}", {"file": comparison.source, "title": comparison.title})


def _annotation(comparison: Comparison, pair: Pair) -> str:
    level = "warning" if pair.status == "not_compared" and not pair.scores else "error"
    text = f"{message(comparison, pair)}\n{pair_text(replace(pair, note=''), MAX_TEXT)}".strip()
    return command(level, text, {"file": comparison.source, "title": f"{name_of(pair)} {pair.words}".strip()})


def command(name: str, text: str, properties: Mapping[str, str | None]) -> str:
    """One workflow command; properties that are None are left out."""
    given = [f"{key}={safe(value).translate(_PROPERTY)}" for key, value in properties.items() if value is not None]
    return f"::{name}{' ' if given else ''}{','.join(given)}::{safe(text).translate(_DATA)}"


def stopped() -> tuple[str, str]:
    """Two lines between which a runner obeys nothing; the word that ends it cannot be guessed."""
    word = secrets.token_hex(16)
    return f"::stop-commands::{word}", f"::{word}::"
