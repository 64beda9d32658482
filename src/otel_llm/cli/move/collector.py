"""`otel-llm collector …`: configurations of the OpenTelemetry Collector; the sub-verbs stand in `otel_llm.cli.verbs`."""

from __future__ import annotations

from otel_llm.cli.verbs import COLLECTOR_VERBS, VerbGroup

collector = VerbGroup(
    "collector",
    COLLECTOR_VERBS,
    help="Configurations of the OpenTelemetry Collector that take spans to Jaeger, to any OTLP backend and to the replay store.",
)
