"""Answering from a recording: what a program gets in a rerun, made of the recorded bytes in the HTTP library's own classes.

The SDK builds its request, and instead of sending it gets a response of the very class that its HTTP library would have
given, whose stream yields the recorded chunks. What follows (status errors, retries, parsing, streams, raw access) is the
SDK's own work on the recorded bytes, so nothing here knows a provider. Failed attempts are answered as they failed; the SDK is
told not to wait before it tries again.

The HTTP library is never imported: its classes are found beside the class of the request that the SDK has built.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from otel_llm import semconv
from otel_llm.capture.outcomes import builtin_error
from otel_llm.capture.patching import Patches
from otel_llm.values.errors import NotReplayable, ReplayError
from otel_llm.values.playback import Live, Question, Recorded

if TYPE_CHECKING:
    from otel_llm.capture.live import LiveCall

AGAIN = [(b"x-should-retry", b"true"), (b"retry-after-ms", b"1")]
AGAIN_S = 0.02
"""How long a live call waits before it asks again whether it may go out."""
PATIENCE_NS = 5_000_000_000
"""After so long without a chunk a stream is taken for one that its reader has put aside."""
FOREVER_S = 300.0
"""How long a call hangs that was cancelled while it was recorded, until the program cancels it again."""


class Miss(BaseException):
    """Carries a `ReplayError` through the SDK, which would take an `Exception` for trouble with the network."""

    def __init__(self, error: ReplayError) -> None:
        super().__init__(str(error))
        self.otel_llm_diverged = error


def stand_in(patches: Patches, client: Any, current: Callable[[], LiveCall | None]) -> None:
    """Let a client of an SDK be answered: from here on what it has built goes no further.

    The place is a step of the SDK's own where it has one, whatever HTTP client it was given; else `send` of the HTTP client.
    """
    for holder, name in ((client, "_send_request"), (client._client, "send")):
        owner = next((base for base in type(holder).__mro__ if name in vars(base)), None)
        if owner is not None:
            is_async = any(base.__name__ == "AsyncAPIClient" for base in type(client).__mro__)
            patches.wrap_once(owner, name, _answering_async(current) if is_async else _answering(current))
            return
    raise NotReplayable(f"{type(client).__name__} sends in a way that is not known.")


def asked(call: LiveCall, request: Any, url: str) -> Any:
    """What a call is to send: its request, or a changed one. The player is asked once for all attempts. Raises `Miss`."""
    body = getattr(request, "_content", None)
    body = body if type(body) is bytes else None
    player = call.player
    assert player is not None
    try:
        if call.recorder.player is not player:
            raise NotReplayable("The rerun was over before this call was sent, so nobody answers it.")
        if call.given is None:
            call.given = player.call(Question(
                call.target.api, call.target.method, url, request.headers.get("content-type", ""),
                None if body is None else call.recorder.shown(body), call.around.place))
            if isinstance(call.given, Recorded):
                call.repeats(call.given)
        change = call.given.change if isinstance(call.given, Live) else None
        return request if body is None or change is None else _changed(call, request, change(body))
    except ReplayError as error:
        raise Miss(error) from None


def _changed(call: LiveCall, request: Any, body: bytes) -> Any:
    """The request with another body; the call's span says which model it asks now."""
    model = json.loads(body).get("model")
    if call.target.adapter is not None and isinstance(model, str) and model != call.target.model:
        call.target = call.target.asking(model)
        call.span.update_name(call.target.name)
        call.span.set_attribute(semconv.GEN_AI_REQUEST_MODEL, model)
    headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() != "content-length"]
    return type(request)(request.method, request.url, headers=headers, content=body, extensions=request.extensions)


def _recorded(call: LiveCall | None, request: Any) -> Recorded | None:
    """What answers this request; None for one that goes out, and for others that are made on the way, such as for a token."""
    if call is None or call.built is not request:
        return None
    return call.given if isinstance(call.given, Recorded) else None


def _goes(call: LiveCall | None, request: Any, *, is_async: bool) -> bool:
    """Whether this request goes out now; a live call is asked for once, at its first attempt. Raises `Miss` at a cap.

    It waits for others only where these come to an end meanwhile: not for what its own thread would have to go on with.
    """
    if call is None or call.built is not request or not isinstance(call.given, Live) or call.out:
        return True
    player, here = call.player, threading.get_ident()
    assert player is not None
    others = [other for other in list(call.recorder.live.values()) if isinstance(other, type(call)) and _is_moving(other)]
    waits = any(is_async or other.out != here for other in others)
    call.out, goes = here, False  # before it is asked: nobody may see it under way and standing still
    try:
        goes = player.admit(call.given, waits=waits)
    except ReplayError as error:
        raise Miss(error) from None
    finally:
        if not goes:
            call.out = 0
    return goes


def _is_moving(call: LiveCall) -> bool:
    """True of a live call that is on its way to its end without the program, or whose body is being read."""
    return call.out != 0 and (not call.streams or time.perf_counter_ns() - call.touched_ns < PATIENCE_NS)


def _answering(current: Callable[[], LiveCall | None]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def send(holder: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            call = current()
            given = _recorded(call, request)
            if call is None or given is None:
                while not _goes(call, request, is_async=False):
                    time.sleep(AGAIN_S)
                return original(holder, request, *args, **kwargs)
            response = _response(call, given, request, is_async=False)
            if isinstance(response, Exception):
                raise response
            if response is None:
                raise Miss(_never_answered(call, given))
            if not kwargs.get("stream"):
                try:
                    response.read()
                except ReplayError as error:
                    raise Miss(error) from None
            return response

        return send

    return around


def _answering_async(current: Callable[[], LiveCall | None]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def send(holder: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            call = current()
            given = _recorded(call, request)
            if call is None or given is None:
                while not _goes(call, request, is_async=True):
                    await sleep(AGAIN_S)
                return await original(holder, request, *args, **kwargs)
            response = _response(call, given, request, is_async=True)
            if isinstance(response, Exception):
                raise response
            if response is None:
                await sleep(FOREVER_S)
                raise Miss(_never_answered(call, given))
            if not kwargs.get("stream"):
                try:
                    await response.aread()
                except ReplayError as error:
                    raise Miss(error) from None
            return response

        return send

    return around


def _never_answered(call: LiveCall, given: Recorded) -> ReplayError:
    assert call.player is not None
    return call.player.beyond(given, "it was stopped while it was recorded, before an answer came")


def was_stopped(kind: str | None) -> bool:
    """True of the `error.type` of a call or a step that its own program stopped."""
    return kind is not None and ("Cancel" in kind or kind in ("KeyboardInterrupt", "SystemExit", "GeneratorExit"))


def _response(call: LiveCall, given: Recorded, request: Any, *, is_async: bool) -> Any:
    """The response to this attempt, the exception that it ended in, or None when it never ended."""
    http: Any = _library(type(request))
    exchange, step, player = given.exchange, given.step, call.player
    assert player is not None
    attempt, call.attempt = call.attempt, call.attempt + 1
    if attempt < len(exchange.attempts):
        status = exchange.attempts[attempt][1]
        if status is None:
            return http.ConnectError("as recorded: no answer came to this attempt", request=request)
        return _built(http, request, status, [(b"content-type", b"application/json"), *AGAIN], _Chunks([b"{}"], is_async))
    if exchange.status is None:
        kind = step.error_type
        if kind is None or was_stopped(kind):
            return None
        if (error := builtin_error(kind, step.error_message)) is not None:
            return error
        name = "ReadTimeout" if "Timeout" in kind else "ConnectError"
        return getattr(http, name)(step.error_message or f"as recorded: {kind}", request=request)
    headers = [(name, value.encode("latin-1", "replace"))  # as it was read; of text the HTTP library takes ASCII alone
               for name, value in ((b"content-type", exchange.response_type), (b"x-request-id", exchange.request_id)) if value]
    chunks = _Chunks(chunks_of(given), is_async, _waits(given) if player.has_recorded_speed else [])
    if not exchange.complete:
        chunks.end = lambda: _broken(call, given, request)
        chunks.hangs = was_stopped(step.error_type)
    return _built(http, request, exchange.status, headers, chunks)


def _built(http: Any, request: Any, status: int, headers: list[tuple[bytes, bytes]], chunks: _Chunks) -> Any:
    kind = _stream_class(http.AsyncByteStream if chunks.is_async else http.SyncByteStream)
    response = http.Response(status, headers=headers, stream=kind(chunks), request=request,
                             extensions={"http_version": b"HTTP/1.1"})
    response.elapsed = timedelta(0)
    return response


@cache
def _stream_class(base: type) -> type:
    """Our stream as one of the library's, which asks for its own class."""
    own = _AsyncStream if base.__name__.startswith("Async") else _SyncStream
    return type(f"Replayed{base.__name__}", (own, base), {"__module__": __name__})


def _broken(call: LiveCall, given: Recorded, request: Any) -> Exception | None:
    """What happens where a recorded answer ends too early: what happened then; behind the program's own end nobody knows."""
    kind, player = given.step.error_type, call.player
    assert player is not None
    if given.exchange.left:
        return player.beyond(given, "the program reads on where it stopped reading when it was recorded")
    if was_stopped(kind):
        return player.beyond(given, "the program reads on where it was stopped when it was recorded")
    if (error := builtin_error(kind, given.step.error_message)) is not None or not kind:
        return error
    http: Any = _library(type(request))
    found: Any = getattr(http, kind, http.ReadError if _is_class(kind) else None)
    is_error = isinstance(found, type) and issubclass(found, Exception)
    broke: Exception | None = found(given.step.error_message or f"as recorded: {kind}", request=request) if is_error else None
    return broke


def _is_class(name: str) -> bool:
    """True of a name that a class of exceptions has, and not of what providers call errors inside an answer: `server_error`."""
    last = name.rpartition(".")[2]
    return last[:1].isupper() and last.isalnum()


def _library(kind: type) -> ModuleType:
    return sys.modules[kind.__module__.partition(".")[0]]


def chunks_of(given: Recorded) -> list[bytes]:
    """The body as it came: at its recorded borders where these fit, else one event a chunk, else in one piece."""
    body, sizes = given.exchange.response_body or b"", [size for size, _ in given.exchange.chunks]
    if sum(sizes) == len(body):
        out, at = [], 0
        for size in sizes:
            out.append(body[at : at + size])
            at += size
        return out
    if sizes and b"\n\n" in body:
        parts = body.split(b"\n\n")
        return [part + b"\n\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
    return [body] if body else []


def _waits(given: Recorded) -> list[float]:
    """Seconds before each chunk; the first is what it took until anything came."""
    step = given.step
    first = step.first_chunk_ns if step.first_chunk_ns is not None else step.duration_ns
    return [(first or 0) / 1e9, *(wait / 1e6 for _, wait in given.exchange.chunks[1:])]


class _Chunks:
    """A body and how it comes: waits before its chunks, the exception at its end, if there was one, or an end that never came."""

    def __init__(self, chunks: list[bytes], is_async: bool, waits: list[float] | None = None) -> None:
        self.chunks, self.is_async, self.waits = chunks, is_async, waits or []
        self.end: Callable[[], Exception | None] = lambda: None
        self.hangs = False

    def finish(self) -> None:
        error = self.end()
        if error is not None:
            raise error


class _SyncStream:
    def __init__(self, recorded: _Chunks) -> None:
        self._recorded = recorded

    def __iter__(self) -> Iterator[bytes]:
        recorded = self._recorded
        for number, chunk in enumerate(recorded.chunks):
            if number < len(recorded.waits):
                time.sleep(recorded.waits[number])
            yield chunk
        recorded.finish()

    def close(self) -> None:
        return None


class _AsyncStream:
    def __init__(self, recorded: _Chunks) -> None:
        self._recorded = recorded

    async def __aiter__(self) -> AsyncIterator[bytes]:
        recorded = self._recorded
        for number, chunk in enumerate(recorded.chunks):
            if number < len(recorded.waits):
                await sleep(recorded.waits[number])
            yield chunk
        if recorded.hangs:
            await sleep(FOREVER_S)
        recorded.finish()

    async def aclose(self) -> None:
        return None


async def sleep(seconds: float) -> None:
    """Sleep in whatever loop runs; the async HTTP libraries bring anyio for that."""
    anyio = sys.modules.get("anyio")
    if anyio is not None:
        await anyio.sleep(seconds)
    else:
        import asyncio

        await asyncio.sleep(seconds)
