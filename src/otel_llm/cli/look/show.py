"""`otel-llm show ID`: a session, a trace, a call or a tool as people read it.

    otel-llm show @1               the latest session as a tree: turns, steps, timing, tokens, cost
    otel-llm show @1 --messages    its conversation, each message once
    otel-llm show 4f1c             a call: what was said, what was answered; a tool: its arguments and its result
    otel-llm show @1 -r            the last answer and nothing else; -x the first code block in it
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.ids import id_argument, resolve
from otel_llm.cli.look.branches import branch_lines
from otel_llm.cli.look.chat import call_lines, entry_json, entry_lines
from otel_llm.cli.look.rows import step_json
from otel_llm.cli.look.show_step import step_contents_json, step_in, step_lines
from otel_llm.cli.look.tree import head_lines, tree_lines
from otel_llm.cli.output import Output
from otel_llm.cli.table import print_json
from otel_llm.replay.compare.answers import text_of
from otel_llm.replay.conversation import conversation
from otel_llm.replay.reading import recorded
from otel_llm.replay.replayable import check_steps
from otel_llm.replay.view import Node, Row, messages, view
from otel_llm.text.lines import Line
from otel_llm.text.safe import line, safe
from otel_llm.values.errors import NotFound
from otel_llm.values.session import Filter, Ref, Step
from otel_llm.values.store import Store

CONTENT_FIRST = frozenset({"tool", "retrieval"})
"""Steps of which one wants to see what went in and what came out; of others what happened inside."""
MOST_CALLS = 50
"""Of a longer session, how far it can be replayed is not said: that reads every body."""
_CODE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n(.*?)^[ \t]*\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL)


@click.command()
@id_argument()
@click.option("-m", "--messages", "as_messages", is_flag=True, help="The conversation, each message once.")
@click.option("-r", "--response", "answer_only", is_flag=True, help="The (last) answer and nothing else.")
@click.option("-x", "--extract", "code_only", is_flag=True, help="The first code block of that answer.")
@click.option("--full", is_flag=True, help="Whole lines, also where they are wider than the terminal.")
@click.option("--json", "form", flag_value="json", default=None, help="Steps (with --messages: messages) as a JSON array.")
@click.option("--jsonl", "form", flag_value="jsonl", help="The same, one JSON object a line.")
@pass_app
def show(app: App, given: str, as_messages: bool, answer_only: bool, code_only: bool, full: bool, form: str | None) -> None:
    """Show a session, a trace, a call or a tool as people read it."""
    ref = resolve(app.store, given)
    session_id = ref.session_id or ref.id
    output = Output(app)
    if answer_only or code_only:
        answer = _last_answer(app, ref, session_id, given)
        text = _code_block(answer, given) if code_only else answer
        output.write(safe(text) if output.is_terminal else text)
    elif (step := step_in(app.store, ref, given)) is not None and step.kind in CONTENT_FIRST:
        if form is not None:
            print_json(output, [step_contents_json(app.store, step)], form)
        else:
            output.show(step_lines(app.store, step), paged=True, whole=full)
    elif ref.kind == "call":
        _show_call(app, output, ref, session_id, form)
    elif as_messages:
        steps = _steps(app, ref, session_id)
        entries = messages(app.store, steps)
        if form is not None:
            print_json(output, map(entry_json, entries), form)
        else:
            output.show((each for entry in entries for each in entry_lines(entry)), paged=True, whole=True)
    else:
        rows = app.store.sessions(Filter(session=(session_id,)), limit=1)
        seen = view(app.store, session_id, rows[0] if rows else None, trace_id=ref.id if ref.kind == "trace" else None)
        if form is not None:
            print_json(output, (_step(row, row.node) for row in seen.rows() if row.node is not None), form)
        else:
            width = None if full else output.width
            head = list(head_lines(seen, width))
            head[-1:-1] = _replayable_lines(app.store, session_id) if ref.kind == "session" else []
            branches = branch_lines(app.store, session_id) if ref.kind == "session" else ()
            output.show([*head, *tree_lines(seen, width), *branches], paged=True, whole=full)


def _step(row: Row, node: Node) -> dict[str, Any]:
    """A step as `show --json` prints it: its fields, and where it stands in the session."""
    return {**step_json(node.step), "call_number": node.number, "turn": row.turn, "depth": row.depth}


def _steps(app: App, ref: Ref, session_id: str) -> list[Step]:
    return [step for step in app.store.steps(session_id) if ref.kind != "trace" or step.trace_id == ref.id]


def _show_call(app: App, output: Output, ref: Ref, session_id: str, form: str | None) -> None:
    number = 0
    for step in app.store.steps(session_id):
        number += step.kind == "call"
        if step.span_id == ref.id:
            call = recorded(app.store, step)
            if form is not None:
                entries = (replace(entry, call_number=number) for entry in conversation([call]))
                print_json(output, map(entry_json, entries), form)
            else:
                output.show(call_lines(call, number), paged=True, whole=True)
            return
    raise NotFound("call", ref.id)


def _last_answer(app: App, ref: Ref, session_id: str, given: str) -> str:
    """The words of the last call that gave any."""
    for step in _latest_first(app, ref, session_id):
        call = recorded(app.store, step).call
        if call is not None and call.response is not None and (text := text_of(call.response.messages)):
            return text
    raise NotFound("answer with words in", given)


def _latest_first(app: App, ref: Ref, session_id: str) -> Iterator[Step]:
    steps: Iterable[Step] = reversed(app.store.steps(session_id))
    for step in steps:
        fits = step.span_id == ref.id if ref.kind == "call" else ref.kind == "session" or step.trace_id == ref.id
        if step.kind == "call" and fits:
            yield step


def _replayable_lines(store: Store, session_id: str) -> list[Line]:
    """How far a session can be replayed, `replayable: exact` or why not; nothing of one that is too long to look at."""
    steps = store.steps(session_id)
    if not 0 < sum(step.kind == "call" for step in steps) <= MOST_CALLS:
        return []
    report = check_steps(store, session_id, steps)
    return [[(("" if report.level == "not" else "replayable: ") + line(report.summary), "dim")]]


def _code_block(answer: str, given: str) -> str:
    found = _CODE.search(answer)
    if found is None:
        raise NotFound("code block in the answer of", given)
    return found[2].removesuffix("\n")
