"""Which handler answers which path.

One endpoint is reached by several addresses: `/v1/…` at OpenAI, `/openai/deployments/<name>/…?api-version=…`,
`/openai/…` and `/openai/v1/…` at Azure. The prefix is taken off and the rest looked up in one table.
"""

import re
from collections.abc import Callable

from . import media
from .chat import chat
from .completions import completions
from .embeddings import embeddings
from .models import get_model, list_models
from .responses import Memory, create_response, delete_response, get_response
from .wire import Reply, Request, invalid, json_reply

_PREFIX = re.compile(r"^(?:/openai/deployments/[^/]+|/openai/v1|/openai|/v1)(?=/)")

_Handler = Callable[[Request, Memory, str], Reply]

_ROUTES: tuple[tuple[str, str, _Handler], ...] = (
    ("POST", "/chat/completions", lambda request, memory, key: chat(request)),
    ("POST", "/responses", lambda request, memory, key: create_response(request, memory)),
    ("GET", "/responses/*", lambda request, memory, key: get_response(memory, key)),
    ("DELETE", "/responses/*", lambda request, memory, key: delete_response(memory, key)),
    ("POST", "/embeddings", lambda request, memory, key: embeddings(request)),
    ("POST", "/completions", lambda request, memory, key: completions(request)),
    ("GET", "/models", lambda request, memory, key: list_models(request)),
    ("GET", "/models/*", lambda request, memory, key: get_model(request, key)),
    ("POST", "/images/generations", lambda request, memory, key: media.images(request)),
    ("POST", "/audio/speech", lambda request, memory, key: media.speech(request)),
    ("POST", "/audio/transcriptions", lambda request, memory, key: media.transcriptions(request)),
    ("POST", "/files", lambda request, memory, key: media.files(request)),
    ("POST", "/moderations", lambda request, memory, key: media.moderations(request)),
)
_EXACT = {(method, path): handler for method, path, handler in _ROUTES if not path.endswith("*")}
_WITH_KEY = {(method, path[:-1]): handler for method, path, handler in _ROUTES if path.endswith("*")}


def answer(request: Request, memory: Memory) -> Reply:
    """The normal answer to a request; 404 in the provider's shape for a path that nobody serves."""
    endpoint, is_api = _PREFIX.subn("", request.path)
    if is_api:
        if handler := _EXACT.get((request.method, endpoint)):
            return handler(request, memory, "")
        parent, _, key = endpoint.rpartition("/")
        if key and (handler := _WITH_KEY.get((request.method, f"{parent}/"))):
            return handler(request, memory, key)
    if request.is_azure:
        return json_reply({"error": {"code": "404", "message": "Resource not found"}}, 404)
    if is_api and any(path == endpoint for _, path in _EXACT):
        return invalid(f"Not allowed to {request.method} on {request.path}.", status=405)
    return invalid(f"Invalid URL ({request.method} {request.path})", status=404)
