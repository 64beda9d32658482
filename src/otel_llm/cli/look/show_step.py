"""A step that is no call, by itself: what a tool was given, and what it gave back, laid out to be read.

Marked functions have both on the tape as JSON; the spans of others may have them as attributes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from otel_llm import semconv
from otel_llm.cli.look.chat import failure
from otel_llm.cli.look.rows import state_text, step_json
from otel_llm.text import numbers
from otel_llm.text.lines import Line
from otel_llm.text.safe import json_text, line, safe
from otel_llm.values.errors import NotFound
from otel_llm.values.session import Ref, Step
from otel_llm.values.store import Store

_ATTRIBUTES = (
    (semconv.GEN_AI_TOOL_CALL_ARGUMENTS, semconv.GEN_AI_TOOL_CALL_RESULT),
    (semconv.GEN_AI_RETRIEVAL_QUERY_TEXT, semconv.GEN_AI_RETRIEVAL_DOCUMENTS),
    (semconv.GEN_AI_INPUT_MESSAGES, semconv.GEN_AI_OUTPUT_MESSAGES),
)
"""Where spans have what goes in and what comes out."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What went into a step and what came out, as JSON values; None is nothing. `omitted` says why they are not known."""

    arguments: Any = None
    result: Any = None
    omitted: str | None = None


def step_in(store: Store, ref: Ref, given: str) -> Step | None:
    """The step, no call, that an id meant which the store resolved to its trace; None when the trace itself is meant."""
    text = given.strip().lower()
    if ref.kind != "trace" or ref.id.startswith(text):
        return None
    found = [step for step in store.steps(ref.session_id or ref.id) if step.kind != "call" and step.span_id.startswith(text)]
    return found[0] if len(found) == 1 else None


def contents_of(store: Store, step: Step) -> Contents:
    """What is recorded of a step."""
    try:
        exchange = store.exchange(step.span_id)
    except NotFound:
        attributes = store.span(step.span_id).attributes
        for given, came in _ATTRIBUTES:
            if given in attributes or came in attributes:
                return Contents(_value(attributes.get(given)), _value(attributes.get(came)))
        return Contents(omitted="not recorded")
    return Contents(_value(exchange.request_body), _value(exchange.response_body), exchange.omitted)


def _value(recorded: Any) -> Any:
    """A recorded value as JSON; text that holds a JSON object or list is what it holds."""
    if isinstance(recorded, bytes):
        recorded = recorded.decode("utf-8", "replace")
        try:
            recorded = json.loads(recorded)
        except ValueError:
            return recorded
    if isinstance(recorded, str) and recorded.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(recorded)
        except ValueError:
            pass
    return recorded


def step_lines(store: Store, step: Step) -> Iterator[Line]:
    """The step: what it is, what went in, what came out."""
    name = step.name if step.kind == "other" or step.name.startswith(step.kind) else f"{step.kind} {step.name}"
    yield [(f"{line(name)} ", ""), (step.span_id, "id"), (f"  trace {step.trace_id}  {line(step.session_id)}  ", "dim"),
           (state_text(step), state_text(step))]
    yield [(f"{numbers.duration(step.duration_ns)} · {numbers.clock(step.start_ns)}", "dim")]
    found = contents_of(store, step)
    for title, value in (("arguments", found.arguments), ("result", found.result)):
        yield []
        yield [(title, "tool")]
        if value is None:
            yield [(f"  ({line(found.omitted or 'none')})", "dim")]
            continue
        text = safe(value) if isinstance(value, str) else json_text(value, indent=2)
        yield from ([(("  " + row.replace("\t", "    ")).rstrip(), "")] for row in text.split("\n"))
    if step.state in ("error", "incomplete"):
        yield []
        yield [(f"✗ {line(failure(step))}", "error")]


def step_contents_json(store: Store, step: Step) -> dict[str, Any]:
    """The step's fields, with `arguments` and `result`."""
    found = contents_of(store, step)
    return {**step_json(step), "arguments": found.arguments, "result": found.result, "omitted": found.omitted}
