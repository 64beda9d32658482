"""A regular expression on an answer, looked for in a process of its own (`otel_llm.evals.child`), on a text of bounded length.

When its time is up, the score is undecided.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from otel_llm.evals import child
from otel_llm.values.call import Request
from otel_llm.values.errors import ConfigError
from otel_llm.values.evaluation import Answer, Score, has_words

MAX_TEXT = 200_000
"""Characters that are searched."""
SECONDS = 2.0

_CHILD = """
import json, re, sys
pattern, text = json.load(sys.stdin)
print(int(re.search(pattern, text) is not None))
"""


@dataclass(frozen=True, slots=True)
class Regex:
    """The pattern is found somewhere in the new answer. Raises `ConfigError` when it is none."""

    pattern: str
    name: str = "regex"
    seconds: float = SECONDS

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"check regex={self.pattern!r} is no regular expression: {error}") from None

    def __call__(self, recorded: Answer, new: Answer, request: Request | None) -> Score | None:
        if not has_words(recorded, new):
            return None
        is_cut = len(new.text) > MAX_TEXT
        try:
            is_there = child.ask(_CHILD, [self.pattern, new.text[:MAX_TEXT]], self.seconds)
        except child.TookTooLong:
            return Score(explanation=f"the pattern took longer than {self.seconds:g} s on {len(new.text):,} characters")
        except child.Failed as error:
            return Score(explanation=f"the pattern could not be looked for: {error}")
        if is_there:
            return Score(passed=True)
        if is_cut:
            return Score(explanation=f"it is not in the first {MAX_TEXT:,} characters, and the rest was not searched")
        return Score(passed=False, explanation="it does not match")
