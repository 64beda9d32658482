"""How a replay reaches a provider: one request of exact bytes out, one `Exchange` back, recorded like any other call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from otel_llm.values.session import Exchange


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request to send. `credential` is the secret itself, read from the environment just before; it is never recorded.

    `source` is the (trace_id, span_id) of the call that is asked again; `attributes` go on the new span. `retries` is how often
    it may be tried again when nobody can have been paid for the attempt before.
    """

    api: str
    method: str
    url: str
    content_type: str
    body: bytes
    source: tuple[str, str] | None = None
    credential: str | None = field(default=None, repr=False)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = 120.0
    retries: int = 0
    provider: str | None = None


class Sender(Protocol):
    """Sends and records. Raises nothing for a provider's error answer: the `Exchange` holds its status and body.

    Several threads may send at once.
    """

    def send(self, request: Outgoing) -> Exchange:
        """The exchange, with the ids of the new span. Its status is None when the request went out and no response came.

        Raises `NotReached` when no connection came about.
        """
