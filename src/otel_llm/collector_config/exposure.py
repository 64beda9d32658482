"""Rules on what is shown to whom: secrets in the file, doors without a lock, raw bodies on their way to a viewer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from otel_llm.collector_config.delivery import SENDING
from otel_llm.collector_config.pipelines import Config, type_of, with_defaults
from otel_llm.collector_config.reading import Node
from otel_llm.semconv.names import OTEL_LLM_REQUEST_BODY, OTEL_LLM_RESPONSE_BODY

Said = Iterator[tuple[int, str]]

_NO_DEFAULT = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_KEY = re.compile(r"(?i)(^|[_-])(authorization|api[_-]?key|token|password|secret|hmac_key)$|-key$")
_NO_SECRET_KEY = ("key", "key_file", "cert_file")
_EVERYWHERE = ("0.0.0.0", "[::]", "")
_STORES = ("replay", "clickhouse", "file", "debug")


def empty_header(config: Config) -> Said:
    """A header without a value is invalid, and the collector does not start."""
    for path, node in _settings(config):
        missing = _NO_DEFAULT.search(node.text) if "headers" in path[:-1] else None
        if missing:
            yield node.line, (f"{'.'.join(path)}: when {missing[1]} is not set the header is empty and refused; write "
                              f"${{env:{missing[1]}:-none}}.")


def secret(config: Config) -> Said:
    """What is written in the file is read by all who read the file."""
    for path, node in _settings(config):
        if path[-1] in _NO_SECRET_KEY or not node.text or "${" in node.text:
            continue
        named = path[-2] if path[-1] == "value" and len(path) > 1 else path[-1]
        if _SECRET_KEY.search(named) or _is_list_of_tokens(path):
            yield node.line, f"{'.'.join(path)} holds a secret in clear; put it in a variable: ${{env:NAME:-none}}."
    for path, node in _settings(config):
        try:
            parts = urlsplit(node.text)
        except ValueError:
            continue
        if parts.scheme and parts.password and "${" not in parts.password:
            yield node.line, f"{'.'.join(path)} holds a password inside the address; give it by a variable."


def clear_secret(config: Config) -> Said:
    """A token that travels without TLS is a token of everybody on the way."""
    for name, node in config.of_type("exporters", *SENDING):
        if not any(_SECRET_KEY.search(key) for key in (node.get("headers") or Node(0, None)).map):
            continue
        endpoint = node.get("endpoint")
        address = with_defaults(endpoint.text) if endpoint else ""
        is_open = address.startswith("http://") or node.said("tls", "insecure") == "true"
        if endpoint and is_open and not re.match(r"(http://)?([^/@]*@)?(127\.|localhost\b|\[::1\])", address):
            yield endpoint.line, f"exporters.{name} sends a secret to {address} without TLS; use https, or tls without insecure."


def open_door(config: Config) -> Said:
    """Whoever reaches the port may write traces."""
    for name, node in config.of_type("receivers", "otlp"):
        for protocol, found in (node.get("protocols") or Node(0, None)).map.items():
            endpoint = found.get("endpoint")
            host = with_defaults(endpoint.text).rpartition(":")[0] if endpoint else None
            if endpoint and host in _EVERYWHERE and not found.get("auth"):
                yield endpoint.line, (f"receivers.{name}: {protocol} listens on every address and asks for no token; listen on "
                                      "127.0.0.1, or set auth and tls.")


def raw_body(config: Config) -> Said:
    """Exact request and response bodies are for the replay store alone."""
    cleaners = {name for name, node in config.defined["processors"].items() if _removes_bodies(node)}
    for name, node in config.of_type("exporters", "otlp", "otlp_grpc", "otlphttp", "otlp_http"):
        if any(word in name for word in _STORES):
            continue
        for pipeline in config.leading_to(name):
            if type_of(pipeline.name) == "traces" and not cleaners & {p for p, _ in config.passed(pipeline)}:
                yield node.line, (f"exporters.{name} gets raw bodies (pipeline {pipeline.name}); delete {OTEL_LLM_REQUEST_BODY} "
                                  f"and {OTEL_LLM_RESPONSE_BODY} on the way, as `otel-llm collector config` does.")


def _removes_bodies(node: Node) -> bool:
    text = " ".join(found.text for _, found in node.walk())
    return OTEL_LLM_REQUEST_BODY in text and OTEL_LLM_RESPONSE_BODY in text


def _settings(config: Config) -> Iterator[tuple[tuple[str, ...], Node]]:
    for path, node in config.root.walk():
        if len(path) > 2 and node.text and path[0] in ("receivers", "exporters", "extensions"):
            yield path, node


def _is_list_of_tokens(path: tuple[str, ...]) -> bool:
    return path[0] == "extensions" and type_of(path[1]) == "bearertokenauth" and path[-1] in ("token", "tokens")
