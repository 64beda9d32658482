"""One formatter for figures, and captured text that is shown and never obeyed."""

from __future__ import annotations

import json
import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from cli.terminal import NOW
from otel_llm.cli.filters import read_time, read_usd
from otel_llm.text import numbers
from otel_llm.text.lines import clip, cut
from otel_llm.text.safe import json_text, line, safe
from otel_llm.text.table import Column, aligned, tab_separated
from otel_llm.values.errors import ConfigError

S = 10**9


@pytest.mark.parametrize(("ns", "shown"), [
    (None, "–"), (0, "0 ms"), (1, "<0.1 ms"), (400_000, "0.4 ms"), (9_949_999, "9.9 ms"), (9_950_000, "10 ms"),
    (640_000_000, "640 ms"), (999_499_999, "999 ms"), (999_500_000, "1.00 s"), (1_234_000_000, "1.23 s"), (9_995_000_000,
    "10.0 s"), (65 * S, "65.0 s"),
    (119_940_000_000, "119.9 s"), (119_960_000_000, "2 m 00 s"), (125 * S, "2 m 05 s"), (3600 * S, "1 h 00 m"),
    (3 * 86_400 * S, "3 d 0 h")])
def test_durations(ns: int | None, shown: str) -> None:
    assert numbers.duration(ns) == shown


@pytest.mark.parametrize(("pico", "shown"), [
    (None, "–"), (0, "$0"), (1, "$0.0000000000010"), (34_000_000, "$0.000034"), (34_400_000, "$0.000034"),
    (99_600_000, "$0.00010"), (120 * 10**9, "$0.12"), (994 * 10**9, "$0.99"), (996 * 10**9, "$1.00"), (10**12, "$1.00"),
    (1_050 * 10**9, "$1.05"),
    (123_450 * 10**9, "$123.45"), (1_234_560 * 10**9, "$1,234.56")])
def test_costs(pico: int | None, shown: str) -> None:
    assert numbers.cost(pico) == shown


@given(st.integers(1, 10**18))
def test_a_cost_is_never_shown_as_nothing_and_is_right_to_two_digits(pico: int) -> None:
    shown = Decimal(numbers.cost(pico).removeprefix("$").replace(",", ""))

    exact = Decimal(pico) / 10**12
    assert shown > 0
    assert abs(shown - exact) <= max(exact * Decimal("0.05"), Decimal(0)) if exact < 1 else abs(shown - exact) <= Decimal("0.005")


@given(st.integers(0, 10**18))
def test_an_exact_cost_is_exact(pico: int) -> None:
    assert int(Decimal(numbers.cost_exact(pico)) * 10**12) == pico
    assert read_usd(numbers.cost_exact(pico), "--min-cost") == pico


def test_counts_sizes_and_words() -> None:
    assert [numbers.count(None), numbers.count(0), numbers.count(1204)] == ["–", "0", "1,204"]
    assert [numbers.size(n) for n in (None, 812, 1_230, 34_000_000)] == ["–", "812 B", "1.2 kB", "34 MB"]
    assert [numbers.plural(1, "call"), numbers.plural(0, "call")] == ["1 call", "0 calls"]
    assert numbers.costs(None, 2) == "– + 2 calls of unknown cost"


def test_times_are_so_long_ago_or_a_date() -> None:
    assert read_time("2h", NOW, "--since") == NOW - 7200 * S
    assert read_time("1.5d", NOW, "--since") == NOW - 129_600 * S
    assert read_time("2025-03-02T14:03:07Z", NOW, "--since") == 1_740_924_187 * S
    for wrong in ("", "2", "h", "-2h", "2025-13-01", "99999999-01-01"):
        with pytest.raises(ConfigError):
            read_time(wrong, NOW, "--since")


# ---- text -------------------------------------------------------------------------------------------------------------


@given(st.text())
def test_nothing_that_a_terminal_obeys_gets_through(text: str) -> None:
    for shown in (safe(text), line(text), json_text({"k": [text], text: 1}), json_text(text, indent=2)):
        assert not any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in shown)
        assert not any(c in shown for c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u2028\u2029")


@given(st.text())
def test_a_line_is_one_line(text: str) -> None:
    assert len(line(text).splitlines()) <= 1
    assert "\t" not in line(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_safe_json_reads_back_as_what_it_was(value: object) -> None:
    assert json.loads(json_text(value)) == value


@pytest.mark.parametrize("text", ["日本語 ünïcödé", "👩‍👩‍👧 family", "नमस्ते", "שלום", "a\tb\nc", "[bold]x[/bold]"])
def test_ordinary_text_of_any_script_stays_what_it_is(text: str) -> None:
    assert safe(text) == text


def test_what_is_made_visible_says_what_it_was() -> None:
    assert safe("\x1b[31m\x07\x7f\x9b\u202e\ud800") == "␛[31m␇␡\\u009b\\u202e\\ud800"


@given(st.text(), st.integers(0, 30))
def test_clipped_text_fits(text: str, width: int) -> None:
    assert cell_len(clip(safe(text), width)) <= width
    assert cell_len("".join(part for part, _ in cut([(safe(text), ""), (safe(text), "bold")], width))) <= width


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.text(), st.text(), st.text()), max_size=5), st.integers(1, 120))
def test_a_table_fits_any_width_with_any_text(rows: list[tuple[str, str, str, str]], width: int) -> None:
    columns: list[Column[tuple[str, str, str, str]]] = [
        Column("a", "A", lambda r: r[0], lambda r: r[0]),
        Column("b", "BEE", lambda r: r[1], lambda r: r[1], keep=2, is_right=True),
        Column("c", "C", lambda r: r[2], lambda r: r[2], keep=1, most=10),
        Column("d", "WORDS", lambda r: r[3], lambda r: r[3], grows=True)]

    lines = ["".join(text for text, _ in pieces) for pieces in aligned(rows, columns, width)]

    assert len(lines) == len(rows) + 1
    assert all(cell_len(text) <= max(width, 4) for text in lines)
    assert all(tab_separated(row, columns).count("\t") == 3 for row in rows)
    assert all("\n" not in tab_separated(row, columns) for row in rows)
