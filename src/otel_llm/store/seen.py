"""Messages that were seen a moment ago, so that a history which comes again costs a look-up and no reading.

A conversation sends its history with every call. What a message hashes to, who speaks in it and what it says in one
spelling follows from its bytes, so it is kept by its bytes, for as long as there is room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from otel_llm.adapters.history import message_key
from otel_llm.adapters.split import LISTS, Slice, Trail
from otel_llm.values.adapter import Adapter
from otel_llm.values.call import Message
from otel_llm.values.canonical import keyed_hash

MAX_BYTES = 16_000_000
ENTRY_BYTES = 300
SHARED_ROLES = ("system", "developer")


class Known(NamedTuple):
    """What follows from a slice's bytes. `role` and `key` are None for what is not one message of a conversation."""

    hashed: bytes
    role: str | None
    key: bytes | None
    is_shared: bool


class Seen:
    """A bounded memory of slices, and of the chains that their keys make."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._bytes = 0
        self.trail = Trail()
        self._known: dict[tuple[str, bytes], Known] = {}
        self._chains: dict[tuple[bytes, bytes], bytes] = {}

    def of(self, pieces: Sequence[Slice], adapter: Adapter) -> tuple[list[Known], dict[bytes, Message]]:
        """What is known of slices, and the messages that had to be read now because they were not seen before."""
        self._make_room()
        name = adapter.name
        found = [self._known.get((name, piece.raw)) for piece in pieces]
        unseen = {piece.raw: piece for piece, known in zip(pieces, found, strict=True) if known is None}
        if not unseen:
            return cast("list[Known]", found), {}
        spoken = [piece for piece in unseen.values() if piece.kind == "message"]
        messages = dict(zip((piece.raw for piece in spoken), messages_of(spoken, adapter), strict=True)) if spoken else {}
        new = {raw: self._describe(piece, messages.get(raw)) for raw, piece in unseen.items()}
        for raw, known in new.items():
            self._known[name, raw] = known
            self._bytes += len(raw) + ENTRY_BYTES
        return [known or new[piece.raw] for piece, known in zip(pieces, found, strict=True)], messages

    def after(self, chain: bytes, key: bytes) -> bytes:
        """The chain with one message more: a keyed hash over both."""
        found = self._chains.get((chain, key))
        if found is None:
            self._make_room()
            found = self._chains[chain, key] = keyed_hash(self._key, chain, key)
            self._bytes += len(key) + ENTRY_BYTES
        return found

    def _make_room(self) -> None:
        """Forget everything when there is no more room: what comes again is read again."""
        if self._bytes + self.trail.bytes > MAX_BYTES:
            self.trail.clear()
            self._known.clear()
            self._chains.clear()
            self._bytes = 0

    def _describe(self, piece: Slice, message: Message | None) -> Known:
        hashed = keyed_hash(self._key, piece.raw)
        if message is not None:
            return Known(hashed, message.role, message_key(message), message.role in SHARED_ROLES)
        return Known(hashed, None, None, piece.kind == "tool" or (
            isinstance(piece.value, dict) and piece.value.get("role") in SHARED_ROLES))


def messages_of(pieces: list[Slice], adapter: Adapter) -> tuple[Message, ...]:
    """The messages that slices of kind `message` stand for, one each."""
    field = next(field for field, kind in LISTS[adapter.name].items() if kind == "message")
    return adapter.request({field: [piece.value for piece in pieces]}).messages
