"""From bytes to a call: the one place where bodies are parsed, for every adapter.

Bodies are what went over a wire, so anything can be wrong with them: no body, cut JSON, invalid UTF-8, an error page. What
can be known is read, and nothing is raised.
"""

from __future__ import annotations

from otel_llm.adapters.sse import looks_like_sse, parse_events, parse_json
from otel_llm.values.adapter import Adapter, Json
from otel_llm.values.call import Call, Request, Response
from otel_llm.values.media import without_media


def read_call(
    adapter: Adapter,
    provider: str | None,
    request_body: bytes | None,
    response_body: bytes | None,
    response_type: str,
    *,
    status: int | None = None,
    content: bool = True,
) -> tuple[Call, bool]:
    """The call that these bodies amount to, and whether the response came to its end as the provider meant it.

    `response_type` is the Content-Type of the response. With `content=False` messages, tools and instructions stay empty
    and most of a stream is not even parsed.
    """
    request = read_request(adapter, request_body, content=content)
    response, is_complete = read_response(
        adapter, response_body, response_type, status=status, content=content, choices=request.choice_count or 1
    )
    return Call(adapter.operation, provider, adapter.name, request, response), is_complete


def read_request(adapter: Adapter, body: bytes | None, *, content: bool = True) -> Request:
    """What was asked; empty when the body says nothing."""
    value = parse_json(body if content else without_media(body)) if body else None
    return adapter.request(value, content=content) if isinstance(value, dict) else Request()


def read_response(
    adapter: Adapter,
    body: bytes | None,
    content_type: str,
    *,
    status: int | None = None,
    content: bool = True,
    choices: int = 1,
) -> tuple[Response | None, bool]:
    """What came back, and whether it is whole. None when nothing came.

    A stream of several `choices` is parsed in full even without content: which of them finished is known only then.
    """
    if body is None and status is None:
        return None, False
    response: Response | None = None
    is_complete = False
    if body and looks_like_sse(body, content_type):
        is_cheap = not content and choices == 1
        events, is_done = parse_events(body, adapter.skips if is_cheap else None, None if is_cheap else adapter.fold)
        response = adapter.response(adapter.assemble(events), content=content)
        is_complete = is_done or adapter.ended(events)
    elif body and isinstance(value := parse_json(body), dict):
        response, is_complete = adapter.response(value, content=content), True
    if response is None:
        response = Response()
    if status is not None and status >= 400 and response.error_type is None:
        response = _failed(response, status)
    return response, is_complete


def response_json(adapter: Adapter, body: bytes | None, content_type: str) -> Json | None:
    """The whole response as JSON, a stream put together; None when there is none that can be read."""
    if not body:
        return None
    if looks_like_sse(body, content_type):
        return adapter.assemble(parse_events(body, None, adapter.fold)[0])
    value = parse_json(body)
    return value if isinstance(value, dict) else None


def _failed(response: Response, status: int) -> Response:
    """A failure that its body does not explain is named by its status."""
    return Response(id=response.id, model=response.model, error_type=str(status))
