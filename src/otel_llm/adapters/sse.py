"""Server-sent events, split once for all adapters.

A recorded body may end anywhere, use any of the three line ends and hold comments, event names and data over several lines.
Splitting stays at C speed for the usual case, and a caller that wants no content says which events to pass over before they
are parsed: a stream of 500 chunks then costs what its first and its last ones cost.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_DONE = b"[DONE]"
_scan: Callable[[str, int], tuple[Any, int]] = vars(json.JSONDecoder())["scan_once"]
"""The C scanner: value and end."""


def looks_like_sse(body: bytes, content_type: str) -> bool:
    """True when the body is an event stream, whatever its type says: some errors are JSON, some streams are typed as text."""
    start = body[:64].lstrip()
    if start[:1] in (b"{", b"["):
        return False
    return "event-stream" in content_type.lower() or start.startswith((b"data:", b"event:", b"id:", b":"))


def parse_events(
    body: bytes, skips: Callable[[bytes], bool] | None = None, fold: Callable[[bytes], bytes] | None = None
) -> tuple[list[dict[str, Any]], bool]:
    """The JSON objects of a stream in order, and whether `[DONE]` was seen.

    The first event is always parsed; a later one is passed over when `skips` says so. `fold` may make the stream shorter
    before. What is no JSON object (a cut event, a ping) is left out. An event named `error` whose data does not say so is
    wrapped as `{"error": …}`.
    """
    if body.startswith(b"\xef\xbb\xbf"):
        body = body[3:]
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if fold is not None:
        body = fold(body)
    found: list[dict[str, Any]] = []
    is_done = False
    for block in body.split(b"\n\n"):
        if found and skips is not None and skips(block):
            continue
        name, data = _fields(block)
        if not data:
            continue
        if data.strip() == _DONE:
            is_done = True
            continue
        value = parse_json(data)
        if isinstance(value, dict):
            if name == b"error" and "error" not in value and value.get("type") != "error":
                value = {"error": value}
            found.append(value)
    return found, is_done


def _fields(block: bytes) -> tuple[bytes, bytes]:
    """Name and data of one event."""
    if block.startswith(b"data:") and b"\n" not in block:
        return b"", block[6:] if block[5:6] == b" " else block[5:]
    name, data = b"", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.strip()
    return name, b"\n".join(data)


def parse_json(body: bytes) -> Any:
    """The JSON value of these bytes, read through invalid UTF-8; None when it is no JSON.

    An object in UTF-8 goes straight to the scanner, since `json.loads` thinks about encodings and white space for as long
    as a small body takes. It has the last word on whatever is not that.
    """
    if body[:1] == b"{" and body[1:2] != b"\0":
        try:
            text = str(body, "utf-8")
            value, end = _scan(text, 0)
            if end == len(text):
                return value
        except (ValueError, StopIteration, RecursionError):
            pass
    try:
        return json.loads(body)
    except UnicodeDecodeError:
        pass
    except (ValueError, RecursionError):
        return None
    try:
        return json.loads(body.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
