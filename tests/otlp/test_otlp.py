"""OTLP and back, without loss, and what is no OTLP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm import otlp
from otel_llm.values.errors import BadOtlp
from otel_llm.values.spandata import KINDS, STATUS_CODES, EventData, LinkData, ResourceData, ScopeData, SpanData

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.one_of(texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary(max_size=6))
values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(texts, inner, max_size=3), max_leaves=5)
attributes = st.dictionaries(texts, values, max_size=4)
trace_ids = st.integers(1, 2**128 - 1).map(lambda n: format(n, "032x"))
span_ids = st.integers(1, 2**64 - 1).map(lambda n: format(n, "016x"))
times, counts = st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1)
resources = st.builds(ResourceData, attributes, texts)
scopes = st.builds(ScopeData, texts, texts, texts, attributes)
spans = st.builds(
    SpanData, trace_id=trace_ids, span_id=span_ids, parent_span_id=st.none() | span_ids, name=texts, kind=st.sampled_from(KINDS),
    start_ns=times, end_ns=times, attributes=attributes,
    events=st.lists(st.builds(EventData, texts, times, attributes, counts), max_size=2).map(tuple),
    links=st.lists(st.builds(LinkData, trace_ids, span_ids, texts, counts, attributes, counts), max_size=2).map(tuple),
    status_code=st.sampled_from(STATUS_CODES), status_message=texts, trace_state=texts, flags=counts,
    dropped=st.tuples(counts, counts, counts), resource=resources, scope=scopes)


def by_id(found: list[SpanData]) -> dict[tuple[str, str], SpanData]:
    return {(s.trace_id, s.span_id): s for s in found}


@settings(max_examples=150, deadline=None)
@given(st.lists(spans, max_size=3, unique_by=lambda s: (s.trace_id, s.span_id)))
def test_protobuf_and_back_is_the_same(sent: list[SpanData]) -> None:
    assert by_id(otlp.decode(otlp.encode(sent))) == by_id(sent)


@settings(max_examples=150, deadline=None)
@given(st.lists(spans, max_size=3, unique_by=lambda s: (s.trace_id, s.span_id)))
def test_json_and_back_is_the_same(sent: list[SpanData]) -> None:
    assert by_id(otlp.decode_json(otlp.encode_json(sent))) == by_id(sent)


@settings(max_examples=100, deadline=None)
@given(spans)
def test_our_json_means_the_same_to_the_reference_library(span: SpanData) -> None:
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    wire = json.loads(otlp.encode_json([span]))
    import base64

    def to_base64(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: base64.b64encode(bytes.fromhex(v)).decode() if k in ("traceId", "spanId", "parentSpanId") else to_base64(v)
                    for k, v in node.items()}
        return [to_base64(v) for v in node] if isinstance(node, list) else node

    theirs = json_format.ParseDict(to_base64(wire), ExportTraceServiceRequest())
    assert otlp.decode(theirs.SerializeToString()) == [span]


@pytest.mark.parametrize("body", [b"\xff" * 20, b"hello there", b"\x0a\x05abc"])
def test_what_is_no_protobuf_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(BadOtlp, match="no ExportTraceServiceRequest"):
        otlp.decode(body)


def wire(**fields: Any) -> bytes:
    span = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "x", **fields}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


@pytest.mark.parametrize(("body", "complaint"), [
    (b"{", "no JSON"), (b"[]", "not an object"), (b'{"resourceSpans": 7}', "not an array"), (wire(traceId="ab"), "not 32 hex digits"),
    (wire(spanId="0" * 16), "not all zero"), (wire(traceId="zz" * 16), "not hexadecimal"), (wire(name=7), "not a string"),
    (wire(startTimeUnixNano="x"), "no ExportTraceServiceRequest"), (wire(startTimeUnixNano=-1), "64 bits"),
    (wire(attributes=[{"key": "k", "value": {"bytesValue": "%"}}]), "no ExportTraceServiceRequest"),
    (wire(attributes=[{"key": "k", "value": 7}]), "not an object")])
def test_json_that_is_no_otlp_says_what_is_wrong(body: bytes, complaint: str) -> None:
    with pytest.raises(BadOtlp, match=complaint):
        otlp.decode_json(body)


def test_values_nested_too_deep_are_refused() -> None:
    value: dict[str, Any] = {"stringValue": "x"}
    for _ in range(100):
        value = {"arrayValue": {"values": [value]}}

    with pytest.raises(BadOtlp, match="deep"):
        otlp.decode_json(wire(attributes=[{"key": "k", "value": value}]))


def test_what_otlp_cannot_say_is_said_as_text() -> None:
    span = SpanData("ab" * 16, "cd" * 8, None, "x", "client", 1, 2, {"big": 2**80, "lone": "\ud800", "none": None})

    (back,) = otlp.decode(otlp.encode([span]))

    assert back.attributes == {"big": str(2**80), "lone": "?", "none": None}
