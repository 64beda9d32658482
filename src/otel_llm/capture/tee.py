"""Seeing a response body as its reader reads it, without reading a byte of our own.

An HTTP library's response holds a byte stream; whichever way the caller reads (lines, bytes, SSE, `read()`), the bytes come
through it. `tee(response, sink)` puts a stream in its place that hands on every chunk and tells the sink. The reader keeps the
SDK's own objects: nothing that a caller holds is a proxy. The library itself is never imported: the class that the stream
must be an instance of is found among the ancestors of the stream that is there, so httpx, httpx2 and whatever comes next
look the same from here.

The sink hears each chunk, and then exactly one of: exhausted, broken (with the exception), left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

_CLASSES: dict[type, type] = {}


class Sink(Protocol):
    """What listens to a body. None of these may raise."""

    def chunk(self, data: bytes) -> None: ...

    def exhausted(self) -> None: ...

    def broken(self, error: BaseException) -> None: ...

    def left(self) -> None: ...


class _Tee:
    def __init__(self, inner: Any, sink: Sink) -> None:
        self._otel_llm_inner = inner
        self._otel_llm_sink = sink

    def __getattr__(self, name: str) -> Any:
        # `Response.elapsed` asks its stream; so may others.
        if name.startswith("_otel_llm"):
            raise AttributeError(name)
        return getattr(self._otel_llm_inner, name)

    def __del__(self) -> None:
        sink = self.__dict__.get("_otel_llm_sink")
        if sink is not None:
            sink.left()


class _SyncTee(_Tee):
    def __iter__(self) -> Iterator[bytes]:
        sink = self._otel_llm_sink
        try:
            for chunk in self._otel_llm_inner:
                sink.chunk(chunk)
                yield chunk
        except GeneratorExit:
            sink.left()
            raise
        except BaseException as error:
            sink.broken(error)
            raise
        sink.exhausted()

    def close(self) -> None:
        try:
            self._otel_llm_inner.close()
        finally:
            self._otel_llm_sink.left()


class _AsyncTee(_Tee):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        sink = self._otel_llm_sink
        stream = self._otel_llm_inner.__aiter__()
        try:
            async for chunk in stream:
                sink.chunk(chunk)
                yield chunk
        except GeneratorExit:
            sink.left()
            raise
        except BaseException as error:
            sink.broken(error)
            raise
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
        sink.exhausted()

    async def aclose(self) -> None:
        try:
            await self._otel_llm_inner.aclose()
        except BaseException as error:
            self._otel_llm_sink.broken(error)
            raise
        self._otel_llm_sink.left()


def tee(response: Any, sink: Sink) -> bool:
    """Put the sink on a response that has not been read; False when its stream is of no kind that we know."""
    stream = response.stream
    kind = _CLASSES.get(type(stream))
    if kind is None:
        for base in type(stream).__mro__:
            if base.__name__ in ("SyncByteStream", "AsyncByteStream"):
                own = _SyncTee if base.__name__ == "SyncByteStream" else _AsyncTee
                kind = _CLASSES[type(stream)] = type(f"Recorded{base.__name__}", (own, base), {"__module__": __name__})
                break
        else:
            return False
    response.stream = kind(stream, sink)
    return True
