"""A file that is cut, edited, foreign or newer is refused with the reason, and nothing of it is half imported in silence."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.transfer import jsonl
from otel_llm.values.errors import BadExport, StoreUnwritable
from otel_llm.values.session import Filter
from store.frames_help import Recording, chat_request, chat_response, message
from transfer.stores import export, take_in


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """An export of three calls."""
    spool = Spool(tmp_path / "source" / "spool")
    tape = Recording(spool)
    for n in range(3):
        tape.call(chat_request(message("user", f"question {n}")), chat_response(f"answer {n}"))
    spool.close()
    with SqliteStore(tmp_path / "source") as store:
        return export(store)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "copy") as opened:
        yield opened


def refused(data: bytes) -> str:
    """What is said of a file before anything is imported."""
    with pytest.raises(BadExport) as error:
        jsonl.verify(io.BytesIO(data), "x.jsonl")
    return str(error.value)


def steps_in(store: SqliteStore) -> int:
    return sum(row.steps for row in store.sessions(Filter(), limit=100))


class TestAFileIsRefused:
    def test_when_it_is_cut_between_lines(self, whole: bytes) -> None:
        rows = whole.splitlines(keepends=True)

        assert refused(b"".join(rows[:-1])) == (
            f"x.jsonl is cut short: behind line {len(rows) - 1} there is no manifest, with which every export ends. Export again or "
            "copy it again.")

    def test_wherever_it_is_cut(self, whole: bytes) -> None:
        ends = range(40, len(whole) - 2, 97)

        assert all("cut short" in refused(whole[:end]) for end in ends)

    def test_when_a_word_in_it_was_changed(self, whole: bytes) -> None:
        said = refused(whole.replace(b"question 1", b"question 7"))

        assert "its checksum is not that of its manifest" in said

    def test_when_a_line_in_it_is_broken_and_that_line_is_named(self, whole: bytes) -> None:
        rows = whole.splitlines(keepends=True)
        at = next(n for n, row in enumerate(rows) if row.startswith(b'{"step"'))
        rows[at] = rows[at].replace(b'"session":"', b'"session":7,"was":"')

        said = refused(b"".join(rows))

        assert f"The first line that is wrong: line {at + 1} cannot be imported: step.session is 7" in said

    def test_when_a_line_was_taken_out(self, whole: bytes) -> None:
        rows = whole.splitlines(keepends=True)

        assert f"it has {len(rows) - 2} lines, and its manifest speaks of {len(rows) - 1}" in refused(b"".join(rows[:2] + rows[3:]))

    def test_when_another_file_was_appended(self, whole: bytes) -> None:
        assert "stands behind the manifest" in refused(whole + whole)

    def test_when_it_is_of_a_newer_release(self, whole: bytes) -> None:
        assert refused(whole.replace(b'"version":1', b'"version":2', 1)) == (
            "x.jsonl was written by a newer release (format 2; this one knows 1). Upgrade: pip install -U otel-llm")

    @pytest.mark.parametrize("data", [b"\x00\xff\x00", b"[]\n", b"{}\n", b'{"resourceSpans": []}\n', b"question,answer\n", b"[" * 9999])
    def test_when_it_is_something_else(self, data: bytes) -> None:
        assert "x.jsonl is no export of otel-llm" in refused(data)

    def test_when_it_is_empty(self) -> None:
        assert "x.jsonl is empty" in refused(b"")

    @pytest.mark.parametrize("version", [b"0", b"true", b'"1"', b"null"])
    def test_when_its_version_makes_no_sense(self, whole: bytes, version: bytes) -> None:
        assert "which no release has written" in refused(whole.replace(b'"version":1', b'"version":' + version, 1))


class TestAStream:
    """What comes from a pipe is imported as it comes; an error says how far that came."""

    def test_that_ends_early_says_what_was_imported(self, whole: bytes, store: SqliteStore) -> None:
        rows = whole.splitlines(keepends=True)
        at = [n for n, row in enumerate(rows) if row.startswith(b'{"step"')][2]

        with pytest.raises(BadExport) as error:
            take_in(store, b"".join(rows[:at]))

        assert str(error.value).endswith("copy it again. 2 steps were imported.")
        assert steps_in(store) == 2

    def test_with_a_bad_line_keeps_what_came_before_and_names_the_line(self, whole: bytes, store: SqliteStore) -> None:
        rows = whole.splitlines(keepends=True)
        at = [n for n, row in enumerate(rows) if row.startswith(b'{"step"')][1]
        rows[at] = b'{"step": {"session": "x"}}\n'

        with pytest.raises(BadExport) as error:
            take_in(store, b"".join(rows))

        assert str(error.value) == f"export: line {at + 1} cannot be imported: step.trace_id is missing. 1 step was imported."
        assert steps_in(store) == 1

    def test_of_an_unknown_kind_is_not_skipped(self, whole: bytes, store: SqliteStore) -> None:
        rows = whole.splitlines(keepends=True)
        rows[1] = b'{"hologram": {}}\n'

        with pytest.raises(BadExport, match="line 2 cannot be imported: it is a line of kind 'hologram'.*Nothing was imported"):
            take_in(store, b"".join(rows))

    def test_can_be_repeated_after_an_error(self, whole: bytes, store: SqliteStore) -> None:
        with pytest.raises(BadExport):
            take_in(store, whole[: len(whole) * 2 // 3])

        take_in(store, whole)

        assert export(store) == whole


def test_a_full_disk_ends_an_import_with_what_came_in(whole: bytes, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    with store.importing() as intake:
        def full(fd: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "no space")

        monkeypatch.setattr("otel_llm.store.spool.os.write", full)
        with pytest.raises(StoreUnwritable, match="takes no more.*0 steps were imported"):
            jsonl.take_in(io.BytesIO(whole), "export", intake)
        monkeypatch.undo()
    assert os.write is not full


def test_a_step_that_the_store_cannot_keep_is_said(whole: bytes, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault is put into the indexer for the first step that it meets."""
    from otel_llm.store.steps import StepWriter
    from otel_llm.values.errors import StoreError
    from otel_llm.values.guard import faults

    original, met = StepWriter._row, set()

    def faulty(self: Any, found: Any) -> Any:
        met.add(found.span_id)
        if found.span_id == min(met) and len(met) == 1:
            raise ValueError("a fault")
        return original(self, found)

    monkeypatch.setattr(StepWriter, "_row", faulty)
    faults.strict = False

    with pytest.raises(StoreError, match="Of 3 steps 1 could not be kept; 2 were imported"):
        take_in(store, whole)
