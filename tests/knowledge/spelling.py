"""A call as JSON that a person can read and compare: each value names its type, what is not said is left out."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from typing import Any


def spell(value: Any) -> Any:
    """`Text(content="hi")` is `{"Text": {"content": "hi"}}`; fields that hold their default are left out."""
    if isinstance(value, tuple):
        return [spell(v) for v in value]
    if not is_dataclass(value):
        return value
    said = {}
    for field in fields(value):
        held = getattr(value, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if held != default:
            said[field.name] = spell(held)
    return {type(value).__name__: said}
