"""What a configuration of the collector leaves open, as values.

`Choices` is all that `render` looks at; two equal `Choices` give the same file, byte for byte. Text from a command line becomes
a choice through the functions below, which refuse what would not work with the list of what would. A secret is never a choice:
where one is needed the choice is the name of an environment variable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import parse_qsl, urlsplit

from otel_llm.values.errors import ConfigError

Content = Literal["none", "masked", "full"]
CONTENT: tuple[Content, ...] = get_args(Content)
"""What viewers see of prompts and answers: nothing; all but personal data; all. Keys and raw bodies never."""

JAEGER, REPLAY = "jaeger", "replay"
GATEWAY_PERCENT = 10.0
URL_FORMS = "http://host:port, https://host:port (OTLP/HTTP), grpc://host:port, grpcs://host:port (OTLP/gRPC)"

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_DURATION = re.compile(r"[1-9][0-9]*(ms|s|m|h)")
_SECRET_WORDS = ("password", "token", "secret", "key")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the collector listens: OTLP over gRPC and HTTP, its metrics of LLM calls, its health, its own metrics."""

    grpc: int = 4317
    http: int = 4318
    metrics: int = 8889
    health: int = 13133
    own_metrics: int = 8888


@dataclass(frozen=True, slots=True)
class Choices:
    """One configuration. None for `jaeger` or `replay` means: from the environment of the collector, else the usual place."""

    is_gateway: bool = False
    jaeger: str | None = None
    replay: str | None = None
    backends: Mapping[str, str] = field(default_factory=dict)
    """More OTLP backends: name to URL."""
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Name of a backend to its headers; the value of a header is the name of the variable that holds it."""
    clickhouse: str | None = None
    file: str | None = None
    content: Content = "masked"
    content_of: Mapping[str, Content] = field(default_factory=dict)
    """Backends that see more or less than `content` says."""
    sampling: float | None = None
    """Percent of ordinary traces that viewers get; None means all, at a gateway 10."""
    decision_wait: str = "60s"
    metrics_interval: str = "15s"
    ports: Ports = Ports()

    @property
    def percent(self) -> float:
        """Percent of ordinary traces that reach viewers."""
        return self.sampling if self.sampling is not None else GATEWAY_PERCENT if self.is_gateway else 100.0

    def policy(self, name: str) -> Content:
        """What the backend of this name sees of content."""
        return self.content_of.get(name, self.content)

    def __post_init__(self) -> None:
        known = (JAEGER, REPLAY, *self.backends)
        for name in self.backends:
            if not _NAME.fullmatch(name) or name in (JAEGER, REPLAY):
                raise ConfigError(f"--otlp {name!r} is no name for a backend; good values: small letters, digits and -, "
                                  f"such as tempo, and neither {JAEGER} nor {REPLAY}.")
        for name in (*self.headers, *self.content_of):
            if name not in known:
                raise ConfigError(f"No backend is called {name!r}; good values: {', '.join(known)}.")
        if REPLAY in self.content_of:
            raise ConfigError("The replay store gets everything; --content speaks of viewers only.")
        if self.sampling is not None and not 0 <= self.sampling <= 100:
            raise ConfigError(f"--sampling {self.sampling:g} is no percentage; good values: 0 to 100.")
        for option, text in (("--decision-wait", self.decision_wait), ("--metrics-interval", self.metrics_interval)):
            if not _DURATION.fullmatch(text):
                raise ConfigError(f"{option} {text!r} is no duration; good values: 500ms, 15s, 2m, 1h.")


def read_url(option: str, text: str) -> str:
    """The URL of an OTLP backend, without a slash at its end."""
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in ("http", "https", "grpc", "grpcs") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ConfigError(f"{option} {text!r} is no address; good values: {URL_FORMS}.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(f"{option}: the address at {parts.hostname} carries a user, a query or a fragment, which would stand "
                          "in the file for all to read. Give --header NAME:KEY=VARIABLE instead.")
    if parts.scheme.startswith("grpc") and (parts.path.strip("/") or parts.port is None):
        raise ConfigError(f"{option} {text!r} is no address for gRPC; good values: grpc://host:port, grpcs://host:port.")
    return text.rstrip("/")


def read_backend(text: str) -> tuple[str, str]:
    """`NAME=URL` of `--otlp`."""
    name, equals, url = text.partition("=")
    if not equals:
        raise ConfigError(f"--otlp {text!r} is not usable; good values: NAME=URL, such as tempo=https://tempo.example.org:4318.")
    return name, read_url(f"--otlp {name}", url)


def read_header(text: str) -> tuple[str, str, str]:
    """`NAME:KEY=VARIABLE` of `--header`. What stands behind `=` is not repeated: it may be the secret itself."""
    name, colon, rest = text.partition(":")
    key, equals, variable = rest.partition("=")
    form = "NAME:KEY=VARIABLE, such as tempo:authorization=TEMPO_AUTHORIZATION"
    if not colon or not equals or not _HEADER.fullmatch(key):
        raise ConfigError(f"--header {text.partition('=')[0]!r} is not usable; good values: {form}.")
    if not _VARIABLE.fullmatch(variable):
        raise ConfigError(f"--header {name}:{key}: behind = stands the name of an environment variable, in capitals, which holds "
                          f"the value when the collector runs; good values: {form}.")
    return name, key, variable


def read_content(text: str) -> tuple[str | None, Content]:
    """`POLICY` or `NAME=POLICY` of `--content`."""
    name, equals, policy = text.rpartition("=")
    for good in CONTENT:
        if policy == good:
            return (name if equals else None), good
    raise ConfigError(f"--content {text!r} is not usable; good values: {', '.join(CONTENT)}, or NAME=… for one backend.")


def read_clickhouse(text: str) -> str:
    """A ClickHouse address without user and password, which come from CLICKHOUSE_USER and CLICKHOUSE_PASSWORD."""
    good = "clickhouse://host:9000/database, tcp://host:9000, http://host:8123, https://host:8443"
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in ("clickhouse", "tcp", "http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ConfigError(f"--clickhouse is no address of ClickHouse; good values: {good}.")
    if parts.username or parts.password or any(w in k.lower() for k, _ in parse_qsl(parts.query) for w in _SECRET_WORDS):
        raise ConfigError("--clickhouse carries a user or a password, which would stand in the file for all to read. Leave them "
                          "out: the collector reads CLICKHOUSE_USER and CLICKHOUSE_PASSWORD.")
    return text


def command(choices: Choices) -> str:
    """The command line that makes this file; ports are not part of it."""
    words = ["otel-llm collector config"]
    words += ["--gateway"] if choices.is_gateway else []
    words += [f"--jaeger {choices.jaeger}"] if choices.jaeger else []
    words += [f"--replay {choices.replay}"] if choices.replay else []
    words += [f"--otlp {name}={url}" for name, url in choices.backends.items()]
    words += [f"--header {name}:{key}={variable}" for name, of in choices.headers.items() for key, variable in of.items()]
    words += [f"--clickhouse {choices.clickhouse}"] if choices.clickhouse else []
    words += [f"--file {choices.file}"] if choices.file else []
    words += [f"--content {choices.content}"] if choices.content != "masked" else []
    words += [f"--content {name}={policy}" for name, policy in choices.content_of.items()]
    words += [f"--sampling {choices.sampling:g}"] if choices.sampling is not None else []
    words += [f"--decision-wait {choices.decision_wait}"] if choices.decision_wait != "60s" else []
    words += [f"--metrics-interval {choices.metrics_interval}"] if choices.metrics_interval != "15s" else []
    return " ".join(words)
