"""Going on with a suite, whatever ended it: no answered call is bought twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from otel_llm.store.sqlite import SqliteStore
from replay_suite.recorded_sessions import GOOD, record, suite, system_of, versions, write_suite
from support.backends import eventually
from support.killing import Killed
from support.provider import Provider
from support.recording import recording

SESSIONS, VARIANTS = 6, 4
TEXT = ('concurrency = 3\nmodels = ["gpt-4o-mini", "gpt-4.1-mini"]\nchecks = ["contains=refund"]\n' + versions("1", "2") +
        "[rules]\nmax_pass_rate_drop = 0.9\n")


def said(body: dict[str, Any]) -> str:
    return "A refund." if "kind" in system_of(body) else "No."


@pytest.fixture
def provider() -> Any:
    with Provider(said) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path, provider: Provider) -> Path:
    """A store with sessions, and a provider that has forgotten them and takes its time from now on."""
    openai = pytest.importorskip("openai", reason="the openai SDK is not installed")
    with recording(tmp_path / "store"), openai.OpenAI(base_url=provider.base_url, api_key="k", max_retries=0) as client:
        record(client, SESSIONS)
    with SqliteStore(tmp_path / "store") as opened:
        opened.catch_up()
    provider.asked.clear()
    provider.latency_s = 0.02
    return tmp_path / "store"


def asked(provider: Provider) -> Counter[str]:
    """How often each call was sent."""
    return Counter(json.dumps([body["model"], body["messages"]]) for body in provider.asked)


def write(tmp_path: Path) -> str:
    return write_suite(tmp_path, TEXT, **{"1": GOOD, "2": GOOD + " Very."})


@pytest.mark.parametrize("kills", [1, pytest.param(60, marks=pytest.mark.slow)])
def test_however_often_it_is_killed_no_call_is_bought_twice(
    store: Path, tmp_path: Path, provider: Provider, kills: int
) -> None:
    """SIGKILL at random moments, gone on with until a run ends by itself; then a new run, until there were so many kills."""
    file, total, seed = write(tmp_path), 0, 0
    while total < kills:
        seed += 1
        provider.asked.clear()
        killed, code = Killed(store, provider, seed), None
        runs = len(list(store.glob("suites/*.json")))
        while code is None:
            is_begun = len(list(store.glob("suites/*.json"))) > runs
            code = killed.run(["replay", "suite", file, *(["--resume"] if is_begun else [])], most_calls=8)
        total += killed.kills
        in_doubt = SESSIONS * VARIANTS - len(asked(provider))
        assert max(asked(provider).values()) == 1
        assert in_doubt <= 3 * killed.kills
        whole = suite(store, file, "--resume", "--resend-in-doubt", "--json")
        assert whole.code == 0
        assert [v["rate"]["passed"] for v in json.loads(whole.out)["variants"]] == [SESSIONS] * VARIANTS
        assert len(asked(provider)) == SESSIONS * VARIANTS


def test_an_interruption_waits_for_what_is_under_way_and_says_how_to_go_on(
    store: Path, tmp_path: Path, provider: Provider
) -> None:
    provider.latency_s = 0.1
    file = write(tmp_path)
    process = subprocess.Popen([sys.executable, "-m", "otel_llm.cli", "--store", str(store), "replay", "suite", file],
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"})
    eventually(lambda: len(provider.asked) >= 4, pause_s=0.005)

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    sent = len(provider.asked)
    provider.latency_s = 0.0
    whole = suite(store, file, "--resume", "--json")

    assert (process.returncode, out) == (130, "")
    assert re.search(r"Waiting for [123] sessions? under way", err)
    assert f"What was answered is kept. Go on with: otel-llm replay suite {file} --resume" in err
    assert 4 <= sent <= 9
    assert (whole.code, json.loads(whole.out)["notes"]) == (0, [])
    assert set(asked(provider).values()) == {1} and len(provider.asked) == SESSIONS * VARIANTS


def test_sessions_are_asked_side_by_side_and_no_more_than_was_allowed(
    store: Path, tmp_path: Path, provider: Provider
) -> None:
    suite(store, write(tmp_path))

    assert (provider.most_at_once, len(provider.asked)) == (3, SESSIONS * VARIANTS)
