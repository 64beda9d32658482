"""From a call to span attributes.

What is known before the request leaves (`start_attributes`) is what samplers see; the rest of the request and the response
follow when the call ends. All of it runs in the caller's thread, so the tables below pair each attribute with a field and
let one C-level getter fetch a row of fields: there is one loop and no chain of questions.

Values that say nothing are not written: one choice, no streaming, service tier `auto`. Content is a JSON string in the
shape of the conventions' schemas (`otel_llm.semconv.content`).
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import otel_llm.semconv.names as n
from otel_llm.semconv.content import json_text, write_content
from otel_llm.values.call import Call, Cost, Operation, Request, Response, Usage
from otel_llm.values.spandata import AttributeValue

API_TYPES = {"openai_chat": "chat_completions", "openai_responses": "responses", "openai_fetch_response": "responses"}
"""`openai.api.type` by adapter name."""

REQUEST_FIELDS = {
    n.GEN_AI_REQUEST_MODEL: "model",
    n.GEN_AI_REQUEST_MAX_TOKENS: "max_tokens",
    n.GEN_AI_REQUEST_TOP_K: "top_k",
    n.GEN_AI_REQUEST_SEED: "seed",
    n.GEN_AI_REQUEST_CHOICE_COUNT: "choice_count",
    n.GEN_AI_OUTPUT_TYPE: "output_type",
    n.GEN_AI_REQUEST_REASONING_LEVEL: "reasoning_level",
    n.OPENAI_REQUEST_SERVICE_TIER: "service_tier",
    n.GEN_AI_EMBEDDINGS_DIMENSION_COUNT: "dimensions",
    n.GEN_AI_REQUEST_PREVIOUS_RESPONSE_ID: "previous_response_id",
    n.GEN_AI_CONVERSATION_ID: "conversation_id",
}
REQUEST_DOUBLES = {
    n.GEN_AI_REQUEST_TEMPERATURE: "temperature",
    n.GEN_AI_REQUEST_TOP_P: "top_p",
    n.GEN_AI_REQUEST_FREQUENCY_PENALTY: "frequency_penalty",
    n.GEN_AI_REQUEST_PRESENCE_PENALTY: "presence_penalty",
}
REQUEST_LISTS = {n.GEN_AI_REQUEST_STOP_SEQUENCES: "stop_sequences", n.GEN_AI_REQUEST_ENCODING_FORMATS: "encoding_formats"}
RESPONSE_FIELDS = {
    n.GEN_AI_RESPONSE_ID: "id",
    n.GEN_AI_RESPONSE_MODEL: "model",
    n.GEN_AI_RESPONSE_STATUS: "status",
    n.OPENAI_RESPONSE_SERVICE_TIER: "service_tier",
    n.OPENAI_RESPONSE_SYSTEM_FINGERPRINT: "system_fingerprint",
    n.ERROR_TYPE: "error_type",
}
USAGE_FIELDS = {
    n.GEN_AI_USAGE_INPUT_TOKENS: "input_tokens",
    n.GEN_AI_USAGE_OUTPUT_TOKENS: "output_tokens",
    n.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: "cache_read_input_tokens",
    n.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: "cache_write_input_tokens",
    n.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: "reasoning_output_tokens",
    n.GEN_AI_USAGE_TEXT_INPUT_TOKENS: "text_input_tokens",
    n.GEN_AI_USAGE_IMAGE_INPUT_TOKENS: "image_input_tokens",
    n.GEN_AI_USAGE_AUDIO_INPUT_TOKENS: "audio_input_tokens",
    n.GEN_AI_USAGE_TEXT_OUTPUT_TOKENS: "text_output_tokens",
    n.GEN_AI_USAGE_IMAGE_OUTPUT_TOKENS: "image_output_tokens",
    n.GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS: "audio_output_tokens",
}

_request_fields = attrgetter(*REQUEST_FIELDS.values())
_request_doubles = attrgetter(*REQUEST_DOUBLES.values())
_request_lists = attrgetter(*REQUEST_LISTS.values())
_response_fields = attrgetter(*RESPONSE_FIELDS.values())
_usage_fields = attrgetter(*USAGE_FIELDS.values())
_NO_USAGE = Usage()


def span_name(operation: str, target: str | None = None) -> str:
    """`{operation} {target}`: the model of a call, the name of a tool, agent or workflow. `fetch_response` stands alone."""
    return f"{operation} {target}" if target and operation != "fetch_response" else operation


def start_attributes(
    operation: Operation,
    provider: str | None,
    *,
    api: str,
    model: str | None = None,
    address: str | None = None,
    port: int | None = None,
) -> dict[str, AttributeValue]:
    """What is known before the request is sent; everything that a sampler may want to see."""
    out: dict[str, AttributeValue] = {n.GEN_AI_OPERATION_NAME: operation, n.OTEL_LLM_API: api}
    if provider is not None:
        out[n.GEN_AI_PROVIDER_NAME] = provider
    if model is not None:
        out[n.GEN_AI_REQUEST_MODEL] = model
    if address is not None:
        out[n.SERVER_ADDRESS] = address
        if port is not None:
            out[n.SERVER_PORT] = port
    if (api_type := API_TYPES.get(api)) is not None:
        out[n.OPENAI_API_TYPE] = api_type
    return out


def write_request(request: Request) -> dict[str, AttributeValue]:
    """The request without its content."""
    out: dict[str, AttributeValue] = {
        key: value for key, value in zip(REQUEST_FIELDS, _request_fields(request), strict=True) if value is not None
    }
    for key, value in zip(REQUEST_DOUBLES, _request_doubles(request), strict=True):
        if value is not None:
            out[key] = float(value)
    for key, value in zip(REQUEST_LISTS, _request_lists(request), strict=True):
        if value:
            out[key] = value
    if request.stream:
        out[n.GEN_AI_REQUEST_STREAM] = True
    if request.choice_count == 1:
        del out[n.GEN_AI_REQUEST_CHOICE_COUNT]
    if request.service_tier == "auto":
        del out[n.OPENAI_REQUEST_SERVICE_TIER]
    return out


def write_response(response: Response) -> dict[str, AttributeValue]:
    """The response without its content and without the provider's words about an error, which may quote content."""
    out: dict[str, AttributeValue] = {
        key: value for key, value in zip(RESPONSE_FIELDS, _response_fields(response), strict=True) if value is not None
    }
    if response.finish_reasons:
        out[n.GEN_AI_RESPONSE_FINISH_REASONS] = response.finish_reasons
    if (usage := response.usage) is not _NO_USAGE:
        for key, value in zip(USAGE_FIELDS, _usage_fields(usage), strict=True):
            if value is not None:
                out[key] = value
    return out


def write_cost(cost: Cost) -> dict[str, AttributeValue]:
    """Money as doubles in USD; the parts only where the price table splits them."""
    out: dict[str, AttributeValue] = {n.OTEL_LLM_COST_TOTAL: cost.total / 1e12}
    if cost.input is not None:
        out[n.OTEL_LLM_COST_INPUT] = cost.input / 1e12
    if cost.output is not None:
        out[n.OTEL_LLM_COST_OUTPUT] = cost.output / 1e12
    return out


def write(call: Call, *, content: bool, max_bytes: int | None = None) -> dict[str, AttributeValue]:
    """A call as span attributes; with `content` the messages too, as JSON strings of at most about `max_bytes` each.

    Unlimited content makes `read` its exact inverse: `read(write(call, content=True)) == call`.
    """
    out = start_attributes(call.operation, call.provider, api=call.api)
    out |= write_request(call.request)
    response = call.response
    answer = {} if response is None else write_response(response)
    out |= answer
    if not content:
        return out
    texts = {key: json_text(value) for key, value in write_content(call, max_bytes=max_bytes).items()}
    out |= texts
    if response is not None:
        if response.error_message is not None:
            out[n.OTEL_LLM_ERROR_MESSAGE] = response.error_message
        elif not answer and n.GEN_AI_OUTPUT_MESSAGES not in texts:
            out[n.OTEL_LLM_RESPONSE_EMPTY] = True
    return out


def tags(pairs: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Tags as attributes; tag values are text."""
    return {n.OTEL_LLM_TAG_PREFIX + key: str(value) for key, value in pairs.items()}
