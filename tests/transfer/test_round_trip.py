"""An export holds everything: imported into an empty store it is the same store, and exports to the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from otel_llm.store.sqlite import SqliteStore
from otel_llm.transfer import jsonl
from otel_llm.values.errors import StoreUnwritable
from otel_llm.values.session import Filter
from transfer.stores import SECRET, everything, export, lines, take_in

KILLED = """
import os, sys
from otel_llm.store import importing
from otel_llm.store.sqlite import SqliteStore
from otel_llm.transfer import jsonl

store, file, at = sys.argv[1:]
importing.BATCH_RECORDS = 4
Importer = importing.Importer
calls = 0

def killed(work):
    def run(*args):
        global calls
        calls += 1
        if calls == 2 and at != "_correct":
            os._exit(9)
        if at == "_correct":
            os._exit(9)
        return work(*args)
    return run

with SqliteStore(store) as opened, opened.importing() as intake, open(file, "rb") as lines:
    setattr(intake, at, killed(getattr(intake, at)))
    jsonl.take_in(lines, "export", intake)
"""


class TestARoundTrip:
    def test_gives_the_same_bytes_again(self, source: SqliteStore, copy: SqliteStore) -> None:
        first = export(source)

        take_in(copy, first)

        assert export(copy) == first

    def test_gives_the_same_sessions_steps_spans_bytes_costs_and_hits(self, source: SqliteStore, copy: SqliteStore) -> None:
        take_in(copy, export(source))

        assert everything(copy) == everything(source)

    def test_a_second_time_finds_nothing_new_and_nothing_different(self, source: SqliteStore) -> None:
        steps = sum(row.steps for row in source.sessions(Filter(), limit=1000))

        with source.importing() as intake:
            jsonl.take_in(io.BytesIO(export(source)), "export", intake)

        assert (intake.added, intake.known, intake.differing) == (0, steps, 0)

    def test_covers_what_it_is_about(self, source: SqliteStore) -> None:
        """The store under test must not lose its hard cases."""
        found = [line["step"] for line in lines(export(source)) if "step" in line]
        bodies = [body for step in found for body in (step.get("call", {}).get("request"), step.get("call", {}).get("response"))]

        assert {step.get("span", {}).get("name", "").split(" ")[0] for step in found} >= {"chat", "execute_tool", "invoke_workflow"}
        assert any(isinstance(body, dict) for body in bodies), "a binary body"
        assert any("text/event-stream" in step["call"]["end"]["content_type"] for step in found if "end" in step.get("call", {}))
        assert any("span" not in step and "end" not in step["call"] for step in found), "a call that was cut"
        assert any(step["call"]["start"].get("redacted") for step in found if "call" in step)
        assert any(step["call"]["start"].get("omitted") == "content off" for step in found if "call" in step)
        assert any(step["call"]["end"]["status"] == 429 for step in found if "end" in step.get("call", {}))
        assert {session.inferred for session in source.sessions(Filter())} == {True, False}
        assert SECRET not in export(source).decode()

    def test_keeps_what_people_decided_about_sessions(self, source: SqliteStore, copy: SqliteStore) -> None:
        """Steps that name one session and were merged into another, a session that was split, stay so."""
        call = source.calls(Filter(session=("ticket-1",)))[0]
        assert "ticket-3" not in [s.session_id for s in source.sessions(Filter())]
        apart = source.split(call.span_id)

        take_in(copy, export(source))

        assert [s.span_id for s in copy.steps(apart)] == [s.span_id for s in source.steps(apart)]
        assert everything(copy) == everything(source)

    def test_keeps_a_cost_that_todays_prices_would_not_give(self, source: SqliteStore, copy: SqliteStore) -> None:
        data = [line for line in export(source).splitlines(keepends=True) if not line.startswith(b'{"manifest"')]
        at = next(n for n, line in enumerate(data) if b'"cost":{' in line)
        step = json.loads(data[at])
        step["step"]["cost"] = {"total": 42, "input": None, "output": None}
        data[at] = json.dumps(step, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"

        take_in(copy, with_manifest(data))

        (found,) = [s for s in copy.calls(Filter(), limit=100) if s.span_id == step["step"]["span_id"]]
        assert found.cost is not None and found.cost.total == 42
        assert b'"cost":{"total":42,' in export(copy)


class TestAnImport:
    def test_twice_is_the_same_as_once(self, source: SqliteStore, copy: SqliteStore) -> None:
        data = export(source)
        first = take_in(copy, data)
        before = everything(copy)

        second = take_in(copy, data)

        steps = len([line for line in lines(data) if "step" in line])
        assert (first, second) == ((steps, 0), (0, steps))
        assert everything(copy) == before

    def test_of_parts_makes_the_whole(self, source: SqliteStore, copy: SqliteStore) -> None:
        sessions = [s.session_id for s in source.sessions(Filter())]
        for session in reversed(sessions):
            take_in(copy, export(source, Filter(session=(session,))))

        assert export(copy) == export(source)

    def test_into_its_own_store_changes_nothing(self, source: SqliteStore) -> None:
        data = export(source)

        added, _ = take_in(source, data)

        assert (added, export(source)) == (0, data)

    def test_leaves_what_is_there_alone(self, source: SqliteStore) -> None:
        """An old export does not undo a merge that was made since."""
        data = export(source)
        source.merge("ticket-1", "ticket-2")

        take_in(source, data)

        assert "ticket-2" not in [s.session_id for s in source.sessions(Filter())]

    def test_completes_a_call_that_was_running_when_it_was_exported(self, source: SqliteStore, copy: SqliteStore) -> None:
        data = lines(export(source))
        at = next(n for n, line in enumerate(data) if "end" in line.get("step", {}).get("call", {}) and line["step"].get("span"))
        early = json.loads(json.dumps(data[at]))
        del early["step"]["span"], early["step"]["call"]["end"], early["step"]["cost"]
        early["step"]["call"].pop("response", None)
        before = [json.dumps(line).encode() + b"\n" for line in (*data[:at], early)]
        take_in(copy, with_manifest([b'{"otel_llm":"export","version":1}\n', *before[1:]]))

        take_in(copy, export(source))

        assert export(copy) == export(source)

    def test_is_whole_in_a_store_that_another_process_indexes(self, source: SqliteStore, copy: SqliteStore, tmp_path: Path) -> None:
        """Where steps belong is settled before anybody can index them."""
        data = export(source)

        with SqliteStore(tmp_path / "copy") as other, copy.importing() as intake:
            intake._catch_up = lambda: (other.catch_up(), copy.catch_up())[1]
            jsonl.take_in(io.BytesIO(data), "export", intake)

        assert export(copy) == data

    @pytest.mark.parametrize("at", ["_place", "_append", "_catch_up", "_settle", "_correct"])
    def test_that_is_killed_is_finished_by_the_next_one(self, source: SqliteStore, tmp_path: Path, at: str) -> None:
        """Wherever it dies: `os._exit` is what `kill -9` looks like from inside."""
        file = tmp_path / "export.jsonl"
        file.write_bytes(export(source))
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "copy"), str(file), at], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (9, "")

        with SqliteStore(tmp_path / "copy") as copy:
            take_in(copy, file.read_bytes())

            assert export(copy) == file.read_bytes()
            assert everything(copy) == everything(source)

    def test_into_a_store_that_cannot_be_written_says_so(self, source: SqliteStore, tmp_path: Path) -> None:
        source.is_readonly = True

        with pytest.raises(StoreUnwritable, match="read-only"):
            take_in(source, b"")


class TestAnExport:
    def test_shows_one_moment_whatever_happens_meanwhile(self, source: SqliteStore) -> None:
        before = export(source)
        with source.snapshot(Filter()) as snapshot:
            source.merge("ticket-1", "ticket-2")
            ids = [mark.session_id for mark in snapshot.sessions()]

        assert "ticket-2" in ids
        assert export(source) != before

    def test_takes_the_sessions_that_fit(self, source: SqliteStore) -> None:
        found = lines(export(source, Filter(user=("ada",))))

        assert [line["session"]["id"] for line in found if "session" in line] == ["ticket-1"]
        assert {line["step"]["session"] for line in found if "step" in line} == {"ticket-1"}

    def test_leaves_out_what_is_damaged_and_says_which(self, source: SqliteStore) -> None:
        whole = jsonl.verify(io.BytesIO(export(source)), "x")
        source._execute("UPDATE pack SET data = x'00' WHERE kind = 'answer'")
        with source.snapshot(Filter()) as snapshot:
            done = jsonl.write(snapshot, io.BytesIO())

        assert done.damaged and "damaged" in done.damaged[0].reason
        assert done.steps + len(done.damaged) == whole


def with_manifest(data: list[bytes]) -> bytes:
    """Lines as a whole file."""
    body = b"".join(data)
    manifest = {"sessions": 0, "steps": 0, "replays": 0, "lines": len(data), "sha256": hashlib.sha256(body).hexdigest()}
    return body + json.dumps({"manifest": manifest}, separators=(",", ":")).encode() + b"\n"
