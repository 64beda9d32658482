"""`otel-llm replay diff` in words: vectors, and calls of which nothing is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from cli.terminal import on_store
from support.recording import Recording

EMBEDDING = "text-embedding-3-small"


@pytest.fixture
def three(rec: Recording, client: Any) -> Recording:
    with otel_llm.session("three"):
        for second in ("a lake", "a lake", "a mountain"):
            client.embeddings.create(model=EMBEDDING, input=["a river", second])
    return rec


def test_equal_vectors_are_said_to_be_the_same(three: Recording) -> None:
    run = on_store(three.directory, "replay", "diff", "three:1", "three:2")

    assert (run.code, "vectors  same (2)" in run.out, run.err) == (0, True, "The answers are the same.\n")


def test_other_vectors_say_how_similar_they_are(three: Recording) -> None:
    run = on_store(three.directory, "replay", "diff", "three:1", "three:3")

    assert (run.code, run.err) == (1, "1 of 1 answer differs.\n")
    assert "vectors  2, cosine similarity of the least similar 0." in run.out


def test_where_nothing_can_be_compared_it_says_so(rec: Recording, client: Any) -> None:
    with otel_llm.session("lists"):
        client.models.list()
        client.models.list()

    run = on_store(rec.directory, "replay", "diff", "lists", "lists")

    assert (run.code, run.err) == (1, "2 of 2 answers could not be compared.\n")
    assert "nothing is recorded on both sides that could be compared" in run.out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_export_that_cannot_be_written_is_one_clear_line(three: Recording) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "otel_llm.cli", "--store", str(three.directory), "export", "jsonl"],
                              stdout=full, stderr=subprocess.PIPE, text=True)

    assert (done.returncode, done.stderr) == (4, "otel-llm: could not write the output: no space left on device\n")
