"""Where a recorded call goes when it is sent again: the recorded URL, or its endpoint below another base URL.

The tape keeps no query (it may hold secrets), so that an Azure deployment, which wants its `api-version` there, gets it from
`OPENAI_API_VERSION` as the SDK does.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from otel_llm.replay.requests.credentials import origin_of
from otel_llm.values.errors import NotReplayable

ENDPOINTS = ("chat/completions", "completions", "responses", "embeddings", "messages")
"""Paths below a base URL, as the SDKs write them."""

_VERSIONS = frozenset({"v1", "v1beta", "v2", "v4"})


ENDPOINT_OF: Mapping[str, str] = {"openai_chat": "chat/completions", "openai_responses": "responses"}
"""Adapter to its path, for requests that are translated."""


def target(url: str, base_url: str | None, environ: Mapping[str, str], *, api: str | None = None) -> str:
    """The URL of a reissue; `api` when it is asked in another wire format.

    Raises `NotReplayable` when an Azure deployment is asked in another format or `OPENAI_API_VERSION` is not set,
    `ConfigError` when the base URL is none.
    """
    own = endpoint(urlsplit(url).path)
    wanted = own if api is None else ENDPOINT_OF[api]
    if base_url is not None:
        origin_of(base_url)
        return f"{base_url.strip().partition('?')[0].rstrip('/')}/{wanted}"
    if not is_azure_deployment(url):
        return url.rstrip("/").removesuffix(own) + wanted if wanted != own else url
    if wanted != own:
        raise NotReplayable("an Azure deployment answers in one format only; give --base-url of another endpoint")
    if version := environ.get("OPENAI_API_VERSION", "").strip():
        return f"{url}?api-version={version}"
    raise NotReplayable("an Azure deployment wants an API version: set OPENAI_API_VERSION")


def is_azure_deployment(url: str) -> bool:
    """True when the URL names the model, so that the body's does not decide."""
    return "/openai/deployments/" in urlsplit(url).path


def endpoint(path: str) -> str:
    """The part of a path behind its base: `/openai/v1/chat/completions` gives `chat/completions`."""
    for known in ENDPOINTS:
        if path.rstrip("/").endswith("/" + known):
            return known
    parts = path.strip("/").split("/")
    for index, part in enumerate(parts):
        if part in _VERSIONS:
            return "/".join(parts[index + 1 :])
    return "/".join(parts)
