"""`otel-llm forward run` says what it is about to do, since it ends only when it is told to."""

from __future__ import annotations

from pathlib import Path

from cli.terminal import on_store
from otel_llm.store.sqlite import SqliteStore


def test_where_nothing_is_sent_on_it_says_so_and_that_it_waits(tmp_path: Path) -> None:
    SqliteStore(tmp_path).close()

    done = on_store(tmp_path, "forward", "run", "--timeout", "0.01")

    assert done.code == 0
    assert "Nothing is sent on from this store" in done.err and "Ctrl-C" in done.err


def test_until_empty_it_says_so_and_ends(tmp_path: Path) -> None:
    SqliteStore(tmp_path).close()

    done = on_store(tmp_path, "forward", "run", "--until-empty")

    assert done.code == 0 and "Ctrl-C" not in done.err
