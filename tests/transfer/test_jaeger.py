"""A stored session that is sent on to a real Jaeger answers there under its original trace id."""

from __future__ import annotations

import json
from pathlib import Path

from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.session import Filter
from support.backends import eventually, jaeger, trace_in_jaeger, traces_in_jaeger
from transfer.test_commands import run


def test_a_session_sent_to_jaeger_is_there_span_for_span(source: SqliteStore, tmp_path: Path) -> None:
    """Also when it comes from a copy of the store, and when it is sent twice."""
    run(source.directory, "export", "jsonl", "-o", str(tmp_path / "all.jsonl"))
    run(tmp_path / "copy", "import", str(tmp_path / "all.jsonl"))
    steps = {step.span_id: step for row in source.sessions(Filter()) for step in source.steps(row.session_id)}
    del steps["cd" * 8]  # its program died before it had a span, and so a service
    service = source.sessions(Filter(session=("ticket-1",)))[0].service
    assert service is not None

    with jaeger() as viewer:
        sent = [run(tmp_path / "copy", "export", "otlp", "--endpoint", viewer.otlp_url, "--content", "full") for _ in range(2)]
        found = eventually(lambda: traces_in_jaeger(viewer.query_url, service), until=lambda spans: steps.keys() <= spans.keys())
        (trace_id,) = {step.trace_id for step in source.steps("ticket-1") if step.kind == "workflow"}
        trace = trace_in_jaeger(viewer.query_url, trace_id)

    assert [done.code for done in sent] == [0, 0]
    assert {i: (s["traceId"], s["name"], int(s["startTimeUnixNano"]), int(s["endTimeUnixNano"])) for i, s in found.items()
            if i in steps} == {i: (s.trace_id, s.name, s.start_ns, s.end_ns) for i, s in steps.items()}
    assert {span["spanID"] for span in trace["data"][0]["spans"]} == {
        step.span_id for step in source.steps("ticket-1") if step.trace_id == trace_id}
    for step in source.calls(Filter(session=("ticket-1",))):
        attributes = found[step.span_id]["attributes"]
        assert attributes.items() >= {k: v for k, v in source.span(step.span_id).attributes.items() if isinstance(v, (str, int))}.items()
        assert json.loads(attributes["gen_ai.input.messages"])[0]["role"] == "user"
        assert json.loads(attributes["gen_ai.output.messages"])[0]["role"] == "assistant"
