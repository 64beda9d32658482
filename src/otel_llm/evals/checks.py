"""Checks as they are written on the command line, and what they stand for.

    exact              the same words and tool calls
    json               the same JSON value
    schema=FILE        JSON that fits a JSON Schema
    regex=PATTERN      the pattern is found (Python's `re`)
    similarity         how much of the words stayed, 0 to 1, for information; `similarity>=0.9` decides
    contains=TEXT      the words are in it
    python:MODULE:FUNCTION
                       what a function of yours says, called with the recorded answer, the new one and what was asked
    judge=MODEL        what a model says
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from otel_llm.evals.foreign import Foreign
from otel_llm.evals.judge import RUBRIC, Client, Judge
from otel_llm.evals.plain import Contains, Exact, JsonEqual, Similarity
from otel_llm.evals.regex import Regex
from otel_llm.evals.schema import Schema
from otel_llm.values.errors import ConfigError
from otel_llm.values.evaluation import Evaluator

FORMS = ("exact", "json", "schema=FILE", "regex=PATTERN", "similarity[>=0.9]", "contains=TEXT", "python:MODULE:FUNCTION",
         "judge=MODEL")

_WITH_ARGUMENT: Mapping[str, Callable[[str, str], Evaluator]] = {
    "schema": Schema,
    "regex": Regex,
    "contains": Contains,
}
_ALONE: Mapping[str, Callable[[], Evaluator]] = {"exact": Exact, "json": JsonEqual, "similarity": Similarity}
_LEAST = re.compile(r"similarity\s*>=\s*([0-9.]+)")


def read_checks(given: Sequence[str], *, client: Client | None = None, rubric: str | None = None) -> list[Evaluator]:
    """The evaluators that these texts name, each under its own text.

    `client` gives the SDK's client that a judge asks with. Raises `ConfigError` for a text that names none, or names one twice.
    """
    twice = next((text for text in given if given.count(text) > 1), None)
    if twice is not None:
        raise ConfigError(f"check {twice} is given twice")
    return [read_check(text, client=client, rubric=rubric) for text in given]


def read_check(text: str, *, client: Client | None = None, rubric: str | None = None) -> Evaluator:
    """The evaluator that one text names."""
    name, equals, argument = text.partition("=")
    if text.startswith("python:"):
        return Foreign(text.removeprefix("python:"), text)
    if text in _ALONE:
        return _ALONE[text]()
    if (found := _LEAST.fullmatch(text)) is not None:
        return Similarity(_share(text, found[1]), text)
    if name == "judge" and argument and client is not None:
        return Judge(argument, client, rubric or RUBRIC, text)
    if name in _WITH_ARGUMENT and argument:
        return _WITH_ARGUMENT[name](argument, text)
    missing = f" {name} needs a value behind `=`." if name in (*_WITH_ARGUMENT, "judge") and not argument else ""
    raise ConfigError(f"check {text!r} is not usable.{missing} Good values: {', '.join(FORMS)}")


def judge_models(given: Sequence[str]) -> list[str]:
    """The models that these checks would ask."""
    return [text.removeprefix("judge=") for text in given if text.startswith("judge=") and text != "judge="]


def _share(text: str, number: str) -> float:
    try:
        share = float(number)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ConfigError(f"check {text!r} is not usable; good values: similarity>=0 to similarity>=1")
    return share
