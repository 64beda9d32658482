"""Runs of programs: which processes recorded a session, and what else they recorded.

The resource of a span says which process it is from: `service.instance.id` is new in each process that the SDK runs in. Processes
at work at the same time, such as workers, are one run. What a killed process left, calls without a span, belongs to the run that
was under way.
"""

from __future__ import annotations

import json
from collections import defaultdict

from otel_llm.store.lookups import Execute
from otel_llm.values.session import Run


def runs(execute: Execute, session_id: str) -> list[Run]:
    """The runs that recorded something in this session, in order of their start."""
    processes: dict[str, list[int]] = defaultdict(list)
    for resource, content in execute(
            "SELECT DISTINCT s.resource, r.content FROM step s JOIN session n USING (session) LEFT JOIN resource r"
            " USING (resource) WHERE n.session_id = ? AND s.resource IS NOT NULL ORDER BY s.resource", (session_id,)):
        processes[_process(content)].append(resource)
    extents = []
    for resources in processes.values():
        first, last = execute("SELECT min(start_ns), max(coalesce(end_ns, start_ns)) FROM step"
                              " WHERE resource IN (SELECT value FROM json_each(?))", (json.dumps(resources),)).fetchone()
        extents.append((first, last, resources))
    joined: list[tuple[int, int, list[int]]] = []
    for first, last, resources in sorted(extents):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]), joined[-1][2] + resources)
        else:
            joined.append((first, last, resources))
    ends = [begin for begin, _, _ in joined[1:]]
    return [_run(execute, session_id, one, until) for one, until in zip(joined, [*ends, 2**63 - 1], strict=True)]


def _run(execute: Execute, session_id: str, extent: tuple[int, int, list[int]], until: int) -> Run:
    """A run with its spans; those of this session that nobody has ended are its own until the next run began."""
    first, last, resources = extent
    rows = execute(
        "SELECT n.session_id, s.span_id FROM step s JOIN session n USING (session)"
        " WHERE s.resource IN (SELECT value FROM json_each(?))"
        " OR (s.resource IS NULL AND n.session_id = ? AND s.start_ns >= ? AND s.start_ns < ?) ORDER BY s.start_ns",
        (json.dumps(resources), session_id, first, until)).fetchall()
    names = dict.fromkeys([session_id, *(name for name, _ in rows)])
    return Run(tuple(names), frozenset(span_id.hex() for _, span_id in rows), first, last)


def _process(content: str | None) -> str:
    said = json.loads(content or "{}").get("attributes") or {}
    return str(said.get("service.instance.id") or said.get("process.pid") or "")
