"""What a server's answer means for the spans that were sent, over HTTP and gRPC alike.

| verdict     | HTTP                                  | gRPC                                                 | then              |
|-------------|---------------------------------------|------------------------------------------------------|-------------------|
| `ACCEPTED`  | 2xx; partial success too              | OK                                                   | they are sent     |
| `LATER`     | no answer, 408, 425, 429, 5xx         | UNAVAILABLE, ABORTED, …; RESOURCE_EXHAUSTED that     | again, for ever   |
|             |                                       | names a time or concerns a small batch               |                   |
| `MISPLACED` | 3xx, 401, 403, 404, 405, 407, 421; a  | UNAUTHENTICATED, PERMISSION_DENIED, UNIMPLEMENTED,   | again, rarely,    |
|             | page; a certificate that is wrong     | NOT_FOUND                                            | until it is mended|
| `TOO_LARGE` | 413                                   | RESOURCE_EXHAUSTED otherwise                         | halves            |
| `REFUSED`   | other 4xx                             | INVALID_ARGUMENT and the rest                        | dead letter       |

`MISPLACED` is what any span would have met: a wrong key or path. Nothing is buried for it, since all would be.

Sources: https://opentelemetry.io/docs/specs/otlp/#failures and https://opentelemetry.io/docs/specs/otlp/#failures-1
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

from otel_llm.store.forward.protobuf import fields

Verdict = Literal["accepted", "later", "misplaced", "too large", "refused"]
ACCEPTED: Verdict = "accepted"
LATER: Verdict = "later"
MISPLACED: Verdict = "misplaced"
TOO_LARGE: Verdict = "too large"
REFUSED: Verdict = "refused"

MAX_WORDS = 300
SMALL_BYTES = 64_000
"""A batch below this is not too large for any receiver; one that says so has too little of something else."""
MAX_WAIT_S = 3600.0

_MISPLACED = frozenset({401, 403, 404, 405, 407, 421})
_LATER = frozenset({408, 425, 429})
_GRPC_LATER = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS", "INTERNAL",
                         "UNKNOWN"})
_GRPC_MISPLACED = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "NOT_FOUND"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict, the server's words for it, how long it wants to be left alone, and how many spans it did not take.

    `was_cut` says that the connection broke while the request was on its way; some servers refuse what is too large so.
    """

    verdict: Verdict
    words: str = ""
    after_s: float | None = None
    rejected: int = 0
    was_cut: bool = False


def of_http(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """The answer that an HTTP response is. Header names are in lower case."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if 200 <= status < 300:
        if body and kind in ("text/html", "application/xhtml+xml"):
            return Answer(MISPLACED, f"{status}, but with a page instead of OTLP: no OTLP receiver answers there")
        rejected, words = partial_success(body, kind)
        return Answer(ACCEPTED, words, rejected=rejected)
    words = f"{status}: {_status_words(body, kind)}".rstrip(": ")
    after_s = retry_after(headers.get("retry-after", ""))
    if status == 413:
        return Answer(TOO_LARGE, words)
    if status in _LATER or status >= 500 or status < 200:
        return Answer(LATER, words, after_s)
    if status in _MISPLACED or 300 <= status < 400:
        place = headers.get("location", "") if status < 400 else ""
        return Answer(MISPLACED, f"{words} → {clean(place)}" if place else words, after_s)
    return Answer(REFUSED, words)


def of_grpc(code: str, details: str, status: bytes, size: int) -> Answer:
    """The answer that a failed call is. `status` is the google.rpc.Status of its trailer, `size` that of the request."""
    words = clean(f"{code}: {details}")
    after_s = _retry_info(status)
    if code == "RESOURCE_EXHAUSTED":
        return Answer(LATER if after_s is not None or size < SMALL_BYTES else TOO_LARGE, words, after_s)
    if code in _GRPC_LATER:
        return Answer(LATER, words, after_s)
    return Answer(MISPLACED if code in _GRPC_MISPLACED else REFUSED, words)


def partial_success(body: bytes, kind: str = "") -> tuple[int, str]:
    """How many spans an ExportTraceServiceResponse says were not taken, and why."""
    if not body:
        return 0, ""
    rejected, words = 0, ""
    if kind == "application/json":
        try:
            found = (json.loads(body) or {}).get("partialSuccess") or {}
            return int(found.get("rejectedSpans") or 0), clean(str(found.get("errorMessage") or ""))
        except (ValueError, AttributeError, TypeError, RecursionError):
            return 0, ""
    for number, inner in fields(body):
        if number == 1 and isinstance(inner, bytes):
            for field, value in fields(inner):
                if field == 1 and isinstance(value, int) and value < 1 << 63:
                    rejected = value
                elif field == 2 and isinstance(value, bytes):
                    words = clean(value.decode("utf-8", "replace"))
    return rejected, words


def retry_after(text: str) -> float | None:
    """Seconds that a Retry-After header asks for, in either of its two forms; None when it says nothing one could obey."""
    text = text.strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_WAIT_S) if seconds == seconds else None


def _retry_info(status: bytes) -> float | None:
    """The delay of a google.rpc.RetryInfo among the details of a google.rpc.Status."""
    for number, detail in fields(status):
        if number != 3 or not isinstance(detail, bytes):
            continue
        found = dict(fields(detail))
        name, value = found.get(1), found.get(2)
        if isinstance(name, bytes) and name.endswith(b"google.rpc.RetryInfo") and isinstance(value, bytes):
            delay = dict(fields(value)).get(1, b"")
            parts = dict(fields(delay)) if isinstance(delay, bytes) else {}
            seconds, nanos = parts.get(1, 0), parts.get(2, 0)
            if isinstance(seconds, int) and isinstance(nanos, int):
                return min(seconds + nanos / 1e9, MAX_WAIT_S)
    return None


def _status_words(body: bytes, kind: str) -> str:
    """What an error says, out of a google.rpc.Status or out of text."""
    if kind == "application/x-protobuf":
        words = next((value for number, value in fields(body) if number == 2 and isinstance(value, bytes)), b"")
        return clean(words.decode("utf-8", "replace"))
    return clean(body.decode("utf-8", "replace"))


def clean(text: str) -> str:
    """One line of bounded length; what a server says is shown to people."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MAX_WORDS]).split())
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 1] + "…"
