"""The tree of a session as lines: a head with its totals, then turns and steps.

    sess-3f9a  Where is my order 4411?  recovered
    2 turns · 3 calls · 812 → 44 tok · $0.00031 · 2.31 s · gpt-5-mini · user ada

    1 Where is my order 4411?
      agent support               +0 ms  1.20 s  812 → 44 tok  $0.00031
      ├─ 1 gpt-5-mini             +2 ms  640 ms  400 → 21 tok  $0.00016  asks lookup_order
      ├─ tool lookup_order      +645 ms    2 ms
      └─ 2 gpt-5-mini stream    +650 ms  520 ms  412 → 23 tok  $0.00015  first 120 ms  It left on …

The figures stand in columns: when a step began, counted from the beginning of the session, how long it took, tokens, cost, and
a state that is not `ok`. On a narrow terminal the beginning goes first, then the tokens, then names become shorter and words are
cut; cost and state stay longest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from otel_llm.cli.look.rows import state_text, tags_text, title_of, words_of
from otel_llm.replay.view import Node, SessionView, is_failed
from otel_llm.text import numbers
from otel_llm.text.lines import Line, Piece, clip, width_of
from otel_llm.text.safe import line
from otel_llm.values.session import Step

MOST_NAME = 44
"""Columns that the names of the tree may take before the figures begin."""
LEAST_NAME = 14
LEAST_WORDS = 16
"""What names and words keep while there are figures that can go instead."""

UNNAMED = "unknown_service"
"""What the SDK calls a service that nobody named."""
USUAL_ENDS = frozenset({"stop", "tool_call", "tool_calls"})

FIGURES = ("offset", "took", "tokens", "cost", "mark")
"""The columns behind the name, from left to right."""


def head_lines(view: SessionView, width: int | None = None) -> Iterator[Line]:
    """What the session or the trace is, and what it comes to."""
    session, totals = view.session, view.totals
    if session is not None and view.trace_id is not None:
        yield [("trace ", "dim"), (view.trace_id, "id"), ("  of ", "dim"), (line(session.session_id), "id"), ("  ", ""),
               (session.status, session.status)]
    elif session is not None:
        name, title = line(session.session_id), line(session.title)
        if width is not None:
            name = clip(name, max(width - width_of(session.status) - 2, 4))
            title = clip(title, max(width - width_of(name) - width_of(session.status) - 4, 0))
        yield [(name, "id"), ("  ", ""), *([(title, "bold"), ("  ", "")] if title else []), (session.status, session.status)]
    parts = [numbers.plural(session.turns, "turn")] if session is not None else []
    parts += [numbers.plural(totals.calls, "call")]
    parts += [numbers.plural(totals.errors, "error")] if totals.errors else []
    parts += [numbers.tokens(totals.input_tokens, totals.output_tokens), numbers.costs(totals.cost_pico_usd, totals.unpriced)]
    if session is not None:
        parts += [numbers.duration(session.last_ns - session.first_ns), *map(line, session.models)]
        parts += [f"user {line(session.user_id)}"] if session.user_id else []
        parts += [line(tags_text(session.tags))] if session.tags else []
        parts += [f"service {line(session.service)}"] if session.service and not session.service.startswith(UNNAMED) else []
    yield from ([(text, "")] for text in _wrapped(parts, width))
    if session is not None:
        is_found = session.inferred and len({node.step.trace_id for root in view.roots for node in root.walk()}) > 1
        how = "  found by the history of its calls" if is_found else ""
        yield [(numbers.clock(session.first_ns) + how, "dim")]
        if session.replay_of:
            yield [("replay of ", "dim"), (line(session.replay_of), "id")]
    yield []


def _wrapped(parts: Iterable[str], width: int | None) -> list[str]:
    """The parts in a line, or in several where they do not fit."""
    lines: list[str] = []
    for part in parts:
        if lines and (width is None or width_of(lines[-1]) + width_of(part) + 3 <= width):
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return lines


@dataclass(frozen=True, slots=True)
class _Drawn:
    """One line of the tree before its columns are set."""

    lead: str
    name: str
    node: Node


def tree_lines(view: SessionView, width: int | None) -> Iterator[Line]:
    """Turns and steps. With a width, names are clipped so that the figures of all lines stand in columns."""
    drawn = list(_drawn(view))
    nodes = [item.node for item in drawn if isinstance(item, _Drawn)]
    start_ns = min((node.step.start_ns for node in nodes), default=0)
    if view.session is not None:
        start_ns = min(start_ns, view.session.first_ns)
    marks = _marks(view)
    cells = {node.step.span_id: _cells(node, start_ns, marks[node.step.span_id]) for node in nodes}
    widths = {name: max((width_of(row[name]) for row in cells.values()), default=0) for name in FIGURES}
    names = max((width_of(item.lead + item.name) for item in drawn if isinstance(item, _Drawn)), default=0)
    kept, room = fit(widths, min(names, MOST_NAME), width, has_words=any(words_of(node.step) for node in nodes))
    for item in drawn:
        if isinstance(item, _Drawn):
            yield _row(item, cells[item.node.step.span_id], {name: widths[name] for name in kept}, room, is_cut=width is not None)
        else:
            yield item


def fit(widths: Mapping[str, int], natural: int, width: int | None, *, has_words: bool) -> tuple[list[str], int]:
    """The figures that stay, and the columns that the names get."""
    kept = [name for name in FIGURES if widths[name]]
    if width is None:
        return kept, natural
    words = LEAST_WORDS + 2 if has_words else 0
    least = min(natural, LEAST_NAME)
    for name, wanted in (("offset", natural + words), ("tokens", least + words), ("took", least), ("cost", least)):
        if name in kept and wanted + _taken(kept, widths) > width:
            kept.remove(name)
    left = width - _taken(kept, widths)
    return kept, max(min(natural, left - words), min(least, left), 4)


def _taken(kept: Sequence[str], widths: Mapping[str, int]) -> int:
    return sum(widths[name] + 2 for name in kept)


def _marks(view: SessionView) -> dict[str, str]:
    """What is said of each step's state: its own, or `recovered` when the step is fine and something inside it failed."""
    marks: dict[str, str] = {}
    troubled: set[str] = set()
    for root in view.roots:
        for node in reversed(list(root.walk())):
            step = node.step
            has_trouble = any(child.step.span_id in troubled for child in node.children)
            if has_trouble or is_failed(step):
                troubled.add(step.span_id)
            marks[step.span_id] = "recovered" if has_trouble and step.state == "ok" else state_text(step)
    return marks


def _cells(node: Node, start_ns: int, mark: str) -> dict[str, str]:
    """The figures of a step; empty where there is nothing to say."""
    step, totals = node.step, node.totals
    more = "+" if totals.cost_pico_usd is not None and totals.unpriced else ""
    return {
        "offset": numbers.offset(step.start_ns - start_ns),
        "took": numbers.duration(step.duration_ns),
        "tokens": numbers.tokens(totals.input_tokens, totals.output_tokens) if totals.calls else "",
        "cost": numbers.cost(totals.cost_pico_usd) + more if totals.calls else "",
        "mark": "" if mark == "ok" else mark,
    }


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


def _row(item: _Drawn, cells: Mapping[str, str], widths: Mapping[str, int], room: int, *, is_cut: bool) -> list[Piece]:
    step, lead = item.node.step, item.lead
    if is_cut and width_of(lead) > room - 4:
        lead = "…" + lead[len(lead) - max(room - 5, 0) :]
    name = clip(item.name, max(room - width_of(lead), 4))
    pad = " " * max(room - width_of(lead) - width_of(name), 0)
    pieces: list[Piece] = [(lead, "dim"), (name + pad, "bold" if step.kind == "call" else "")]
    for column, width in widths.items():
        space = " " * (width - width_of(cells[column]))
        text = cells[column] + space if column == "mark" else space + cells[column]
        pieces.append((f"  {text}", cells[column] if column == "mark" else _STYLES.get(column, "")))
    if note := _note(step):
        pieces.append((f"  {note}", "dim"))
    if words := line(words_of(step)):
        pieces.append((f"  {words}", ""))
    return _without_end(pieces)


_STYLES = {"offset": "dim", "tokens": "dim"}


def _without_end(pieces: list[Piece]) -> list[Piece]:
    """The line without the spaces at its end."""
    while len(pieces) > 1 and not pieces[-1][0].strip():
        pieces.pop()
    return [*pieces[:-1], (pieces[-1][0].rstrip(), pieces[-1][1])]


def _note(step: Step) -> str:
    notes = [f"first {numbers.duration(step.first_chunk_ns)}"] if step.first_chunk_ns is not None else []
    notes += [f"{step.attempts} attempts"] if step.attempts > 1 else []
    notes += [f"ended by {line(step.finish_reason)}"] if step.finish_reason and step.finish_reason not in USUAL_ENDS else []
    return "  ".join(notes)
