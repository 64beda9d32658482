"""Packs: many small pieces of content compressed together, because alike things lie next to each other.

Messages, wire records and span attributes of one batch share a pack of at most 128 kB raw, so that reading one item unpacks
little. A young pack that is not half full is taken up again by the next batch, as a slow program would otherwise leave a
thousand packs with one message each. An item is (pack, offset, length) in the raw bytes.

zlib comes with Python; zstandard, where it is installed, is about three times faster. Every pack names its codec.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from otel_llm.values.errors import StoreDamaged, StoreError

RAW_BYTES = 128_000
REOPEN_BYTES = 48_000
ZLIB_LEVEL = 4
ZSTD_LEVEL = 3

try:
    import zstandard
except ImportError:  # the extra `zstd` is not installed
    zstandard = None  # type: ignore[assignment]


_BROKEN: tuple[type[Exception], ...] = (zlib.error,) if zstandard is None else (zlib.error, zstandard.ZstdError)


class Item(NamedTuple):
    """Where a piece of content lies."""

    pack: int
    offset: int
    length: int


def codec() -> str:
    """The codec of new packs."""
    return "zlib" if zstandard is None else "zstd"


def compress(data: bytes, name: str) -> bytes:
    if name == "zstd":
        return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(data)
    return zlib.compress(data, ZLIB_LEVEL)


def decompress(data: bytes, name: str, raw_bytes: int) -> bytes:
    """The raw bytes of a pack. Raises `StoreDamaged` when they are not what was stored."""
    try:
        if name == "zlib":
            raw = zlib.decompress(data, bufsize=max(raw_bytes, 1))
        elif name == "zstd":
            if zstandard is None:
                raise StoreError("This store has packs compressed with zstd: pip install 'otel-llm[zstd]' to read them.")
            raw = zstandard.ZstdDecompressor().decompress(data, max_output_size=raw_bytes)
        else:
            raise StoreDamaged(f"A pack says that its codec is {name!r}, which no release has written.")
    except _BROKEN as error:
        raise StoreDamaged(f"A pack cannot be unpacked: {error}. The store is damaged.") from error
    if len(raw) != raw_bytes:
        raise StoreDamaged(f"A pack holds {len(raw)} bytes instead of {raw_bytes}. The store is damaged.")
    return raw


class PackWriter:
    """Puts content into packs inside the caller's transaction; `finish` before it commits.

    Content of one kind lies together: `span` attributes, `wire` records, `text` of messages, `answer` bodies.
    """

    def __init__(self, connection: sqlite3.Connection, codec_name: str | None = None) -> None:
        self._connection = connection
        self._codec = codec_name or codec()
        self._open: dict[str, tuple[int, bytearray]] = {}
        self._next = int(connection.execute("SELECT coalesce(max(pack), 0) + 1 FROM pack").fetchone()[0])

    def add(self, kind: str, content: bytes) -> Item:
        """Keep a piece of content; the item says where."""
        entry = self._open.get(kind) or self._begin(kind)
        if entry[1] and len(entry[1]) + len(content) > RAW_BYTES:
            self._write(kind)
            entry = self._fresh(kind)
        item = Item(entry[0], len(entry[1]), len(content))
        entry[1].extend(content)
        return item

    def finish(self) -> None:
        """Write the open packs."""
        for kind in list(self._open):
            self._write(kind)

    def _begin(self, kind: str) -> tuple[int, bytearray]:
        """The last pack of this kind while it is young, else a new one."""
        row = self._connection.execute(
            "SELECT pack, codec, raw_bytes, data FROM pack WHERE kind = ? ORDER BY pack DESC LIMIT 1", (kind,)).fetchone()
        if row is None or row[2] >= REOPEN_BYTES or row[1] != self._codec:
            return self._fresh(kind)
        entry = self._open[kind] = (row[0], bytearray(decompress(row[3], row[1], row[2])))
        return entry

    def _fresh(self, kind: str) -> tuple[int, bytearray]:
        entry = self._open[kind] = (self._next, bytearray())
        self._next += 1
        return entry

    def _write(self, kind: str) -> None:
        pack, content = self._open.pop(kind)
        if content:
            raw = bytes(content)
            self._connection.execute(
                "INSERT INTO pack VALUES (?, ?, ?, ?, ?) ON CONFLICT (pack) DO UPDATE SET raw_bytes = excluded.raw_bytes,"
                " data = excluded.data", (pack, kind, self._codec, len(raw), compress(raw, self._codec)))


class PackReader:
    """Takes content out of packs, keeping the few that were unpacked last."""

    def __init__(self, execute: Callable[[str, tuple[int]], sqlite3.Cursor], keep: int = 16) -> None:
        self._execute = execute
        self._keep = keep
        self._raw: OrderedDict[int, bytes] = OrderedDict()

    def get(self, item: Item) -> bytes:
        """The content of an item. Raises `StoreDamaged` when its pack is gone or broken."""
        if item.length == 0:
            return b""  # nothing was packed, so there may be no pack
        raw = self._raw.get(item.pack)
        if raw is None or item.offset + item.length > len(raw):
            row = self._execute("SELECT codec, raw_bytes, data FROM pack WHERE pack = ?", (item.pack,)).fetchone()
            if row is None:
                raise StoreDamaged(f"Pack {item.pack} is missing. The store is damaged.")
            raw = self._raw[item.pack] = decompress(row[2], row[0], row[1])
            if len(self._raw) > self._keep:
                self._raw.popitem(last=False)
        else:
            self._raw.move_to_end(item.pack)
        if item.offset + item.length > len(raw):
            raise StoreDamaged(f"Pack {item.pack} is shorter than its items. The store is damaged.")
        return raw[item.offset : item.offset + item.length]
