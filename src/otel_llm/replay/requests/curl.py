"""A recorded call as something that anybody can run: a curl command, or a small Python program.

Keys stand as `$NAME`, never as a value. The body is printed as it was sent, so that the command sends an equal one; what is
no text, or holds characters that a terminal obeys, is given as base64. Everything that was captured is quoted for the shell
or as a Python literal: a prompt may hold quotes, backticks and `$(…)`, and running the printed command must not run them.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping
from urllib.parse import urlsplit

from otel_llm.replay.requests.credentials import Origin, is_loopback, key_variable, origin_of
from otel_llm.replay.requests.endpoint import endpoint, is_azure_deployment
from otel_llm.values.errors import ConfigError, NotReplayable
from otel_llm.values.session import Exchange

OPENAI_METHODS: Mapping[str, str] = {
    "openai_chat": "chat.completions.create",
    "openai_completions": "completions.create",
    "openai_responses": "responses.create",
    "openai_embeddings": "embeddings.create",
}
"""Adapter to the method of the openai client that makes the call."""

OPENAI_ARGUMENTS = frozenset({
    "model", "messages", "input", "prompt", "instructions", "stream", "stream_options", "temperature", "top_p",
    "max_tokens", "max_completion_tokens", "max_output_tokens", "tools", "tool_choice", "parallel_tool_calls",
    "response_format", "n", "stop", "seed", "user", "frequency_penalty", "presence_penalty", "logprobs", "top_logprobs",
    "reasoning", "reasoning_effort", "previous_response_id", "store", "metadata", "dimensions", "encoding_format",
    "service_tier"
})
"""Body keys that the client's methods take by name; whatever else was sent goes into `extra_body`."""

_KEY_HEADERS: Mapping[str, str] = {
    "ANTHROPIC_API_KEY": "x-api-key: {key}",
    "GEMINI_API_KEY": "x-goog-api-key: {key}",
    "AZURE_OPENAI_API_KEY": "api-key: {key}",
}


def _variable(exchange: Exchange, environ: Mapping[str, str]) -> str:
    try:
        return key_variable(origin_of(exchange.url), environ) or "OPENAI_API_KEY"
    except ConfigError:
        return "OPENAI_API_KEY"


def _body(exchange: Exchange) -> bytes:
    if exchange.request_body is None:
        raise NotReplayable(f"The request of call {exchange.span_id} was not recorded ({exchange.omitted or 'no bytes'}).")
    return exchange.request_body


def _header(variable: str, *, key: str) -> str:
    return _KEY_HEADERS.get(variable, "Authorization: Bearer {key}").format(key=key)


def to_curl(exchange: Exchange, environ: Mapping[str, str]) -> str:
    """A curl command that sends the recorded body. Raises `NotReplayable` when there is none."""
    body, url = _body(exchange), exchange.url
    if is_azure_deployment(url):
        url += "?api-version="
        target = shlex.quote(url) + '"$OPENAI_API_VERSION"'
    else:
        target = shlex.quote(url)
    lines = [f"curl {target}" + ("" if exchange.method == "POST" else f" -X {shlex.quote(exchange.method)}")]
    if exchange.request_type:
        lines.append(f"-H {shlex.quote('Content-Type: ' + exchange.request_type)}")
    if not _needs_no_key(exchange, environ):
        lines.append(f'-H "{_header(variable := _variable(exchange, environ), key="$" + variable)}"')
    if _is_stream(body):
        lines.append("--no-buffer")
    text = _text(body)
    if text is None:
        pipe = f"printf %s {base64.b64encode(body).decode()} | base64 -d | "
        return pipe + " \\\n  ".join([*lines, "--data-binary @-"])
    if body:
        lines.append(f"--data-raw {shlex.quote(text)}")
    return " \\\n  ".join(lines)


def to_python(exchange: Exchange, environ: Mapping[str, str]) -> str:
    """A Python program that makes the call: with the openai SDK where it is an OpenAI call, with urllib otherwise."""
    body = _body(exchange)
    method = OPENAI_METHODS.get(exchange.api)
    value = _json_object(body)
    if method is None or value is None or is_azure_deployment(exchange.url):
        return _urllib(exchange, body, environ)
    base_url = exchange.url.removesuffix("/" + endpoint(urlsplit(exchange.url).path))
    key = '"not-needed"' if _needs_no_key(exchange, environ) else f'os.environ["{_variable(exchange, environ)}"]'
    arguments = "".join(f"    {name}={ascii(item)},\n" for name, item in value.items() if name in OPENAI_ARGUMENTS)
    extra = {name: item for name, item in value.items() if name not in OPENAI_ARGUMENTS}
    if extra:
        arguments += f"    extra_body={ascii(extra)},\n"
    use = "for event in answer:\n    print(event)\n" if value.get("stream") is True else "print(answer)\n"
    return (
        f"import os\n\nfrom openai import OpenAI\n\nclient = OpenAI(base_url={ascii(base_url)}, api_key={key})\n"
        f"answer = client.{method}(\n{arguments})\n{use}"
    )


def _urllib(exchange: Exchange, body: bytes, environ: Mapping[str, str]) -> str:
    url = ascii(exchange.url)
    if is_azure_deployment(exchange.url):
        url += ' + "?api-version=" + os.environ["OPENAI_API_VERSION"]'
    headers = f'"Content-Type": {ascii(exchange.request_type)}' if exchange.request_type else ""
    if not _needs_no_key(exchange, environ):
        variable = _variable(exchange, environ)
        name, _, template = _header(variable, key="{key}").partition(": ")
        prefix = template.removesuffix("{key}")
        value = f'os.environ["{variable}"]'
        headers += f'{", " if headers else ""}"{name}": {f"{prefix!r} + " if prefix else ""}{value}'
    return (
        f"import os\nfrom urllib.request import Request, urlopen\n\nbody = {body!r}\n"
        f"request = Request({url}, data=body or None, method={ascii(exchange.method)}, headers={{{headers}}})\n"
        f"with urlopen(request) as response:\n    print(response.read().decode())\n"
    )


def _needs_no_key(exchange: Exchange, environ: Mapping[str, str]) -> bool:
    origin = _origin(exchange.url)
    return origin is not None and is_loopback(origin) and key_variable(origin, environ) is None


def _origin(url: str) -> Origin | None:
    try:
        return origin_of(url)
    except ConfigError:
        return None


def _text(body: bytes) -> str | None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if text.replace("\n", "").replace("\t", "").isprintable() else None


def _json_object(body: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_stream(body: bytes) -> bool:
    return (_json_object(body) or {}).get("stream") is True

