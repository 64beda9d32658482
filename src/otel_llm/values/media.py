"""Inline media in a JSON body: the base64 of `data:` URLs, which is most of the bytes and none of the words.

Whoever looks for words or scalars in a large body looks at it without them.
"""

from __future__ import annotations

LARGE = 250_000
"""Bodies below this are read whole: looking for media would cost more than it saves."""
LONG = 4_000
"""Media below this are left where they are."""

_HEAD = b";base64,"
_NEVER = (b"\\", b"-", b"_", b".", b",", b":", b" ")
"""What base64 does not hold, and long text, file names and keys do. Looking for one letter runs at the speed of memory."""


def _is_base64(body: bytes, start: int, end: int) -> bool:
    return all(body.find(letter, start, end) < 0 for letter in _NEVER) and body[start:end].isascii()


def without_media(body: bytes) -> bytes:
    """A large body with its inline media cut out: still JSON, of the same shape. Any other body as it is.

    A run from `;base64,` to the next quote without a backslash is the rest of a JSON string, so cutting it is safe.
    """
    if len(body) < LARGE:
        return body
    kept: list[bytes] = []
    done = 0
    at = body.find(_HEAD)
    while at >= 0:
        start = at + len(_HEAD)
        end = body.find(b'"', start)
        if end - start >= LONG and _is_base64(body, start, end):
            kept.append(body[done:start])
            done = end
        at = body.find(_HEAD, start if end < 0 else end)
    return b"".join((*kept, body[done:])) if kept else body
