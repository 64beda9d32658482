"""Wire formats: one pure module each, and the table that finds it by name or by path.

Adding a provider is adding a module with the functions of `otel_llm.values.adapter.Adapter`, a line in the tables below and
a folder of recorded cases. An adapter knows JSON only; `exchange` parses bytes for all of them. Where requests can also be
written in a format, a second module beside the adapter does it: `WRITERS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from otel_llm.adapters import (
    openai_chat,
    openai_chat_request,
    openai_completions,
    openai_embeddings,
    openai_fetch_response,
    openai_responses,
    openai_responses_request,
)
from otel_llm.adapters.exchange import read_call as read_call
from otel_llm.adapters.exchange import read_request as read_request
from otel_llm.adapters.exchange import read_response as read_response
from otel_llm.adapters.exchange import response_json as response_json
from otel_llm.adapters.request_parts import Body, Lost
from otel_llm.values.adapter import Adapter
from otel_llm.values.call import Message, Request

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


class RequestWriter(Protocol):
    """Makes requests of one wire format: the inverse of an adapter's `request`."""

    def write(self, request: Request) -> tuple[Body, tuple[str, ...]]:
        """The body, and what it could not carry, in words."""

    def write_message(self, message: Message, lost: Lost, custom: frozenset[str] = frozenset()) -> list[Body]:
        """One message as elements of the history; what they cannot carry goes into `lost`."""


WRITERS: Mapping[str, RequestWriter] = {"openai_chat": openai_chat_request, "openai_responses": openai_responses_request}
"""By the name of the adapter that reads what they write."""

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
