"""OTLP and `SpanData`, one the exact inverse of the other: what is received, forwarded and sent on later.

    SpanData ── encode ──→ ExportTraceServiceRequest (protobuf) ── decode ──→ SpanData
             ── encode_json ──→ the same in OTLP's JSON         ── decode_json ──→

Source: https://opentelemetry.io/docs/specs/otlp/
"""

from otel_llm.otlp.reading import decode as decode
from otel_llm.otlp.reading import decode_json as decode_json
from otel_llm.otlp.writing import encode as encode
from otel_llm.otlp.writing import encode_json as encode_json
