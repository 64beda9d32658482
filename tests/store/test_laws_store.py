"""The laws of DESIGN.md, section 2, as far as the store keeps them: exact tape, nothing lost, stored once."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_llm.store.spanframe import from_tail, read_span, span_header, span_tail
from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.session import Filter
from otel_llm.values.spandata import (
    KINDS,
    STATUS_CODES,
    AttributeValue,
    EventData,
    LinkData,
    ResourceData,
    ScopeData,
    SpanData,
)
from store.frames_help import Recording, chat_response

TEXT = st.text(st.characters(blacklist_categories=()), max_size=30)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
VALUES: st.SearchStrategy[AttributeValue] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8)
ATTRIBUTES = st.dictionaries(TEXT, VALUES, max_size=6)
TIMES = st.integers(0, 2**63 - 1)
TRACE_IDS = st.integers(1, 2**128 - 1).map(lambda n: f"{n:032x}")
SPAN_IDS = st.integers(1, 2**64 - 1).map(lambda n: f"{n:016x}")
SPANS = st.builds(
    SpanData, TRACE_IDS, SPAN_IDS, st.none() | SPAN_IDS, TEXT, st.sampled_from(KINDS), TIMES, TIMES, ATTRIBUTES,
    st.lists(st.builds(EventData, TEXT, TIMES, ATTRIBUTES, st.integers(0, 9)), max_size=2).map(tuple),
    st.lists(st.builds(LinkData, TRACE_IDS, SPAN_IDS, TEXT, st.integers(0, 0x3FF), ATTRIBUTES, st.integers(0, 9)),
             max_size=2).map(tuple),
    st.sampled_from(STATUS_CODES), TEXT, TEXT, st.integers(0, 0x3FF), st.tuples(*[st.integers(0, 99)] * 3))

MESSAGES: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "developer"]), "content": TEXT | st.text("ab \\\"ü", min_size=60, max_size=90)},
    optional={"name": TEXT, "tool_calls": st.just([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}])})
JSON = st.recursive(st.none() | st.booleans() | NUMBERS | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6)
LAYOUTS: list[dict[str, Any]] = [
    {}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}, {"sort_keys": True}, {"separators": (" ,\n", " : ")}]


def dumped(value: Any, layout: dict[str, Any]) -> bytes:
    return json.dumps(value, **layout).encode("utf-8", "surrogatepass")


BODIES = st.builds(
    dumped,
    st.fixed_dictionaries({}, optional={"messages": st.lists(MESSAGES | JSON, max_size=6) | JSON, "tools": st.lists(JSON, max_size=3),
                                        "model": JSON, "input": st.lists(MESSAGES, max_size=3) | TEXT, "n": JSON}) | JSON,
    st.sampled_from(LAYOUTS)) | st.binary(max_size=60)

QUIET = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@QUIET
@given(SPANS)
def test_a_span_is_the_same_after_tape_and_pack(span: SpanData) -> None:
    raw = span_header(span, 3, 4)
    header = json.loads(raw)

    parent = None if span.parent_span_id is None else bytes.fromhex(span.parent_span_id)

    again = from_tail(span_tail(raw, header), (bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id), parent, span.name,
                                               KINDS.index(span.kind), span.start_ns, span.end_ns))

    assert again[2:] == header[2:]
    assert read_span(again, ResourceData(), ScopeData()) == span


@settings(parent=QUIET, max_examples=25)
@given(st.lists(SPANS, min_size=1, max_size=8, unique_by=lambda s: s.span_id))
def test_every_attribute_comes_back_from_the_store(spans: list[SpanData]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(Path(directory) / "spool")
        tape = Recording(spool)
        for span in spans:
            tape.span(span)
        spool.close()

        with SqliteStore(directory) as store:
            assert [store.span(span.span_id) for span in spans] == spans
            assert (store.losses(), store.verify()) == ([], [])


def test_numbers_that_are_no_numbers_come_back() -> None:
    raw = span_header(SpanData("1" * 32, "2" * 16, None, "n", "client", 0, 0, {"nan": math.nan, "inf": -math.inf}), 0, 0)

    found = read_span(json.loads(raw), ResourceData(), ScopeData()).attributes

    assert math.isnan(found["nan"]) and found["inf"] == -math.inf  # type: ignore[arg-type]


@settings(parent=QUIET, max_examples=40)
@given(st.lists(st.tuples(BODIES, st.sampled_from(["openai_chat", "openai_responses", "openai_embeddings", "generic", "unheard of"]),
                          st.none() | BODIES, st.sampled_from([200, 400, None])), min_size=1, max_size=8))
def test_every_body_comes_back_byte_for_byte(calls: list[tuple[bytes, str, bytes | None, int | None]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(Path(directory) / "spool")
        tape = Recording(spool)
        spans = [tape.call(request, response, api=api, status=status) for request, api, response, status in calls]
        spool.close()

        with SqliteStore(directory) as store:
            exchanges = [store.exchange(span) for span in spans]
            assert [e.request_body for e in exchanges] == [request for request, *_ in calls]
            assert [e.response_body for e in exchanges] == [
                response or (None if status is None else b"") for _, _, response, status in calls]
            assert len(store.calls(Filter(), limit=100)) == len(calls)
            assert (store.losses(), store.verify()) == ([], [])
            list(store.search("a b", Filter()))


@settings(parent=QUIET, max_examples=25)
@given(st.lists(MESSAGES, min_size=1, max_size=12), st.sampled_from(LAYOUTS))
def test_a_growing_history_is_stored_once_and_comes_back_whole(messages: list[Any], layout: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(Path(directory) / "spool")
        tape = Recording(spool)
        bodies = [dumped({"model": "m", "messages": messages[: n + 1]}, layout) for n in range(len(messages))]
        trace = "ab" * 16
        spans = [tape.call(body, chat_response("ok"), trace_id=trace) for body in bodies]
        spool.close()

        with SqliteStore(directory) as store:
            assert [store.exchange(span).request_body for span in spans] == bodies
            (kept, unique), = store._all("SELECT count(*), count(DISTINCT hash) FROM message", ())
            assert kept == unique <= len(messages)


@settings(parent=QUIET, max_examples=30)
@given(st.data())
def test_random_damage_to_a_segment_is_counted_or_harmless(data: st.DataObject) -> None:
    """What has a sound frame behind it is stored or counted; damage at the very end looks like a frame that a kill cut short."""
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(Path(directory) / "spool")
        tape = Recording(spool)
        for n in range(6):
            tape.step(f"step {n}")
        path = next((Path(directory) / "spool").iterdir())
        end = path.stat().st_size
        tape.step("last")
        spool.close()
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(16, end - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)

        with SqliteStore(directory) as store:
            stored = sum(s.steps for s in store.sessions(Filter(), limit=100))
            lost = sum(loss.count for loss in store.losses())

        assert stored + lost >= 7
