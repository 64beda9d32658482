"""JSON Schema: the new answer is JSON that fits a schema from a file.

The library `jsonschema` does it (extra `checks`). References stay inside the file; nothing is fetched. A schema in which patterns
stand is applied in a process of its own (`otel_llm.evals.child`); when its time is up, the score is undecided.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from otel_llm.evals import child
from otel_llm.evals.plain import parsed, short
from otel_llm.values.call import Request
from otel_llm.values.errors import ConfigError
from otel_llm.values.evaluation import Answer, Score, has_words

MAX_TEXT = 1_000_000
"""Characters of an answer that are validated."""
MAX_MESSAGE = 300
SECONDS = 5.0
"""How long a schema with patterns may take. The library is loaded in this time too, which takes a quarter of a second."""

_HOME = str(Path(__file__).parents[2])
"""Where this package is, which an editable installation may hide from `sys.path`."""
_CHILD = """
import json, sys
sys.path[:], schema, value = json.load(sys.stdin)
from otel_llm.evals.schema import misfit, validator
print(json.dumps(misfit(validator(schema), value)))
"""


class Schema:
    """A schema, ready to judge. Raises `ConfigError` when it is none, or the library is not installed."""

    def __init__(self, path: str, name: str = "schema", seconds: float = SECONDS) -> None:
        self.name, self._seconds = name, seconds
        try:
            jsonschema: Any = import_module("jsonschema")
        except ImportError:
            raise ConfigError("check schema needs jsonschema: pip install 'otel-llm[checks]'") from None
        try:
            schema = json.loads(Path(path).read_bytes())
        except OSError as error:
            raise ConfigError(f"check schema={path}: {(error.strerror or str(error)).lower()}") from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"check schema={path}: the file is no JSON: {error}") from None
        if not isinstance(schema, (dict, bool)):
            raise ConfigError(f"check schema={path}: it is no JSON Schema: {short(json.dumps(schema))} is no object")
        try:
            self._validator = validator(schema)
            self._validator.check_schema(schema)
        except (jsonschema.SchemaError, RecursionError, TypeError, AttributeError) as error:
            raise ConfigError(f"check schema={path}: it is no JSON Schema: {getattr(error, 'message', error)}") from None
        self._schema, self._has_patterns = schema, has_patterns(schema)

    def __call__(self, recorded: Answer, new: Answer, request: Request | None) -> Score | None:
        if not has_words(recorded, new):
            return None
        if len(new.text) > MAX_TEXT:
            return Score(explanation=f"the answer has {len(new.text):,} characters; {MAX_TEXT:,} are looked at")
        try:
            value = parsed(new.text)
        except ValueError as error:
            return Score(passed=False, explanation=f"the new answer is no JSON: {error}")
        if not self._has_patterns:
            return _score(misfit(self._validator, value))
        try:
            return _score(child.ask(_CHILD, [[*sys.path, _HOME], self._schema, value], self._seconds))
        except child.TookTooLong:
            return Score(
                explanation=f"the patterns of the schema took longer than {self._seconds:g} s on {len(new.text):,} characters")
        except child.Failed as error:
            return Score(explanation=f"the schema could not be applied: {error}"[:MAX_MESSAGE])


def validator(schema: Any) -> Any:
    """What validates by this schema, in the dialect that it names."""
    jsonschema: Any = import_module("jsonschema")
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    return kind(schema, registry=import_module("referencing").Registry())


def misfit(validator: Any, value: Any) -> str | None:
    """Where, and why, a value does not fit; None when it does."""
    wrong = min(validator.iter_errors(value), key=lambda error: len(error.absolute_path), default=None)
    if wrong is None:
        return None
    place = ".".join(map(str, wrong.absolute_path))
    return (f"{place}: {wrong.message}" if place else str(wrong.message))[:MAX_MESSAGE]


def has_patterns(schema: Any) -> bool:
    """Whether a regular expression may stand somewhere in it."""
    if isinstance(schema, list):
        return any(map(has_patterns, schema))
    return isinstance(schema, dict) and (not schema.keys().isdisjoint(("pattern", "patternProperties"))
                                         or any(map(has_patterns, schema.values())))


def _score(wrong: str | None) -> Score:
    return Score(passed=wrong is None, explanation=wrong or "")
