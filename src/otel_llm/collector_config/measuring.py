"""Rules on numbers that mislead: metrics of samples, dimensions without end, buckets too short, decisions too early."""

from __future__ import annotations

from collections.abc import Iterator

from otel_llm.collector_config.delivery import SAMPLERS
from otel_llm.collector_config.pipelines import Config, seconds, type_of
from otel_llm.semconv import names

Said = Iterator[tuple[int, str]]

METRICS = ("span_metrics", "spanmetrics", "signal_to_metrics", "signaltometrics")
LEAST_WAIT_S, LEAST_BUCKET_S = 30, 60
IDS = (names.GEN_AI_CONVERSATION_ID, names.SESSION_ID, names.USER_ID, names.GEN_AI_RESPONSE_ID, names.OTEL_LLM_REQUEST_ID,
       names.GEN_AI_TOOL_CALL_ID, names.GEN_AI_AGENT_ID, names.OTEL_LLM_PROMPT_HASH, "trace_id", "span_id", "enduser.id",
       "service.instance.id", names.GEN_AI_REQUEST_PREVIOUS_RESPONSE_ID)


def sampled_metrics(config: Config) -> Said:
    """Behind a sampler a connector counts what was kept."""
    for name, node in config.of_type("connectors", *METRICS):
        for pipeline in config.leading_to(name):
            sampler = next((p for p, _ in config.passed(pipeline) if type_of(p) in SAMPLERS), None)
            if sampler:
                yield node.line, (f"connectors.{name} stands behind {sampler} (pipeline {pipeline.name}) and counts the sample, "
                                  "not the calls; let it branch off before the sampler.")


def id_dimension(config: Config) -> Said:
    """An id as a dimension makes a series of every call."""
    for name, node in config.of_type("connectors", *METRICS):
        for path, found in node.walk():
            is_dimension = path[-1:] in (("name",), ("key",)) and any(word in path for word in ("dimensions", "attributes",
                                                                                                "calls_dimensions"))
            if is_dimension and (found.text in IDS or found.text.startswith(names.GEN_AI_PROMPT_VARIABLE_PREFIX)):
                yield found.line, (f"connectors.{name}: {found.text} has a value for every call or user, and each makes a "
                                   "series; search traces by it instead.")


def short_buckets(config: Config) -> Said:
    """The default buckets end at 15 s, where LLM calls begin to be interesting."""
    for name, node in config.of_type("connectors", "span_metrics", "spanmetrics"):
        if node.said("histogram", "disable") == "true" or node.get("histogram", "exponential"):
            continue
        buckets = node.get("histogram", "explicit", "buckets")
        last = max((seconds(b.text) or 0 for b in buckets.items), default=0) if buckets else 15
        if last < LEAST_BUCKET_S:
            yield buckets.line if buckets else node.line, (
                f"connectors.{name}: the last bucket ends at {last:g} s, and LLM calls and agents take longer; set "
                "histogram.explicit.buckets up to 600s.")


def hasty_sampler(config: Config) -> Said:
    """An agent's trace is not over after ten seconds, and late spans must go the way of their trace."""
    for name, node in config.of_type("processors", "tail_sampling"):
        wait = node.get("decision_wait")
        given = seconds(wait.text) if wait else 30.0
        if given is not None and given < LEAST_WAIT_S:
            yield wait.line if wait else node.line, (
                f"processors.{name}: decision_wait {wait.text if wait else ''} decides on traces that are not complete; agents "
                "take a minute: 60s.")
        if not node.said("decision_cache", "sampled_cache_size"):
            yield node.line, f"processors.{name} has no decision_cache: spans that come late are judged alone; set its sizes."
