"""Spans without what they quote: for endpoints that may see that a call happened, and not what was said.

The keys are those of the conventions, ours, and those by which other instrumentors name prompts and answers. Content goes from
spans, events and links alike, and so does the message of a status, which likes to quote.
"""

from __future__ import annotations

import re
from dataclasses import replace

from otel_llm import semconv
from otel_llm.values.spandata import Attributes, AttributeValue, SpanData

LONG = 256
"""Characters of an attribute that stay when a span is too large for its receiver."""

BODIES = frozenset({semconv.OTEL_LLM_REQUEST_BODY, semconv.OTEL_LLM_RESPONSE_BODY})
CONTENT = frozenset({
    *BODIES, semconv.GEN_AI_SYSTEM_INSTRUCTIONS, semconv.GEN_AI_INPUT_MESSAGES, semconv.GEN_AI_OUTPUT_MESSAGES,
    semconv.GEN_AI_TOOL_DEFINITIONS, semconv.GEN_AI_TOOL_CALL_ARGUMENTS, semconv.GEN_AI_TOOL_CALL_RESULT,
    semconv.GEN_AI_RETRIEVAL_QUERY_TEXT, semconv.GEN_AI_RETRIEVAL_DOCUMENTS, semconv.GEN_AI_EVALUATION_EXPLANATION,
    semconv.OTEL_LLM_ERROR_MESSAGE, semconv.EXCEPTION_MESSAGE, semconv.EXCEPTION_STACKTRACE})
_FOREIGN = re.compile(
    r"(gen_ai|llm)\.(prompt|completion)(s|\.\d+\..*)?|gen_ai\.content\..*|gen_ai\.(request|response)\.messages"
    r"|llm\.(input_messages|output_messages|tools|prompt_template|invocation_parameters)\b.*|(input|output)\.value"
    r"|(traceloop\.entity|langfuse\.(trace|observation))\.(input|output)|mlflow\.span(Inputs|Outputs)|all_messages"
    r"|(request|response)_data|ai\.(prompt|response\.(text|object|toolCalls)|toolCall\.(args|result)).*"
    r"|retrieval\.documents\..*|embedding\.embeddings\..*|tool\.parameters|lk\.(chat_ctx|user_input|response).*")


def without_content(span: SpanData) -> SpanData:
    """The span with nothing in it that quotes what was said."""
    return replace(
        span, attributes=_without(span.attributes), status_message="",
        events=tuple(replace(event, attributes=_without(event.attributes)) for event in span.events),
        links=tuple(replace(link, attributes=_without(link.attributes)) for link in span.links))


def is_content(key: str) -> bool:
    """True when an attribute of this name quotes content."""
    return key in CONTENT or key.startswith(semconv.GEN_AI_PROMPT_VARIABLE_PREFIX) or _FOREIGN.fullmatch(key) is not None


def shortened(span: SpanData) -> SpanData:
    """The span without anything long; each cut says how much is gone. For a receiver that takes no more."""
    said = span.status_message
    return replace(
        span, attributes=_short(span.attributes), status_message=said if len(said) <= LONG else _left_out(len(said)),
        events=tuple(replace(event, attributes=_short(event.attributes)) for event in span.events),
        links=tuple(replace(link, attributes=_short(link.attributes)) for link in span.links))


def _without(attributes: Attributes) -> dict[str, AttributeValue]:
    return {key: value for key, value in attributes.items() if not is_content(key)}


def _short(attributes: Attributes) -> dict[str, AttributeValue]:
    return {key: value if (size := _size(value)) <= LONG else _left_out(size) for key, value in attributes.items()}


def _size(value: AttributeValue) -> int:
    """Characters of a text, of everything else those that writing it down takes."""
    return len(value) if isinstance(value, (str, bytes)) else len(repr(value))


def _left_out(size: int) -> str:
    return f"[{size} characters left out: too large for the receiver]"
