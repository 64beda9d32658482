"""Comparisons in which everything captured tries to be something else than text."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from otel_llm.values.comparison import Change, Comparison, Figure, Pair, Side, StepRef, TextDiff
from otel_llm.values.evaluation import Score

HOSTILE = ("<script>alert(1)</script>", "</pre></details><img src=x onerror=alert(1)>", "]]>", "&lt;&#x41;", "\"' onload='x",
           "\x1b[31m\x07\x00", "\u202egnp.exe", "\ud800\ufffe\uffff", "\n::error::owned", "##[error]x", "%0A%25,:", "\r\n\t", "a\x85b")
text = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20))
signs: Any = st.sampled_from(["=", "-", "+"])
diffs = st.builds(TextDiff, st.lists(st.tuples(signs, text), max_size=3).map(tuple), st.booleans(), st.integers(0, 9))
values = st.one_of(st.none(), text, st.integers(), st.dictionaries(text, text, max_size=2))
changes = st.lists(st.builds(Change, text, values, values, st.sampled_from(["changed", "added", "removed"]),
                             st.none() | diffs, st.integers(0, 9)), max_size=2).map(tuple)
refs = st.none() | st.builds(StepRef, text, st.just("a" * 16), st.none() | st.integers(1, 9))
figures = st.dictionaries(st.sampled_from(["error_type", "model", "finish_reason"]),
                          st.builds(Figure, st.none() | text, st.none() | text), max_size=2)
scores = st.lists(st.tuples(text, st.builds(Score, st.none() | st.booleans() | st.floats(0, 1), st.none() | st.booleans(), text)),
                  max_size=2).map(tuple)
pairs = st.builds(
    Pair, st.sampled_from(["same", "different", "failed", "only_left", "only_right", "not_compared"]),
    st.sampled_from(["call", "tool", "other"]), text, refs, refs, st.just(1), text, text, st.none() | diffs, changes, changes,
    st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), figures, scores)
sides = st.builds(Side, text, text, st.none() | st.just(1_740_924_187_000_000_000), st.integers(0, 9), st.integers(0, 9))
comparisons = st.builds(
    Comparison, text, st.tuples(sides, sides), st.lists(pairs, max_size=3).map(tuple), st.lists(text, max_size=2).map(tuple),
    st.sampled_from(["difference", "checks"]), st.none() | text)


def comparison(**fields: Any) -> Comparison:
    """A small comparison of every kind of pair."""
    left, right = StepRef("sess-a", "a" * 16, 1), StepRef("sess-b", "b" * 16, 1)
    words = TextDiff((("=", "It left on "), ("-", "Monday"), ("+", "Friday"), ("=", ".")), False)
    tokens = {"output_tokens": Figure(5, 7), "duration_ns": Figure(640_000_000, 512_000_000)}
    given: dict[str, Any] = {
        "title": "sess-a and its replay sess-b",
        "sides": (Side("sess-a", "recorded", 1_740_924_187_000_000_000, 4, 3, 0, 30, 15, 13_500_000, 0, 1_920_000_000),
                  Side("sess-b", "replay", 1_740_924_287_000_000_000, 4, 3, 1, 20, 12, 9_000_000, 1, 1_500_000_000)),
        "pairs": (
            Pair("same", "call", "gpt-4o-mini", left, right, words="Hello", text=TextDiff((("=", "Hi."),)), figures=tokens),
            Pair("different", "call", "gpt-4o-mini", left, right, words="Where is it?", text=words, figures=tokens,
                 answer=(Change("tool_calls.find.q", "x", "y"),), request=(Change("model", "gpt-4o-mini", "gpt-4.1"),), repeated=2,
                 scores=(("similarity>=0.9", Score(0.8, False)), ("exact", Score(passed=False, explanation="the texts differ")))),
            Pair("failed", "call", "gpt-4o-mini", left, right, words="Thanks", note="RateLimitError: slow down",
                 figures={"status": Figure(200, 429)}),
            Pair("only_left", "tool", "lookup", left, words="{}"),
            Pair("not_compared", "call", "gpt-4o-mini", left, right, note="not recorded")),
        "notes": ("1 step was left out.",)}
    return Comparison(**{**given, **fields})
