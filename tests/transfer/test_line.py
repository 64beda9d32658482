"""A line says a record, and the record comes back: `read(dump(record)) == record`, whatever stands in it."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_llm.store.sqlite import SqliteStore
from otel_llm.transfer import jsonl, line
from otel_llm.transfer.fields import BadLine
from otel_llm.values.archive import Record, SessionMark, WireRecord
from otel_llm.values.call import Cost
from otel_llm.values.session import ReplayRecord
from otel_llm.values.spandata import KINDS, STATUS_CODES, EventData, LinkData, ResourceData, ScopeData, SpanData, pack_value
from transfer.stores import export, take_in

words = st.text(max_size=12)
times = st.integers(0, 2**63 - 1)
whole = st.integers(0, 2**31)
trace_ids, span_ids = (st.binary(min_size=n, max_size=n).map(bytes.hex) for n in (16, 8))
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(words, inner, max_size=3), max_leaves=6)
attributes = st.dictionaries(words, values, max_size=4)
resources = st.builds(ResourceData, attributes, words)
scopes = st.builds(ScopeData, words, words, words, attributes)
spans = st.builds(
    SpanData, trace_ids, span_ids, st.none() | span_ids, words, st.sampled_from(KINDS), times, times, attributes,
    st.lists(st.builds(EventData, words, times, attributes, whole), max_size=2).map(tuple),
    st.lists(st.builds(LinkData, trace_ids, span_ids, words, whole, attributes, whole), max_size=2).map(tuple),
    st.sampled_from(STATUS_CODES), words, words, whole, st.tuples(whole, whole, whole), resources, scopes)
bodies = st.binary(max_size=40) | words.map(str.encode) | st.just(b'{"messages": [], "model": "m"}')
optional_ends = st.fixed_dictionaries({}, optional={
    "coding": words, "first_byte_ns": whole, "chunks": st.lists(st.tuples(whole, whole).map(list), max_size=2),
    "attempts": st.lists(st.tuples(whole, st.none() | whole).map(list), max_size=2), "error_type": words, "error_message": words,
    "request_id": words, "redacted": whole})
costs = st.builds(Cost, times, st.none() | whole, st.none() | whole)


@st.composite
def records(draw: st.DrawFn) -> Record:
    span = draw(spans)
    ids = {"trace_id": span.trace_id, "span_id": span.span_id}
    start: Any = {
        **ids, "parent_span_id": span.parent_span_id, "name": draw(words), "time_ns": draw(times),
        "api": draw(st.sampled_from(["openai_chat", "generic", "function"])), "method": "POST", "url": draw(words),
        "content_type": draw(words), "attributes": {k: pack_value(v) for k, v in draw(attributes).items()}}
    end: Any = {**ids, "time_ns": draw(times), "status": draw(st.integers(100, 599)), "content_type": draw(words),
                "complete": draw(st.booleans()), **draw(optional_ends)}
    request, response = draw(bodies), draw(bodies)
    if draw(st.booleans()):
        end["resent"] = len(request)
    is_ended = draw(st.booleans())
    wire = WireRecord(start, end, request, response) if is_ended else WireRecord(start, None, request, response or None)
    return draw(st.sampled_from([
        Record(f"s-{draw(whole)}", **ids, span=span, wire=wire), Record("a:b@c d", **ids, span=span, cost=draw(costs)),
        Record("ü", **ids, wire=wire, cost=None)]))


def through(record: Record) -> Record:
    """The record after it has been a line."""
    span = record.span
    raw = line.dump({"step": line.record_json(record, 7, 9)})
    assert raw.count(b"\n") == 1
    known = ({}, {}) if span is None else ({7: span.resource}, {9: span.scope})
    return line.read_record(json.loads(raw)["step"], *known)


@given(records())
@settings(max_examples=200, deadline=None)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert through(record) == record


@given(records())
@settings(max_examples=50, deadline=None)
def test_a_line_is_json_by_the_book(record: Record) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    json.loads(line.dump({"step": line.record_json(record, 1, 1)}), parse_constant=refuse)


@given(resources, scopes, words, st.booleans(), st.none() | words.filter(bool))
@settings(max_examples=50, deadline=None)
def test_resources_scopes_and_sessions_come_back(resource: ResourceData, scope: ScopeData, name: str, inferred: bool,
                                                 source: str | None) -> None:
    mark = SessionMark(name or "x", inferred, source)

    assert line.read_resource(json.loads(line.dump(line.resource_json(1, resource)))) == (1, resource)
    assert line.read_scope(json.loads(line.dump(line.scope_json(2, scope)))) == (2, scope)
    assert line.read_session(json.loads(line.dump(line.session_json(mark)))) == mark


def test_numbers_that_json_has_not_come_back() -> None:
    span = SpanData("a" * 32, "b" * 16, None, "s", "client", 1, 2, {"x": (math.inf, -math.inf, 1.5), "m": {"n": math.nan}})

    found = through(Record("s", span.trace_id, span.span_id, span))

    assert found.span is not None and repr(found.span) == repr(span)


def test_a_lone_surrogate_comes_back_on_an_escaped_line() -> None:
    span = SpanData("a" * 32, "b" * 16, None, "s\ud800", "client", 1, 2, {"k\udfff": "ü\ud800"})
    record = Record("s", span.trace_id, span.span_id, span)

    assert through(record) == record


@contextmanager
def fresh(directory: Path) -> Iterator[SqliteStore]:
    with SqliteStore(directory) as store:
        yield store


class Made:
    """A snapshot of one session, out of records."""

    def __init__(self, found: list[Record]) -> None:
        self.found = found
        self.steps_in_all = len(found)

    def sessions(self) -> Iterator[SessionMark]:
        yield SessionMark("s", True)

    def records(self, session_id: str) -> Iterator[Record]:
        yield from self.found

    def replays(self) -> Iterator[ReplayRecord]:
        yield from ()


@given(st.lists(records(), max_size=4, unique_by=(lambda r: r.span_id, lambda r: r.trace_id)))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_records_go_through_a_store_unchanged(tmp_path: Path, found: list[Record]) -> None:
    """Not only what our own capture writes."""
    found = [Record("s", r.trace_id, r.span_id, r.span, r.wire, r.cost) for r in found]
    out = io.BytesIO()
    jsonl.write(Made(found), out)  # type: ignore[arg-type]
    place = tmp_path / str(len(list(tmp_path.iterdir())))
    with fresh(place) as store:
        take_in(store, out.getvalue())
        first = export(store)
        wire = {(r.trace_id, r.span_id): r for r in found}
        with store.snapshot(jsonl_filter()) as snapshot:
            back = [record for mark in snapshot.sessions() for record in snapshot.records(mark.session_id)]

    for record in back:
        assert isinstance(record, Record)
        given_ = wire[record.trace_id, record.span_id]
        assert (record.span, record.wire) == (given_.span, given_.wire)
    assert len(back) == len(found)
    with fresh(place.with_suffix(".again")) as store:
        take_in(store, first)
        assert export(store) == first


def jsonl_filter() -> Any:
    from otel_llm.values.session import Filter

    return Filter()


SPAN = {"resource": 1, "scope": 1, "name": "n", "kind": "client", "start_ns": 1, "end_ns": 2}
STEP: dict[str, Any] = {"session": "s", "trace_id": "a" * 32, "span_id": "b" * 16, "span": SPAN}
END = {"time_ns": 1, "status": 200, "content_type": "", "complete": True}


@pytest.mark.parametrize(("wrong", "said"), [
    ({"trace_id": "A" * 32}, "step.trace_id is 'AAAA"),
    ({"span_id": "ab"}, "step.span_id is 'ab', not usable as text"),
    ({"session": ""}, "step.session is ''"),
    ({"span": 3}, "step.span is 3, not usable as an object"),
    ({"span": {**SPAN, "start_ns": "1"}}, "span.start_ns is '1', not usable as a whole number"),
    ({"span": {**SPAN, "start_ns": True}}, "span.start_ns is True"),
    ({"span": {**SPAN, "end_ns": 2**63}}, "span.end_ns is 9223372036854775808"),
    ({"span": {**SPAN, "kind": "sideways"}}, "span.kind is 'sideways'"),
    ({"span": {**SPAN, "resource": 5}}, "resource 5 and scope 1, which no line before it describes"),
    ({"span": {**SPAN, "attributes": {"k": {"x": 1}}}}, "span.attributes: {'x': 1} is no attribute value"),
    ({"span": {**SPAN, "attributes": {"k": {"b": "%"}}}}, "span.attributes: {'b': '%'} is no attribute value"),
    ({"span": {**SPAN, "events": [3]}}, "event is 3, not an object"),
    ({"span": {k: v for k, v in SPAN.items() if k != "name"}}, "span.name is missing"),
    ({"call": {"end": {**END, "status": "ok"}}}, "call.end.status is 'ok', not usable as a whole number or null"),
    ({"call": {"end": {**END, "chunks": [[1]]}}}, "call.end.chunks is"),
    ({"call": {"end": {**END, "resent": 3}, "request": "ab"}}, "call.end.resent is 3, but the request has 2 bytes"),
    ({"call": {"request": {"base64": "é"}}}, "call.request is"),
    ({"cost": {"total": 1.5, "input": None, "output": None}}, "step.cost.total is 1.5"),
])
def test_a_wrong_field_is_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadLine) as error:
        line.read_record({**STEP, **wrong}, {1: ResourceData()}, {1: ScopeData()})

    assert said in str(error.value)
