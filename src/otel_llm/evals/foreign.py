"""A function of the user's as a check: `python:module:function`.

The module is imported, from the current directory too, because the user named it; nothing is evaluated. The function is called
as `function(recorded, new, request)`, with two answers (`otel_llm.values.evaluation.Answer`) and what was asked, and gives a
`Score`, a bool (the verdict), a number (a measure), or a pair of one of these and an explanation; None where both answers
only ask for tools, so that there are no words to judge (elsewhere None is a `return` that was forgotten, and undecided). What it
prints goes to standard error. What it raises makes the score undecided.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

from otel_llm.values.call import Request
from otel_llm.values.errors import ConfigError
from otel_llm.values.evaluation import Answer, Score, has_words

MAX_MESSAGE = 500


class Foreign:
    """The check. Raises `ConfigError` when there is no such function, or it takes something else."""

    def __init__(self, target: str, name: str) -> None:
        self.name = name
        self._function = _load(target)

    def __call__(self, recorded: Answer, new: Answer, request: Request | None) -> Score | None:
        try:
            with redirect_stdout(sys.stderr):
                given = self._function(recorded, new, request)
            return score_of(given) if given is not None or has_words(recorded, new) else None
        except Exception as error:
            return Score(explanation=f"it raised {type(error).__name__}: {error}"[:MAX_MESSAGE])


def score_of(given: object) -> Score:
    """What a function gave, as a score; of what makes no sense an undecided one."""
    match given:
        case Score():
            return given
        case bool():
            return Score(passed=given)
        case int() | float():
            return Score(float(given)) if given == given else Score(explanation="it gave NaN")
        case (bool() | int() | float() as verdict, str() as explanation):
            made = score_of(verdict)
            return Score(made.value, made.passed, explanation[:MAX_MESSAGE]) if not made.is_undecided else made
    return Score(explanation=f"it gave a {type(given).__name__}; good values: a Score, True or False, a number")


def _load(target: str) -> Callable[..., Any]:
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise ConfigError(f"check python:{target} is not usable; good values: python:module:function")
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise ConfigError(f"check python:{target} cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(os.getcwd())
    if not callable(found):
        raise ConfigError(f"check python:{target} is a {type(found).__name__}; it has to be a function")
    function: Callable[..., Any] = found
    _check_signature(function, target)
    return function


def _check_signature(function: Callable[..., Any], target: str) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of what is written in C nobody may know it
        return
    try:
        signature.bind(None, None, None)
    except TypeError:
        raise ConfigError(f"check python:{target} takes {signature}; it has to take (recorded, new, request): the recorded "
                          "answer, the new one and what was asked.") from None
