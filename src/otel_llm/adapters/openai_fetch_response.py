"""OpenAI Responses, fetched again by id: `GET …/responses/{id}`. The same answer under another operation."""

from __future__ import annotations

from otel_llm.adapters.openai_responses import assemble as assemble
from otel_llm.adapters.openai_responses import ended as ended
from otel_llm.adapters.openai_responses import fold as fold
from otel_llm.adapters.openai_responses import request as request
from otel_llm.adapters.openai_responses import response as response
from otel_llm.adapters.openai_responses import skips as skips
from otel_llm.values.call import Operation

name = "openai_fetch_response"
operation: Operation = "fetch_response"
