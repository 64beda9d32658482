"""A suite as lines: a table of its variants, then what each rule says of those that do not pass, with answers that failed.

    refunds  regressed
    50 sessions, 1 answer a call; 95 % intervals; run suite-0123456789ab

    VARIANT                PASSED            DIFF  P        COST   LATENCY  VERDICT
    refunds@1 gpt-4o-mini  100 % (93–100)                                   baseline
    refunds@2 gpt-4o-mini  50 % (37–63)       -50  1.2e-07  +2 %   -1 %     regressed

    refunds@2 gpt-4o-mini  regressed
      pass rate 50 points below the baseline (-63 to -37, allowed -10): 25 lost, 0 won of 50, p = 1.2e-07
      ✗ ticket-17:1  I want my money back
          check contains=refund  failed  'refund' is not in it

DIFF is in points; P is that of the paired test, corrected for the number of variants.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from otel_llm.replay.suite.results import Difference, FigureChange, Finding, Rate, Reasons, SuiteResult, VariantResult, Verdict
from otel_llm.replay.suite.statistics import Interval
from otel_llm.report.lines import MARKS, score_line
from otel_llm.report.lines import wrapped as wrapped_lines
from otel_llm.text import numbers
from otel_llm.text.lines import Line, Piece
from otel_llm.text.safe import line
from otel_llm.text.table import Column, aligned
from otel_llm.values.comparison import Comparison, Pair

USUAL_WIDTH = 100
"""Columns where nobody looks at a terminal."""
MOST_FAILING = 5
"""Answers that failed which are shown of a variant."""
STYLES: dict[Verdict, str] = {"baseline": "dim", "pass": "ok", "regressed": "error", "inconclusive": "recovered"}
WORDS = {0: ("pass", "ok"), 1: ("regressed", "error"), 3: ("inconclusive", "recovered")}


def suite_lines(result: SuiteResult, *, width: int | None = None) -> Iterator[Line]:
    """All of a suite, as wide as the terminal is."""
    room = width or USUAL_WIDTH
    yield [(line(result.suite.name), "bold"), ("  ", ""), verdict(result)]
    yield from wrapped([(about(result), "dim")], room, "  ")
    yield []
    yield from aligned(result.variants, columns(), room)
    for variant in result.variants:
        if (variant.findings and variant.verdict != "pass") or variant.rate.unknown:
            yield []
            yield [(line(variant.name), "bold"), (f"  {variant.verdict}", STYLES[variant.verdict])]
            for pieces in _reasons(variant):
                yield from wrapped([("  ", ""), *pieces], room, "    ")
            yield from _failing(result, variant, room)
    for note in [*result.notes, *([result.stopped] if result.stopped else [])]:
        yield []
        yield from wrapped([(line(note), "recovered")], room, "  ")


def wrapped(pieces: Line, width: int, indent: str) -> Iterator[Line]:
    """A line as lines that end with a word, so that none reaches beyond the terminal."""
    for found in wrapped_lines(pieces, width, indent):
        *head, (text, style) = found
        yield [*head, (text.rstrip(), style)]


def about(result: SuiteResult) -> str:
    """What was asked, in a line."""
    suite = result.suite
    return (f"{numbers.plural(result.sessions, 'session')}, {'threaded, ' if suite.is_threaded else ''}"
            f"{numbers.plural(suite.repeat, 'answer')} a call; {100 * suite.rules.level:g} % intervals; run {result.run_id}")


def verdict(result: SuiteResult) -> Piece:
    """What it all came to, and the style of that word."""
    return ("stopped", "error") if result.stopped is not None else WORDS[result.exit_code]


def columns() -> list[Column[VariantResult]]:
    """The table of variants."""
    def right(name: str, title: str, shown: str, keep: int) -> Column[VariantResult]:
        return Column(name, title, lambda row: cell(row, shown), lambda row: cell(row, shown), keep=keep, is_right=True)

    return [
        Column("variant", "VARIANT", lambda row: row.name, lambda row: row.name, grows=True),
        Column("passed", "PASSED", lambda row: rate_text(row.rate), lambda row: rate_text(row.rate)),
        right("diff", "DIFF", "diff", 5),
        right("p", "P", "p", 4),
        right("cost", "COST", "cost", 2),
        right("latency", "LATENCY", "latency", 1),
        Column("verdict", "VERDICT", lambda row: row.verdict, lambda row: row.verdict, style=lambda row: STYLES[row.verdict]),
    ]


def cell(row: VariantResult, what: str) -> str:
    """A cell of the table; empty for the baseline."""
    found = row.difference
    if found is None:
        return ""
    if what == "diff":
        return points(found.change)
    if what == "p":
        return p_text(found.p_adjusted) if found.pairs else numbers.UNKNOWN
    figure = row.figure(what)
    return numbers.UNKNOWN if figure is None else percent(figure.change)


def rate_text(rate: Rate) -> str:
    """`98 % (90–100)`."""
    if rate.share is None:
        return numbers.UNKNOWN
    return f"{hundred(rate.share)} % ({hundred(rate.interval.low)}–{hundred(rate.interval.high)})"


def points(share: float | None) -> str:
    """A difference of rates, in points: `-48`, `+0.5`, `0`."""
    if share is None:
        return numbers.UNKNOWN
    text = hundred(share)
    return text if share <= 0 or text == "0" else f"+{text}"


def percent(share: float | None) -> str:
    """A rise: `+12 %`."""
    return numbers.UNKNOWN if share is None else f"{points(share)} %"


def p_text(p: float) -> str:
    """`0.031`, `1.2e-07`."""
    return f"{p:.2g}" if p < 0.001 else f"{p:.3f}"


def hundred(share: float) -> str:
    """A share as a number of a hundred, with a decimal below ten where it has one."""
    value = 100 * share
    text = f"{value:.0f}" if abs(value) >= 9.95 or abs(value - round(value)) < 0.05 else f"{value:.1f}"
    return "0" if text == "-0" else text


def _reasons(variant: VariantResult) -> Iterator[Line]:
    for finding in variant.findings:
        if finding.verdict != "pass":
            yield [(finding_text(variant, finding), "")]
    for check in variant.checks:
        rate = check.rate
        if rate.passed < rate.of or rate.unknown:
            unknown = f", {undecided_text(rate.unknown, check.undecided)}" if rate.unknown else ""
            p = f", p = {p_text(check.difference.p_adjusted)}" if check.difference is not None and len(variant.checks) > 1 else ""
            yield [("check ", "dim"), (line(check.name), "bold"), (f"  passed {rate.passed:,} of {rate.of:,}{unknown}{p}", "")]


def undecided_text(count: int, reasons: Reasons) -> str:
    """How many answers could not be judged, and the most frequent reason."""
    reason, times = reasons[0] if reasons else ("", 0)
    most = f" ({times:,} of them)" if times < count else ""
    return f"{count:,} undecided{most}: {line(reason)}" if reason else f"{count:,} undecided"


def reasons_text(variant: VariantResult, findings: Iterable[Finding]) -> str:
    """What rules say of a variant, and why answers of it could not be judged, in one line."""
    undecided = [f"check {line(check.name)}: {undecided_text(check.rate.unknown, check.undecided)}"
                 for check in variant.checks if check.rate.unknown]
    return "; ".join([*(finding_text(variant, each) for each in findings), *undecided])


def finding_text(variant: VariantResult, finding: Finding) -> str:
    """What a rule says, in a sentence without an end."""
    if finding.rule == "max_pass_rate_drop":
        said = drop_text(variant.difference, finding)
    elif finding.value is None:
        said = f"{_subject(finding.rule)} is not known of enough answers ({finding.rule} = {finding.limit:g})"
    elif finding.rule == "min_pass_rate":
        said = f"pass rate {hundred(finding.value)} % ({_range(finding.interval)}), wanted {hundred(finding.limit)} %"
    else:
        said = f"{_subject(finding.rule)} {percent(finding.value)} ({_range(finding.interval)}), allowed {percent(finding.limit)}"
    return said + _needed(finding)


def drop_text(found: Difference | None, finding: Finding) -> str:
    """The pass rate against the baseline."""
    if found is None or found.change is None:
        return "no answer can be compared with the baseline"
    way = "below" if found.change < 0 else "above"
    same = f"pass rate {hundred(abs(found.change))} points {way} the baseline" if found.change else "pass rate as the baseline"
    return (f"{same} ({_range(found.interval)}, allowed {points(finding.limit)}): {found.lost:,} lost, {found.won:,} won of "
            f"{found.pairs:,}, p = {p_text(found.p_adjusted)}")


def _needed(finding: Finding) -> str:
    if finding.verdict != "inconclusive":
        return ""
    if finding.needed is not None:
        if finding.needed_of == "calls":
            return f"; about {finding.needed:,} recorded calls would be needed to say: more sessions, not more answers a call"
        return f"; about {finding.needed:,} answers would be needed to say"
    if finding.unknown:
        return f"; {numbers.plural(finding.unknown, 'answer')} could not be judged"
    return "; more answers may not help"


def _subject(rule: str) -> str:
    return {"max_cost_increase": "cost", "max_latency_increase": "median latency"}.get(rule, "pass rate")


def _range(interval: Interval | None) -> str:
    return numbers.UNKNOWN if interval is None else f"{hundred(interval.low)} to {hundred(interval.high)}"


def _failing(result: SuiteResult, variant: VariantResult, width: int) -> Iterator[Line]:
    """The first answers that failed, and where to look at more."""
    ours = set(variant.sessions.values())
    found = [(comparison, pair) for comparison in result.failing for pair in comparison.pairs
             if comparison.sides[pair.side].session_id in ours]
    for comparison, pair in found[:MOST_FAILING]:
        yield from failing_lines(comparison, pair, width)
    if found:
        comparison, _ = found[0]
        old, new = (side.session_id for side in comparison.sides[:2])
        more = f"{len(found) - MOST_FAILING:,} more failed. " if len(found) > MOST_FAILING else ""
        yield [(f"  {more}otel-llm replay compare {old} {new}", "dim")]


def failing_lines(comparison: Comparison, pair: Pair, width: int) -> Iterator[Line]:
    """An answer that failed, and what failed it."""
    mark = MARKS["failed"]
    where = "" if pair.left is None else f"{line(pair.left.session_id)}:{pair.number}"
    head: list[Piece] = [(f"  {mark} ", "error"), (where, "id"), (f"  {line(pair.words)}", "dim")]
    yield from list(wrapped(head, width, "      "))[:1]
    failed: Sequence[Line] = [score_line(name, score) for name, score in pair.scores if score.has_failed]
    for pieces in failed or [[(line(pair.note) or "an error came where there was an answer", "error")]]:
        yield from wrapped([("      ", ""), *pieces], width, "        ")


def totals_text(figure: FigureChange | None) -> str:
    """Totals of a figure on both sides: `$0.0031 → $0.0034`."""
    if figure is None:
        return numbers.UNKNOWN
    show = {"cost": numbers.cost, "latency": numbers.duration}.get(figure.name, numbers.count)
    old, new = (figure.old_median, figure.new_median) if figure.name == "latency" else (figure.old_total, figure.new_total)
    return f"{show(round(old))} → {show(round(new))}"
