"""A check that cannot do its work: why is said everywhere, and a bisect does not pay for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from otel_llm.testing import Simulator
from replay_suite.recorded_sessions import GOOD, record, suite, versions, write_suite
from replay_suite.test_bisect_command import history
from support.recording import Recording

WHY = "it raised TypeError: 'Request' object is not subscriptable"
MODELS = 'models = ["gpt-4o-mini", "gpt-4.1-mini"]\n'


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A check that takes a request for a dict, in the current directory."""
    (tmp_path / "checks_of_ada.py").write_text("def polite(recorded, new, request):\n    return request['messages'] != []\n")
    monkeypatch.chdir(tmp_path)
    return "python:checks_of_ada:polite"


def flat(text: str) -> str:
    return " ".join(text.split())


def test_a_suite_says_why_its_check_could_not_decide(rec: Recording, client: Any, tmp_path: Path, check: str) -> None:
    record(client, 6)
    file = write_suite(tmp_path, MODELS + f'checks = ["{check}"]\n')

    done = suite(rec.directory, file, "--junit", "r.xml", "--html", "r.html", "--github")
    value = json.loads(suite(rec.directory, file, "--resume", "--json").out)

    assert done.code == 3
    assert flat(done.out).count(f"check {check} passed 0 of 0, 6 undecided: {WHY}") == 2
    assert [each["checks"][0]["undecided"] for each in value["variants"]] == [[{"reason": WHY, "count": 6}]] * 2
    (case,) = ET.parse("r.xml").getroot().iter("testcase")
    assert [end.get("message") for end in case.findall("skipped")] == [
        f"no answer can be compared with the baseline; 6 answers could not be judged; check {check}: 6 undecided: {WHY}"]
    assert f"check {check}: 6 undecided: {WHY.replace(chr(39), '&#x27;')}" in Path("r.html").read_text()
    assert f"6 undecided: {WHY}" in next(line for line in done.out.splitlines() if line.startswith("::warning"))


def test_the_most_frequent_reason_is_said(rec: Recording, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checks_of_bob.py").write_text(
        "def polite(recorded, new, request):\n"
        "    number = int(new.text.split()[1].split('.')[0])\n"
        "    return True if number > 2 else {}['x' if number else 'y']\n")
    monkeypatch.chdir(tmp_path)
    record(client, 6)

    done = suite(rec.directory, write_suite(tmp_path, MODELS + 'checks = ["python:checks_of_bob:polite"]\n'))

    assert "passed 3 of 3, 3 undecided (2 of them): it raised KeyError: 'x'" in flat(done.out)


def test_a_bisect_whose_check_raises_stops_after_its_first_batch_and_says_why(
    rec: Recording, client: Any, sim: Simulator, tmp_path: Path, check: str
) -> None:
    record(client, 10)
    file = history(tmp_path, 4, 3, f'checks = ["{check}"]\n')

    done = suite(rec.directory, file, verb="bisect")
    value = json.loads(suite(rec.directory, file, "--resume", "--json", verb="bisect").out)

    assert (done.code, len(sim.exchanges) - 10) == (3, 8)
    assert flat(done.out).startswith(
        f"Inconclusive: {check} could judge no answer of refunds@4 (8 undecided: {WHY}). No more was asked. When the check is right, "
        "go on with --resume, which asks nothing again.")
    assert f"refunds@4: 0 of 0 passed, 8 undecided: {WHY}" in done.err
    assert (value["outcome"], value["variants"][3]["undecided"]) == ("inconclusive", [{"reason": WHY, "count": 8}])


def test_a_bisect_whose_check_was_mended_goes_on_with_what_it_has(
    rec: Recording, client: Any, sim: Simulator, tmp_path: Path, check: str
) -> None:
    record(client, 8)
    file = history(tmp_path, 3, 0, f'checks = ["{check}", "contains=refund"]\n')

    first = suite(rec.directory, file, "--check", check, verb="bisect")
    second = suite(rec.directory, file, "--check", "contains", "--resume", verb="bisect")

    bodies = [exchange.request_body for exchange in sim.exchanges[8:]]
    assert (first.code, second.code, len(bodies), len(set(bodies))) == (3, 0, 16, 16)


def test_answers_that_are_not_there_are_undecided_for_that_reason(
    rec: Recording, client: Any, sim: Simulator, tmp_path: Path
) -> None:
    from otel_llm.testing import error

    record(client, 4)
    sim.script(error(429, when=lambda body: body["model"] == "gpt-4.1-mini", times=3))

    done = suite(rec.directory, write_suite(tmp_path, 'retries = 0\nchecks = ["contains=refund"]\n' + MODELS))

    assert "check contains=refund passed 1 of 1, 3 undecided: there is no answer" in flat(done.out)


def test_a_check_beside_one_that_cannot_decide_says_what_it_says(
    rec: Recording, client: Any, tmp_path: Path, check: str
) -> None:
    record(client, 4)
    file = write_suite(tmp_path, f'checks = ["contains=refund", "{check}"]\n' + versions("1", "2"), **{"1": GOOD, "2": GOOD + " Do."})

    value = json.loads(suite(rec.directory, file, "--json").out)

    assert [[(each["rate"]["passed"], each["rate"]["unknown"]) for each in variant["checks"]] for variant in value["variants"]] == [
        [(4, 0), (0, 4)], [(4, 0), (0, 4)]]
