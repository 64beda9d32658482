"""What could not be written yet: a queue bounded in bytes, that gives up content before it gives up facts.

When the disk is full, broken or slow, the tape must not hold the program up and must not grow without end. Frames then
wait here. When the bound is reached, bodies go first, oldest first: a call without its text still shows that it happened,
how long it took and what it cost. A call that lost a part of its response loses the rest of the response as well, because
a body with a hole in it would be taken for the whole. Only when no bodies are left do whole frames go. Each loss is counted
under the reason for which the queue exists.

It has a lock of its own, because threads put frames here exactly when they cannot have the lock of the tape.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from typing import NamedTuple

from otel_llm.values.tape import CALL_END, CALL_PART, CALL_START, LOSS, RESOURCE, SCOPE

FRAME_COST = 200
"""Bytes of memory that a waiting frame takes besides its header and body."""

MAX_TORN = 10_000


class Waiting(NamedTuple):
    kind: int
    number: int
    header: bytes
    body: bytes

    @property
    def cost(self) -> int:
        return FRAME_COST + len(self.header) + len(self.body)


class WaitingFrames:
    """Frames in the order in which they are to be written.

    `bytes` is what they take, `torn` says of the calls that have lost a part of their response and have not ended yet why.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self.torn: dict[tuple[str, str], str] = {}
        self._losses: Counter[str] = Counter()
        self._frames: deque[Waiting] = deque()
        self._lock = threading.RLock()

    def add(self, frame: Waiting, *, reason: str) -> None:
        """Take one frame in; make room when that exceeds the bound."""
        with self._lock:
            if self.torn and frame.kind in (CALL_PART, CALL_END) and (torn := self.torn.get(_call(frame))):
                if frame.kind == CALL_PART:
                    self._losses[torn] += 1
                    return
                frame = self._bare(frame, torn)
            self._frames.append(frame)
            self.bytes += frame.cost
            if self.bytes > self.max_bytes:
                self._shed(reason)

    def take(self) -> Waiting | None:
        """The oldest frame, which no longer waits."""
        with self._lock:
            if not self._frames:
                return None
            frame = self._frames.popleft()
            self.bytes -= frame.cost
            return frame

    def put_back(self, frame: Waiting) -> None:
        """A frame that was taken and could not be written."""
        with self._lock:
            self._frames.appendleft(frame)
            self.bytes += frame.cost

    def lose(self, reason: str, count: int) -> None:
        """Count what was not even put here."""
        with self._lock:
            self._losses[reason] += count

    def take_losses(self) -> Counter[str]:
        """What had to go since this was last asked."""
        if not self._losses:
            return self._losses
        with self._lock:
            losses, self._losses = self._losses, Counter()
            return losses

    def _shed(self, reason: str) -> None:
        """Go down to three quarters of the bound, so that the next frames do not each walk the whole queue."""
        goal = self.max_bytes * 3 // 4
        kept: deque[Waiting] = deque()
        for frame in self._frames:
            over = self.bytes > goal
            if frame.kind == CALL_PART and (over or _call(frame) in self.torn):
                self._tear(_call(frame), reason)
                self._drop(frame, reason)
            elif frame.kind in (CALL_START, CALL_END) and frame.body and (over or self._is_torn_end(frame)):
                bare = self._bare(frame, reason)
                self.bytes -= frame.cost - bare.cost
                kept.append(bare)
            else:
                kept.append(frame)
        self._frames = kept
        for _ in range(len(kept)):
            if self.bytes <= self.max_bytes:
                return
            frame = self._frames.popleft()
            if frame.kind in (RESOURCE, SCOPE):
                self._frames.append(frame)
            else:
                self._drop(frame, reason)

    def _drop(self, frame: Waiting, reason: str) -> None:
        self.bytes -= frame.cost
        self._losses[reason] += 1
        if frame.kind == LOSS:
            self._losses.update(json.loads(frame.header))

    def _is_torn_end(self, frame: Waiting) -> bool:
        return frame.kind == CALL_END and bool(self.torn) and _call(frame) in self.torn

    def _bare(self, frame: Waiting, reason: str) -> Waiting:
        """The frame without its body, saying why."""
        header = json.loads(frame.header)
        if frame.kind == CALL_END:
            self.torn.pop((header["trace_id"], header["span_id"]), None)
            header.pop("resent", None)
        header["omitted"] = reason
        self._losses[f"content: {reason}"] += 1
        return Waiting(frame.kind, frame.number, json.dumps(header, separators=(",", ":")).encode(), b"")

    def _tear(self, call: tuple[str, str], reason: str) -> None:
        self.torn[call] = reason
        while len(self.torn) > MAX_TORN:
            del self.torn[next(iter(self.torn))]


def _call(frame: Waiting) -> tuple[str, str]:
    header = json.loads(frame.header)
    return header["trace_id"], header["span_id"]
