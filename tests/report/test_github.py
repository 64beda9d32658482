"""Workflow commands of GitHub: one line each, and nothing captured becomes a command."""

from __future__ import annotations

import re

from hypothesis import given, settings

from otel_llm.report.github import MAX_ANNOTATIONS, command, github, stopped
from otel_llm.text.safe import safe
from otel_llm.values.comparison import Comparison, Pair
from report.hostile import comparison, comparisons, text


def unescaped(value: str) -> str:
    for code, character in (("%3A", ":"), ("%2C", ","), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        value = value.replace(code, character)
    return value


@given(text, text)
def test_a_command_holds_any_text_in_one_line(title: str, message: str) -> None:
    made = command("error", message, {"title": title, "file": None})

    head, _, rest = made.removeprefix("::error title=").partition("::")
    assert "\n" not in made and "\r" not in made
    assert "," not in head and ":" not in head
    assert (unescaped(head), unescaped(rest)) == (safe(title), safe(message))


@settings(deadline=None, max_examples=60)
@given(comparisons)
def test_each_line_is_one_command(some: Comparison) -> None:
    lines = list(github([some]))

    assert all(re.match(r"::(error|warning|notice)( (file|title)=[^:,\n]*(,(file|title)=[^:,\n]*)*)?::[^\n\r]*$", line) for line in lines)
    assert len(lines) == 1 + sum(not some.passes(pair) for pair in some.pairs)


def test_the_whole_output() -> None:
    lines = list(github([comparison(source="suites/a,b.yaml")]))

    assert lines[1:] == [
        "::error file=suites/a%2Cb.yaml,title=1 gpt-4o-mini Thanks::failed: RateLimitError: slow down"
        "%0Astatus        200 → 429",
        "::error file=suites/a%2Cb.yaml,title=tool lookup {}::only in recorded",
        "::warning file=suites/a%2Cb.yaml,title=1 gpt-4o-mini::not compared: not recorded",
        "::error file=suites/a%2Cb.yaml,title=sess-a and its replay sess-b::different: 1 same, 1 different, 1 failed, 1 only in "
        "recorded, 1 not compared, 2 failed checks."]
    assert lines[0].startswith("::error file=suites/a%2Cb.yaml,title=1 gpt-4o-mini Where is it?::different; check similarity>=0.9: "
                               "0.8 failed; check exact: failed (the texts differ)%0Aasked model: ")


def test_what_is_the_same_is_one_notice() -> None:
    assert list(github([comparison(pairs=(Pair("same", "call", "m"),), title="a:b")])) == ["::notice title=a%3Ab::same: 1 same."]


def test_more_errors_than_github_shows_are_counted() -> None:
    lines = list(github([comparison(pairs=(Pair("different", "call", "m"),) * 25)]))

    assert len(lines) == MAX_ANNOTATIONS + 1
    assert lines[-1].endswith("15 more of them have no annotation.")


def test_the_word_that_ends_a_stop_cannot_be_guessed() -> None:
    begin, end = stopped()

    word = begin.removeprefix("::stop-commands::")
    assert re.fullmatch("[0-9a-f]{32}", word)
    assert end == f"::{word}::"
    assert stopped() != (begin, end)
