"""Scripted answers: the queue in which a test writes what goes wrong, and in which order.

An `Answer` turns a request into a `Reply`. It may look at the normal reply (to cut, hold or compress it) or ignore it
(an error, raw bytes, a hand-written event stream). The queue is read from the front: the first answer that fits the
request is taken, one that does not fit stays where it is, and with the queue empty the simulator answers by itself.

    error · raw · sse            an answer of its own
    cut · hang · compress        what happens to another answer (`of=`), by default to the normal one
    normal                       the normal answer, to fill a place in the queue

Every factory also takes `match` (a piece of the path), `when` (a predicate on the JSON body) and `times`.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict, Unpack

from .wire import Encoding, Reply, Request, error_body, event, json_reply

Make = Callable[[Request, Callable[[], Reply]], Reply]


class Only(TypedDict, total=False):
    """Which requests an answer is for, and for how many of them (default: any request, once)."""

    match: str
    when: Callable[[dict[str, Any]], bool]
    times: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted answer; `make` gets the request and a function that computes the normal reply.

    Raises `TypeError` for a condition that there is none of: without it the answer would be for any request.
    """

    make: Make
    only: Only = field(default_factory=lambda: Only())

    def __post_init__(self) -> None:
        for name in self.only.keys() - Only.__annotations__.keys():
            raise TypeError(f"{name}= is no condition of an answer; conditions are {', '.join(Only.__annotations__)}. What "
                            f"stands in the body is asked by when=lambda body: body.get({name!r}) == {self.only.get(name)!r}")

    def fits(self, request: Request) -> bool:
        when = self.only.get("when")
        return self.only.get("match", "") in request.path and (when is None or bool(when(request.json)))


class Script:
    """The queue of scripted answers. Safe to use from several threads."""

    def __init__(self, answers: Iterable[Answer] = ()) -> None:
        self._lock = threading.Lock()
        self._queue: list[tuple[Answer, int]] = []
        self.add(*answers)

    def __len__(self) -> int:
        return sum(left for _, left in self._queue)

    def add(self, *answers: Answer) -> None:
        with self._lock:
            self._queue += [(answer, answer.only.get("times", 1)) for answer in answers]

    def take(self, request: Request) -> Answer | None:
        """The first answer that fits the request, removed from the queue; None when there is none."""
        with self._lock:
            for index, (answer, left) in enumerate(self._queue):
                if left > 0 and answer.fits(request):
                    self._queue[index : index + 1] = [(answer, left - 1)] if left > 1 else []
                    return answer
        return None


_ERRORS: dict[int, tuple[str, str | None, str | None]] = {
    400: ("The request is not valid.", "invalid_request_error", None),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    403: ("You are not allowed to use this.", "invalid_request_error", "unsupported_country_region_territory"),
    404: ("The model does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"),
    429: ("Rate limit reached for requests. Please try again later.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request. Sorry about that!", "server_error", None),
    503: ("The engine is currently overloaded, please try again later.", "server_error", None),
}


def error(
    status: int,
    message: str | None = None,
    *,
    type: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
    **only: Unpack[Only],
) -> Answer:
    """An error in OpenAI's shape, worded by status unless told otherwise.

    A status that clients retry comes with `retry-after-ms: 1`, so that no test waits for a back-off; give the header
    yourself to change that.
    """
    text, default_type, default_code = _ERRORS.get(status, _ERRORS[500 if status >= 500 else 400])
    body = error_body(message or text, type or default_type, code=code or default_code)
    hurry = {"retry-after-ms": "1"} if status in (408, 409, 429) or status >= 500 else {}
    reply = json_reply(body, status, {**hurry, **(headers or {})})
    return Answer(lambda request, normal: reply, only)


def raw(
    body: bytes,
    content_type: str = "application/json",
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    encoding: Encoding | None = None,
    **only: Unpack[Only],
) -> Answer:
    """Exactly these bytes; with `encoding` they are compressed on the way."""
    reply = Reply((body,), status, content_type, headers or {}, encoding=encoding)
    return Answer(lambda request, normal: reply, only)


def sse(
    *data: str | bytes | dict[str, Any],
    event: str | None = None,
    done: bool = True,
    cut: bool = False,
    gate: threading.Event | None = None,
    gate_after: int = 0,
    **only: Unpack[Only],
) -> Answer:
    """A hand-written event stream.

    Args:
        data: One event each: a dict becomes JSON, a string stands after `data: ` as it is, bytes are sent untouched.
        event: The `event:` line of every event that is not bytes.
        done: End with `data: [DONE]`.
        cut: Drop the connection after the last event, without `[DONE]` and without ending the body.
        gate: Send `gate_after` events, then wait until this is set or the client leaves.
        gate_after: How many events to send before the gate.
    """
    parts = [item if isinstance(item, bytes) else _event(item, event) for item in data]
    if done and not cut:
        parts.append(_event("[DONE]", None))
    length = sum(map(len, parts)) if cut else None
    if gate is not None and gate_after >= len(parts):
        parts.append(b"")
    reply = Reply(
        tuple(parts) or (b"",),
        content_type="text/event-stream; charset=utf-8",
        is_stream=True,
        cut_after_bytes=length,
        gate=gate,
        gate_after=gate_after,
    )
    return Answer(lambda request, normal: reply, only)


_event = event


def normal(**only: Unpack[Only]) -> Answer:
    """The answer the simulator would give anyway: a place holder in the queue."""
    return Answer(lambda request, normal: normal(), only)


def cut(after_bytes: int = 0, *, of: Answer | None = None, **only: Unpack[Only]) -> Answer:
    """Drop the connection after so many bytes of the body as sent; -1 drops it before the status line."""
    return Answer(lambda request, normal: replace(_of(of, request, normal), cut_after_bytes=after_bytes), only)


def hang(until: threading.Event | None = None, *, of: Answer | None = None, **only: Unpack[Only]) -> Answer:
    """Accept and say nothing until the event is set (then answer) or the client leaves."""
    hold = until or threading.Event()
    return Answer(lambda request, normal: replace(_of(of, request, normal), hold=hold), only)


def compress(encoding: Encoding, *, of: Answer | None = None, **only: Unpack[Only]) -> Answer:
    """The same answer under a Content-Encoding; a stream is flushed after each event."""
    return Answer(lambda request, normal: replace(_of(of, request, normal), encoding=encoding), only)


def _of(answer: Answer | None, request: Request, normal: Callable[[], Reply]) -> Reply:
    return normal() if answer is None else answer.make(request, normal)
