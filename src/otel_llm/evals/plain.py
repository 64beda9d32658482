"""Checks that need nothing but the two answers: equal, equal as JSON, near enough, holding some words.

A check that compares with the recorded answer cannot decide where none was recorded, and says so.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from otel_llm.values.call import Request
from otel_llm.values.evaluation import Answer, Score, has_answered, has_words

MAX_WORDS = 30_000
"""Words of an answer that `similarity` can compare."""
SHOWN = 80

NO_RECORDED_ANSWER = Score(explanation="no answer was recorded to compare with")

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Exact:
    """The same words and the same tool calls, character by character."""

    name: str = "exact"

    def __call__(self, recorded: Answer, new: Answer, request: Request | None) -> Score:
        if not has_answered(recorded):
            return NO_RECORDED_ANSWER
        if recorded.text != new.text:
            return Score(passed=False, explanation="the texts differ")
        is_same = _calls(recorded) == _calls(new)
        return Score(passed=is_same, explanation="" if is_same else "the tool calls differ")


@dataclass(frozen=True, slots=True)
class JsonEqual:
    """The same JSON value, however it is spaced and its keys are ordered."""

    name: str = "json"

    def __call__(self, recorded: Answer, new: Answer, request: Request | None) -> Score | None:
        if not has_words(recorded, new):
            return None
        if not has_answered(recorded):
            return NO_RECORDED_ANSWER
        try:
            old_value = parsed(recorded.text)
        except ValueError as error:
            return Score(explanation=f"the recorded answer is no JSON: {error}")
        try:
            new_value = parsed(new.text)
        except ValueError as error:
            return Score(passed=False, explanation=f"the new answer is no JSON: {error}")
        is_same = same_value(old_value, new_value)
        return Score(passed=is_same, explanation="" if is_same else "the values differ")


@dataclass(frozen=True, slots=True)
class Similarity:
    """How much of the words stayed, from 0 to 1, without regard to case, spacing and forms of the same letter.

    The measure is twice the number of words that stand on both sides in the same order, divided by the number of all words.
    Without `least` it is for information and decides nothing.
    """

    least: float | None = None
    name: str = "similarity"

    def __call__(self, recorded: Answer, new: Answer, request: Request | None) -> Score | None:
        if not has_words(recorded, new):
            return None
        if not has_answered(recorded):
            return NO_RECORDED_ANSWER
        before, after = normal_words(recorded.text), normal_words(new.text)
        if max(len(before), len(after)) > MAX_WORDS:
            return Score(explanation=f"an answer has more than {MAX_WORDS:,} words")
        value = likeness(before, after)
        return Score(round(value, 4), None if self.least is None else value >= self.least)


@dataclass(frozen=True, slots=True)
class Contains:
    """Some words stand in the new answer, exactly so."""

    wanted: str
    name: str = "contains"

    def __call__(self, recorded: Answer, new: Answer, request: Request | None) -> Score | None:
        if not has_words(recorded, new):
            return None
        is_there = self.wanted in new.text
        return Score(passed=is_there, explanation="" if is_there else f"{short(self.wanted)} is not in it")


def likeness(old: Sequence[str], new: Sequence[str]) -> float:
    """Twice the words of the longest sequence that both have in common, by all words.

    One bit of a large integer stands for each old word, so that a step of the algorithm is a few operations on all of them.

    Source: M. Crochemore and others, A fast and practical bit-vector algorithm for the longest common subsequence problem (2001)
    """
    places: dict[str, int] = {}
    for place, word in enumerate(old):
        places[word] = places.get(word, 0) | 1 << place
    everything = (1 << len(old)) - 1
    unmatched = everything
    for word in new:
        here = unmatched & places.get(word, 0)
        unmatched = ((unmatched + here) | (unmatched - here)) & everything
    total = len(old) + len(new)
    return 2 * (len(old) - unmatched.bit_count()) / total if total else 1.0


def normal_words(text: str) -> list[str]:
    """Words and signs of a text in one spelling."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def short(text: str) -> str:
    """The beginning of a text, quoted."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def parsed(text: str) -> Any:
    """A JSON value. Raises `ValueError` for what is none, is too deep, or is a number that JSON does not know."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON value")


def same_value(old: Any, new: Any) -> bool:
    """Whether two JSON values are one: 1 and 1.0 are, true and 1 are not."""
    todo: list[tuple[Any, Any]] = [(old, new)]
    while todo:
        one, other = todo.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            todo += [(one[key], other[key]) for key in one]
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            todo += zip(one, other, strict=True)
        elif one != other or isinstance(one, bool) != isinstance(other, bool):
            return False
    return True


def _calls(answer: Answer) -> Sequence[Any]:
    return [(name, _spelled(arguments)) for name, arguments in answer.tool_calls]


def _spelled(arguments: str) -> str:
    """Arguments in one spelling; broken ones as they are."""
    dump: Callable[[Any], str] = json.JSONEncoder(sort_keys=True).encode
    try:
        return dump(parsed(arguments))
    except (ValueError, RecursionError):
        return arguments
