"""JUnit XML: a suite for each side that is compared, a test case for each step.

What Jenkins and GitLab accept is the common ground: `testsuites`, `testsuite`, `testcase` with one of `failure`, `error` and
`skipped`. A difference is a failure, with the difference as its text; an error where there was an answer is an error; a step
whose answer nobody knows is skipped. CI systems know a case again by its class and name, so that neither has an id that is new in
every run. Characters that XML cannot hold are written as `\\ufffe`.

Source: https://github.com/testmoapp/junitxml
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from otel_llm.report.lines import counts_text, name_of, pair_text, score_text, status_text, totals_text
from otel_llm.text.safe import line, safe
from otel_llm.values.comparison import Comparison, Pair

MAX_TEXT = 20_000
"""Characters of one failure."""
MAX_NAME = 200
_ILLEGAL = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(comparisons: Sequence[Comparison], *, first: Sequence[ET.Element] = ()) -> str:
    """The file, as text that is to be written in UTF-8; suites that are `first` stand before those of the comparisons."""
    suites = ET.Element("testsuites", {"name": "otel-llm"})
    suites.extend(first)
    for comparison in comparisons:
        for side in range(1, len(comparison.sides)):
            suites.append(_suite(comparison, side))
    for count in ("tests", "failures", "errors", "skipped"):
        suites.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _suite(comparison: Comparison, side: int) -> ET.Element:
    old, new = comparison.sides[0], comparison.sides[side]
    several = f" ({new.label})" if len(comparison.sides) > 2 else ""
    suite = ET.Element("testsuite", {"name": as_attribute(f"{comparison.title}{several}")})
    if new.start_ns is not None:
        suite.set("timestamp", datetime.fromtimestamp(new.start_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    properties = ET.SubElement(suite, "properties")
    for key, value in (
        (old.label, f"{old.session_id}: {totals_text(old)}"),
        (new.label, f"{new.session_id}: {totals_text(new)}"),
        ("steps", counts_text(comparison, side)),
    ):
        ET.SubElement(properties, "property", {"name": as_attribute(key), "value": as_attribute(value)})
    seen: Counter[str] = Counter()
    found = [_case(comparison, pair, seen) for pair in comparison.pairs_of(side)]
    suite.extend(case for case, _, _ in found)
    kinds = Counter(kind for _, kind, _ in found)
    suite.set("tests", str(len(found)))
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(kinds[kind]))
    suite.set("time", _seconds(sum(ns for _, _, ns in found)))
    return suite


def _case(comparison: Comparison, pair: Pair, seen: Counter[str]) -> tuple[ET.Element, str, int]:
    """A test case, how it ended, and its nanoseconds. Names are unique in their suite: `tool lookup_order #2`."""
    words = f": {pair.words}" if pair.words else ""
    name = as_attribute(f"{name_of(pair)}{words}")[:MAX_NAME]
    seen[name] += 1
    unique = f"{name} #{seen[name]}" if seen[name] > 1 else name
    figure = pair.figures.get("duration_ns")
    lasted = figure.new if figure is not None and isinstance(figure.new, int) else 0
    case = ET.Element("testcase", {
        "classname": as_attribute(f"otel-llm.{_class(comparison, pair)}"), "name": unique, "time": _seconds(lasted)})
    if comparison.source is not None:
        case.set("file", as_attribute(comparison.source))
    kind = ""
    if not comparison.passes(pair):
        undecided = pair.status == "not_compared" and not pair.scores
        kind = "skipped" if undecided else "error" if pair.status == "failed" else "failure"
        end = ET.SubElement(case, kind, {"message": as_attribute(message(comparison, pair))[:MAX_NAME * 5]})
        if kind != "skipped":
            end.set("type", "check" if pair.status == "same" else pair.status)
            end.text = legal(safe(pair_text(pair, MAX_TEXT)))
    return case, kind, lasted


def _class(comparison: Comparison, pair: Pair) -> str:
    """What the cases of one side are called together, without dots, which would nest them."""
    several = f" {comparison.sides[pair.side].label}" if len(comparison.sides) > 2 else ""
    return f"{comparison.name or comparison.title}{several}".replace(".", "_")


def message(comparison: Comparison, pair: Pair) -> str:
    """Why a pair does not pass, in one line."""
    reasons = [] if pair.status == "same" else [status_text(comparison, pair) + (f": {pair.note}" if pair.note else "")]
    reasons += [f"check {name}: {score_text(score)[0]}" + (f" ({score.explanation})" if score.explanation else "")
                for name, score in pair.scores if score.has_failed]
    return line("; ".join(reasons))


def as_attribute(text: str) -> str:
    """Captured text as the value of an attribute."""
    return legal(line(text))


def legal(text: str) -> str:
    """The text with what XML cannot hold written as escapes."""
    return _ILLEGAL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _seconds(ns: int) -> str:
    return f"{ns / 1e9:.3f}"
