"""Content codings of HTTP bodies, undone: the tape keeps what was said, and notes how it was packed on the wire.

A body that was cut in the middle gives what can be decoded. `br` and `zstd` are only ever on the wire when the HTTP library
could offer them, and then the decoder that it uses is installed; it is imported here when such a body comes, never before.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import Any


def decoded(body: bytes, coding: str) -> bytes | None:
    """The body without its codings (`Content-Encoding` value, such as `gzip` or `gzip, br`); None when that cannot be undone."""
    for name in reversed([c.strip().lower() for c in coding.split(",") if c.strip()]):
        if name == "identity":
            continue
        try:
            body = _undo(body, name)
        except Exception:
            return None
    return body


def _undo(body: bytes, name: str) -> bytes:
    if name in ("gzip", "x-gzip"):
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body)
    if name == "deflate":
        try:
            return zlib.decompressobj().decompress(body)
        except zlib.error:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body)
    if name == "br":
        return _brotli(body)
    if name == "zstd":
        return _zstd(body)
    raise ValueError(name)


def _brotli(body: bytes) -> bytes:
    try:
        library: Any = import_module("brotli")
    except ImportError:
        library = import_module("brotlicffi")
    decoder: Any = library.Decompressor()
    return bytes((getattr(decoder, "process", None) or decoder.decompress)(body))


def _zstd(body: bytes) -> bytes:
    try:
        decoder: Any = import_module("compression.zstd").ZstdDecompressor()  # the standard library's, from Python 3.14 on
    except ImportError:
        decoder = import_module("zstandard").ZstdDecompressor().decompressobj()
    return bytes(decoder.decompress(body))
