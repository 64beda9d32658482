"""Answering from a recording: what a program gets in a rerun, made of the recorded bytes in the HTTP library's own classes.

The SDK builds its request, and instead of sending it gets a response of the very class that its HTTP library would have
given, whose stream yields the recorded chunks. What follows (status errors, retries, parsing, streams, raw access) is the
SDK's own work on the recorded bytes, so nothing here knows a provider. Failed attempts are answered as they failed; the SDK is
told not to wait before it tries again.

The HTTP library is never imported: its classes are found beside the class of the client that the SDK holds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

from otel_llm.values.errors import ReplayError
from otel_llm.values.playback import Live, Player, Question, Recorded

if TYPE_CHECKING:
    from otel_llm.capture.live import LiveCall

AGAIN = [("x-should-retry", "true"), ("retry-after-ms", "1")]
FOREVER_S = 300.0
"""How long a call hangs that was cancelled while it was recorded, until the program cancels it again."""


class Miss(BaseException):
    """Carries a `ReplayError` through the SDK, which would take an `Exception` for trouble with the network."""

    def __init__(self, error: ReplayError) -> None:
        super().__init__(str(error))
        self.otel_llm_diverged = error


def sending_class(http: object) -> type | None:
    """The class that defines `send` of this HTTP client, in its library; None when it is of no kind that we know."""
    for base in type(http).__mro__:
        if base.__name__ in ("Client", "AsyncClient") and "send" in vars(base) and hasattr(_library(base), "SyncByteStream"):
            return base
    return None


def _library(client_class: type) -> ModuleType:
    return sys.modules[client_class.__module__.partition(".")[0]]


class Answering:
    """Puts recorded answers in the place of `send`, for the calls that this recorder sees."""

    def __init__(self, player: Callable[[], Player | None], current: Callable[[], LiveCall | None]) -> None:
        self._player, self._current = player, current

    def sync(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def send(http: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            call, player = self._current(), self._player()
            if call is None or player is None:
                return original(http, request, *args, **kwargs)
            given = _ask(player, call, request)
            if isinstance(given, Live):
                return original(http, _changed(call, request, given.body), *args, **kwargs)
            response = _response(_library_of(http), player, call, given, request, is_async=False)
            if isinstance(response, Exception):
                raise response
            if response is None:
                raise Miss(player.beyond(given, "it was interrupted while it was recorded, before an answer came"))
            if not kwargs.get("stream"):
                _within(response.read)
            return response

        return send

    def asynchronous(self, original: Callable[..., Any]) -> Callable[..., Any]:
        async def send(http: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            call, player = self._current(), self._player()
            if call is None or player is None:
                return await original(http, request, *args, **kwargs)
            given = _ask(player, call, request)
            if isinstance(given, Live):
                return await original(http, _changed(call, request, given.body), *args, **kwargs)
            response = _response(_library_of(http), player, call, given, request, is_async=True)
            if isinstance(response, Exception):
                raise response
            if response is None:
                await _sleep(FOREVER_S)
                raise Miss(player.beyond(given, "it was cancelled while it was recorded, before an answer came"))
            if not kwargs.get("stream"):
                try:
                    await response.aread()
                except ReplayError as error:
                    raise Miss(error) from None
            return response

        return send


def _library_of(http: object) -> ModuleType:
    found = sending_class(http)
    assert found is not None
    return _library(found)


def _within(read: Callable[[], object]) -> None:
    try:
        read()
    except ReplayError as error:
        raise Miss(error) from None


def _ask(player: Player, call: LiveCall, request: Any) -> Recorded | Live:
    """The player's answer for a call, once; every further attempt of the call gets the same."""
    if call.given is None:
        body = getattr(request, "_content", None)
        notes: dict[str, Any] = {}
        shown = call.recorder.masked(body, notes) if type(body) is bytes else None
        question = Question(call.target.api, call.target.method, request.url.path, request.headers.get("content-type", ""),
                            body if notes.get("omitted") else shown, call.around.place)
        try:
            call.given = player.call(question)
        except ReplayError as error:
            raise Miss(error) from None
        if isinstance(call.given, Recorded):
            call.repeats(call.given)
    return call.given


def _changed(call: LiveCall, request: Any, body: bytes | None) -> Any:
    """The request with another body; the SDK's own when there is none."""
    if body is None:
        return request
    headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() != "content-length"]
    changed = type(request)(request.method, request.url, headers=headers, content=body, extensions=request.extensions)
    call.sent(str(request.url), request.headers.get("content-type", ""), body)
    return changed


def _response(http: ModuleType, player: Player, call: LiveCall, given: Recorded, request: Any, *, is_async: bool) -> Any:
    """The response to this attempt, the exception that it ended in, or None when it never ended."""
    exchange, step = given.exchange, given.step
    attempt, call.attempt = call.attempt, call.attempt + 1
    if attempt < len(exchange.attempts):
        status = exchange.attempts[attempt][1]
        if status is None:
            return http.ConnectError("as recorded: no answer came to this attempt", request=request)
        return _built(http, request, status, [("content-type", "application/json"), *AGAIN], _Chunks([b"{}"], is_async))
    if exchange.status is None:
        kind = step.error_type
        if kind is None or "Cancel" in kind or kind in ("KeyboardInterrupt", "SystemExit", "GeneratorExit"):
            return None
        name = "ReadTimeout" if "Timeout" in kind else "ConnectError"
        return getattr(http, name)(step.error_message or f"as recorded: {kind}", request=request)
    headers = [("content-type", exchange.response_type)] if exchange.response_type else []
    if exchange.request_id:
        headers.append(("x-request-id", exchange.request_id))
    end: Callable[[], Exception | None] = lambda: None  # noqa: E731
    if not exchange.complete:
        end = lambda: _broken(http, player, given, request)  # noqa: E731
    waits = _waits(given) if player.has_recorded_speed else []
    return _built(http, request, exchange.status, headers, _Chunks(chunks_of(given), is_async, waits, end))


def _built(http: ModuleType, request: Any, status: int, headers: list[tuple[str, str]], chunks: _Chunks) -> Any:
    library: Any = http
    name, own = ("AsyncByteStream", _AsyncStream) if chunks.is_async else ("SyncByteStream", _SyncStream)
    kind = type(f"Replayed{name}", (own, getattr(library, name)), {"__module__": __name__})
    response = library.Response(status, headers=headers, stream=kind(chunks), request=request,
                                extensions={"http_version": b"HTTP/1.1"})
    response.elapsed = timedelta(0)
    return response


def _broken(http: ModuleType, player: Player, given: Recorded, request: Any) -> Exception | None:
    """What happens where a recorded answer ends too early: what happened then; behind the program's own end nobody knows."""
    if given.exchange.left:
        return player.beyond(given, "the program reads on where it stopped reading when it was recorded")
    kind = given.step.error_type
    found: Any = getattr(http, kind, None) if kind else None
    if found is not None and issubclass(found, Exception):
        error: Exception = found(given.step.error_message or "as recorded", request=request)
        return error
    return None


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
    """A body and how it comes: waits before its chunks, and the exception at its end, if there was one."""

    def __init__(
        self, chunks: list[bytes], is_async: bool, waits: list[float] | None = None,
        end: Callable[[], Exception | None] = lambda: None,
    ) -> None:
        self.chunks, self.is_async, self.waits, self.end = chunks, is_async, waits or [], end

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
                await _sleep(recorded.waits[number])
            yield chunk
        recorded.finish()

    async def aclose(self) -> None:
        return None


async def _sleep(seconds: float) -> None:
    """Sleep in whatever loop runs; the async HTTP libraries bring anyio for that."""
    anyio = sys.modules.get("anyio")
    if anyio is not None:
        await anyio.sleep(seconds)
    else:
        import asyncio

        await asyncio.sleep(seconds)
