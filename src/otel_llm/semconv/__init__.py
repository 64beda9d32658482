"""The GenAI semantic conventions in one place: every attribute name, and the way from a call to attributes and back.

`names` holds the names, `quoting` says which of them quote content, `writing` makes attributes of a call, `content` puts
messages into the schemas' shape, `reading` is the inverse of both. Import from here: `from otel_llm import semconv`, then
`semconv.GEN_AI_REQUEST_MODEL`, `semconv.write(…)`.
"""

from otel_llm.semconv.content import json_text as json_text
from otel_llm.semconv.content import write_content as write_content
from otel_llm.semconv.content import write_messages as write_messages
from otel_llm.semconv.content import write_part as write_part
from otel_llm.semconv.names import *  # noqa: F403
from otel_llm.semconv.quoting import CONTENT as CONTENT
from otel_llm.semconv.quoting import CONTENT_BODIES as CONTENT_BODIES
from otel_llm.semconv.quoting import CONTENT_MESSAGES as CONTENT_MESSAGES
from otel_llm.semconv.quoting import CONTENT_TEXTS as CONTENT_TEXTS
from otel_llm.semconv.quoting import FOREIGN_CONTENT as FOREIGN_CONTENT
from otel_llm.semconv.quoting import quotes_content as quotes_content
from otel_llm.semconv.reading import OPERATIONS as OPERATIONS
from otel_llm.semconv.reading import read as read
from otel_llm.semconv.reading import read_messages as read_messages
from otel_llm.semconv.reading import read_part as read_part
from otel_llm.semconv.writing import span_name as span_name
from otel_llm.semconv.writing import start_attributes as start_attributes
from otel_llm.semconv.writing import tags as tags
from otel_llm.semconv.writing import write as write
from otel_llm.semconv.writing import write_cost as write_cost
from otel_llm.semconv.writing import write_request as write_request
from otel_llm.semconv.writing import write_response as write_response
