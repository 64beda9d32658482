"""Which traces viewers get: all that failed, were slow or dear, or are marked; of the rest a percentage.

A decision is made when a trace is thought complete, a minute after its first span: agents take their time. It is remembered long
after the spans are gone, so that a late span goes the way of its trace. All spans of a trace must meet in one collector.

Nothing here concerns the replay store or the metrics, which get everything.
"""

from __future__ import annotations

from typing import Any

from otel_llm.collector_config.choices import Choices
from otel_llm.semconv import names

SLOW_MS = 30_000
DEAR_USD = 0.5
TRACES = 50_000


def tail_sampling(choices: Choices) -> dict[str, Any]:
    """The sampler; a trace is kept when one of its policies says so."""
    read = (names.ERROR_TYPE, names.OTEL_LLM_COST_TOTAL, names.OTEL_LLM_KEEP)
    error, cost, keep = (f'span.attributes["{name}"]' for name in read)
    return {
        "decision_wait": choices.decision_wait,
        "num_traces": TRACES,
        "maximum_trace_size_bytes": 256 << 20,
        "decision_cache": {"sampled_cache_size": 10 * TRACES, "non_sampled_cache_size": 10 * TRACES},
        "policies": [
            {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            _condition("error-types", f"{error} != nil"),
            {"name": "slow", "type": "latency", "latency": {"threshold_ms": SLOW_MS}},
            _condition("expensive", f"{cost} != nil and Double({cost}) >= {DEAR_USD}"),
            _condition("keep", f'{keep} == true or {keep} == "true"'),
            {"name": "rest", "type": "probabilistic", "probabilistic": {"sampling_percentage": choices.percent}},
        ],
    }


def _condition(name: str, condition: str) -> dict[str, Any]:
    return {"name": name, "type": "ottl_condition", "ottl_condition": {"error_mode": "ignore", "span": [condition]}}
