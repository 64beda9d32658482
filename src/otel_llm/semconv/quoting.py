"""Which attributes quote what was said: prompts, answers, tool arguments and results, retrieved texts, errors.

Whoever hides content asks here: the receiver where content is off, the forwarder that masks it, an export without it, the
Collector on its way to a viewer. `quotes_content` answers for one name; the tables are for those who treat kinds apart.

The names of other instrumentors are patterns that Python's `re` and the Collector's RE2 read alike.
"""

from __future__ import annotations

import functools
import re

import otel_llm.semconv.names as n

CONTENT_BODIES = (n.OTEL_LLM_REQUEST_BODY, n.OTEL_LLM_RESPONSE_BODY)
"""The exact bytes of an exchange, for the replay store alone."""
CONTENT_MESSAGES = (n.GEN_AI_SYSTEM_INSTRUCTIONS, n.GEN_AI_INPUT_MESSAGES, n.GEN_AI_OUTPUT_MESSAGES, n.GEN_AI_TOOL_DEFINITIONS)
"""JSON in the shape of the conventions' schemas."""
CONTENT_TEXTS = (
    n.GEN_AI_TOOL_CALL_ARGUMENTS, n.GEN_AI_TOOL_CALL_RESULT, n.GEN_AI_RETRIEVAL_QUERY_TEXT, n.GEN_AI_RETRIEVAL_DOCUMENTS,
    n.GEN_AI_EVALUATION_EXPLANATION, n.OTEL_LLM_ERROR_MESSAGE, n.EXCEPTION_MESSAGE, n.EXCEPTION_STACKTRACE)
"""Everything else by name; errors like to quote."""
CONTENT = frozenset({*CONTENT_BODIES, *CONTENT_MESSAGES, *CONTENT_TEXTS})
"""All of them. The variables of a prompt quote as well: they have a prefix instead of a name."""

FOREIGN_CONTENT = (
    r"(gen_ai|llm)\.(prompt|completion)(s|\.\d+\..*)?", r"gen_ai\.content\..*", r"gen_ai\.(request|response)\.messages",
    r"llm\.(input_messages|output_messages|tools|prompt_template|invocation_parameters)\b.*", r"(input|output)\.value",
    r"(traceloop\.entity|langfuse\.(trace|observation))\.(input|output)", r"mlflow\.span(Inputs|Outputs)", r"all_messages",
    r"(request|response)_data", r"ai\.(prompt|response\.(text|object|toolCalls)|toolCall\.(args|result)).*",
    r"retrieval\.documents\..*", r"embedding\.embeddings\..*", r"tool\.parameters", r"lk\.(chat_ctx|user_input|response).*",
)
"""How other instrumentors name what they quote (OpenLLMetry, OpenInference, Vercel AI, Logfire, Langfuse, MLflow, LiveKit)."""

_foreign = re.compile("|".join(FOREIGN_CONTENT), re.DOTALL).fullmatch


@functools.lru_cache(maxsize=4096)
def quotes_content(key: str) -> bool:
    """True when an attribute of this name quotes content."""
    return key in CONTENT or key.startswith(n.GEN_AI_PROMPT_VARIABLE_PREFIX) or _foreign(key) is not None
