"""`otel-llm collector config`: prints a configuration of the OpenTelemetry Collector.

    otel-llm collector config > config.yaml                                  Jaeger and the replay store on this machine
    otel-llm collector config --gateway --sampling 5 > gateway.yaml          for many senders: TLS, tokens, sampling
    otel-llm collector config --otlp tempo=https://tempo.example.org:4318 \\
                              --header tempo:authorization=TEMPO_AUTHORIZATION --content tempo=none
"""

from __future__ import annotations

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.output import Output
from otel_llm.collector_config import Choices, choices, render
from otel_llm.values.errors import ConfigError


@click.command()
@click.option("--gateway", is_flag=True, help="For many senders: TLS, bearer tokens, sampling for viewers.")
@click.option("--jaeger", metavar="URL", help="Jaeger's OTLP address (default: JAEGER_ENDPOINT, else http://127.0.0.1:14318).")
@click.option("--replay", metavar="URL", help="`otel-llm serve` (default: REPLAY_ENDPOINT, else http://127.0.0.1:4319).")
@click.option("--otlp", "backends", multiple=True, metavar="NAME=URL",
              help="One more OTLP backend; http and https mean OTLP/HTTP, grpc and grpcs OTLP/gRPC.")
@click.option("--header", "headers", multiple=True, metavar="NAME:KEY=VARIABLE",
              help="A header to a backend; its value is read from the environment of the collector.")
@click.option("--clickhouse", metavar="DSN", help="Write everything to ClickHouse too; user and password: from the environment.")
@click.option("--file", metavar="PATH", help="Write everything as OTLP JSON lines too.")
@click.option("--content", "contents", multiple=True, metavar="[NAME=]none|masked|full",
              help="What viewers see of prompts and answers, all of them or one (default: masked).")
@click.option("--sampling", type=float, metavar="PERCENT",
              help="Ordinary traces that viewers get (default: 100, at a gateway 10); failed, slow and dear ones always.")
@click.option("--decision-wait", default="60s", metavar="TIME", help="How long the sampler waits for a trace (default: 60s).")
@click.option("--metrics-interval", default="15s", metavar="TIME", help="How often span metrics are made (default: 15s).")
@pass_app
def config(app: App, gateway: bool, jaeger: str | None, replay: str | None, backends: tuple[str, ...], headers: tuple[str, ...],
           clickhouse: str | None, file: str | None, contents: tuple[str, ...], sampling: float | None, decision_wait: str,
           metrics_interval: str) -> None:
    """Print a configuration of the OpenTelemetry Collector: OTLP in; out to Jaeger, the replay store, Prometheus and more."""
    of_all, of_one = _contents(contents)
    chosen = Choices(
        is_gateway=gateway,
        jaeger=choices.read_url("--jaeger", jaeger) if jaeger else None,
        replay=choices.read_url("--replay", replay) if replay else None,
        backends=_backends(backends),
        headers=_headers(headers),
        clickhouse=choices.read_clickhouse(clickhouse) if clickhouse else None,
        file=file,
        content=of_all,
        content_of=of_one,
        sampling=sampling,
        decision_wait=decision_wait,
        metrics_interval=metrics_interval,
    )
    Output(app).write(render(chosen).rstrip("\n"))


def _backends(given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, url = choices.read_backend(text)
        if name in found:
            raise ConfigError(f"--otlp {name} is given twice; each backend needs a name of its own.")
        found[name] = url
    return found


def _headers(given: tuple[str, ...]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for text in given:
        name, key, variable = choices.read_header(text)
        found.setdefault(name, {})[key] = variable
    return found


def _contents(given: tuple[str, ...]) -> tuple[choices.Content, dict[str, choices.Content]]:
    of_all: choices.Content = "masked"
    of_one: dict[str, choices.Content] = {}
    for text in given:
        name, policy = choices.read_content(text)
        if name is None:
            of_all = policy
        else:
            of_one[name] = policy
    return of_all, of_one
