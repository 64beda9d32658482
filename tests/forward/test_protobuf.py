"""The bytes that are sent: the same spans as `otel_llm.otlp.encode` would send, made straight from the store."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_llm.otlp import decode, encode
from otel_llm.store.forward.protobuf import encode_request, encode_resource, encode_scope, encode_span, fields
from otel_llm.store.spanframe import plain
from otel_llm.values.spandata import KINDS, EventData, LinkData, ResourceData, ScopeData, SpanData

text = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(["", "\ud800", "ü" * 200])
scalars = text | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.none() | st.binary(max_size=20)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(text, inner, max_size=3), max_leaves=6)
attributes = st.dictionaries(text, values, max_size=4)
counts = st.integers(0, 2**32 - 1)
times = st.integers(0, 2**64 - 1)


def hexes(length: int) -> st.SearchStrategy[str]:
    return st.integers(1, 16**length - 1).map(lambda n: f"{n:0{length}x}")


urls = st.sampled_from(["", "https://opentelemetry.io/schemas/1.44.0"])
resources = st.builds(ResourceData, attributes, urls)
scopes = st.builds(ScopeData, text, text, urls, attributes)
spans = st.builds(
    SpanData, trace_id=hexes(32), span_id=hexes(16), parent_span_id=st.none() | hexes(16), name=text, kind=st.sampled_from(KINDS),
    start_ns=times, end_ns=times, attributes=attributes,
    events=st.lists(st.builds(EventData, text, times, attributes, counts), max_size=2).map(tuple),
    links=st.lists(st.builds(LinkData, hexes(32), hexes(16), text, counts, attributes, counts), max_size=2).map(tuple),
    status_code=st.sampled_from(["unset", "ok", "error"]), status_message=text, trace_state=text, flags=counts,
    dropped=st.tuples(counts, counts, counts), resource=resources, scope=scopes)


def encoded(span: SpanData) -> tuple[Any, Any, bytes]:
    """A span as the loader encodes it: from what a span frame holds."""
    rest = [plain(span.attributes), [[e.name, e.time_ns, plain(e.attributes), e.dropped_attributes] for e in span.events],
            [[k.trace_id, k.span_id, k.trace_state, k.flags, plain(k.attributes), k.dropped_attributes] for k in span.links],
            span.status_code, span.status_message, span.trace_state, span.flags, list(span.dropped)]
    ids = bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id), bytes.fromhex(span.parent_span_id) if span.parent_span_id else None
    return (encode_resource({"attributes": plain(span.resource.attributes), "schema_url": span.resource.schema_url}),
            encode_scope({"name": span.scope.name, "version": span.scope.version, "schema_url": span.scope.schema_url,
                          "attributes": plain(span.scope.attributes)}),
            encode_span(ids, span.name, KINDS.index(span.kind), (span.start_ns, span.end_ns), rest))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(spans, max_size=4))
def test_both_encoders_say_the_same(made: list[SpanData]) -> None:
    ours = encode_request(map(encoded, made))

    assert decode(ours) == decode(encode(made))


@given(st.binary(max_size=60))
def test_reading_nonsense_ends(data: bytes) -> None:
    assert len(list(fields(data))) <= len(data)
