"""The report at a terminal: no wider than it, nothing in it is obeyed, long stretches of sameness are counted."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from otel_llm.report.lines import comparison_lines, plain, wrapped
from otel_llm.values.comparison import Comparison, Pair
from otel_llm.values.evaluation import Score
from report.hostile import comparison, comparisons


def test_the_whole_report() -> None:
    assert plain(comparison_lines(comparison(), color=False)) == """\
sess-a and its replay sess-b  different
recorded  sess-a
  3 calls · 30 → 15 tok · $0.000014 · 1.92 s
replay  sess-b  1 same, 1 different, 1 failed, 1 only in recorded, 1 not compared, 2 failed checks
  3 calls · 1 error · 20 → 12 tok · $0.0000090 + 1 call of unknown cost · 1.50 s
1 step was left out.

= 1 gpt-4o-mini  Hello
≠ 1 gpt-4o-mini  different  check failed  Where is it?
    asked model: [-gpt-4o-mini-] {+gpt-4.1+}
    not shown: 2 differences that an earlier step has
    It left on [-Monday-]{+Friday+}.
    tool_calls.find.q: [-x-] {+y+}
    output tokens 5 → 7
    latency       640 ms → 512 ms
    check similarity>=0.9  0.8 failed
    check exact  failed  the texts differ
✗ 1 gpt-4o-mini  failed  Thanks
    RateLimitError: slow down
    status        200 → 429
- tool lookup  only in recorded  {}
? 1 gpt-4o-mini  not compared
    not recorded"""


def test_with_colour_there_are_no_marks() -> None:
    lines = [list(line) for line in comparison_lines(comparison(), color=True)]

    changed = next(line for line in lines if ("Monday", "removed") in line)
    assert ("Friday", "added") in changed


@settings(deadline=None, max_examples=60)
@given(comparisons, st.integers(20, 100))
def test_on_a_terminal_every_step_fits_and_nothing_is_obeyed(some: Comparison, width: int) -> None:
    lines = list(comparison_lines(some, color=False, width=width))

    shown = ["".join(text for text, _ in line) for line in lines]
    assert [line for line in shown if cell_len(line.rstrip()) > width] == []
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", "".join(shown))


def test_a_long_stretch_that_is_the_same_is_counted() -> None:
    pairs = tuple(Pair("same", "call", "m", words=f"question {n}") for n in range(1000))

    text = plain(comparison_lines(comparison(pairs=pairs), color=False))

    assert text.splitlines()[-3:] == ["= m  question 0", "… 998 more steps, all the same", "= m  question 999"]


def test_a_check_that_could_not_decide_is_no_pass() -> None:
    pair = Pair("same", "call", "m", scores=(("judge=x", Score(explanation="the judge gave no answer")),))
    some = comparison(pairs=(pair,))

    text = plain(comparison_lines(some, color=False))

    assert some.exit_code == 1
    assert text.startswith("sess-a and its replay sess-b  checks undecided\n")
    assert text.endswith("= m  check undecided\n    check judge=x  undecided  the judge gave no answer")


@given(st.lists(st.tuples(st.text(), st.just("")), max_size=4), st.integers(5, 30))
def test_wrapping_loses_no_letter(pieces: list[tuple[str, str]], width: int) -> None:
    lines = ["".join(text for text, _ in line) for line in wrapped(pieces, width, "  ")]

    assert "".join("".join(lines).split()) == "".join("".join(text for text, _ in pieces).split())
    assert [line for line in lines if cell_len(line.rstrip()) > max(width, 2)] == []
