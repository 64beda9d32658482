"""Checks as they are written, and what they say of an answer."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.evals.checks import FORMS, read_check, read_checks
from otel_llm.evals.plain import likeness, normal_words, same_value
from otel_llm.evals.regex import MAX_TEXT, Regex
from otel_llm.evals.schema import Schema
from otel_llm.replay.compare.answers import Answer
from otel_llm.values.errors import ConfigError
from otel_llm.values.evaluation import Score

OLD = Answer('It left on Monday.', status=200)
PASSED, NO = Score(passed=True), Answer("", status=429, error_type="RateLimitError")


def said(text: str, *calls: tuple[str, str]) -> Answer:
    return Answer(text, calls, status=200)


def check(text: str, new: str, old: str = "It left on Monday.") -> Score | None:
    return read_check(text)(said(old), said(new), None)


@pytest.mark.parametrize(("text", "new", "score"), [
    ("exact", "It left on Monday.", PASSED),
    ("exact", "It left on Monday", Score(passed=False, explanation="the texts differ")),
    ("contains=left on", "It left on Friday.", PASSED),
    ("contains=Left", "It left.", Score(passed=False, explanation="'Left' is not in it")),
    ("contains=a=b", "so a=b", PASSED),
    ("regex=^It .*\\.$", "It left on Friday.", PASSED),
    ("regex=(?i)MONDAY", "It left on Friday.", Score(passed=False, explanation="it does not match")),
    ("similarity", "it left on  monday .", Score(1.0)),
    ("similarity", "It left on Friday.", Score(0.8)),
    ("similarity>=0.8", "It left on Friday.", Score(0.8, True)),
    ("similarity >= 0.81", "It left on Friday.", Score(0.8, False)),
    ("similarity>=1", "", Score(0.0, False)),
])
def test_checks_on_words(text: str, new: str, score: Score) -> None:
    assert check(text, new) == score


@pytest.mark.parametrize(("old", "new", "score"), [
    ('{"a": 1, "b": [1.0]}', ' {"b":[1],"a":1}', PASSED),
    ('{"a": 1}', '{"a": true}', Score(passed=False, explanation="the values differ")),
    ('{"a": 1}', '{"a": 1, "b": null}', Score(passed=False, explanation="the values differ")),
    ("[1]", "[1", Score(passed=False, explanation="the new answer is no JSON: Expecting ',' delimiter: line 1 column 3 (char 2)")),
    ("[1]", "[NaN]", Score(passed=False, explanation="the new answer is no JSON: NaN is no JSON value")),
    ("[1]", "[" * 100_000, Score(passed=False, explanation="the new answer is no JSON: it is nested too deeply")),
    ("so", "[1]", Score(explanation="the recorded answer is no JSON: Expecting value: line 1 column 1 (char 0)")),
])
def test_json_is_compared_as_json(old: str, new: str, score: Score) -> None:
    assert check("json", new, old) == score


def test_exact_looks_at_tool_calls_as_json() -> None:
    exact = read_check("exact")
    old = said("", ("find", '{"a": 1, "b": 2}'))

    assert exact(old, said("", ("find", '{"b":2,"a":1}')), None) == PASSED
    assert exact(old, said("", ("find", '{"b":2,"a":2}')), None) == Score(passed=False, explanation="the tool calls differ")


@pytest.mark.parametrize("text", ["json", "similarity>=0.5", "contains=x", "regex=x"])
def test_checks_on_words_pass_over_answers_that_only_ask_for_tools(text: str) -> None:
    tools = said("", ("find", "{}"))

    assert read_check(text)(tools, tools, None) is None
    assert read_check(text)(OLD, tools, None) is not None


@pytest.mark.parametrize("text", ["exact", "json", "similarity>=0"])
def test_without_a_recorded_answer_what_compares_cannot_decide(text: str) -> None:
    score = read_check(text)(NO, said("[1]"), None)

    assert score == Score(explanation="no answer was recorded to compare with")
    assert score is not None
    assert score.has_failed


def test_a_schema_says_where_an_answer_does_not_fit(tmp_path: Path) -> None:
    pytest.importorskip("jsonschema", reason="the extra checks is not installed")
    file = tmp_path / "order.json"
    file.write_text(json.dumps({"type": "object", "properties": {"order": {"$ref": "#/$defs/id"}}, "required": ["order"],
                                "$defs": {"id": {"type": "integer"}}}))
    text = f"schema={file}"

    assert check(text, '{"order": 1}') == PASSED
    assert check(text, '{"order": "1"}') == Score(passed=False, explanation="order: '1' is not of type 'integer'")
    assert check(text, "{}") == Score(passed=False, explanation="'order' is a required property")
    assert check(text, "none") == Score(
        passed=False, explanation="the new answer is no JSON: Expecting value: line 1 column 1 (char 0)")


PATTERNS = {"type": "object", "properties": {"order": {"pattern": "^(a+)+$"}}, "patternProperties": {"^n_": {"type": "integer"}}}


def test_a_schema_with_patterns_says_the_same_of_an_answer(tmp_path: Path) -> None:
    pytest.importorskip("jsonschema", reason="the extra checks is not installed")
    file = tmp_path / "order.json"
    file.write_text(json.dumps(PATTERNS))
    text = f"schema={file}"

    assert check(text, '{"order": "aaa", "n_a": 1, "\ud800": "\\ud800"}') == PASSED
    assert check(text, '{"order": "aab"}') == Score(passed=False, explanation="order: 'aab' does not match '^(a+)+$'")
    assert check(text, '{"n_é": "\ud800"}') == Score(passed=False, explanation="n_é: '\\ud800' is not of type 'integer'")


def test_a_pattern_of_a_schema_that_never_ends_is_ended(tmp_path: Path) -> None:
    pytest.importorskip("jsonschema", reason="the extra checks is not installed")
    file = tmp_path / "order.json"
    file.write_text(json.dumps(PATTERNS))
    begun = time.monotonic()

    score = Schema(str(file), seconds=0.5)(OLD, said(json.dumps({"order": "a" * 40 + "!"})), None)

    assert score == Score(explanation="the patterns of the schema took longer than 0.5 s on 54 characters")
    assert time.monotonic() - begun < 5


def test_a_schema_with_patterns_that_cannot_be_applied_is_undecided(tmp_path: Path) -> None:
    pytest.importorskip("jsonschema", reason="the extra checks is not installed")
    file = tmp_path / "far.json"
    file.write_text(json.dumps({"pattern": "a", "$ref": "http://127.0.0.1:9/schema.json"}))

    score = check(f"schema={file}", "{}")

    assert score is not None and score.is_undecided
    assert score.explanation.startswith("the schema could not be applied: ") and "Unresolvable" in score.explanation


def test_a_schema_fetches_nothing(tmp_path: Path) -> None:
    pytest.importorskip("jsonschema", reason="the extra checks is not installed")
    file = tmp_path / "far.json"
    file.write_text(json.dumps({"$ref": "http://127.0.0.1:9/schema.json"}))

    evaluator = read_check(f"schema={file}")

    with pytest.raises(Exception, match="Unresolvable"):
        evaluator(OLD, said("{}"), None)


@pytest.mark.parametrize(("content", "reason"), [
    (None, "no such file"), ("{", "the file is no JSON"), ('{"type": "nothing"}', "it is no JSON Schema"),
    ("[1]", r"it is no JSON Schema: '\[1\]' is no object"), ("null", "it is no JSON Schema"), ('{"$schema": 5}', "it is no JSON Schema"),
    ('{"pattern": "("}', "it is no JSON Schema: '\\(' is not a 'regex'")])
def test_a_schema_that_is_none_is_refused(tmp_path: Path, content: str | None, reason: str) -> None:
    pytest.importorskip("jsonschema", reason="the extra checks is not installed")
    file = tmp_path / "s.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigError, match=reason):
        read_check(f"schema={file}")


def test_without_jsonschema_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)

    with pytest.raises(ConfigError, match=r"pip install 'otel-llm\[checks\]'"):
        read_check("schema=x.json")


# ---- patterns ----------------------------------------------------------------------------------------------------------


def test_a_pattern_that_never_ends_is_ended() -> None:
    begun = time.monotonic()

    score = Regex("(a+)+$", seconds=0.3)(OLD, said("a" * 40 + "!"), None)

    assert score == Score(explanation="the pattern took longer than 0.3 s on 41 characters")
    assert time.monotonic() - begun < 5


def test_a_pattern_is_looked_for_in_so_much_text_and_no_more() -> None:
    long = "x" * MAX_TEXT + "needle"

    assert check("regex=^x", long) == PASSED
    assert check("regex=needle", long) == Score(
        explanation="it is not in the first 200,000 characters, and the rest was not searched")


def test_a_pattern_meets_text_that_is_no_utf_8() -> None:
    assert check("regex=\ud800.é", "\ud800\x00é") == PASSED


# ---- functions of the user's -------------------------------------------------------------------------------------------

MODULE = '''
def passes(recorded, new, request): return new.text == "yes"
def measures(recorded, new, request): return len(new.text)
def explains(recorded, new, request): return False, "because"
def raises(recorded, new, request): return 1 / 0
def forgets(recorded, new, request): new.text == "yes"
def strange(recorded, new, request): return [1]
def prints(recorded, new, request):
    print("noise")
    return True
NUMBER = 1
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"checks_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize(("function", "score"), [
    ("passes", PASSED), ("measures", Score(3.0)), ("explains", Score(passed=False, explanation="because")),
    ("raises", Score(explanation="it raised ZeroDivisionError: division by zero")),
    ("strange", Score(explanation="it gave a list; good values: a Score, True or False, a number")),
    ("forgets", Score(explanation="it gave a NoneType; good values: a Score, True or False, a number"))])
def test_a_function_judges(module: str, function: str, score: Score) -> None:
    assert check(f"python:{module}:{function}", "yes") == score


def test_a_function_may_pass_over_answers_that_only_ask_for_tools(module: str) -> None:
    tools = said("", ("find", "{}"))

    assert [read_check(f"python:{module}:{function}")(tools, tools, None) for function in ("forgets", "explains")] == [
        None, Score(passed=False, explanation="because")]


def test_what_a_function_prints_is_kept_from_the_output(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(f"python:{module}:prints", "yes") == PASSED
    assert capsys.readouterr() == ("", "noise\n")


@pytest.mark.parametrize("target", ["x", "no.such.module:f", "{module}:missing", "{module}:NUMBER", ":f", "os:"])
def test_a_function_that_is_none_is_refused(module: str, target: str) -> None:
    path = list(sys.path)

    with pytest.raises(ConfigError, match="python:"):
        read_check(f"python:{target.format(module=module)}")
    assert sys.path == path


# ---- what is written -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "exactly", "exact=1", "regex", "regex=", "schema=", "similarity>=", "similarity>=2",
                                  "similarity>=.", "similarity<0.5", "judge", "judge=", "judge=m", "contains", "=x"])
def test_what_is_no_check_is_refused_with_the_good_values(text: str) -> None:
    with pytest.raises(ConfigError, match="is not usable") as caught:
        read_check(text)

    assert "similarity" in str(caught.value)


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "a{99999999999999999999}", "(?P<a>x)(?P<a>y)"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="is no regular expression"):
        read_check(f"regex={pattern}")


def test_a_check_that_is_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="twice"):
        read_checks(["exact", "exact"])


def test_scores_are_called_as_they_were_asked_for() -> None:
    texts = ["exact", "json", "regex=a", "similarity>=0.5", "contains=b"]

    assert [evaluator.name for evaluator in read_checks(texts)] == texts
    assert len(FORMS) == 8


# ---- laws ----------------------------------------------------------------------------------------------------------------

json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=4),
                           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3))


@given(json_values)
def test_a_value_is_the_same_however_it_is_written(value: Any) -> None:
    assert same_value(value, json.loads(json.dumps(value, indent=3)))


@settings(deadline=None)
@given(st.text(), st.text())
def test_similarity_is_a_share_and_1_only_for_the_same_words(old: str, new: str) -> None:
    before, after = normal_words(old), normal_words(new)

    value = likeness(before, after)

    assert 0 <= value <= 1
    assert (value == 1) == (before == after)
    assert value == likeness(after, before)


def test_the_similarity_of_long_texts_is_exact_and_quick() -> None:
    begun = time.process_time()

    score = check("similarity>=0.1", "b " * 15_000 + "a " * 10_000, "a " * 15_000 + "c " * 10_000)

    assert score == Score(0.4, True)
    assert time.process_time() - begun < 3


def test_answers_of_more_words_than_that_are_not_judged() -> None:
    assert check("similarity", "a " * 30_001) == Score(explanation="an answer has more than 30,000 words")
