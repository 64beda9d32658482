"""`otel-llm config` shows everything, also where something is wrong."""

from __future__ import annotations

import json

import pytest

from cli.terminal import empty, otel_llm

BAD = {"OTEL_LLM_CONTENT": "perhaps", "OTEL_LLM_MAX_BODY": "16M", "OTEL_LLM_FORWARD_CAP": "much\x1b[31m"}


def test_a_bad_value_is_marked_among_all_the_others_and_ends_it_with_2() -> None:
    good, run = otel_llm(empty(), "config"), otel_llm(empty(), "config", environ=BAD)

    assert (run.code, len(run.out.splitlines())) == (2, len(good.out.splitlines()))
    rows = {row.split("\t")[1]: row.split("\t") for row in run.out.splitlines()}
    assert rows["OTEL_LLM_CONTENT"][2:4] == ["✗ perhaps", "OTEL_LLM_CONTENT"]
    assert "good values: true or false" in rows["OTEL_LLM_CONTENT"][4]
    assert rows["OTEL_LLM_MAX_BODY"][2:4] == ["16000000", "OTEL_LLM_MAX_BODY"]
    assert "OTEL_LLM_CONTENT='perhaps' is not usable" in run.err and "OTEL_LLM_FORWARD_CAP" in run.err
    assert "\x1b" not in run.out + run.err


def test_as_json_the_bad_one_has_a_problem() -> None:
    run = otel_llm(empty(), "config", "--json", environ=BAD)

    problems = {entry["variable"]: entry["problem"] for entry in json.loads(run.out) if entry["problem"]}
    assert (run.code, set(problems)) == (2, {"OTEL_LLM_CONTENT", "OTEL_LLM_FORWARD_CAP"})


def test_a_store_that_is_named_is_shown_beside_a_bad_value() -> None:
    run = otel_llm(empty(), "config", "--json", "--store", "/elsewhere", environ=BAD)

    place = next(entry for entry in json.loads(run.out) if entry["setting"] == "store")
    assert (place["value"], place["source"], place["problem"]) == ("/elsewhere", "--store", None)


@pytest.mark.parametrize("command", ["config", "doctor"])
def test_a_variable_that_nobody_reads_is_named_with_the_one_that_may_be_meant(command: str) -> None:
    environ = {"OTEL_LLM_STOR": "/secret", "OTEL_LLM_SEED": "1", "OTEL_LLM_API_KEYS": "k", "OTEL_LLM_MY_OWN": "x", "OTHER": "y"}

    run = otel_llm(empty(), command, "--json", environ=environ)

    found = [entry for entry in json.loads(run.out) if "nobody reads it" in (entry.get("meaning") or entry.get("text"))]
    assert run.code == 0
    assert [(entry.get("variable") or entry.get("subject"), entry.get("meaning") or entry.get("text")) for entry in found] == [
        ("OTEL_LLM_MY_OWN", "nobody reads it"), ("OTEL_LLM_STOR", "nobody reads it; did you mean OTEL_LLM_STORE?")]
    assert "/secret" not in run.out
