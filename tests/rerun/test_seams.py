"""Clock, random numbers and ids: what a program takes from nowhere comes again when one asks for it."""

from __future__ import annotations

import datetime
import json
import random
import subprocess
import sys
import time
import uuid
from pathlib import Path

import openai
import pytest

import otel_llm
from otel_llm.replay.rerun.seams import clock_from, real_time_ns, seeded
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator
from rerun.programs import environment
from support.chat import HELLO

PROGRAM = """
import random, time, uuid
from datetime import date, datetime
import openai

said = f"{datetime.now():%Y-%m-%d} {date.today()} {time.strftime('%Y', time.gmtime(time.time()))} {random.random()} {uuid.uuid4()}"
print(openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": said}]).id)
"""


def test_dates_and_made_up_ids_come_again(tmp_path: Path, sim: Simulator) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    env = environment(OPENAI_API_KEY="x", OPENAI_BASE_URL=sim.base_url, OTEL_LLM_STORE=str(tmp_path / "store"))
    terminal = [sys.executable, "-m", "otel_llm.cli"]
    python = ["--", sys.executable, str(program)]
    subprocess.run([*terminal, "run", "--seed", "7", *python], env=env, check=True, capture_output=True)

    outcome = {}
    for name, words in {"seams": ["--clock", "--seed", "7"], "none": [], "another seed": ["--clock", "--seed", "8"]}.items():
        run = subprocess.run([*terminal, "replay", "rerun", "@1", "--no-record", "--json", *words, *python], env=env,
                             capture_output=True, text=True)
        outcome[name] = json.loads(run.stdout)["outcome"]

    assert outcome == {"seams": "same", "none": "diverged", "another seed": "diverged"}


def test_a_moved_clock_goes_on_and_can_be_put_back() -> None:
    start = 1_600_000_000_000_000_000
    undo = clock_from(start)
    try:
        assert 0 <= time.time() - start / 1e9 < 5
        assert datetime.datetime.now(datetime.UTC).date() == datetime.date(2020, 9, 13)
        assert real_time_ns()() > start + 10**17
    finally:
        undo()
    assert time.time_ns() > start + 10**17


def test_a_rerun_with_the_recorded_clock_happened_now(tmp_path: Path, sim: Simulator) -> None:
    client = openai.OpenAI(base_url=sim.base_url, api_key="x")
    otel_llm.init(store=tmp_path)
    with otel_llm.session("s"):
        client.chat.completions.create(**HELLO)
    before = time.time_ns()
    with otel_llm.replaying("s", store=tmp_path, clock=True) as rerun:
        client.chat.completions.create(**HELLO)
    otel_llm.shutdown()

    assert [step.start_ns > before for step in SqliteStore(tmp_path).steps(rerun.report.new_session_id)] == [True]


@pytest.mark.parametrize("seed", [0, -3])
def test_a_seed_gives_the_same_numbers_and_ids(seed: int) -> None:
    found = []
    state = random.getstate()
    for _ in range(2):
        undo = seeded(seed)
        found.append((random.random(), uuid.uuid4(), uuid.uuid4()))
        undo()
    assert random.getstate() == state
    assert found[0] == found[1] and found[0][1].version == 4 and found[0][1] != uuid.uuid4()
