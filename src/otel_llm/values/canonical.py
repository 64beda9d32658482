"""One spelling for one value: canonical JSON, and the keyed hash by which equal content is recognised.

Hashes of content are keyed with the store's own key, so that nobody who sees a hash can try guesses against it. Sixteen
bytes of BLAKE2b: collisions do not happen by accident, and the key keeps them from being made on purpose.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

HASH_BYTES = 16


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def keyed_hash(key: bytes, *parts: bytes) -> bytes:
    """A 16-byte keyed hash of the parts; their lengths count, so ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.blake2b(key=key[:64], digest_size=HASH_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
