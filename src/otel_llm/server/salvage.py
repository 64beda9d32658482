"""The good spans of a request in which some are none.

One span with an id of the wrong length must not cost the hundreds that stand beside it. Only when a request cannot be read
whole is each of its spans tried alone, without resource and scope; what remains is read as one request again. That is three
times the work, for requests that should not exist.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from otel_llm import otlp
from otel_llm.values.errors import BadOtlp
from otel_llm.values.spandata import SpanData


@dataclass(slots=True)
class Salvaged:
    """What could be read, how many spans could not, and why the first of them could not."""

    spans: list[SpanData]
    refused: int = 0
    reason: str = ""


@dataclass(slots=True)
class _Sieve:
    refused: int = 0
    reasons: list[str] = field(default_factory=list)

    def is_good(self, alone: bytes, *, is_json: bool) -> bool:
        try:
            (otlp.decode_json if is_json else otlp.decode)(alone)
            return True
        except BadOtlp as error:
            self.refused += 1
            if not self.reasons:
                self.reasons.append(str(error))
            return False


def salvage(body: bytes, error: BadOtlp, *, is_json: bool) -> Salvaged:
    """The spans that can be read. Raises the `BadOtlp` with which reading failed when that would be none."""
    sieve = _Sieve()
    sifted = _sifted_json(body, sieve, error) if is_json else _sifted(body, sieve, error)
    if not sieve.refused:
        raise error
    spans = (otlp.decode_json if is_json else otlp.decode)(sifted)
    if not spans:
        raise error
    return Salvaged(spans, sieve.refused, sieve.reasons[0])


def _sifted(body: bytes, sieve: _Sieve, error: BadOtlp) -> bytes:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except (DecodeError, RuntimeError):
        raise error from None
    for of_resource in request.resource_spans:
        for of_scope in of_resource.scope_spans:
            good = []
            for span in of_scope.spans:
                alone = ExportTraceServiceRequest()
                alone.resource_spans.add().scope_spans.add().spans.append(span)
                if sieve.is_good(alone.SerializeToString(), is_json=False):
                    good.append(span)
            if len(good) < len(of_scope.spans):
                kept = [type(span).FromString(span.SerializeToString()) for span in good]
                del of_scope.spans[:]
                of_scope.spans.extend(kept)
    return bytes(request.SerializeToString())


def _sifted_json(body: bytes, sieve: _Sieve, error: BadOtlp) -> bytes:
    try:
        request = json.loads(body)
        for of_resource in request.get("resourceSpans") or ():
            for of_scope in of_resource.get("scopeSpans") or ():
                of_scope["spans"] = [span for span in of_scope.get("spans") or () if sieve.is_good(_alone(span), is_json=True)]
        return json.dumps(request).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise error from None


def _alone(span: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
