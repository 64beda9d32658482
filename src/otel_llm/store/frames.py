"""The bytes of the tape: how a segment file is laid out, written down once and versioned.

A segment is a file that one process appends to. It begins with a head of 16 bytes, then frames follow without gaps.
All integers are little-endian.

    segment head   7s  magic "otelllm"
                   u8  version of the segment format (1)
                   u64 nanoseconds UTC at which the segment was begun
    frame          u32 length of the payload
                   u8  kind (`otel_llm.values.tape`)
                   u8  version of the frame's layout (1)
                   u64 number: counts the appends of a process from 0, so that a gap shows what is missing
                   u32 crc32 of the 10 bytes from kind to number, and of the payload
    payload        u32 length of the header
                   the header: JSON, UTF-8
                   the body: any bytes, to the end of the payload

A process may die in the middle of a write, so the last frame may be cut: that is the end of the segment and no damage.
What is damaged counts as one frame, up to the next place where a whole frame with a right checksum begins; when there is
none, up to the end.

Golden files under `tests/store/golden/` keep every version that was released readable.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

MAGIC = b"otelllm"
SEGMENT_VERSION = 1
FRAME_VERSION = 1
SEGMENT_HEAD = struct.Struct("<7sBQ")
FRAME_HEAD = struct.Struct("<IBBQI")
HEADER_LENGTH = struct.Struct("<I")
_HEADS = struct.Struct("<IBBQII")
"""The head of a frame and the length of its header behind it."""
_CHECKED = struct.Struct("<BBQI")
"""What the checksum covers of that."""

MAX_PAYLOAD = 0xF000_0000
KNOWN_KINDS = range(1, 32)
"""Kinds up to 31 are reserved for frames to come; a reader skips those that it does not know."""

_MARKS = re.compile(rb"[\x01-\x1f](?=\x01)")
"""Kind and version, by which a frame is looked for behind damage."""

DAMAGED = "damaged frame"


class Frame(NamedTuple):
    """One frame. `end` is the offset behind it; `kind` 0 stands for one that is damaged and has neither header nor body."""

    kind: int
    number: int
    header: bytes
    body: bytes
    end: int


def segment_head(begun_ns: int | None = None) -> bytes:
    """The first bytes of a segment file."""
    return SEGMENT_HEAD.pack(MAGIC, SEGMENT_VERSION, time.time_ns() if begun_ns is None else begun_ns)


def encode(kind: int, number: int, header: bytes, body: bytes = b"") -> bytes:
    """One frame as it stands in the file."""
    size = len(header)
    check = crc32(header, crc32(_CHECKED.pack(kind, FRAME_VERSION, number, size)))
    if body:
        check = crc32(body, check)
    return b"".join((_HEADS.pack(4 + size + len(body), kind, FRAME_VERSION, number, check, size), header, body))


def is_segment(head: bytes) -> bool:
    """True when these are the first bytes of a segment that this release can read."""
    return len(head) >= SEGMENT_HEAD.size and head[:7] == MAGIC and head[7] == SEGMENT_VERSION


def parse(data: bytes, base: int, *, at_end: bool, is_final: bool = False) -> Iterator[Frame]:
    """The complete frames in `data`, which begins at file offset `base`. Stops before the first incomplete one.

    `at_end` says that nothing follows `data` in the file for now, so that damage can be told from what is not read yet;
    `is_final` that nothing ever will, so that a frame which seems cut but has whole frames behind it is damaged.
    """
    view = memoryview(data)
    size, at = len(data), 0
    while size - at >= FRAME_HEAD.size:
        length, kind, version, number, check = FRAME_HEAD.unpack_from(data, at)
        start, end = at + FRAME_HEAD.size, at + FRAME_HEAD.size + length
        is_plausible = _plausible(length, kind, version)
        if is_plausible and end <= size and crc32(view[start:end], crc32(view[at + 4 : at + 14])) == check:
            header_end = start + 4 + HEADER_LENGTH.unpack_from(data, start)[0]
            yield Frame(kind, number, data[start + 4 : header_end], data[header_end:end], base + end)
        elif is_plausible and end > size and not is_final:
            return
        elif is_plausible and _whole_at(data, end):
            yield Frame(0, -1, b"", b"", base + end)
        elif not at_end:
            return
        else:
            found = _next_frame(data, at + 1)
            if found is None and is_plausible and end > size:
                return
            end = size if found is None else found
            yield Frame(0, -1, b"", b"", base + end)
        at = end


def _next_frame(data: bytes, at: int) -> int | None:
    """Where the next whole frame with a right checksum begins."""
    for match in _MARKS.finditer(data, at + 4):
        if match.start() - 4 >= at and _whole_at(data, match.start() - 4):
            return match.start() - 4
    return None


def _whole_at(data: bytes, at: int) -> bool:
    """True when a whole frame with a right checksum stands at an offset."""
    if len(data) - at < FRAME_HEAD.size:
        return False
    length, kind, version, _, check = FRAME_HEAD.unpack_from(data, at)
    start, end = at + FRAME_HEAD.size, at + FRAME_HEAD.size + length
    return (_plausible(length, kind, version) and end <= len(data)
            and crc32(memoryview(data)[start:end], crc32(data[at + 4 : at + 14])) == check)


def needed(data: bytes) -> int:
    """How many bytes the first frame in `data` takes, or 0 when that cannot be told."""
    if len(data) < FRAME_HEAD.size:
        return 0
    length, kind, version, _, _ = FRAME_HEAD.unpack_from(data, 0)
    return FRAME_HEAD.size + length if _plausible(length, kind, version) else 0


def _plausible(length: int, kind: int, version: int) -> bool:
    return 4 <= length <= MAX_PAYLOAD and kind in KNOWN_KINDS and version == FRAME_VERSION
