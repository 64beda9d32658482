"""A regular expression on an answer, looked for in a process of its own.

A pattern such as `(a+)+$` may take longer than anybody waits, and Python cannot be interrupted while it looks. So the search runs
in a small child process, on a text of bounded length, and is ended when its time is up; the score then is undecided.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass

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
        sent = json.dumps([self.pattern, new.text[:MAX_TEXT]]).encode()
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", "-c", _CHILD], input=sent, capture_output=True, timeout=self.seconds, check=True
            )
        except subprocess.TimeoutExpired:
            return Score(explanation=f"the pattern took longer than {self.seconds:g} s on {len(new.text):,} characters")
        except (OSError, subprocess.CalledProcessError) as error:
            return Score(explanation=f"the pattern could not be looked for: {error}")
        if done.stdout.strip() == b"1":
            return Score(passed=True)
        if is_cut:
            return Score(explanation=f"it is not in the first {MAX_TEXT:,} characters, and the rest was not searched")
        return Score(passed=False, explanation="it does not match")
