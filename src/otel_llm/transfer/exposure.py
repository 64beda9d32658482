"""Spans without anything long: for endpoints that take no more."""

from __future__ import annotations

from dataclasses import replace

from otel_llm.values.spandata import Attributes, AttributeValue, SpanData

LONG = 256
"""Characters of an attribute that stay when a span is too large for its receiver."""


def shortened(span: SpanData) -> SpanData:
    """The span without anything long; each cut says how much is gone. For a receiver that takes no more."""
    said = span.status_message
    return replace(
        span, attributes=_short(span.attributes), status_message=said if len(said) <= LONG else _left_out(len(said)),
        events=tuple(replace(event, attributes=_short(event.attributes)) for event in span.events),
        links=tuple(replace(link, attributes=_short(link.attributes)) for link in span.links))


def _short(attributes: Attributes) -> dict[str, AttributeValue]:
    return {key: value if (size := _size(value)) <= LONG else _left_out(size) for key, value in attributes.items()}


def _size(value: AttributeValue) -> int:
    """Characters of a text, of everything else those that writing it down takes."""
    return len(value) if isinstance(value, (str, bytes)) else len(repr(value))


def _left_out(size: int) -> str:
    return f"[{size} characters left out: too large for the receiver]"
