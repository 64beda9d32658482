"""Wire formats: one pure module each, and the table that finds it by name or by path.

Adding a provider is adding a module with the functions of `otel_llm.values.adapter.Adapter`, a line in the tables below and
a folder of recorded cases. An adapter knows JSON only; `exchange` parses bytes for all of them.
"""

from __future__ import annotations

import re

from otel_llm.adapters import openai_chat, openai_completions, openai_embeddings, openai_fetch_response, openai_responses
from otel_llm.adapters.exchange import read_call as read_call
from otel_llm.adapters.exchange import read_request as read_request
from otel_llm.adapters.exchange import read_response as read_response
from otel_llm.values.adapter import Adapter

ADAPTERS: tuple[Adapter, ...] = (
    openai_chat,
    openai_responses,
    openai_fetch_response,
    openai_embeddings,
    openai_completions,
)
_BY_NAME = {adapter.name: adapter for adapter in ADAPTERS}
_BY_SUFFIX: tuple[tuple[str, Adapter], ...] = (
    ("/chat/completions", openai_chat),
    ("/responses", openai_responses),
    ("/embeddings", openai_embeddings),
    ("/completions", openai_completions),
)
_FETCHED = re.compile(r"(^|/)responses/[^/]+/?$")


def by_name(name: str) -> Adapter | None:
    """The adapter of this name, such as `openai_chat`; None when there is none (`generic`)."""
    return _BY_NAME.get(name)


def by_path(path: str, method: str = "POST") -> Adapter | None:
    """The adapter for an endpoint, by the end of its path: `/v1/chat/completions`, `/openai/deployments/x/embeddings`, …

    Only POST asks a model; GET fetches a stored response.
    """
    path = path.partition("?")[0]
    if method == "GET":
        return openai_fetch_response if _FETCHED.search(path) else None
    if method != "POST":
        return None
    path = "/" + path.strip("/")
    return next((adapter for suffix, adapter in _BY_SUFFIX if path.endswith(suffix)), None)
