"""JUnit XML: always XML, and what CI systems count is what there is."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given, settings

from otel_llm.report.junit import MAX_TEXT, junit
from otel_llm.values.comparison import Comparison, Pair, TextDiff
from otel_llm.values.evaluation import Score
from report.hostile import comparison, comparisons


@settings(deadline=None, max_examples=60)
@given(comparisons)
def test_whatever_was_captured_it_is_xml_with_a_case_a_step(some: Comparison) -> None:
    root = ET.fromstring(junit([some]).encode())

    cases = root.findall("testsuite/testcase")
    assert len(cases) == len(some.pairs)
    assert len({case.get("name") for case in cases}) == len(cases)
    failing = [bool(len(case)) for case in cases]
    assert failing == [not some.passes(pair) for pair in some.pairs]
    for counted, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert root.get(counted) == root[0].get(counted) == str(len(root.findall(f".//{tag}")))


def test_the_whole_file() -> None:
    assert junit([comparison()]) == '''<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="otel-llm" tests="5" failures="2" errors="1" skipped="1">
  <testsuite name="sess-a and its replay sess-b" timestamp="2025-03-02T14:04:47" tests="5" failures="2" errors="1" skipped="1" time="1.024">
    <properties>
      <property name="recorded" value="sess-a: 3 calls · 30 → 15 tok · $0.000014 · 1.92 s" />
      <property name="replay" value="sess-b: 3 calls · 1 error · 20 → 12 tok · $0.0000090 + 1 call of unknown cost · 1.50 s" />
      <property name="steps" value="1 same, 1 different, 1 failed, 1 only in recorded, 1 not compared, 2 failed checks" />
    </properties>
    <testcase classname="otel-llm.sess-a and its replay sess-b" name="1 gpt-4o-mini: Hello" time="0.512" />
    <testcase classname="otel-llm.sess-a and its replay sess-b" name="1 gpt-4o-mini: Where is it?" time="0.512">
      <failure message="different; check similarity&gt;=0.9: 0.8 failed; check exact: failed (the texts differ)" type="different">asked model: [-gpt-4o-mini-] {+gpt-4.1+}
not shown: 2 differences that an earlier step has
It left on [-Monday-]{+Friday+}.
tool_calls.find.q: [-x-] {+y+}
output tokens 5 → 7
latency       640 ms → 512 ms
check similarity&gt;=0.9  0.8 failed
check exact  failed  the texts differ</failure>
    </testcase>
    <testcase classname="otel-llm.sess-a and its replay sess-b" name="1 gpt-4o-mini: Thanks" time="0.000">
      <error message="failed: RateLimitError: slow down" type="failed">RateLimitError: slow down
status        200 → 429</error>
    </testcase>
    <testcase classname="otel-llm.sess-a and its replay sess-b" name="tool lookup: {}" time="0.000">
      <failure message="only in recorded" type="only_left" />
    </testcase>
    <testcase classname="otel-llm.sess-a and its replay sess-b" name="1 gpt-4o-mini" time="0.000">
      <skipped message="not compared: not recorded" />
    </testcase>
  </testsuite>
</testsuites>
'''


def test_a_failed_check_on_an_answer_that_is_the_same_is_a_failure() -> None:
    pair = Pair("same", "call", "m", scores=(("regex=x", Score(passed=False, explanation="it does not match")),))

    root = ET.fromstring(junit([comparison(pairs=(pair,))]).encode())

    (failure,) = root.findall(".//failure")
    assert failure.attrib == {"message": "check regex=x: failed (it does not match)", "type": "check"}


def test_where_checks_decide_a_difference_that_passed_them_is_no_failure() -> None:
    pair = Pair("different", "call", "m", scores=(("similarity>=0.5", Score(0.7, True)),))

    decided = [comparison(pairs=(pair,), decided_by=by) for by in ("difference", "checks")]

    assert [ET.fromstring(junit([one]).encode()).get("failures") for one in decided] == ["1", "0"]
    assert [one.exit_code for one in decided] == [1, 0]


def test_a_failure_is_no_longer_than_it_may_be() -> None:
    pair = Pair("different", "call", "m", text=TextDiff((("-", "x" * 50_000),), False))

    (failure,) = ET.fromstring(junit([comparison(pairs=(pair,))]).encode()).findall(".//failure")

    assert failure.text is not None
    assert len(failure.text) < MAX_TEXT + 100
    assert failure.text.endswith("characters left out …]")


def test_the_file_that_asked_is_named() -> None:
    root = ET.fromstring(junit([comparison(source="suites/a.yaml")]).encode())

    assert {case.get("file") for case in root.iter("testcase")} == {"suites/a.yaml"}
