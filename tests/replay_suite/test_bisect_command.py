"""`otel-llm replay bisect` from end to end: the version that lost the word is named, few were asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_llm.testing import Simulator
from replay_suite.recorded_sessions import BAD, GOOD, loses, number_of, plant, record, suite, system_of, versions, write_suite
from support.recording import Recording

CHECK = 'checks = ["contains=refund"]\n'


def history(folder: Path, good: int, bad: int, head: str = CHECK) -> str:
    """A suite of so many good versions of a prompt, and then bad ones; each differs from the others."""
    names = [str(number) for number in range(1, good + bad + 1)]
    texts = {name: f"{GOOD if int(name) <= good else BAD} Version {name}." for name in names}
    return write_suite(folder, head + versions(*names), **texts)


def asked(sim: Simulator, recorded: int) -> list[str]:
    """The versions that were asked, in order."""
    systems = [system_of(json.loads(exchange.request_body)) for exchange in sim.exchanges[recorded:]]
    return list(dict.fromkeys(text.rpartition(" ")[2].rstrip(".") for text in systems))


def test_the_first_version_that_loses_the_word_is_named(rec: Recording, client: Any, sim: Simulator, tmp_path: Path) -> None:
    record(client, 10)
    plant(sim, loses())

    done = suite(rec.directory, history(tmp_path, 4, 3), "--check", "contains=refund", verb="bisect")

    lines = done.out.splitlines()
    assert done.code == 1
    assert lines[0] == "contains=refund begins to fail at refunds@5; refunds@4 is good."
    assert lines[1].startswith("3 of 7 variants asked, 24 calls, $0.000")
    assert [line.split() for line in lines if line.startswith("refunds@")] == [
        ["refunds@4", "100", "%", "(56–100)", "8", "good"], ["refunds@5", "0", "%", "(0–44)", "8", "bad"],
        ["refunds@6", "0", "%", "(0–44)", "8", "bad"]]
    assert asked(sim, 10) == ["4", "6", "5"]
    assert "at most 192 calls to http://127.0.0.1" in done.err


@pytest.mark.parametrize(("good", "bad", "code", "outcome", "last_good", "first"), [
    (3, 0, 0, "all good", "refunds@3", None), (0, 3, 1, "all bad", None, "refunds@1"), (2, 1, 1, "found", "refunds@2", "refunds@3")])
def test_the_ends_are_found_too(
    rec: Recording, client: Any, sim: Simulator, tmp_path: Path, good: int, bad: int, code: int, outcome: str,
    last_good: str | None, first: str | None,
) -> None:  # fmt: skip
    record(client, 8)
    plant(sim, loses())

    done = suite(rec.directory, history(tmp_path, good, bad), "--json", verb="bisect")

    value = json.loads(done.out)
    assert (done.code, value["outcome"], value["last_good"], value["first_bad"]) == (code, outcome, last_good, first)
    assert [variant.get("verdict") for variant in value["variants"]] == {
        "all good": [None, "good", "good"], "all bad": ["bad", "bad", None], "found": [None, "good", "bad"]}[outcome]


def test_versions_that_were_not_asked_are_not_said_to_be_good(rec: Recording, client: Any, sim: Simulator, tmp_path: Path) -> None:
    record(client, 8)
    plant(sim, lambda body: "Version 1." in system_of(body))

    done = suite(rec.directory, history(tmp_path, 3, 0), verb="bisect")

    assert done.code == 0
    assert done.out.splitlines()[0] == "contains=refund does not fail in refunds@3, the last variant. Not asked: 1 earlier variant."


def test_a_version_that_is_not_clear_is_asked_more_and_sessions_come_again(
    rec: Recording, client: Any, sim: Simulator, tmp_path: Path
) -> None:
    """A quarter of the sessions fail, and bad is below a half: eight answers do not tell, sixteen do not, thirty-two do."""
    record(client, 8)
    plant(sim, lambda body: "Never" in system_of(body) or number_of(body) % 4 == 0)

    done = suite(rec.directory, history(tmp_path, 2, 1), "--json", "--threshold", "0.5", verb="bisect")

    value = json.loads(done.out)
    assert (value["outcome"], value["first_bad"]) == ("found", "refunds@3")
    assert [(v["name"], v["passed"], v["of"]) for v in value["variants"] if "of" in v] == [
        ("refunds@2", 24, 32), ("refunds@3", 0, 8)]


def test_what_stays_unclear_is_inconclusive(rec: Recording, client: Any, sim: Simulator, tmp_path: Path) -> None:
    record(client, 8)
    plant(sim, loses(every=2))

    done = suite(rec.directory, history(tmp_path, 0, 3), "--max-samples", "16", verb="bisect")

    assert done.code == 3
    assert " ".join(done.out.split()).startswith("Inconclusive: after 16 answers nobody can say on which side of 50 % refunds@2 is. "
                                                 "Raise --max-samples, or move --threshold.")


def test_a_bisect_that_a_cap_ended_is_gone_on_with_and_asks_nothing_twice(
    rec: Recording, client: Any, sim: Simulator, tmp_path: Path
) -> None:
    record(client, 8)
    plant(sim, loses())
    text = CHECK + "[budget]\nmax_calls = {}\n"

    first = suite(rec.directory, history(tmp_path, 4, 3, text.format(10)), verb="bisect")
    sent = len(sim.exchanges) - 8
    second = suite(rec.directory, history(tmp_path, 4, 3, text.format(1000)), "--resume", verb="bisect")

    bodies = [exchange.request_body for exchange in sim.exchanges[8:]]
    assert (first.code, sent, second.code) == (3, 10, 1)
    assert "Stopped at budget.max_calls. 10 of 192 calls were sent." in first.err
    assert second.out.startswith("contains=refund begins to fail at refunds@5")
    assert len(bodies) == len(set(bodies)) == 24


@pytest.mark.parametrize(("head", "args", "said"), [
    ("", (), "Name the check that begins to fail: --check contains=TEXT"),
    ('checks = ["contains=a", "contains=b"]\n', (), "Name the check that begins to fail: --check contains=a or contains=b"),
    ('checks = ["contains=a", "contains=b"]\n', ("--check", "contains"), "--check 'contains' fits contains=a and contains=b"),
    (CHECK, ("--check", "nonsense"), "otel-llm: check 'nonsense' is not usable."),
    ('models = ["a", "b"]\n' + CHECK, (), "prompts and models are crossed here, and a bisect goes along one line"),
    (CHECK, ("--resume",), "No run of the bisect 'suite' in this store."),
    (CHECK, ("--resend-in-doubt",), "--resend-in-doubt goes with --resume."),
])
def test_wrong_usage_is_said(
    rec: Recording, client: Any, tmp_path: Path, head: str, args: tuple[str, ...], said: str
) -> None:
    record(client, 1)

    done = suite(rec.directory, history(tmp_path, 1, 1, head), *args, verb="bisect")

    assert (done.code, said in done.err) == (2, True), done.err


def test_a_check_may_be_named_by_its_beginning(rec: Recording, client: Any, sim: Simulator, tmp_path: Path) -> None:
    record(client, 8)
    plant(sim, loses())

    done = suite(rec.directory, history(tmp_path, 1, 1, 'checks = ["exact", "contains=refund"]\n'), "--check", "contains", "--json",
                 verb="bisect")

    assert (json.loads(done.out)["check"], json.loads(done.out)["first_bad"]) == ("contains=refund", "refunds@2")
