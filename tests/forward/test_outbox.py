"""The queue in the store: what is put there, how it is bounded, who may empty it."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

from forward.conftest import Place
from otel_llm.store import schema
from otel_llm.store.forward.lease import Lease
from otel_llm.store.outbox import ROW_BYTES
from otel_llm.store.sqlite import SqliteStore
from support.otlp_sink import OtlpSink


def test_a_store_of_version_1_opens(tmp_path: Path) -> None:
    migrations = schema.MIGRATIONS
    schema.MIGRATIONS = migrations[:1]
    try:
        SqliteStore(tmp_path).close()
    finally:
        schema.MIGRATIONS = migrations

    with SqliteStore(tmp_path) as store:
        assert store.facts()["version"] == len(migrations)
        assert store.facts()["forwarding"] == []


def test_a_dead_process_says_on_its_tape_where_its_spans_go(place: Place, sink: OtlpSink) -> None:
    """Nobody but the tape knows: the process died before anything was indexed."""
    made = place.record(2)
    place.spool.close()

    with SqliteStore(place.directory) as store:
        store.catch_up()
        rows = store.connection.execute("SELECT d.name, d.endpoint, count(*) FROM outbox JOIN destination d USING (destination)").fetchall()

    assert rows == [("otlp", f"{sink.url}/v1/traces", len(made))]


def test_what_one_process_sends_elsewhere_says_nothing_about_another(places: Callable[..., Place], sink: OtlpSink) -> None:
    there = places(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    here = Place(there.directory, {})
    (sent,) = there.record(1, "there")
    here.tape.number = 500
    here.record(1, "here")

    there.forward()

    assert [span.span_id for span in sink.spans] == [sent]
    here.spool.close()


def test_a_span_that_is_delivered_again_is_not_forwarded_again(place: Place, sink: OtlpSink) -> None:
    place.record(1)
    place.forward()
    place.tape.number = 0
    place.record(1)

    place.forward()

    assert len(sink.spans) == 1


def test_no_secret_reaches_the_store(places: Callable[..., Place], sink: OtlpSink) -> None:
    secret = "canary-7f3a"
    place = places(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url.replace("//", f"//user:{secret}@") + f"?key={secret}",
                   OTEL_EXPORTER_OTLP_HEADERS=f"x-api-key={secret}")
    place.record(1)

    place.forward()

    assert sink.seen[0].headers["x-api-key"] == secret and sink.seen[0].headers["authorization"].startswith("Basic ")
    assert [path for path in place.directory.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()] == []


def test_above_the_cap_the_oldest_go_and_the_ledger_says_so(places: Callable[..., Place], sink: OtlpSink) -> None:
    place = places(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_LLM_FORWARD_CAP=str(ROW_BYTES * 10))
    made = place.record(25)

    place.forward()

    with SqliteStore(place.directory) as store:
        assert [(loss.reason, loss.count) for loss in store.losses()] == [("forward cap", 15)]
    assert [span.span_id for span in sink.spans] == made[-10:]
    assert (place.waiting().lost, place.waiting().waiting) == (15, 0)


def test_a_step_that_is_gone_is_passed_over(place: Place, sink: OtlpSink) -> None:
    made = place.record(3)
    with SqliteStore(place.directory) as store:
        store.catch_up()
        store.connection.execute("DELETE FROM step WHERE span_id = ?", (bytes.fromhex(made[1]),))

    assert place.forward()

    assert [span.span_id for span in sink.spans] == [made[0], made[2]]


def test_a_span_that_cannot_be_read_is_a_dead_letter_and_holds_up_nobody(place: Place, sink: OtlpSink) -> None:
    made = place.record(3)
    with SqliteStore(place.directory) as store:
        store.catch_up()
        store.connection.execute("UPDATE step SET span_pack = 999 WHERE span_id = ?", (bytes.fromhex(made[0]),))

    assert place.forward()

    with place.open() as forwarding:
        (letter,) = forwarding.letters()
    assert [span.span_id for span in sink.spans] == made[1:]
    assert "cannot be read" in letter.reason


class TestLease:
    def test_one_at_a_time(self, tmp_path: Path) -> None:
        first, second = Lease(tmp_path / "1.lock"), Lease(tmp_path / "1.lock")

        assert (first.take(), second.take(), first.take()) == (True, False, True)
        first.give_back()
        assert second.take()
        second.give_back()

    def test_who_dies_lets_go_at_once(self, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            mine = Lease(tmp_path / "1.lock")
            os.write(writing, b"here" if mine.take() else b"busy")
            signal.pause()
        assert os.read(reading, 4) == b"here"
        lease = Lease(tmp_path / "1.lock")

        before = lease.take()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

        assert (before, lease.take()) == (False, True)
        lease.give_back()

    def test_a_forked_child_does_not_keep_it(self, tmp_path: Path) -> None:
        lease = Lease(tmp_path / "1.lock")
        lease.take()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, b"here")
            signal.pause()
        os.read(reading, 4)

        lease.give_back()

        other = Lease(tmp_path / "1.lock")
        try:
            assert other.take()
        finally:
            other.give_back()
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_the_views_read_well_in_a_bare_shell(place: Place) -> None:
    place.record(1)
    place.forward()

    with sqlite3.connect(place.directory / "store.sqlite") as bare:
        assert bare.execute("SELECT name, state, waiting, sent FROM destinations").fetchall() == [("otlp", "ok", 0, 1)]
    bare.close()
