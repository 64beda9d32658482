"""OpenAI (text) Completions, the elder API that llama.cpp, vLLM and others still serve: `POST …/completions`.

A prompt is a user message, each choice an assistant message.

Source: https://platform.openai.com/docs/api-reference/completions
"""

from __future__ import annotations

import otel_llm.adapters.openai_parts as openai_parts
from otel_llm.adapters.fields import Fields, bare_request, integer, is_true, items, known, number, text, texts, words
from otel_llm.adapters.openai_chat_stream import assemble as assemble
from otel_llm.adapters.openai_chat_stream import ended as ended
from otel_llm.adapters.openai_chat_stream import fold as fold
from otel_llm.adapters.openai_chat_stream import skips as skips
from otel_llm.adapters.openai_embeddings import inputs
from otel_llm.values.adapter import Json
from otel_llm.values.call import Message, Operation, Request, Response, Text

name = "openai_completions"
operation: Operation = "text_completion"

_REQUEST: Fields = {
    "model": ("model", text),
    "stream": ("stream", is_true),
    "max_tokens": ("max_tokens", integer),
    "temperature": ("temperature", number),
    "top_p": ("top_p", number),
    "top_k": ("top_k", integer),
    "frequency_penalty": ("frequency_penalty", number),
    "presence_penalty": ("presence_penalty", number),
    "seed": ("seed", integer),
    "stop": ("stop_sequences", texts),
    "n": ("choice_count", openai_parts.choice_count),
}
_RESPONSE: Fields = {
    "id": ("id", text),
    "model": ("model", text),
    "usage": ("usage", openai_parts.usage),
    "system_fingerprint": ("system_fingerprint", text),
}


def request(body: Json, *, content: bool = True) -> Request:
    found = known(body, _REQUEST)
    return Request(messages=inputs(body.get("prompt")), **found) if content else bare_request(tuple(found.items()))


def response(body: Json, *, content: bool = True) -> Response:
    found = known(body, _RESPONSE)
    choices = [c for c in items(body.get("choices")) if isinstance(c, dict)]
    found["finish_reasons"] = openai_parts.finish_reasons(choices)
    found["error_type"], found["error_message"] = openai_parts.error(body)
    if content:
        found["messages"] = tuple(Message("assistant", (Text(words(c.get("text"))),)) for c in choices)
    return Response(**found)
