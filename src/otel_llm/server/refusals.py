"""Every answer that is no success, once: the HTTP status, the gRPC code, and whether to send again.

| kind              | HTTP | gRPC                | again? | when                                                          |
|-------------------|------|---------------------|--------|---------------------------------------------------------------|
| `MALFORMED`       | 400  | INVALID_ARGUMENT    | no     | the body is not what its type says                            |
| `UNAUTHENTICATED` | 401  | UNAUTHENTICATED     | no     | no key, or a wrong one                                        |
| `FORBIDDEN`       | 403  | PERMISSION_DENIED   | no     | a foreign Host or Origin                                      |
| `SLOW`            | 408  | UNAVAILABLE         | yes    | the body took too long to come                                |
| `TOO_LARGE`       | 413  | RESOURCE_EXHAUSTED  | no     | bytes, decompressed bytes, spans or elements over the limit   |
| `TYPE`            | 415  | INVALID_ARGUMENT    | no     | a content type or coding that is not known here               |
| `BUSY`            | 503  | UNAVAILABLE         | yes    | too much under way at the same time                           |
| `UNWRITABLE`      | 503  | UNAVAILABLE         | yes    | the tape cannot be written: disk full, spool full, no right   |

Source: https://opentelemetry.io/docs/specs/otlp/#failures
"""

from __future__ import annotations

from dataclasses import dataclass

from otel_llm.values.errors import OtelLLMError


@dataclass(frozen=True, slots=True)
class Kind:
    """`retry_after_s` is None where sending the same again cannot help."""

    reason: str
    status: int
    grpc_code: str
    rpc_number: int
    """The number of the code in `google.rpc.Status`."""
    retry_after_s: int | None = None


MALFORMED = Kind("malformed", 400, "INVALID_ARGUMENT", 3)
UNAUTHENTICATED = Kind("unauthenticated", 401, "UNAUTHENTICATED", 16)
FORBIDDEN = Kind("forbidden", 403, "PERMISSION_DENIED", 7)
SLOW = Kind("slow", 408, "UNAVAILABLE", 14, 1)
TOO_LARGE = Kind("too_large", 413, "RESOURCE_EXHAUSTED", 8)
TYPE = Kind("type", 415, "INVALID_ARGUMENT", 3)
BUSY = Kind("busy", 503, "UNAVAILABLE", 14, 1)
UNWRITABLE = Kind("unwritable", 503, "UNAVAILABLE", 14, 5)


class Refused(OtelLLMError):
    """This request is not taken; `kind` says how that is answered, the message why."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
