"""Metrics made from spans, before anything is sampled, so that they count what happened and not what was kept.

`span_metrics` counts calls and measures how long they took. It cannot add up what stands on a span, so `signal_to_metrics` does
that for money, tokens and the time to the first chunk. Dimensions are few and have few values; an id is never one.

`signal_to_metrics` gives deltas, and Prometheus wants totals. The processor between them drops what arrives out of order, which
concurrent requests do; so everything passes one batch processor, which works on one thread, and is stamped behind it.
"""

from __future__ import annotations

from typing import Any

from otel_llm.collector_config.choices import Choices
from otel_llm.semconv import names

CALLS, SUMS = "span_metrics", "signal_to_metrics"
TEAM = names.OTEL_LLM_TAG_PREFIX + "team"
DIMENSIONS = (names.GEN_AI_OPERATION_NAME, names.GEN_AI_PROVIDER_NAME, names.GEN_AI_REQUEST_MODEL, names.GEN_AI_PROMPT_NAME,
              names.GEN_AI_PROMPT_VERSION, TEAM)
SECONDS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 12, 20, 30, 45, 60, 90, 120, 180, 300, 600)
"""LLM calls take seconds and agents minutes; the default of the collector ends at 15 s."""
SERIES_LIMIT = 5000
"""Series a service may make; what is beyond counts together, as `otel_metric_overflow`."""


def span_metrics(choices: Choices) -> dict[str, Any]:
    """Calls and their duration, a series for each combination of the dimensions."""
    return {
        "metrics_flush_interval": choices.metrics_interval,
        "histogram": {"unit": "s", "explicit": {"buckets": [_seconds(s) for s in SECONDS]}},
        "dimensions": [{"name": name} for name in (*DIMENSIONS, names.ERROR_TYPE)],
        "resource_metrics_key_attributes": [names.SERVICE_NAME],
        "aggregation_cardinality_limit": SERIES_LIMIT,
        "exemplars": {"enabled": True, "max_per_data_point": 5},
    }


def signal_to_metrics() -> dict[str, Any]:
    """Money in USD, tokens, seconds to the first chunk; unknown is not counted, which is not the same as zero."""
    return {"error_mode": "ignore", "spans": [
        _sum(names.OTEL_LLM_COST_TOTAL, names.OTEL_LLM_COST_TOTAL, "{USD}", "Double", "What calls cost"),
        _sum("otel_llm.tokens.input", names.GEN_AI_USAGE_INPUT_TOKENS, "{token}", "Int", "Tokens that were sent"),
        _sum("otel_llm.tokens.output", names.GEN_AI_USAGE_OUTPUT_TOKENS, "{token}", "Int", "Tokens that came back"),
        {**_about("otel_llm.time_to_first_chunk", names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, "s",
                  "Until an answer began to stream"),
         "histogram": {"buckets": list(SECONDS), "count": "1",
                       "value": f'Double(span.attributes["{names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK}"])'}},
    ]}


def one_by_one() -> dict[str, dict[str, Any]]:
    """The processors behind `signal_to_metrics`, in their order."""
    service = f'datapoint.attributes["{names.SERVICE_NAME}"]'
    return {
        "batch/one_by_one": {"timeout": "200ms"},
        "transform/one_by_one": {"metric_statements": [{"context": "datapoint", "statements": [
            f'set({service}, resource.attributes["{names.SERVICE_NAME}"])', "set(datapoint.time, Now())"]}]},
        "deltatocumulative": {"max_stale": "24h", "max_streams": 10 * SERIES_LIMIT},
    }


def _sum(metric: str, attribute: str, unit: str, number: str, description: str) -> dict[str, Any]:
    return {**_about(metric, attribute, unit, description),
            "sum": {"value": f'{number}(span.attributes["{attribute}"])', "monotonic": True}}


def _about(metric: str, attribute: str, unit: str, description: str) -> dict[str, Any]:
    return {
        "name": metric, "description": f"{description}.", "unit": unit,
        "conditions": [f'span.attributes["{attribute}"] != nil'],
        "include_resource_attributes": [{"key": names.SERVICE_NAME}],
        "attributes": [{"key": name, "optional": True} for name in DIMENSIONS],
    }


def _seconds(value: float) -> str:
    return f"{int(value * 1000)}ms" if value < 1 else f"{value:g}s"
