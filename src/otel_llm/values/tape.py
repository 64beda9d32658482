"""The tape: the one thing that capture writes and the store reads.

A tape is a row of frames, appended by the process that makes the calls and never changed. Two writers share it: the
recorder writes what went over the wire, the exporter writes the spans; the two are joined by (trace_id, span_id). What a
frame says:

| kind         | header (JSON object)  | body                                                                        |
|--------------|-----------------------|-----------------------------------------------------------------------------|
| `RESOURCE`   | `ResourceHeader`      | –                                                                           |
| `SCOPE`      | `ScopeHeader`         | –                                                                           |
| `SPAN`       | a JSON list, below    | –                                                                           |
| `CALL_START` | `CallStart`           | the request body, exactly as it was handed to the HTTP library              |
| `CALL_PART`  | `CallPart`            | the next bytes of a response that is still being read                       |
| `CALL_END`   | `CallEnd`             | the rest of the response body, after content decoding                       |
| `LOSS`       | `{reason: count}`     | –                                                                           |
| `FORWARD`    | `ForwardHeader`       | –                                                                           |

The response is the bodies of all `CALL_PART` frames in order, then that of `CALL_END`. A call without `CALL_END` was cut
by the death of its process. A SPAN header is `[resource number, scope number, trace_id, span_id, parent_span_id, name,
kind, start_ns, end_ns, attributes, events, links, status_code, status_message, trace_state, flags, dropped]`, where an
event is `[name, time_ns, attributes, dropped]` and a link `[trace_id, span_id, trace_state, flags, attributes, dropped]`.

`FORWARD` says where the spans of its segment go besides the store, so that whoever indexes what a dead process left sends
it on as that process would have.
"""

from __future__ import annotations

from typing import Any, NotRequired, Protocol, TypedDict

RESOURCE, SCOPE, SPAN, CALL_START, CALL_PART, CALL_END, LOSS, FORWARD = 1, 2, 3, 4, 5, 6, 7, 8
FUNCTION = "function"
"""The `api` of a step that is no call: a tool, an agent, a workflow, a retrieval. Its bodies are arguments and result as JSON."""

KIND_NAMES = {1: "resource", 2: "scope", 3: "span", 4: "call_start", 5: "call_part", 6: "call_end", 7: "loss",
              8: "forward"}


class ResourceHeader(TypedDict):
    """`number` is unique inside the segment."""

    number: int
    attributes: dict[str, Any]
    schema_url: str


class ScopeHeader(TypedDict):
    number: int
    name: str
    version: str
    schema_url: str
    attributes: dict[str, Any]


class ForwardHeader(TypedDict):
    """A destination of the spans in this segment, as `otel_llm.values.destination` has it, without anything secret."""

    number: int
    name: str
    endpoint: str
    protocol: str
    content: str
    headers: str
    """Variables that hold the headers; never the headers."""
    cap_bytes: int
    """How much disk the queue of this destination may take."""


class CallStart(TypedDict):
    """Written before the first byte is sent; enough to show the call when nothing else ever follows."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    time_ns: int
    api: str
    """The adapter that reads the bodies, such as `openai_chat`; `generic` for endpoints that have none, `function` for steps."""
    method: str
    url: str
    """Scheme, host, port and path; never a query, never credentials."""
    content_type: str
    attributes: dict[str, Any]
    """The span's attributes at its start, among them provider, model, session, user, tags and prompt identity."""
    redacted: NotRequired[int]
    """How many secrets the redactor replaced in the request; the tape is then not exact."""
    omitted: NotRequired[str]
    """Why the body is not here: `content off`, `streamed upload`, `redaction failed`, `too large`."""


class CallPart(TypedDict):
    trace_id: str
    span_id: str


class CallEnd(TypedDict):
    """Written before the instrumented call returns (a stream: when it has been read to its end, closed or left)."""

    trace_id: str
    span_id: str
    time_ns: int
    status: int | None
    """HTTP status; None when no response came."""
    content_type: str
    coding: NotRequired[str]
    """The Content-Encoding that the body had on the wire; the recorded body is decoded."""
    complete: bool
    """True when the body was read to its end as the provider meant it."""
    left: NotRequired[bool]
    """True when the program left a stream before its end."""
    error_class: NotRequired[str]
    """Of a step: the class of its exception as `module:qualified name`, so that a rerun can raise the same one."""
    opaque: NotRequired[int]
    """Of a step: how many values of its result JSON cannot hold; they stand there as the names of their types."""
    first_byte_ns: NotRequired[int]
    chunks: NotRequired[list[list[int]]]
    """For streams: `[bytes, microseconds since the previous chunk]`, one a chunk."""
    attempts: NotRequired[list[list[Any]]]
    """Earlier attempts that failed: `[time_ns, status or None]`."""
    error_type: NotRequired[str]
    error_message: NotRequired[str]
    request_id: NotRequired[str]
    redacted: NotRequired[int]
    omitted: NotRequired[str]
    resent: NotRequired[int]
    """The first so many bytes of the body are the request as finally sent, because it differed from `CALL_START`'s."""


class Tape(Protocol):
    """Where frames go. No method raises into the caller's program; what cannot be kept is counted."""

    def append(self, kind: int, header: bytes, body: bytes = b"") -> None:
        """Append one frame; when this returns the frame survives the death of the process."""

    def number_of(self, kind: int, thing: object) -> int:
        """The number of a resource or scope of the SDK, writing its frame when this segment has not got it yet."""

    def lost(self, reason: str, count: int = 1) -> None:
        """Count what was not kept, by reason."""
