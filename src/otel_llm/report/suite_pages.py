"""A suite for CI and for the browser: a summary of its variants on top of the reports that single comparisons have.

- JUnit: a suite whose cases are the rules of each variant, then the answers that failed of variants that regressed. A variant
  that passes although some of its answers failed is no failure, and one of which nobody can say is skipped.
- GitHub Actions: an annotation for each variant that does not pass, then for the answers that failed.
- HTML: the table of variants, then every comparison, those with failed answers first, as many as a page can hold. """

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html import escape
from xml.etree import ElementTree as ET

from otel_llm.replay.suite.results import SuiteResult, VariantResult
from otel_llm.report.github import command, github
from otel_llm.report.html import MAX_PAIRS, html
from otel_llm.report.junit import as_attribute, junit
from otel_llm.report.suite_lines import about, cell, p_text, points, rate_text, reasons_text, totals_text, verdict
from otel_llm.text.safe import line
from otel_llm.values.comparison import Comparison

LEVELS = {"regressed": "error", "inconclusive": "warning", "pass": "notice", "baseline": "notice"}
COLOURS = {"regressed": "bad", "inconclusive": "different", "pass": "good", "baseline": ""}


def suite_junit(result: SuiteResult) -> str:
    """The file, as text that is to be written in UTF-8."""
    suite = ET.Element("testsuite", {"name": as_attribute(f"suite {result.suite.name}")})
    properties = ET.SubElement(suite, "properties")
    for name, value in (("run", result.run_id), ("about", about(result)), ("baseline", result.suite.baseline)):
        ET.SubElement(properties, "property", {"name": name, "value": as_attribute(value)})
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for variant in result.variants:
        for finding in variant.findings:
            case = ET.SubElement(suite, "testcase", {
                "classname": as_attribute(f"otel-llm.{result.suite.name.replace('.', '_')}"),
                "name": as_attribute(f"{variant.name} {finding.rule}"), "time": "0.000"})
            if result.suite.source is not None:
                case.set("file", as_attribute(result.suite.source))
            counts["tests"] += 1
            kind = {"regressed": "failure", "inconclusive": "skipped"}.get(finding.verdict)
            if kind is not None:
                counts["failures" if kind == "failure" else kind] += 1
                made = ET.SubElement(case, kind, {"message": as_attribute(reasons_text(variant, [finding]))})
                if kind == "failure":
                    made.set("type", finding.rule)
    if result.stopped is not None:
        counts["tests"] += 1
        counts["errors"] += 1
        case = ET.SubElement(suite, "testcase", {
            "classname": as_attribute(f"otel-llm.{result.suite.name.replace('.', '_')}"), "name": "all calls are sent",
            "time": "0.000"})
        ET.SubElement(case, "error", {"message": as_attribute(result.stopped), "type": "stopped"})
    for name, count in counts.items():
        suite.set(name, str(count))
    suite.set("time", "0.000")
    return junit(result.failing, first=[suite])


def suite_github(result: SuiteResult) -> Iterator[str]:
    """The commands, one a line."""
    for variant in result.variants:
        if variant.verdict in ("regressed", "inconclusive"):
            reasons = reasons_text(variant, [each for each in variant.findings if each.verdict == variant.verdict])
            yield command(LEVELS[variant.verdict], reasons,
                          {"file": result.suite.source, "title": f"{result.suite.name}: {variant.name} {variant.verdict}"})
    yield from github(_by_variant(result))
    level = {0: "notice", 1: "error"}.get(result.exit_code, "warning")
    yield command(level, result.stopped or verdict(result)[0],
                  {"file": result.suite.source, "title": f"suite {result.suite.name}"})


def _by_variant(result: SuiteResult) -> Iterator[Comparison]:
    """One comparison a variant with all its answers that failed, since a few annotations are all that is shown of a step."""
    for variant in result.variants:
        ours = set(variant.sessions.values())
        found = [comparison for comparison in result.failing if comparison.sides[-1].session_id in ours]
        if found:
            pairs = tuple(pair for comparison in found for pair in comparison.pairs)
            yield replace(found[0], title=f"{result.suite.name}: {variant.name}", pairs=pairs)


def suite_html(result: SuiteResult) -> str:
    """The page, as text that is to be written in UTF-8."""
    shown, left_out = _shown(result)
    note = f'<p class="note">{left_out:,} comparisons are left out of this page.</p>\n' if left_out else ""
    return html(shown, title=f"suite {result.suite.name}", summary="".join(_summary(result)) + note)


def _shown(result: SuiteResult) -> tuple[list[Comparison], int]:
    """The comparisons that fit, those with answers that failed first, and how many do not."""
    failing = {(each.title, each.sides[-1].session_id) for each in result.failing}
    ordered = sorted(result.comparisons, key=lambda each: (each.title, each.sides[-1].session_id) not in failing)
    kept: list[Comparison] = []
    pairs = 0
    for comparison in ordered:
        pairs += len(comparison.pairs)
        if kept and pairs > MAX_PAIRS:
            break
        kept.append(replace(comparison, source=None))
    return kept, len(ordered) - len(kept)


def _summary(result: SuiteResult) -> Iterator[str]:
    word, style = verdict(result)
    colour = {"ok": "good", "error": "bad"}.get(style, "different")
    yield f'<header>\n<h1>{_(line(result.suite.name))} <span class="badge {colour}">{_(word)}</span></h1>\n'
    yield f'<p class="note">{_(line(about(result)))}</p>\n<div class="scroll"><table class="variants">\n<thead><tr>'
    names = ("variant", "passed", "difference", "p", "cost", "", "median latency", "", "verdict", "why")
    yield "".join(f'<th scope="col">{name}</th>' for name in names) + "</tr></thead>\n<tbody>\n"
    yield from (_row(variant) for variant in result.variants)
    yield "</tbody></table></div>\n"
    for note in [*result.notes, *([result.stopped] if result.stopped else [])]:
        yield f'<p class="note">{_(line(note))}</p>\n'
    yield "</header>\n"


def _row(variant: VariantResult) -> str:
    found = variant.difference
    reasons = reasons_text(variant, [each for each in variant.findings if each.verdict != "pass"])
    cells = (line(variant.name), rate_text(variant.rate), "" if found is None else points(found.change),
             "" if found is None else p_text(found.p_adjusted), totals_text(variant.figure("cost")) if found else "",
             cell(variant, "cost"), totals_text(variant.figure("latency")) if found else "", cell(variant, "latency"))
    badge = f'<td><span class="badge {COLOURS[variant.verdict]}">{variant.verdict}</span></td><td>{_(line(reasons))}</td>'
    figures = "".join(f"<td>{_(text)}</td>" for text in cells[1:])
    return f"<tr><td>{_(cells[0])}</td>{figures}{badge}</tr>\n"


def _(text: str) -> str:
    return escape(text, quote=True)
