"""Puts a configuration together: which component stands in which pipeline.

    otlp → in ─┬→ replay store                                    everything, unsampled, endless retry
               ├→ span_metrics, signal_to_metrics → prometheus    everything, counted before sampling
               └→ viewers (no raw bodies, capped) → sampler ─┬→ masked → jaeger, …
                                                             └→ none   → …          a pipeline for each policy in use

Pipelines are joined by `forward`: each branch is a pipeline of its own with its own processors, so a policy of one destination
never touches what another gets.
"""

from __future__ import annotations

from typing import Any

from otel_llm.collector_config import ends, measures, sampling, viewers
from otel_llm.collector_config.choices import CONTENT, JAEGER, Choices, command
from otel_llm.collector_config.emit import Noted, emit

Pipelines = dict[str, dict[str, list[str]]]

_HEADING = """\
Written by
    {command}
Change the options rather than this file; `otel-llm collector check` finds usual mistakes in one that was changed.

{environment}"""

_ENVIRONMENT = {
    "COLLECTOR_LISTEN": "address for OTLP; 127.0.0.1 unless given, in a container 0.0.0.0",
    "COLLECTOR_METRICS_LISTEN": "the same for health and metrics",
    "COLLECTOR_STORAGE": "directory of the queues; ./otelcol-queues unless given",
    "JAEGER_ENDPOINT": "Jaeger's OTLP/HTTP",
    "REPLAY_ENDPOINT": "`otel-llm serve`",
    "GATEWAY_CERT_FILE": "certificate, and GATEWAY_KEY_FILE its key",
    "GATEWAY_TOKENS_FILE": "bearer tokens that senders may use, one a line",
    "CLICKHOUSE_USER": "and CLICKHOUSE_PASSWORD: who writes to ClickHouse",
}


def render(choices: Choices) -> str:
    """The configuration as the text of a YAML file."""
    document = build(choices)
    text = emit(document)
    used = {name: said for name, said in _ENVIRONMENT.items() if f"{{env:{name}:" in text}
    used |= {variable: f"header {key} to {name}" for name, of in choices.headers.items() for key, variable in of.items()}
    width = max(map(len, used))
    environment = "Read from the environment:\n" + "\n".join(f"    {name:{width}}  {said}" for name, said in used.items())
    return emit(document, heading=_HEADING.format(command=command(choices), environment=environment))


def build(choices: Choices) -> dict[str, Any]:
    """The configuration as nested mappings."""
    stores = dict([ends.replay_exporter(choices)])
    stores |= dict([ends.clickhouse_exporter(choices.clickhouse)]) if choices.clickhouse else {}
    stores |= dict([ends.file_exporter(choices.file)]) if choices.file else {}
    jaeger, to_jaeger = ends.jaeger_exporter(choices)
    others = {name: ends.viewer(name, url, choices.headers.get(name, {})) for name, url in choices.backends.items()}
    prometheus, to_prometheus = ends.prometheus_exporter(choices)
    seen_by = {policy: [exporter for name, exporter in [(JAEGER, jaeger), *((n, e) for n, (e, _) in others.items())]
                        if choices.policy(name) == policy] for policy in CONTENT}
    used = [policy for policy in CONTENT if seen_by[policy]]
    is_sampled = choices.percent < 100
    serial = measures.one_by_one()
    return {
        "receivers": ends.receivers(choices),
        "processors": {
            "memory_limiter": ends.memory_limiter(choices),
            "transform/viewers": viewers.transform_viewers(),
            **({"tail_sampling": sampling.tail_sampling(choices)} if is_sampled else {}),
            **{f"transform/{policy}": viewers.transform_policy(policy) for policy in used},
            **{f"redaction/{policy}": viewers.redaction(policy) for policy in used},
            **serial,
        },
        "connectors": {
            "forward/viewers": {},
            **{f"forward/{policy}": {} for policy in used},
            measures.CALLS: measures.span_metrics(choices),
            measures.SUMS: measures.signal_to_metrics(),
        },
        "exporters": {**stores, jaeger: to_jaeger, **dict(others.values()), prometheus: to_prometheus},
        "extensions": ends.extensions(choices),
        "service": {
            "extensions": list(ends.extensions(choices)),
            "telemetry": _telemetry(choices),
            "pipelines": {
                **_traces(list(stores), seen_by, list(used), is_sampled=is_sampled),
                **_logs(list(stores), {p: [e for e in seen_by[p] if e != jaeger] for p in used}),
                "metrics/in": _pipe(["otlp"], ["memory_limiter"], [*stores, *(e for e, _ in others.values()), prometheus]),
                "metrics/calls": _pipe([measures.CALLS], [], [prometheus]),
                "metrics/sums": _pipe([measures.SUMS], list(serial), [prometheus]),
            },
        },
    }


def _traces(stores: list[str], seen_by: dict[Any, list[str]], used: list[Any], *, is_sampled: bool) -> dict[str, Any]:
    into = [*stores, measures.CALLS, measures.SUMS, "forward/viewers"]
    pipelines: dict[str, Any] = {
        "traces/in": Noted("Everything: to the stores, to the metrics, and on to the viewers.",
                           _pipe(["otlp"], ["memory_limiter"], into)),
        "traces/viewers": Noted("What viewers get, sampled." if is_sampled else "What viewers get.", _pipe(
            ["forward/viewers"], ["transform/viewers", *(["tail_sampling"] if is_sampled else [])],
            [f"forward/{policy}" for policy in used])),
    }
    for policy in used:
        processors = [f"transform/{policy}", f"redaction/{policy}"]
        pipelines[f"traces/{policy}"] = _pipe([f"forward/{policy}"], processors, seen_by[policy])
    return pipelines


def _logs(stores: list[str], seen_by: dict[Any, list[str]]) -> Pipelines:
    """Events of GenAI are logs. Jaeger takes none."""
    used = [policy for policy, exporters in seen_by.items() if exporters]
    pipelines = {"logs/in": _pipe(["otlp"], ["memory_limiter"], [*stores, *(f"forward/{policy}" for policy in used)])}
    for policy in used:
        processors = ["transform/viewers", f"transform/{policy}", f"redaction/{policy}"]
        pipelines[f"logs/{policy}"] = _pipe([f"forward/{policy}"], processors, seen_by[policy])
    return pipelines


def _pipe(receivers: list[str], processors: list[str], exporters: list[str]) -> dict[str, list[str]]:
    return {"receivers": receivers, **({"processors": processors} if processors else {}), "exporters": exporters}


def _telemetry(choices: Choices) -> dict[str, Any]:
    where = {"host": ends.METRICS_LISTEN, "port": choices.ports.own_metrics}
    return {"metrics": {"level": "normal", "readers": [{"pull": {"exporter": {"prometheus": where}}}]}}
