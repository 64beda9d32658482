"""Content codings, applied part by part.

A compressed stream must still arrive event by event, so that each part is flushed into a block of its own. gzip and
deflate come with Python; br and zstd need the package named in the error, imported only when a test asks for them.
"""

import importlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .wire import Encoding


def encode(parts: Iterable[bytes], encoding: Encoding | None) -> Iterator[bytes]:
    """The wire bytes of each part; the last one carries the end of the coding as well.

    Raises:
        RuntimeError: the coding needs a package that is not installed.
    """
    if encoding is None:
        yield from parts
        return
    compress, flush, finish = _CODERS[encoding]()
    queue = list(parts)
    for index, part in enumerate(queue):
        data = compress(part)
        yield data + (finish() if index == len(queue) - 1 else flush())


_Coder = tuple[Callable[[bytes], bytes], Callable[[], bytes], Callable[[], bytes]]


def _zlib(wbits: int) -> _Coder:
    coder = zlib.compressobj(wbits=wbits)
    return coder.compress, lambda: coder.flush(zlib.Z_SYNC_FLUSH), coder.flush


def _brotli() -> _Coder:
    coder = _package("brotli").Compressor()
    return coder.process, coder.flush, coder.finish


def _zstd() -> _Coder:
    package = _package("zstandard")
    coder = package.ZstdCompressor().compressobj()
    return coder.compress, lambda: coder.flush(package.COMPRESSOBJ_FLUSH_BLOCK), coder.flush


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise RuntimeError(f"this content coding needs the package {name}: pip install {name}") from None


_CODERS: dict[Encoding, Callable[[], _Coder]] = {
    "gzip": lambda: _zlib(31),
    "deflate": lambda: _zlib(15),
    "br": _brotli,
    "zstd": _zstd,
}
