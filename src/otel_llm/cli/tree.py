"""The tree of a session as lines: a head with its totals, then turns and steps.

    sess-3f9a  Where is my order 4411?                                        recovered
    2 turns · 3 calls · 812 → 44 tok · $0.00031 · 2.31 s · gpt-5-mini · user ada

    1 Where is my order 4411?
      agent support                        1.20 s  812 → 44 tok  $0.00031
      ├─ 1 gpt-5-mini                      640 ms  400 → 21 tok  $0.00016   asks lookup_order
      ├─ tool lookup_order                   2 ms
      └─ 2 gpt-5-mini stream               520 ms  412 → 23 tok  $0.00015   first 120 ms  It left on …

The figures stand in columns; on a narrow terminal a line is cut at its end, where the words are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from otel_llm.cli import numbers
from otel_llm.cli.output import Line, Piece, clip, width_of
from otel_llm.cli.rows import tags_text, title_of, words_of
from otel_llm.cli.safe import line
from otel_llm.replay.view import Node, SessionView
from otel_llm.values.session import Step

MOST_NAME = 44
"""Columns that the names of the tree may take before the figures begin."""


UNNAMED = "unknown_service"
"""What the SDK calls a service that nobody named."""
USUAL_ENDS = frozenset({"stop", "tool_call", "tool_calls"})


def head_lines(view: SessionView) -> Iterator[Line]:
    """What the session is, and what it comes to."""
    session, totals = view.session, view.totals
    if session is not None:
        yield [(line(session.session_id), "id"), ("  ", ""), (line(session.title), "bold"), ("  ", ""),
               (session.status, session.status)]
    parts = [numbers.plural(session.turns, "turn")] if session is not None else []
    parts += [numbers.plural(totals.calls, "call")]
    if totals.errors:
        parts.append(numbers.plural(totals.errors, "error"))
    parts += [numbers.tokens(totals.input_tokens, totals.output_tokens), numbers.costs(totals.cost_pico_usd, totals.unpriced)]
    if session is not None:
        parts += [numbers.duration(session.last_ns - session.first_ns), *map(line, session.models)]
        parts += [f"user {line(session.user_id)}"] if session.user_id else []
        parts += [line(tags_text(session.tags))] if session.tags else []
        parts += [f"service {line(session.service)}"] if session.service and not session.service.startswith(UNNAMED) else []
    yield [(" · ".join(parts), "")]
    if session is not None:
        how = "  found by the history of its calls" if session.inferred else ""
        yield [(numbers.clock(session.first_ns) + how, "dim")]
        if session.replay_of:
            yield [("replay of ", "dim"), (line(session.replay_of), "id")]
    yield []


@dataclass(frozen=True, slots=True)
class _Drawn:
    """One line of the tree before its columns are set."""

    lead: str
    name: str
    node: Node


def tree_lines(view: SessionView, width: int | None) -> Iterator[Line]:
    """Turns and steps. With a width, names are clipped so that the figures of all lines stand in columns."""
    drawn = list(_drawn(view))
    names = [width_of(d.lead + d.name) for d in drawn if isinstance(d, _Drawn)]
    most = MOST_NAME if width is None else min(MOST_NAME, max(width // 2, 8))
    room = min(max(names, default=0), most)
    for item in drawn:
        yield _row(item, room) if isinstance(item, _Drawn) else item


def _drawn(view: SessionView) -> Iterator[_Drawn | Line]:
    """The lines in order. The branch in front of a step is kept by depth, so that no recursion meets a deep trace."""
    rows = list(view.rows())
    last = _is_last(view)
    bars: list[str] = []
    indent = "  " if view.turns else ""
    for row in rows:
        del bars[row.depth :]
        if row.node is None:
            lead = indent * (row.depth > 0) + "".join(bars[1:])
            yield [(lead, "dim"), (f"{row.turn} ", "user"), (line(row.title), "bold")]
            continue
        is_last = last[row.node.step.span_id]
        branch = "" if row.depth == 0 else "└─ " if is_last else "├─ "
        yield _Drawn(indent + "".join(bars[1:]) + branch, _name(row.node), row.node)
        bars.append("   " if is_last else "│  ")


def _is_last(view: SessionView) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for root in view.roots:
        found[root.step.span_id] = True
        for node in root.walk():
            for child in node.children:
                found[child.step.span_id] = child is node.children[-1]
    return found


def _name(node: Node) -> str:
    step = node.step
    if step.kind != "call":
        name = title_of(step)
        return line(name if name.startswith(step.kind) or step.kind == "other" else f"{step.kind} {name}")
    what = "" if step.operation in (None, "chat") else f" {step.operation}"
    return line(f"{node.number or ''} {title_of(step)}{what}{' stream' if step.stream else ''}")


def _row(item: _Drawn, room: int) -> list[Piece]:
    step, totals = item.node.step, item.node.totals
    name = clip(item.name, max(room - width_of(item.lead), 4))
    pad = " " * max(room - width_of(item.lead) - width_of(name), 0)
    pieces: list[Piece] = [(item.lead, "dim"), (name + pad, "bold" if step.kind == "call" else "")]
    pieces.append((f"  {numbers.duration(step.duration_ns):>8}", ""))
    if totals.calls:
        pieces.append((f"  {numbers.tokens(totals.input_tokens, totals.output_tokens):>17}", "dim"))
        more = "+" if totals.cost_pico_usd is not None and totals.unpriced else ""
        pieces.append((f"  {numbers.cost(totals.cost_pico_usd) + more:>10}", ""))
    if item.node.mark != "ok":
        pieces.append((f"  {item.node.mark}", item.node.mark))
    if note := _note(step):
        pieces.append((f"  {note}", "dim"))
    if words := line(words_of(step)):
        pieces.append((f"  {words}", ""))
    return pieces


def _note(step: Step) -> str:
    notes = [f"first {numbers.duration(step.first_chunk_ns)}"] if step.first_chunk_ns is not None else []
    notes += [f"{step.attempts} attempts"] if step.attempts > 1 else []
    notes += [f"ended by {line(step.finish_reason)}"] if step.finish_reason and step.finish_reason not in USUAL_ENDS else []
    return "  ".join(notes)
