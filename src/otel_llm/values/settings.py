"""Every setting in one table: argument, then environment, then default; resolved once, printed by `otel-llm config`.

A bad value in an argument raises `ConfigError` with the list of good ones. A bad value in the environment must not break
the program that is being watched: there it warns and the default holds (`strict=True`, as the terminal uses it, raises).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from otel_llm.values.destination import checked_forward, read_forward
from otel_llm.values.errors import ConfigError

log = logging.getLogger("otel_llm")

CONTENT_MODES = ("NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT")


def _flag(text: str) -> bool:
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("true or false")


def _bytes(text: str) -> int:
    scale = {"k": 10**3, "m": 10**6, "g": 10**9}
    word = text.strip().lower().removesuffix("b").removesuffix("i")
    try:
        return int(float(word[:-1]) * scale[word[-1]]) if word and word[-1] in scale else int(word)
    except ValueError:
        raise ValueError("a number of bytes, such as 16000000, 16M or 1G") from None


def _hosts(text: str) -> dict[str, str]:
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    if any(not host.strip() or not name.strip() for host, _, name in pairs):
        raise ValueError("host=provider, comma-separated, such as llm.example.org=openai")
    return {host.strip().lower(): name.strip() for host, _, name in pairs}


def _content_mode(text: str) -> str:
    word = text.strip().upper()
    if word in ("TRUE", "1"):
        return "SPAN_AND_EVENT"
    if word in ("", "FALSE", "0"):
        return "NO_CONTENT"
    if word not in CONTENT_MODES:
        raise ValueError(", ".join(CONTENT_MODES))
    return word


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: the setting it feeds, how its text is read, and what it means."""

    name: str
    setting: str
    read: Callable[[str], Any]
    meaning: str


VARIABLES: tuple[Variable, ...] = (
    Variable("OTEL_LLM_STORE", "store", str, "directory of the store; default: the platform's user data directory"),
    Variable("OTEL_LLM_CONTENT", "content", _flag, "record prompts, answers, tool arguments and results in the store"),
    Variable("OTEL_LLM_REDACT", "redact", _flag, "replace known secret formats in content before anything is written"),
    Variable("OTEL_LLM_MAX_BODY", "max_body_bytes", _bytes, "largest request or response body that is recorded"),
    Variable("OTEL_LLM_PROVIDERS", "providers", _hosts, "host=provider pairs for OpenAI-compatible endpoints"),
    Variable("OTEL_LLM_THREADS", "threads", _flag, "carry the context into ThreadPoolExecutor workers"),
    Variable("OTEL_LLM_INDEX", "index", _flag, "index the spool in the background of the instrumented program"),
    Variable("OTEL_LLM_FORWARD", "forward", read_forward,
             "more OTLP endpoints: name=url, comma-separated, each with ;content=none|masked|full, ;headers=VARIABLE, …"),
    Variable("OTEL_LLM_FORWARD_CAP", "forward_cap_bytes", _bytes, "most disk that spans waiting for one endpoint may take"),
    Variable("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "content_on_spans", _content_mode,
             "content on spans and events for other exporters: NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT"),
    Variable("OTEL_SDK_DISABLED", "disabled", _flag, "switch everything off"),
)

ELSEWHERE = ("OTEL_LLM_API_KEYS", "OTEL_LLM_SEED", "OTEL_LLM_REPLAY_PLAN", "OTEL_LLM_OTELCOL_BIN", "OTEL_LLM_JAEGER_BIN")
"""Variables of ours that are no settings: those who need them read them."""
STANDARD_VARIABLES: Mapping[str, str] = {
    "OTEL_SERVICE_NAME": "name of the service in every span",
    "OTEL_RESOURCE_ATTRIBUTES": "more resource attributes, key=value, comma-separated",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "when set, spans also go to this OTLP endpoint",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_HEADERS": "headers for that endpoint",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf (default) or grpc",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip or none (default)",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "longest wait for that endpoint's answer, in seconds (1000 and more: milliseconds)",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "file with the certificates to trust for that endpoint",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "file with the client's own certificate",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY": "file with the key of that certificate",
    "OTEL_EXPORTER_OTLP_INSECURE": "true: gRPC without TLS where the endpoint has no scheme",
    "OTEL_TRACES_EXPORTER": "`replay` writes to the store under `opentelemetry-instrument`",
    "OTEL_TRACES_SAMPLER": "sampler of the tracer provider that otel_llm.init() installs",
}
"""Variables of OpenTelemetry that mean here what they mean elsewhere; `…_OTLP_TRACES_…` goes before `…_OTLP_…`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is in force. `sources` says for each setting where its value came from: argument, environment or default."""

    store: str | None = None
    content: bool = True
    redact: bool = True
    max_body_bytes: int = 64_000_000
    providers: Mapping[str, str] = field(default_factory=dict)
    threads: bool = False
    index: bool = True
    forward: Mapping[str, str] = field(default_factory=dict)
    """Name → `url;option=value;…`, as `otel_llm.values.destination` reads it."""
    forward_cap_bytes: int = 1_000_000_000
    content_on_spans: str = "NO_CONTENT"
    disabled: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def resolve(
        cls, arguments: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, *, strict: bool = False
    ) -> Settings:
        """Settings from arguments (None means not given), then the environment, then defaults."""
        environ = os.environ if environ is None else environ
        given = {k: v for k, v in (arguments or {}).items() if v is not None}
        known = {f.name for f in fields(cls)} - {"sources"}
        if unknown := sorted(set(given) - known):
            raise ConfigError(f"unknown setting {unknown[0]!r}; settings are {', '.join(sorted(known))}")
        values: dict[str, Any] = {}
        sources = dict.fromkeys(sorted(known), "default")
        for variable in VARIABLES:
            text = environ.get(variable.name)
            if text is None or not text.strip() or variable.setting in given:
                continue
            try:
                values[variable.setting] = variable.read(text)
                sources[variable.setting] = variable.name
            except ValueError as error:
                message = f"{variable.name}={text!r} is not usable; good values: {error}"
                if strict:
                    raise ConfigError(message) from None
                log.warning("%s. The default holds.", message)
        for name, value in given.items():
            values[name] = _checked(name, value)
            sources[name] = "argument"
        return cls(**values, sources=sources)


def _checked(name: str, value: Any) -> Any:
    """An argument's value in the type of its setting; text is read as the variable of the same setting would be."""
    if name == "store":
        return os.fspath(value)
    if isinstance(value, str):
        for variable in VARIABLES:
            if variable.setting == name:
                try:
                    return variable.read(value)
                except ValueError as error:
                    raise ConfigError(f"{name}={value!r} is not usable; good values: {error}") from None
    expected: type[Any] = {
        "content": bool, "redact": bool, "threads": bool, "index": bool, "disabled": bool, "max_body_bytes": int,
        "providers": Mapping, "forward": Mapping, "forward_cap_bytes": int, "content_on_spans": str}[name]
    if not isinstance(value, expected):
        raise ConfigError(f"{name}={value!r} is not usable; good values: {expected.__name__}")
    if name == "forward":
        try:
            return checked_forward(value)
        except ValueError as error:
            raise ConfigError(f"forward={value!r} is not usable; good values: {error}") from None
    return value


def unread(environ: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Variables that look like ours and that nobody reads, with the nearest that somebody does; None when none is near."""
    from difflib import get_close_matches  # not at the start of every program

    known = sorted({*(variable.name for variable in VARIABLES), *ELSEWHERE})
    for name in sorted(environ):
        if name.startswith("OTEL_LLM_") and name not in known:
            yield name, next(iter(get_close_matches(name, known, n=1, cutoff=0.8)), None)
