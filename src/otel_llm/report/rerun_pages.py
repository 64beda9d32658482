"""A rerun for CI: JUnit with one case, and annotations of GitHub Actions, one a difference."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from otel_llm.replay.rerun.report import Report
from otel_llm.report.github import MAX_ANNOTATIONS, command
from otel_llm.report.junit import MAX_TEXT, as_attribute, junit, legal
from otel_llm.text.safe import safe


def rerun_junit(report: Report) -> str:
    """The file, as text that is to be written in UTF-8. The case fails with every difference as its text. One that passes says
    which hosts were held off."""
    name = as_attribute(", ".join(report.session_ids))
    suite = ET.Element("testsuite", {
        "name": f"{report.mode} of {name}", "tests": "1", "failures": str(report.exit_code), "errors": "0", "skipped": "0",
        "time": "0.000"})
    case = ET.SubElement(suite, "testcase", {"classname": f"otel-llm.{report.mode}", "name": name, "time": "0.000"})
    if report.exit_code:
        head, _, rest = report.text.partition("\n")
        failure = ET.SubElement(case, "failure", {"message": as_attribute(head), "type": report.outcome})
        failure.text = legal(safe(rest))[:MAX_TEXT]
    elif report.held_off:
        ET.SubElement(case, "system-out").text = legal(safe(report.held_off_text))[:MAX_TEXT]
    return junit([], first=[suite])


def rerun_github(report: Report) -> Iterator[str]:
    """The commands, one a line: an error for each difference, then what it all came to."""
    name = ", ".join(report.session_ids)
    for difference in report.differences[:MAX_ANNOTATIONS]:
        yield command("error", difference.text, {"title": name})
    more = len(report.differences) + report.unlisted - MAX_ANNOTATIONS
    rest = f" {more} more differences have no annotation." if more > 0 else ""
    said = [report.text.partition("\n")[0] + rest, report.held_off_text]
    yield command("error" if report.exit_code else "notice", "\n".join(filter(None, said)), {"title": f"{report.mode} of {name}"})
