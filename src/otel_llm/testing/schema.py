"""A value that fits a JSON schema, filled from what was said.

Used twice: for the arguments of a tool call, where an optional property without evidence is left out, and for
structured output, where every property is given. Covered: type (also a list with null), enum, const, properties,
required, items, minItems, anyOf, oneOf, allOf, `$ref` within the document, minimum, maximum, minLength, maxLength and
the common formats. `pattern` is not: a schema that needs it wants a scripted answer.
"""

import re
from collections.abc import Mapping
from typing import Any

from .evidence import Evidence, Kind, kind_of
from .words import number, stems, topic

MISSING: Any = object()
"""No value: nothing was said about it."""

_TEXT = re.compile(r"answer|summary|text|message|reply|response|explanation|description|content|title|body|step", re.I)
_SCORE = re.compile(r"score|confidence|probability|ratio|likelihood", re.I)
_NO = re.compile(r"\b(not|no|never|don't|doesn't|isn't|without)\b", re.I)
_MOODS = {
    "negative": frozenset(stems("broken angry late bad terrible awful wrong refund hate disappointed slow")),
    "positive": frozenset(stems("great love good excellent happy perfect wonderful amazing fast")),
}
_FORMATS = {
    "date-time": "2025-01-01T00:00:00Z",
    "date": "2025-01-01",
    "time": "00:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}


class Form:
    """Fills schemas of one request.

    Args:
        evidence: What the conversation offers.
        text: What the model would answer in words; goes into properties such as `answer` or `summary`.
        model: Two models may classify the same message differently.
        must: Give every property, also one that nothing was said about.
    """

    def __init__(self, evidence: Evidence, text: str, *, model: str, must: bool) -> None:
        self._evidence = evidence
        self._text = text
        self._model = model
        self._must = must
        self._root: Mapping[str, Any] = {}
        self._taken: dict[Kind, int] = {}

    def fill(self, schema: Mapping[str, Any]) -> Any:
        """A value that fits the schema."""
        self._root = schema
        return self._value(dict(schema), "", must=True, depth=0)

    def _value(self, schema: dict[str, Any], name: str, *, must: bool, depth: int) -> Any:
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choose(schema["enum"], must=must)
        types = schema.get("type") or ("object" if "properties" in schema else "string")
        types = types if isinstance(types, list) else [types]
        kind = next((one for one in types if one != "null"), "null")
        may_be_null = "null" in types
        if depth > 6 and (may_be_null or kind == "array"):
            return None if may_be_null else []
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, must=must, depth=depth)
        if kind == "null":
            return None
        value = self._scalar(schema, name, kind, must=must and not may_be_null)
        return None if value is MISSING and must else value

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            target: Any = self._root
            for step in str(schema["$ref"]).lstrip("#/").split("/"):
                target = target.get(step, {}) if step else target
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        for part in schema.get("allOf", ()):
            part = self._resolve(part)
            properties = {**schema.get("properties", {}), **part.get("properties", {})}
            schema = {**schema, **part, "properties": properties}
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            real = [one for one in options if one.get("type") != "null"] or options
            chosen = self._resolve(real[0])
            if len(real) < len(options) and isinstance(chosen.get("type"), str):
                chosen = {**chosen, "type": [chosen["type"], "null"]}
            return chosen
        return schema

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        filled = {
            name: self._value(one, name, must=self._must or name in required, depth=depth + 1)
            for name, one in schema.get("properties", {}).items()
        }
        return {name: value for name, value in filled.items() if value is not MISSING}

    def _array(self, schema: dict[str, Any], name: str, *, must: bool, depth: int) -> Any:
        items = self._resolve(schema.get("items", {}))
        kind = kind_of(name, items)
        values = list(self._evidence.of(kind)) if kind not in ("quote", "reason") else []
        if kind == "number" and values:
            return [_number(value, items) for value in values]
        if values:
            return values
        if not must:
            return MISSING
        size = max(1, int(schema.get("minItems", 1)))
        return [self._value(items, name, must=True, depth=depth + 1) for _ in range(size)]

    def _scalar(self, schema: dict[str, Any], name: str, kind: str, *, must: bool) -> Any:
        if kind == "boolean":
            return not _NO.search(self._evidence.text) if must else MISSING
        pool = kind_of(name, schema)
        said = self._take(pool)
        if kind in ("integer", "number"):
            if _SCORE.search(name) and must:
                return _clamp((50 + number(self._model, self._evidence.text) % 50) / 100, schema, kind)
            if said is None and must:
                said = next(iter(self._evidence.of("id")[self._taken[pool] - 1 :]), "0")
            return _number(said, schema) if said is not None else MISSING
        if schema.get("format") == "date-time" and not re.match(r"\d{4}-\d\d-\d\dT", said or ""):
            said = None
        if said is not None:
            return _fit(said, schema)
        if not must:
            return topic(self._evidence.text) if re.search(r"query|question|search", name, re.I) else MISSING
        fallback = self._text if _TEXT.search(name) else topic(self._evidence.text)
        return _fit(_FORMATS.get(str(schema.get("format"))) or fallback or "unknown", schema)

    def _take(self, kind: Kind) -> str | None:
        values = self._evidence.of(kind)
        index = self._taken.get(kind, 0)
        self._taken[kind] = index + 1
        return values[index] if index < len(values) else None

    def _choose(self, options: list[Any], *, must: bool) -> Any:
        said = set(stems(self._evidence.text))
        for option in options:
            if said & set(stems(str(option))) or (len(str(option)) <= 2 and str(option) in self._evidence.text.split()):
                return option
        if not must:
            return MISSING
        for option in options:
            if said & _MOODS.get(str(option).lower(), frozenset()):
                return option
        return options[number(self._model, self._evidence.text) % len(options)]


def _number(said: str, schema: dict[str, Any]) -> int | float:
    types = schema.get("type", "number")
    is_whole = "integer" in types and "number" not in types if isinstance(types, list) else types == "integer"
    value = float(re.sub(r"[^\d.-]|(?<=.)-", "", said) or 0)
    return _clamp(value, schema, "integer" if is_whole else "number")


def _clamp(value: float, schema: dict[str, Any], kind: str) -> int | float:
    value = max(value, schema.get("minimum", value), schema.get("exclusiveMinimum", value - 1) + 1)
    value = min(value, schema.get("maximum", value))
    return int(value) if kind == "integer" or (value == int(value) and abs(value) < 1e15) else value


def _fit(text: str, schema: dict[str, Any]) -> str:
    text = text[: schema["maxLength"]] if "maxLength" in schema else text
    return text.ljust(int(schema.get("minLength", 0)), ".")
