"""The GenAI client metrics, under the names that the official packages emit today.

| metric                                     | unit    | recorded                                                    |
|--------------------------------------------|---------|-------------------------------------------------------------|
| `gen_ai.client.operation.duration`         | s       | every LLM call, failed ones with `error.type`               |
| `gen_ai.client.token.usage`                | {token} | input and output tokens, where the provider reported them   |
| `gen_ai.client.operation.time_to_first_chunk` | s    | streams                                                     |
| `gen_ai.client.operation.time_per_output_chunk` | s  | streams, the mean pause between two chunks                  |

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_llm import semconv

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, MeterProvider


class Metrics:
    """The four histograms of one meter provider."""

    def __init__(self, meter_provider: MeterProvider | None, version: str) -> None:
        from opentelemetry.metrics import _internal, get_meter

        self._global: Any = _internal
        self._given = meter_provider is not None
        meter = get_meter("otel_llm", version, meter_provider, schema_url=semconv.SCHEMA_URL)

        def histogram(name: str, unit: str, description: str, buckets: tuple[float, ...]) -> Histogram:
            return meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=list(buckets))

        self._duration = histogram(semconv.METRIC_OPERATION_DURATION, "s", "Duration of LLM calls", semconv.DURATION_BUCKETS)
        self._tokens = histogram(semconv.METRIC_TOKEN_USAGE, "{token}", "Tokens of LLM calls", semconv.TOKEN_BUCKETS)
        self._first = histogram(semconv.METRIC_TIME_TO_FIRST_CHUNK, "s", "Time to the first chunk", semconv.DURATION_BUCKETS)
        self._pause = histogram(semconv.METRIC_TIME_PER_OUTPUT_CHUNK, "s", "Time between chunks", semconv.DURATION_BUCKETS)

    @property
    def wanted(self) -> bool:
        """False while no meter provider is set: then nothing is worth computing."""
        return self._given or self._global._METER_PROVIDER is not None

    def record(
        self,
        attributes: Mapping[str, Any],
        *,
        duration_s: float,
        first_chunk_s: float | None = None,
        chunk_pause_s: float | None = None,
    ) -> None:
        """Record one call from the attributes of its span."""
        labels = {k: attributes[k] for k in _LABELS if k in attributes}
        self._duration.record(duration_s, labels)
        labels.pop(semconv.ERROR_TYPE, None)
        for name, kind in ((semconv.GEN_AI_USAGE_INPUT_TOKENS, "input"), (semconv.GEN_AI_USAGE_OUTPUT_TOKENS, "output")):
            count = attributes.get(name)
            if count is not None:
                self._tokens.record(count, {**labels, semconv.GEN_AI_TOKEN_TYPE: kind})
        if first_chunk_s is not None:
            self._first.record(first_chunk_s, labels)
        if chunk_pause_s is not None:
            self._pause.record(chunk_pause_s, labels)


_LABELS = (
    semconv.GEN_AI_OPERATION_NAME,
    semconv.GEN_AI_PROVIDER_NAME,
    semconv.GEN_AI_REQUEST_MODEL,
    semconv.GEN_AI_RESPONSE_MODEL,
    semconv.SERVER_ADDRESS,
    semconv.SERVER_PORT,
    semconv.ERROR_TYPE,
)
