"""A comparison as lines: totals, then step by step what is the same and what is not.

    sess-a and its replay sess-b  different
    recorded  sess-a
      5 calls · 812 → 44 tok · $0.00031 · 2.31 s
    replay  sess-b  4 same, 1 different
      5 calls · 812 → 50 tok · $0.00034 · 2.60 s

    = 1 gpt-4o-mini  Where is my order 4711?
    ≠ 2 gpt-4o-mini  different  check failed  Can you deliver it?
        asked model: [-gpt-4o-mini-] {+gpt-4.1+}
        It left on [-Monday-]{+Friday+}.
        latency       640 ms → 512 ms
        check similarity>=0.9  0.83 failed

Long runs of steps that are the same are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from otel_llm.report.diff_lines import FIGURES, text_lines
from otel_llm.text import numbers
from otel_llm.text.lines import Line, Piece, cut, width_of
from otel_llm.text.safe import json_text, line
from otel_llm.values.comparison import Change, Comparison, Pair, Side, Status, TextDiff
from otel_llm.values.evaluation import Score

MARKS: dict[Status, str] = {
    "same": "=", "different": "≠", "failed": "✗", "only_left": "-", "only_right": "+", "not_compared": "?"}  # fmt: skip
STYLES: dict[Status, str] = {
    "same": "dim", "different": "recovered", "failed": "error", "only_left": "removed", "only_right": "added",
    "not_compared": "dim"}  # fmt: skip
VERDICTS = {0: ("same", "ok"), 1: ("different", "error"), 3: ("not comparable", "recovered")}
MOST_SAME = 6
"""Steps that are the same, one after the other, which are listed; of more only the first and the last."""
DETAIL = "    "
"""In front of what stands below a step."""
_WORDS = re.compile(r"\S+\s*|\s+")
MOST_VALUE = 160
"""Characters of a changed value in a line."""


def comparison_lines(comparison: Comparison, *, color: bool, width: int | None = None) -> Iterator[Line]:
    """All of a comparison. With a width the head of each step is cut to it, and everything else is wrapped."""
    for pieces in _top_lines(comparison):
        yield from [pieces] if width is None else wrapped(pieces, width, "  ")
    for number in range(1, len(comparison.sides)):
        yield []
        if len(comparison.sides) > 2:
            yield [(f"{line(comparison.sides[0].label)} → {line(comparison.sides[number].label)}", "user")]
        for pieces, is_head in _side_lines(comparison, number, color=color):
            if width is None:
                yield pieces
            elif is_head:
                yield cut(pieces, width)
            else:
                yield from wrapped(pieces, width, DETAIL)


def _top_lines(comparison: Comparison) -> Iterator[Line]:
    yield [(line(comparison.title), "bold"), ("  ", ""), verdict(comparison)]
    for number, side in enumerate(comparison.sides):
        counts = f"  {counts_text(comparison, number)}" if number else ""
        yield [(line(side.label), "bold"), (f"  {line(side.session_id)}", "id"), (counts, "")]
        yield [(f"  {totals_text(side)}", "dim")]
    for note in comparison.notes:
        yield [(line(note), "dim")]


def _side_lines(comparison: Comparison, number: int, *, color: bool) -> Iterator[tuple[Line, bool]]:
    """The steps of one side, and whether each line is the head of one."""
    run: list[Pair] = []
    for pair in [*comparison.pairs_of(number), None]:
        if pair is not None and pair.status == "same" and comparison.passes(pair):
            run.append(pair)
            continue
        for same in run if len(run) <= MOST_SAME else [run[0], None, run[-1]]:
            if same is None:
                yield [(f"… {len(run) - 2:,} more steps, all the same", "dim")], True
            else:
                yield from _pair_lines(comparison, same, color=color)
        run = []
        if pair is not None:
            yield from _pair_lines(comparison, pair, color=color)


def _pair_lines(comparison: Comparison, pair: Pair, *, color: bool) -> Iterator[tuple[Line, bool]]:
    """One step: a line when it is the same, with all that differs below it otherwise."""
    is_same, style = pair.status == "same", STYLES[pair.status]
    checks = checks_text(pair)
    head = [(f"{MARKS[pair.status]} ", style), (name_of(pair), "" if is_same else "bold"),
            ("" if is_same else f"  {status_text(comparison, pair)}", style), (f"  {checks}" if checks else "", "error"),
            (f"  {line(pair.words)}" if pair.words else "", "dim")]
    yield [piece for piece in head if piece[0]], True
    details = [] if is_same else detail_lines(pair, color=color)
    for detail in [*details, *(score_line(name, score) for name, score in pair.scores)]:
        yield [(DETAIL, ""), *detail], False


def detail_lines(pair: Pair, *, color: bool) -> Iterator[Line]:
    """What differs in a pair: why, what was asked, what came back, the figures."""
    if pair.note:
        yield [(line(pair.note), "error" if pair.status == "failed" else "dim")]
    for change in pair.request:
        yield from _change_lines("asked ", change, color=color)
    for remark in remarks(pair):
        yield [(remark, "dim")]
    if pair.text is not None and (not pair.text.same or not pair.is_matched):
        yield from words_lines(pair.text, color=color)
    for change in pair.answer:
        yield from _change_lines("", change, color=color)
    for title, old, new in figures_of(pair):
        if pair.is_matched and old != new:
            yield [(f"{title:<13} ", "dim"), (f"{old} → {new}", "")]


def remarks(pair: Pair) -> list[str]:
    """What is counted and not shown."""
    counts = ((pair.repeated, "difference", " that an earlier step has"), (pair.ids, "id", " made up for one run"),
              (pair.left_out, "more field", ""))
    parts = [f"{numbers.plural(count, noun)}{rest}" for count, noun, rest in counts if count]
    return [f"not shown: {', '.join(parts)}"] if parts else []


def words_lines(text: TextDiff, *, color: bool) -> Iterator[Line]:
    """The words of a difference; what is left out is named."""
    runs = [("=", f" [… {words} left out …] ") if sign == "…" else (sign, words) for sign, words in text.words]
    for found in text_lines(runs, color=color):
        yield list(found)[1:] if found and not found[0][0].strip() else found


def _change_lines(before: str, change: Change, *, color: bool) -> Iterator[Line]:
    path = line(change.path) or "all of it"
    if change.text is not None:
        yield [(f"{before}{path}:", "dim")]
        for found in words_lines(change.text, color=color):
            yield [("  ", ""), *found]
        return
    old, new = value_text(change.old), value_text(change.new)
    pieces: list[tuple[str, str]] = [(f"{before}{path}: ", "dim")]
    if change.change != "added":
        pieces.append((old if color else f"[-{old}-]", "removed"))
    if change.change == "changed":
        pieces.append((" ", ""))
    if change.change != "removed":
        pieces.append((new if color else f"{{+{new}+}}", "added"))
    yield [*pieces, (f" ({change.left_out:,} characters left out)" if change.left_out else "", "dim")]


def value_text(value: Any, most: int = MOST_VALUE) -> str:
    """A JSON value in one line; text without quotes."""
    text = line(value if isinstance(value, str) else json_text(value))
    return text if len(text) <= most else text[:most] + "…"


def checks_text(pair: Pair) -> str:
    """`check failed` when one went against the answer, `check undecided` when one could not do its work, else nothing."""
    scores = [score for _, score in pair.scores]
    if any(score.passed is False for score in scores):
        return "check failed"
    return "check undecided" if any(score.is_undecided for score in scores) else ""


def score_line(name: str, score: Score) -> Line:
    """What a check said."""
    said, style = score_text(score)
    pieces = [("check ", "dim"), (line(name), "bold"), (f"  {said}", style)]
    return [*pieces, (f"  {line(score.explanation)}", "dim")] if score.explanation else pieces


def score_text(score: Score) -> tuple[str, str]:
    """A score in words, and the style of them: `0.83 failed`, `passed`, `undecided`."""
    value = "" if score.value is None else f"{score.value:g}" if not isinstance(score.value, bool) else str(score.value).lower()
    word, style = {True: ("passed", "ok"), False: ("failed", "error"), None: ("", "")}[score.passed]
    if score.is_undecided:
        return "undecided", "error"
    return " ".join(filter(None, (value, word))), style


def figures_of(pair: Pair) -> list[tuple[str, str, str]]:
    """(title, old, new) of each figure that is known on a side."""
    found = []
    for name, title, show in FIGURES:
        figure = pair.figures.get(name)
        if figure is not None:
            old, new = (numbers.UNKNOWN if value is None else line(show(value)) for value in (figure.old, figure.new))
            found.append((title, old, new))
    return found


def name_of(pair: Pair) -> str:
    """A step in two or three words: `2 gpt-4o-mini`, `tool lookup_order`."""
    label = line(pair.label)
    if pair.kind == "call":
        return f"{pair.number or ''} {label}".strip()
    return label if label.startswith(pair.kind) or pair.kind == "other" else f"{pair.kind} {label}"


def status_text(comparison: Comparison, pair: Pair) -> str:
    """The status in words: `only in A`."""
    sides = {"only_left": 0, "only_right": pair.side}
    if pair.status in sides:
        return f"only in {line(comparison.sides[sides[pair.status]].label)}"
    return pair.status.replace("_", " ")


def verdict(comparison: Comparison) -> tuple[str, str]:
    """What it all came to, and the style of that word."""
    word, style = VERDICTS[comparison.exit_code]
    if comparison.exit_code == 0 and any(pair.status != "same" for pair in comparison.pairs):
        return "checks passed", style
    if comparison.exit_code == 1 and all(pair.status == "same" for pair in comparison.pairs):
        has_failed = any(score.passed is False for pair in comparison.pairs for _, score in pair.scores)
        return "checks failed" if has_failed else "checks undecided", style
    return word, style


def counts_text(comparison: Comparison, side: int) -> str:
    """`4 same, 1 different, 1 only in A`."""
    alone = {"only_left": 0, "only_right": side}
    words = {status: f"only in {line(comparison.sides[place].label)}" for status, place in alone.items()}
    counts = comparison.counts(side)
    parts = [f"{count:,} {words.get(status, status.replace('_', ' '))}" for status, count in counts.items()]
    scores = [score for pair in comparison.pairs_of(side) for _, score in pair.scores]
    failed, undecided = sum(score.passed is False for score in scores), sum(score.is_undecided for score in scores)
    parts += [numbers.plural(failed, "failed check")] if failed else []
    parts += [numbers.plural(undecided, "undecided check")] if undecided else []
    return ", ".join(parts) or "no steps"


def totals_text(side: Side) -> str:
    """`5 calls · 812 → 44 tok · $0.00031 · 2.31 s`."""
    parts = [numbers.plural(side.calls, "call")]
    parts += [numbers.plural(side.errors, "error")] if side.errors else []
    parts += [numbers.tokens(side.input_tokens, side.output_tokens), numbers.costs(side.cost_pico_usd, side.unpriced)]
    return " · ".join([*parts, numbers.duration(side.duration_ns)])


def wrapped(pieces: Line, width: int, indent: str) -> Iterator[Line]:
    """A line as lines of at most so many columns, broken between words where there are any; all but the first are indented."""
    current: list[Piece] = []
    room, is_fresh = width, True
    for text, style in pieces:
        for word in _WORDS.findall(text):
            while width_of(word.rstrip()) > room:
                part = _head(word, room) if is_fresh else ""
                yield [*current, (part, style)] if part else current
                current, room, is_fresh, word = [(indent, "")], width - len(indent), True, word[len(part) :].lstrip()
            current.append((word, style))
            room -= width_of(word)
            is_fresh = is_fresh and not word.strip()
    yield current


def _head(word: str, room: int) -> str:
    """As many characters as there is room for, at least one."""
    length = min(len(word), room)
    while length > 1 and width_of(word[:length]) > room:
        length -= 1
    return word[: max(length, 1)]


def plain(lines: Iterable[Line]) -> str:
    """Lines as text without colour."""
    return "\n".join("".join(text for text, _ in pieces).rstrip() for pieces in lines)


def pair_text(pair: Pair, most: int) -> str:
    """What differs in a pair as text, at most so many characters and a remark."""
    scores: Sequence[Line] = [score_line(name, score) for name, score in pair.scores]
    whole = plain([*detail_lines(pair, color=False), *scores])
    return whole if len(whole) <= most else f"{whole[:most]}\n[… {len(whole) - most:,} characters left out …]"
