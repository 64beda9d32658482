"""Bodies without their content coding, a bounded piece at a time.

A megabyte of gzip can hold a gigabyte. What is unpacked is therefore counted while it comes and given up at the limit; and
while a body unpacks to many times its size it is only counted, not kept, so that a bomb costs a few megabytes and not the
limit. When such a body turns out to fit after all (twenty megabytes of one letter), it is unpacked once more, for good.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from otel_llm.server.limits import MIB
from otel_llm.server.refusals import MALFORMED, TOO_LARGE, TYPE, Refused

PIECE = 256 * 1024
HELD = 8 * MIB
"""What is kept of a body that looks like a bomb before it is only counted."""
SUSPICIOUS = 20
"""Times its size that a body unpacks to before it is taken for one."""
ZSTD_WINDOW = 8 * MIB
"""What RFC 8878 asks every decoder to support."""
ZSTD_BITE = 256
"""Bytes that are fed at a time: four bytes may become a block of 128 KiB, and the decoder gives all that a bite holds."""

CODINGS = ("gzip", "deflate", "zstd", "identity")


def unpack(body: bytes, coding: str, *, limit: int) -> bytes:
    """The body as it was before it was packed. Raises `Refused`: not that coding, or larger than the limit."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    pieces = _PIECES.get(coding)
    if pieces is None:
        raise Refused(TYPE, f"Content-Encoding {coding[:40]!r} is not known here; use one of {', '.join(CODINGS)}.")
    try:
        return _unpacked(body, pieces, limit)
    except zlib.error as error:
        raise Refused(MALFORMED, f"The body of {len(body)} bytes is no {coding}: {error}") from None


def _unpacked(body: bytes, pieces: Callable[[bytes], Iterator[bytes]], limit: int) -> bytes:
    held, size, is_kept = io.BytesIO(), 0, True
    for piece in pieces(body):
        size += len(piece)
        if size > limit:
            raise Refused(TOO_LARGE, f"The body of {len(body)} bytes unpacks to more than {limit} bytes; send smaller batches.")
        if is_kept:
            held.write(piece)
            if size > HELD and size > SUSPICIOUS * len(body):
                held, is_kept = io.BytesIO(), False
    if not is_kept:
        for piece in pieces(body):
            held.write(piece)
    return held.getvalue()


def _gzip(body: bytes) -> Iterator[bytes]:
    """All members, one behind the other."""
    while body:
        decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
        yield from _inflate(decoder, body)
        body = decoder.unused_data


def _deflate(body: bytes) -> Iterator[bytes]:
    """With zlib's header as the standard says, or raw as some send it."""
    decoder = zlib.decompressobj()
    try:
        decoder.copy().decompress(body[:2], 1)
    except zlib.error:
        decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    yield from _inflate(decoder, body)


def _inflate(decoder: Any, body: bytes) -> Iterator[bytes]:
    while not decoder.eof:
        piece = decoder.decompress(body, PIECE)
        body = decoder.unconsumed_tail
        if not piece and not body and not decoder.eof:
            raise zlib.error("it ends in the middle")
        yield piece


def _zstd(body: bytes) -> Iterator[bytes]:
    try:
        library: Any = import_module("zstandard")
    except ImportError:
        raise Refused(TYPE, "zstd needs the package zstandard here: pip install 'otel-llm[zstd]'; or send gzip.") from None
    try:
        while body:
            decoder = library.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()
            view = memoryview(body)
            for at in range(0, len(body), ZSTD_BITE):
                yield decoder.decompress(view[at : at + ZSTD_BITE])
                if decoder.eof:
                    body = bytes(decoder.unused_data) + body[at + ZSTD_BITE :]
                    break
            else:
                raise zlib.error("it ends in the middle")
    except library.ZstdError as error:
        raise zlib.error(str(error)) from None


_PIECES: dict[str, Callable[[bytes], Iterator[bytes]]] = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "zstd": _zstd}
