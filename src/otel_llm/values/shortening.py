"""Attributes without anything long, for a receiver that takes no more; each cut says how much is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

LONG = 256
"""Characters of a value that stay when a span is too large for its receiver."""

Value = TypeVar("Value")


def short_attributes(attributes: Mapping[str, Value]) -> dict[str, Value | str]:
    """The attributes, a text in place of each that is long."""
    return {key: value if (size := _size(value)) <= LONG else _left_out(size) for key, value in attributes.items()}


def short_text(text: str) -> str:
    return text if len(text) <= LONG else _left_out(len(text))


def _size(value: object) -> int:
    """Characters of a text, of everything else those that writing it down takes."""
    return len(value) if isinstance(value, (str, bytes)) else len(repr(value))


def _left_out(size: int) -> str:
    return f"[{size} characters left out: too large for the receiver]"
