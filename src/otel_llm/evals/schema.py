"""JSON Schema: the new answer is JSON that fits a schema from a file.

The library `jsonschema` does it (extra `checks`). References stay inside the file; nothing is fetched.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from otel_llm.evals.plain import parsed
from otel_llm.values.call import Request
from otel_llm.values.errors import ConfigError
from otel_llm.values.evaluation import Answer, Score, has_words

MAX_TEXT = 1_000_000
"""Characters of an answer that are validated."""
MAX_MESSAGE = 300


class Schema:
    """A schema, ready to judge. Raises `ConfigError` when it is none, or the library is not installed."""

    def __init__(self, path: str, name: str = "schema") -> None:
        self.name = name
        try:
            jsonschema: Any = import_module("jsonschema")
            registry: Any = import_module("referencing").Registry()
        except ImportError:
            raise ConfigError("check schema needs jsonschema: pip install 'otel-llm[checks]'") from None
        try:
            schema = json.loads(Path(path).read_bytes())
        except OSError as error:
            raise ConfigError(f"check schema={path}: {(error.strerror or str(error)).lower()}") from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"check schema={path}: the file is no JSON: {error}") from None
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        try:
            kind.check_schema(schema)
        except (jsonschema.SchemaError, RecursionError, TypeError) as error:
            raise ConfigError(f"check schema={path}: it is no JSON Schema: {getattr(error, 'message', error)}") from None
        self._validator = kind(schema, registry=registry)

    def __call__(self, recorded: Answer, new: Answer, request: Request | None) -> Score | None:
        if not has_words(recorded, new):
            return None
        if len(new.text) > MAX_TEXT:
            return Score(explanation=f"the answer has {len(new.text):,} characters; {MAX_TEXT:,} are looked at")
        try:
            value = parsed(new.text)
        except ValueError as error:
            return Score(passed=False, explanation=f"the new answer is no JSON: {error}")
        wrong = min(self._validator.iter_errors(value), key=lambda error: len(error.absolute_path), default=None)
        if wrong is None:
            return Score(passed=True)
        place = ".".join(map(str, wrong.absolute_path))
        return Score(passed=False, explanation=(f"{place}: {wrong.message}" if place else wrong.message)[:MAX_MESSAGE])
