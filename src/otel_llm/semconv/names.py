"""Every name that otel-llm puts on telemetry, written once.

Three families stand here: the names of the GenAI semantic conventions (profile "latest": the registry plus the confirmed
changes after it), those of the core conventions that a GenAI span also carries, and our own under `otel_llm.`. A name that
the conventions do not know is never invented inside `gen_ai.`.

Sources: https://github.com/open-telemetry/semantic-conventions-genai and
https://opentelemetry.io/docs/specs/semconv/registry/attributes/
"""

from __future__ import annotations

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"

GEN_AI_FAMILIES = ("gen_ai.",)
"""What the names of the GenAI conventions begin with, for `str.startswith`."""

# --- GenAI: what was asked, of whom -------------------------------------------------------------------------------------
GEN_AI_OPERATION_NAME = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME = "gen_ai.provider.name"
GEN_AI_CONVERSATION_ID = "gen_ai.conversation.id"
GEN_AI_CONVERSATION_COMPACTED = "gen_ai.conversation.compacted"
GEN_AI_OUTPUT_TYPE = "gen_ai.output.type"
GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
GEN_AI_REQUEST_STREAM = "gen_ai.request.stream"
GEN_AI_REQUEST_STREAM_CURSOR = "gen_ai.request.stream_cursor"
GEN_AI_REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_TEMPERATURE = "gen_ai.request.temperature"
GEN_AI_REQUEST_TOP_P = "gen_ai.request.top_p"
GEN_AI_REQUEST_TOP_K = "gen_ai.request.top_k"
GEN_AI_REQUEST_FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty"
GEN_AI_REQUEST_PRESENCE_PENALTY = "gen_ai.request.presence_penalty"
GEN_AI_REQUEST_SEED = "gen_ai.request.seed"
GEN_AI_REQUEST_STOP_SEQUENCES = "gen_ai.request.stop_sequences"
GEN_AI_REQUEST_CHOICE_COUNT = "gen_ai.request.choice.count"
GEN_AI_REQUEST_REASONING_LEVEL = "gen_ai.request.reasoning.level"
GEN_AI_REQUEST_ENCODING_FORMATS = "gen_ai.request.encoding_formats"
GEN_AI_REQUEST_PREVIOUS_RESPONSE_ID = "gen_ai.request.previous_response.id"
GEN_AI_EMBEDDINGS_DIMENSION_COUNT = "gen_ai.embeddings.dimension.count"

# --- GenAI: what came back ----------------------------------------------------------------------------------------------
GEN_AI_RESPONSE_ID = "gen_ai.response.id"
GEN_AI_RESPONSE_MODEL = "gen_ai.response.model"
GEN_AI_RESPONSE_STATUS = "gen_ai.response.status"
GEN_AI_RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
GEN_AI_USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS = "gen_ai.usage.cache_write.input_tokens"
GEN_AI_USAGE_REASONING_OUTPUT_TOKENS = "gen_ai.usage.reasoning.output_tokens"
GEN_AI_USAGE_TEXT_INPUT_TOKENS = "gen_ai.usage.text.input_tokens"
GEN_AI_USAGE_IMAGE_INPUT_TOKENS = "gen_ai.usage.image.input_tokens"
GEN_AI_USAGE_AUDIO_INPUT_TOKENS = "gen_ai.usage.audio.input_tokens"
GEN_AI_USAGE_TEXT_OUTPUT_TOKENS = "gen_ai.usage.text.output_tokens"
GEN_AI_USAGE_IMAGE_OUTPUT_TOKENS = "gen_ai.usage.image.output_tokens"
GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS = "gen_ai.usage.audio.output_tokens"

LEGACY_NAMES = {
    "gen_ai.usage.prompt_tokens": GEN_AI_USAGE_INPUT_TOKENS,
    "gen_ai.usage.completion_tokens": GEN_AI_USAGE_OUTPUT_TOKENS,
    "gen_ai.usage.cache_creation.input_tokens": GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
}
"""What others still write, and the name that it has today. We read them and never write them."""

# --- GenAI: content (opt-in) --------------------------------------------------------------------------------------------
GEN_AI_SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
GEN_AI_INPUT_MESSAGES = "gen_ai.input.messages"
GEN_AI_OUTPUT_MESSAGES = "gen_ai.output.messages"
GEN_AI_TOOL_DEFINITIONS = "gen_ai.tool.definitions"

# --- GenAI: the structure around calls ----------------------------------------------------------------------------------
GEN_AI_AGENT_ID = "gen_ai.agent.id"
GEN_AI_AGENT_NAME = "gen_ai.agent.name"
GEN_AI_AGENT_DESCRIPTION = "gen_ai.agent.description"
GEN_AI_AGENT_VERSION = "gen_ai.agent.version"
GEN_AI_WORKFLOW_NAME = "gen_ai.workflow.name"
GEN_AI_TOOL_NAME = "gen_ai.tool.name"
GEN_AI_TOOL_TYPE = "gen_ai.tool.type"
GEN_AI_TOOL_DESCRIPTION = "gen_ai.tool.description"
GEN_AI_TOOL_CALL_ID = "gen_ai.tool.call.id"
GEN_AI_TOOL_CALL_ARGUMENTS = "gen_ai.tool.call.arguments"
GEN_AI_TOOL_CALL_RESULT = "gen_ai.tool.call.result"
GEN_AI_DATA_SOURCE_ID = "gen_ai.data_source.id"
GEN_AI_RETRIEVAL_QUERY_TEXT = "gen_ai.retrieval.query.text"
GEN_AI_RETRIEVAL_TOP_K = "gen_ai.retrieval.top_k"
GEN_AI_RETRIEVAL_DOCUMENTS = "gen_ai.retrieval.documents"
GEN_AI_PROMPT_NAME = "gen_ai.prompt.name"
GEN_AI_PROMPT_VERSION = "gen_ai.prompt.version"
GEN_AI_PROMPT_VARIABLE_PREFIX = "gen_ai.prompt.variable."
GEN_AI_EVALUATION_NAME = "gen_ai.evaluation.name"
GEN_AI_EVALUATION_SCORE_VALUE = "gen_ai.evaluation.score.value"
GEN_AI_EVALUATION_SCORE_LABEL = "gen_ai.evaluation.score.label"
GEN_AI_EVALUATION_EXPLANATION = "gen_ai.evaluation.explanation"

# --- OpenAI -------------------------------------------------------------------------------------------------------------
OPENAI_API_TYPE = "openai.api.type"
OPENAI_REQUEST_SERVICE_TIER = "openai.request.service_tier"
OPENAI_RESPONSE_SERVICE_TIER = "openai.response.service_tier"
OPENAI_RESPONSE_SYSTEM_FINGERPRINT = "openai.response.system_fingerprint"

# --- The core conventions -----------------------------------------------------------------------------------------------
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
ERROR_TYPE = "error.type"
HTTP_REQUEST_METHOD = "http.request.method"
HTTP_REQUEST_RESEND_COUNT = "http.request.resend_count"
HTTP_RESPONSE_STATUS_CODE = "http.response.status_code"
URL_PATH = "url.path"
SESSION_ID = "session.id"
USER_ID = "user.id"
SERVICE_NAME = "service.name"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"

# --- Ours ---------------------------------------------------------------------------------------------------------------
OTEL_LLM_API = "otel_llm.api"
"""The adapter that reads the bodies of the call, such as `openai_chat`."""
OTEL_LLM_ENDPOINT = "otel_llm.endpoint"
"""The path of an endpoint that the conventions do not know, such as `/images/generations`."""
OTEL_LLM_COST_TOTAL = "otel_llm.cost.total"
"""Doubles in USD."""
OTEL_LLM_COST_INPUT = "otel_llm.cost.input"
OTEL_LLM_COST_OUTPUT = "otel_llm.cost.output"
OTEL_LLM_TAG_PREFIX = "otel_llm.tag."
OTEL_LLM_PROMPT_HASH = "otel_llm.prompt.hash"
OTEL_LLM_REQUEST_ID = "otel_llm.request.id"
"""The provider's id of the HTTP exchange (`x-request-id`)."""
OTEL_LLM_RESEND_COUNT = HTTP_REQUEST_RESEND_COUNT
"""How many attempts came before the last one: the standard name serves."""
OTEL_LLM_FINISH_REASONS = "otel_llm.finish_reasons"
"""The provider's own words, where they differ from the normalised ones."""
OTEL_LLM_ERROR_MESSAGE = "otel_llm.error.message"
"""What the provider said about a failure; it may quote content, so it is written where content is."""
OTEL_LLM_RESPONSE_EMPTY = "otel_llm.response.empty"
"""True when a response came and said nothing that another attribute could carry."""
OTEL_LLM_REPLAY_SOURCE_TRACE_ID = "otel_llm.replay.source.trace_id"
OTEL_LLM_REPLAY_SOURCE_SPAN_ID = "otel_llm.replay.source.span_id"
OTEL_LLM_REPLAY_SOURCE_SESSION_ID = "otel_llm.replay.source.session_id"
OTEL_LLM_REPLAY_MODE = "otel_llm.replay.mode"
"""How a span came about that repeats another: `rerun`, `fork`; `frozen` or `threaded` for a call that was sent again."""
OTEL_LLM_REPLAY_CHANGES = "otel_llm.replay.changes"
"""What a fork changes, as JSON: `at` (the first live call), `model`, `set`."""
JAEGER_EVAL_TRIAL_ID = "jaeger.eval.trial_id"
"""Which run of an evaluation a span belongs to: the session that a reissue makes. Jaeger compares runs by it."""
JAEGER_EVAL_ITERATION_INDEX = "jaeger.eval.iteration_index"
"""The number of the repeat, from 0."""
OTEL_LLM_KEEP = "otel_llm.keep"
"""True on a span whose trace shall reach the viewers whatever a sampler's percentage says."""
OTEL_LLM_REQUEST_BODY = "otel_llm.request.body"
OTEL_LLM_RESPONSE_BODY = "otel_llm.response.body"

# --- Metrics ------------------------------------------------------------------------------------------------------------
METRIC_OPERATION_DURATION = "gen_ai.client.operation.duration"
METRIC_TOKEN_USAGE = "gen_ai.client.token.usage"
METRIC_TIME_TO_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
METRIC_TIME_PER_OUTPUT_CHUNK = "gen_ai.client.operation.time_per_output_chunk"
GEN_AI_TOKEN_TYPE = "gen_ai.token.type"
DURATION_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Seconds."""
TOKEN_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)

# --- Events -------------------------------------------------------------------------------------------------------------
EVENT_OPERATION_DETAILS = "gen_ai.client.inference.operation.details"
EVENT_OPERATION_EXCEPTION = "gen_ai.client.operation.exception"
EVENT_EVALUATION_RESULT = "gen_ai.evaluation.result"

# --- Operations ---------------------------------------------------------------------------------------------------------
OPERATION_INVOKE_WORKFLOW = "invoke_workflow"
OPERATION_INVOKE_AGENT = "invoke_agent"
OPERATION_EXECUTE_TOOL = "execute_tool"
OPERATION_RETRIEVAL = "retrieval"
