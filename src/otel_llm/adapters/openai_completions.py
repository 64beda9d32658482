"""OpenAI (text) Completions, the elder API that llama.cpp, vLLM and others still serve: `POST …/completions`.

A prompt is a user message, each choice an assistant message.

Source: https://platform.openai.com/docs/api-reference/completions
"""

from __future__ import annotations

import otel_llm.adapters.openai_parts as openai_parts
from otel_llm.adapters.fields import integer, items, number, text, texts, words
from otel_llm.adapters.openai_chat_stream import assemble as assemble
from otel_llm.adapters.openai_chat_stream import ended as ended
from otel_llm.adapters.openai_chat_stream import skips as skips
from otel_llm.adapters.openai_embeddings import inputs
from otel_llm.values.adapter import Json
from otel_llm.values.call import Message, Operation, Request, Response, Text

name = "openai_completions"
operation: Operation = "text_completion"


def request(body: Json, *, content: bool = True) -> Request:
    n = integer(body.get("n"))
    return Request(
        model=text(body.get("model")),
        messages=inputs(body.get("prompt")) if content else (),
        stream=body.get("stream") is True,
        max_tokens=integer(body.get("max_tokens")),
        temperature=number(body.get("temperature")),
        top_p=number(body.get("top_p")),
        top_k=integer(body.get("top_k")),
        frequency_penalty=number(body.get("frequency_penalty")),
        presence_penalty=number(body.get("presence_penalty")),
        seed=integer(body.get("seed")),
        stop_sequences=texts(body.get("stop")),
        choice_count=None if n == 1 else n,
    )


def response(body: Json, *, content: bool = True) -> Response:
    choices = [c for c in items(body.get("choices")) if isinstance(c, dict)]
    reasons = [openai_parts.finish_reason(c.get("finish_reason")) for c in choices]
    error_type, error_message = openai_parts.error(body)
    return Response(
        id=text(body.get("id")),
        model=text(body.get("model")),
        messages=tuple(Message("assistant", (Text(words(c.get("text"))),)) for c in choices) if content else (),
        finish_reasons=tuple(r or "error" for r in reasons) if any(reasons) else (),
        usage=openai_parts.usage(body.get("usage")),
        system_fingerprint=text(body.get("system_fingerprint")),
        error_type=error_type,
        error_message=error_message,
    )
