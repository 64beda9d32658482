"""Reading the spool: which frames there are behind what has been read, a bounded number of bytes at a time.

`Gathered` collects the frames of one span, whatever order and segment they come in; a batch is a dictionary of them, in the
order in which their first frames were written.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otel_llm.store import frames
from otel_llm.store.calls import Frames
from otel_llm.store.segments import TAPE_REASONS, has_writer
from otel_llm.values.tape import CALL_END, CALL_PART, CALL_START, FORWARD, LOSS, RESOURCE, SCOPE, SPAN

UNREADABLE = "unreadable frame"
ROUTE_KEYS = ("name", "endpoint", "protocol", "content", "headers")


@dataclass(slots=True)
class Gathered:
    """The frames of one span that a batch holds. `span` is the raw header of its `SPAN` frame, `span_list` the same parsed."""

    trace_id: str
    span_id: str
    process: int
    frames: Frames = field(default_factory=Frames)
    numbers: dict[int, int] = field(default_factory=dict)
    span: bytes | None = None
    span_list: list[Any] | None = None
    segment: int = 0

    @property
    def has_call(self) -> bool:
        f = self.frames
        return f.start is not None or f.end is not None or bool(f.parts)


@dataclass(slots=True)
class Batch:
    """What was read from the spool for one transaction."""

    spans: dict[tuple[str, str], Gathered] = field(default_factory=dict)
    origins: list[tuple[int, int, bool, dict[str, Any]]] = field(default_factory=list)
    """(segment, number, is a resource, content)"""
    routes: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """(segment, destination of its spans)"""
    losses: Counter[str] = field(default_factory=Counter)
    counts: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """Frames, highest number and explained losses by process."""
    offsets: dict[int, int] = field(default_factory=dict)
    bytes: int = 0

    def take(self, frame: frames.Frame, segment: int, process: int) -> None:
        """Put one frame where it belongs. What makes no sense is counted."""
        seen, top, explained = self.counts.get(process, (0, -1, 0))
        if frame.kind == LOSS and (counts := _loss(frame.header)):
            self.losses.update(counts)
            explained += sum(count for reason, count in counts.items() if reason in TAPE_REASONS)
        self.counts[process] = (seen + 1, max(top, frame.number), explained)
        if frame.kind == 0:
            self.losses[frames.DAMAGED] += 1
            return
        try:
            self._take(frame, segment, process)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            self.losses[UNREADABLE] += 1

    def _take(self, frame: frames.Frame, segment: int, process: int) -> None:
        kind = frame.kind
        if kind == SPAN:
            header = json.loads(frame.header.decode())
            found = self._of(header[2], header[3], process)
            found.span, found.span_list, found.segment = frame.header, header, segment
            if len(header) != 17 or not isinstance(header[9], dict):
                raise ValueError("not a span")
        elif kind in (CALL_START, CALL_PART, CALL_END):
            header = json.loads(frame.header.decode())
            found = self._of(header["trace_id"], header["span_id"], process)
            found.numbers[kind] = frame.number
            if kind == CALL_START:
                found.frames.start, found.frames.start_header, found.frames.start_body = header, frame.header, frame.body
            elif kind == CALL_END:
                found.frames.end, found.frames.end_header, found.frames.end_body = header, frame.header, frame.body
            else:
                found.frames.parts = [*(found.frames.parts or ()), (frame.number, frame.body)]
        elif kind in (RESOURCE, SCOPE):
            header = json.loads(frame.header)
            self.origins.append((segment, header.pop("number"), kind == RESOURCE, header))
        elif kind == FORWARD:
            header = json.loads(frame.header)
            of_spans: dict[str, Any] = {key: str(header[key]) for key in ROUTE_KEYS}
            self.routes.append((segment, of_spans | {"cap_bytes": int(header["cap_bytes"])}))

    def _of(self, trace_id: str, span_id: str, process: int) -> Gathered:
        key = (trace_id, span_id)
        found = self.spans.get(key)
        if found is None:
            if len(bytes.fromhex(trace_id)) != 16 or len(bytes.fromhex(span_id)) != 8:
                raise ValueError("not an id")
            found = self.spans[key] = Gathered(trace_id, span_id, process)
        return found


def _loss(header: bytes) -> dict[str, int]:
    try:
        counts = json.loads(header)
        return {str(reason): int(count) for reason, count in counts.items()}
    except (ValueError, AttributeError, TypeError):
        return {}


@dataclass(slots=True)
class Segment:
    """An open segment file. `is_live` is asked before the size is, so that a dead one has its final size."""

    path: Path
    fd: int
    is_live: bool
    size: int

    @classmethod
    def open(cls, path: Path) -> Segment | None:
        """The segment; None when another indexer has finished it meanwhile."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        is_live = has_writer(fd)
        return cls(path, fd, is_live, os.fstat(fd).st_size)

    @property
    def is_gone(self) -> bool:
        return os.fstat(self.fd).st_nlink == 0

    def close(self) -> None:
        os.close(self.fd)

    def read(self, offset: int, budget: int) -> Iterator[frames.Frame]:
        """Frames from an offset on, up to the last complete one or about so many bytes."""
        if offset == 0:
            head = os.pread(self.fd, frames.SEGMENT_HEAD.size, 0)
            if len(head) < frames.SEGMENT_HEAD.size:
                return
            if not frames.is_segment(head):
                yield frames.Frame(0, -1, b"", b"", self.size)
                return
            offset = frames.SEGMENT_HEAD.size
        end = min(self.size, offset + max(budget, frames.FRAME_HEAD.size))
        while offset < end:
            data = os.pread(self.fd, end - offset, offset)
            if not data:
                return
            begun = offset
            for frame in frames.parse(data, offset, at_end=offset + len(data) >= self.size,
                                      is_final=not self.is_live):
                offset = frame.end
                yield frame
            if offset != begun:
                return
            wanted = frames.needed(data)
            if wanted > len(data) and offset + wanted <= self.size:
                end = offset + wanted
            elif wanted > len(data) or len(data) < frames.FRAME_HEAD.size:
                return
            else:
                yield frames.Frame(0, -1, b"", b"", self.size)
                return
