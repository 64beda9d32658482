"""Spans of the SDK reach the store whole, under any processor, whatever is in them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from otel_llm.store.exporter import ReplayExporter, ReplayProcessor, write_span
from otel_llm.store.segments import segments
from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.session import Filter
from otel_llm.values.spandata import EventData, LinkData, ResourceData, ScopeData, SpanData

PROCESSORS: dict[str, Callable[[Spool], SpanProcessor]] = {
    "replay": ReplayProcessor,
    "simple": lambda spool: SimpleSpanProcessor(ReplayExporter(spool)),
    "batch": lambda spool: BatchSpanProcessor(ReplayExporter(spool)),
}


def provider(processor: SpanProcessor, service: str = "shop", **more: Any) -> TracerProvider:
    made = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False, **more)
    made.add_span_processor(processor)
    return made


def only_span(store: SqliteStore) -> SpanData:
    (session,) = store.sessions(Filter())
    (step,) = store.steps(session.session_id)
    return store.span(step.span_id)


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_span_comes_back_with_everything_the_sdk_put_there(name: str, spool: Spool, store: SqliteStore) -> None:
    made = provider(PROCESSORS[name](spool))
    other = SpanContext(2**100, 2**40, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "b")]))
    tracer = made.get_tracer("lib", "1.2", "https://schema", {"scope": "attribute"})
    span = tracer.start_span(
        "work", kind=SpanKind.CLIENT, start_time=10**18, links=[Link(other, {"why": "because"})],
        attributes={"text": "ü\ud800", "int": 2**40, "float": 1.0, "bool": True, "list": ["a", "b"], "nan": math.inf})
    span.add_event("happened", {"n": 1}, timestamp=10**18 + 5)
    span.set_status(Status(StatusCode.ERROR, "broken"))
    span.end(10**18 + 1000)
    made.shutdown()

    context = span.get_span_context()
    found = only_span(store)

    assert found == SpanData(
        trace_id=f"{context.trace_id:032x}", span_id=f"{context.span_id:016x}", parent_span_id=None, name="work", kind="client",
        start_ns=10**18, end_ns=10**18 + 1000,
        attributes={"text": "ü\ud800", "int": 2**40, "float": 1.0, "bool": True, "list": ("a", "b"), "nan": math.inf},
        events=(EventData("happened", 10**18 + 5, {"n": 1}),),
        links=(LinkData(f"{2**100:032x}", f"{2**40:016x}", "a=b", 0x301, {"why": "because"}),),
        status_code="error", status_message="broken", flags=0x100 | context.trace_flags, dropped=(0, 0, 0),
        resource=ResourceData({"service.name": "shop"}),
        scope=ScopeData("lib", "1.2", "https://schema", {"scope": "attribute"}))
    assert isinstance(found.attributes["float"], float)


def test_what_the_limits_dropped_is_counted(spool: Spool, store: SqliteStore) -> None:
    made = provider(ReplayProcessor(spool), span_limits=SpanLimits(max_span_attributes=2, max_events=1))
    span = made.get_tracer("lib").start_span("work", attributes={str(n): n for n in range(5)})
    for _ in range(3):
        span.add_event("e")
    span.end()

    assert only_span(store).dropped == (3, 2, 0)


def test_a_child_of_a_remote_parent_says_so(spool: Spool, store: SqliteStore) -> None:
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    made = provider(ReplayProcessor(spool))
    parent = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1))
    made.get_tracer("lib").start_span("work", context=set_span_in_context(NonRecordingSpan(parent))).end()

    found = only_span(store)

    assert (found.parent_span_id, found.flags & 0x301) == (f"{8:016x}", 0x301)


def test_what_is_not_sampled_is_not_written(spool: Spool) -> None:
    made = provider(ReplayProcessor(spool), sampler=ALWAYS_OFF)
    made.get_tracer("lib").start_span("work").end()

    assert segments(spool.directory) == []


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


def _cycle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(("value", "kept"), [
    pytest.param(Hostile(), "<Hostile>", id="an object without repr"),
    pytest.param(_cycle(), "<list>", id="a cycle"),
    pytest.param(_deep(), "<list>", id="endless depth"),
    pytest.param({"a": Hostile()}, {"a": "<Hostile>"}, id="a map with an object"),
    pytest.param(b"\x00\xff", b"\x00\xff", id="bytes"),
    pytest.param({"b": b"x", "m": {"n": [1, None]}}, {"b": b"x", "m": {"n": (1, None)}}, id="a map that looks like a tag"),
    pytest.param(2**80, 2**80, id="a large number"),
    pytest.param("\ud800", "\ud800", id="a lone surrogate"),
    pytest.param(10**5000, "<int>", id="a number that has no text"),
])
def test_a_hostile_value_costs_itself_and_not_the_span(value: Any, kept: Any, spool: Spool, store: SqliteStore) -> None:
    made = provider(ReplayProcessor(spool))
    span = made.get_tracer("lib").start_span("work", attributes={"good": "kept"})
    span._attributes._dict["bad"] = value  # type: ignore[attr-defined]  # past the SDK's own check
    span.end()

    assert only_span(store).attributes == {"good": "kept", "bad": kept}


def test_a_span_that_cannot_be_written_at_all_is_counted(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    from otel_llm.values.guard import faults

    monkeypatch.setattr(faults, "strict", False)

    write_span(spool, object())

    assert spool.losses == {"span not writable": 1}


def test_a_span_ends_up_on_the_tape_when_end_returns(tmp_path: Path, spool: Spool) -> None:
    made = provider(ReplayProcessor(spool))
    made.get_tracer("lib").start_span("work").end()

    (name, _), = segments(spool.directory)
    assert json.dumps("work").encode() in (spool.directory / name).read_bytes()


def test_text_that_is_no_utf8_is_shown_with_question_marks_and_kept_as_it_was(spool: Spool, store: SqliteStore) -> None:
    bad = "caf\udce9"
    made = provider(ReplayProcessor(spool), service=bad)
    said = {"gen_ai.conversation.id": bad, "session.id": bad, "user.id": bad, "otel_llm.tag.team": bad, "gen_ai.request.model": bad,
            "gen_ai.operation.name": "chat"}
    span = made.get_tracer(bad).start_span(bad)
    span._attributes._dict.update(said)  # type: ignore[attr-defined]  # past the SDK's own check
    span.end()

    (row,) = store.sessions(Filter())
    assert (row.session_id, row.user_id, row.service, dict(row.tags)) == ("caf?", "caf?", "caf?", {"team": bad})
    kept = only_span(store)
    assert (kept.name, kept.scope.name, kept.resource.attributes["service.name"], kept.attributes) == (bad, bad, bad, said)
