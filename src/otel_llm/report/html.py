"""One HTML file: totals on top, then each step with old and new side by side and the words that differ marked.

The file needs nothing else: no script, no font, no request; its policy forbids them. Whatever was captured stands in it as
text, escaped, with control characters shown. Its size is bounded: texts come cut, and beyond `MAX_PAIRS` steps those that are the
same go first; the page says how many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from otel_llm.report.lines import checks_text, counts_text, figures_of, name_of, remarks, score_text, status_text, verdict
from otel_llm.report.page import POLICY, STYLE
from otel_llm.text import numbers
from otel_llm.text.safe import json_text, line, safe
from otel_llm.values.comparison import Change, Comparison, Pair, TextDiff

MAX_PAIRS = 2_000
NOT_THERE = '<span class="none">this step is not there</span>'
MOST_OPEN = 30
"""Steps with differences that are shown open."""


def html(comparisons: Sequence[Comparison], *, title: str | None = None, summary: str = "") -> str:
    """The page, as text that is to be written in UTF-8. `summary` is HTML that stands before the comparisons."""
    title = title or (comparisons[0].title if len(comparisons) == 1 else f"{len(comparisons)} comparisons")
    head = (f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_(POLICY)}">\n<meta name="referrer" content="no-referrer">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{_(line(title))}</title>\n'
            f"<style>{STYLE}</style>\n</head>\n<body>\n")
    toggle = '<input type="checkbox" id="only"> <label class="filter" for="only">Only differences</label>\n<main>\n'
    body = (part for number, comparison in enumerate(comparisons, 1) for part in _comparison(comparison, number))
    foot = "</main>\n<footer>Made by otel-llm. This file holds recorded prompts and answers.</footer>\n</body>\n</html>\n"
    return "".join([head, toggle, summary, *body, foot])


def _comparison(comparison: Comparison, number: int) -> Iterator[str]:
    word, style = verdict(comparison)
    colour = {"ok": "good", "error": "bad"}.get(style, "not_compared")
    yield f'<header>\n<h1>{_(line(comparison.title))} <span class="badge {colour}">{_(word)}</span></h1>\n'
    yield from _totals(comparison)
    yield from (f'<p class="note">{_(line(note))}</p>\n' for note in comparison.notes)
    yield "</header>\n"
    shown, left_out = _shown(comparison)
    if left_out:
        yield f'<p class="note">{left_out:,} of {len(comparison.pairs):,} steps are left out of this page.</p>\n'
    is_open = len([pair for pair in shown if pair.status != "same"]) <= MOST_OPEN
    for side in range(1, len(comparison.sides)):
        labels = (comparison.sides[0].label, comparison.sides[side].label)
        if len(comparison.sides) > 2:
            yield f"<h2>{_(line(labels[0]))} → {_(line(labels[1]))}: {_(counts_text(comparison, side))}</h2>\n"
        for place, pair in enumerate(pair for pair in shown if pair.side == side):
            yield from _pair(comparison, pair, f"c{number}-{side}-{place + 1}", is_open=is_open)


def _shown(comparison: Comparison) -> tuple[Sequence[Pair], int]:
    """The steps that the page has, in their order, and how many it has not."""
    pairs = comparison.pairs
    if len(pairs) <= MAX_PAIRS:
        return pairs, 0
    telling = [place for place, pair in enumerate(pairs) if pair.status != "same" or not comparison.passes(pair)]
    rest = [place for place in range(len(pairs)) if place not in set(telling)] if len(telling) < MAX_PAIRS else []
    kept = sorted([*telling, *rest][:MAX_PAIRS])
    return [pairs[place] for place in kept], len(pairs) - len(kept)


def _totals(comparison: Comparison) -> Iterator[str]:
    names = ("", "session", "steps", "calls", "errors", "input tokens", "output tokens", "cost", "latency", "against the first")
    numeric = range(2, 9)
    yield '<div class="scroll"><table class="totals">\n<thead><tr>'
    yield "".join(f'<th{_number(i in numeric)} scope="col">{name}</th>' for i, name in enumerate(names))
    yield "</tr></thead>\n<tbody>\n"
    for place, side in enumerate(comparison.sides):
        cells = (
            line(side.label), line(side.session_id), numbers.count(side.steps), numbers.count(side.calls),
            numbers.count(side.errors), numbers.count(side.input_tokens), numbers.count(side.output_tokens),
            numbers.costs(side.cost_pico_usd, side.unpriced), numbers.duration(side.duration_ns),
            counts_text(comparison, place) if place else "")  # fmt: skip
        yield "<tr>" + "".join(f"<td{_number(i in numeric)}>{_(cell)}</td>" for i, cell in enumerate(cells)) + "</tr>\n"
    yield "</tbody></table></div>\n"


def _number(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _pair(comparison: Comparison, pair: Pair, anchor: str, *, is_open: bool) -> Iterator[str]:
    passes = comparison.passes(pair)
    fine = " fine" if pair.status == "same" and passes else ""
    opened = " open" if is_open and not fine else ""
    checks = checks_text(pair)
    failed = f'<span class="badge bad">{checks}</span>' if checks else ""
    yield (f'<details class="pair{fine}" id="{anchor}"{opened}>\n<summary><span class="badge {pair.status}">'
           f'{_(status_text(comparison, pair))}</span>{failed}<span class="name">{_(name_of(pair))}</span>'
           f'<span class="words">{_(line(pair.words))}</span></summary>\n<div class="inside">\n')
    if pair.note:
        yield f'<p class="{"failed-note" if pair.status == "failed" else "note"}">{_(line(pair.note))}</p>\n'
    if pair.text is not None:
        yield from _sides(comparison, pair, pair.text)
    yield from _changes("The answer besides its words" if pair.kind == "call" else "What it came to", pair.answer)
    yield from _scores(pair)
    yield from _changes("What was asked" if pair.kind == "call" else "What it was given", pair.request)
    yield from (f'<p class="note">{_(remark)}</p>\n' for remark in remarks(pair))
    yield from _figures(comparison, pair)
    yield "</div>\n</details>\n"


def _scores(pair: Pair) -> Iterator[str]:
    if not pair.scores:
        return
    yield '<h3>Checks</h3>\n<table><thead><tr><th scope="col">check</th><th scope="col">score</th><th scope="col">why</th></tr>' \
          "</thead>\n<tbody>\n"
    for name, score in pair.scores:
        said, style = score_text(score)
        colour = {"ok": "good", "error": "bad"}.get(style, "")
        yield (f'<tr><td><code>{_(line(name))}</code></td><td><span class="badge {colour}">{_(said)}</span></td>'
               f"<td>{_(line(score.explanation))}</td></tr>\n")
    yield "</tbody></table>\n"


def _sides(comparison: Comparison, pair: Pair, text: TextDiff) -> Iterator[str]:
    """The two texts beside each other; a text that is the same on both sides once."""
    labels = [line(side.label) for side in (comparison.sides[0], comparison.sides[pair.side])]
    if text.same:
        yield f"<h3>The answer, on both sides</h3>\n<pre>{_words(text, '=')}</pre>\n"
        return
    yield '<div class="sides">\n'
    for label, sign, absent in zip(labels, "-+", ("only_right", "only_left"), strict=True):
        shown = _words(text, sign) if pair.status != absent else ""
        empty = '<span class="none">no words</span>' if pair.status != absent else NOT_THERE
        yield f"<div><h3>{_(label)}</h3>\n<pre>{shown or empty}</pre></div>\n"
    yield "</div>\n"


def _words(text: TextDiff, sign: str) -> str:
    """One side of a text, what only it has marked."""
    tag = {"-": "del", "+": "ins"}.get(sign, "")
    parts = []
    for kind, words in text.words:
        if kind == "…":
            parts.append(f'<span class="cut">[… {_(words)} left out …]</span>')
        elif kind == "=":
            parts.append(_(safe(words)))
        elif kind == sign:
            parts.append(f"<{tag}>{_(safe(words))}</{tag}>")
    return "".join(parts)


def _changes(title: str, changes: Sequence[Change]) -> Iterator[str]:
    if not changes:
        return
    yield f'<h3>{title}</h3>\n<table class="changes"><thead><tr><th scope="col">field</th><th scope="col">old</th>'
    yield '<th scope="col">new</th></tr></thead>\n<tbody>\n'
    for change in changes:
        old, new = (_value(change, sign) for sign in "-+")
        cut = f' <span class="cut">{change.left_out:,} characters left out</span>' if change.left_out else ""
        yield f"<tr><td><code>{_(line(change.path) or 'all of it')}</code>{cut}</td><td>{old}</td><td>{new}</td></tr>\n"
    yield "</tbody></table>\n"


def _value(change: Change, sign: str) -> str:
    if change.change == ("added" if sign == "-" else "removed"):
        return '<span class="none">not there</span>'
    if change.text is not None:
        return f"<code>{_words(change.text, sign)}</code>"
    value: Any = change.old if sign == "-" else change.new
    tag = "del" if sign == "-" else "ins"
    return f"<code><{tag}>{_(safe(value) if isinstance(value, str) else json_text(value))}</{tag}></code>"


def _figures(comparison: Comparison, pair: Pair) -> Iterator[str]:
    found = figures_of(pair)
    if not found:
        return
    titles = "".join(f'<th scope="col">{title}</th>' for title, _old, _new in found)
    yield '<h3>Figures</h3>\n<div class="scroll"><table class="figures"><thead><tr><th scope="col"></th>'
    yield f'{titles}<th scope="col">recorded as</th></tr></thead>\n<tbody>\n'
    for ref, side, place in ((pair.left, 0, 1), (pair.right, pair.side, 2)):
        if ref is not None:
            cells = "".join(f"<td>{_(figure[place])}</td>" for figure in found) + f"<td><code>{_(ref.span_id)}</code></td>"
            yield f'<tr><th scope="row">{_(line(comparison.sides[side].label))}</th>{cells}</tr>\n'
    yield "</tbody></table></div>\n"


def _(text: str) -> str:
    return escape(text, quote=True)
