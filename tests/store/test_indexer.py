"""The indexer takes in every frame exactly once, in whatever order, batch or process it comes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from otel_llm.store import background
from otel_llm.store.segments import segments
from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.call import Cost, Usage
from otel_llm.values.session import Filter, Loss, Step
from otel_llm.values.spandata import SpanData
from store.frames_help import (
    NOW,
    SECOND,
    Recording,
    chat_request,
    chat_response,
    chat_stream,
    ids,
    message,
)

REQUEST, RESPONSE = chat_request(message("user", "hello")), chat_response("hi")


def all_steps(store: SqliteStore) -> list[Step]:
    return [step for session in store.sessions(Filter(), limit=1000) for step in store.steps(session.session_id)]


def call_span(call: tuple[str, str, int], attributes: dict[str, Any] | None = None, **more: Any) -> SpanData:
    return SpanData(call[0], call[1], None, "chat gpt-4o-mini", "client", call[2], call[2] + SECOND, {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", **(attributes or {})}, **more)


class TestOneCall:
    def test_its_bytes_alone_make_a_row(self, tape: Recording, store: SqliteStore) -> None:
        """A foreign batch processor or a crash may keep the span from ever coming."""
        tape.call(chat_request(message("user", "hello there"), stream=True), chat_response("hi", tokens=(9, 3)),
                  attributes={"user.id": "u", "otel_llm.tag.team": "red", "gen_ai.prompt.name": "p", "gen_ai.prompt.version": "2"},
                  end={"attempts": [[NOW, 429], [NOW, None]]})

        (step,) = store.calls(Filter())

        trace, span = ids(1)
        assert step == Step(
            trace_id=trace, span_id=span, parent_span_id=None, session_id=step.session_id, kind="call", name="chat gpt-4o-mini",
            operation="chat", state="ok", start_ns=NOW + SECOND, end_ns=NOW + SECOND + SECOND // 2, provider="openai",
            model="gpt-4o-mini", response_model="gpt-4o-mini-2024-07-18", stream=True, usage=Usage(9, 3), cost=step.cost,
            attempts=3, finish_reason="stop", user_id="u", prompt_name="p", prompt_version="2", tags={"team": "red"},
            api="openai_chat", exactness="exact", request_preview="hello there", response_preview="hi", opens_turn=True)
        assert step.cost == Cost(9 * 150_000 + 3 * 600_000, 9 * 150_000, 3 * 600_000)

    def test_the_span_wins_over_the_bytes_whichever_comes_first(self, tape: Recording, store: SqliteStore) -> None:
        first = tape.start(REQUEST)
        tape.end(first, RESPONSE)
        tape.span(call_span(first, {"gen_ai.usage.input_tokens": 100, "otel_llm.cost.total": 0.5}))
        second = tape.next()
        tape.span(call_span(second, {"gen_ai.usage.input_tokens": 100, "otel_llm.cost.total": 0.5}))
        tape.made.pop()
        tape.number -= 1
        tape.call(REQUEST, RESPONSE)

        found = store.calls(Filter())

        assert [(s.usage.input_tokens, s.usage.output_tokens, s.cost, s.end_ns - s.start_ns if s.end_ns else 0) for s in found] == [
            (100, 7, Cost(500_000_000_000), SECOND)] * 2
        assert [s.exactness for s in found] == ["exact"] * 2

    @pytest.mark.parametrize("order", ["span, start, end", "start, span, end", "start, end, span", "start, part, end, span"])
    @pytest.mark.parametrize("between", [False, True], ids=["one batch", "many batches"])
    def test_any_order_in_any_batches_makes_the_same_row(self, order: str, between: bool, tape: Recording, store: SqliteStore,
                                                         tmp_path: Path) -> None:
        call = tape.next()
        stream = chat_stream("a longer answer with words")
        cut = len(stream) // 2 if "part" in order else 0
        for what in order.split(", "):
            if what == "span":
                tape.span(call_span(call, {"gen_ai.usage.output_tokens": 5}))
            elif what == "start":
                tape.number -= 1
                tape.start(REQUEST)
            elif what == "part":
                tape.part(call, stream[:cut])
            else:
                tape.end(call, stream[cut:], content_type="text/event-stream")
            if between:
                store.catch_up()

        (step,) = all_steps(store)

        assert (step.state, step.response_preview, step.usage.output_tokens, step.kind, step.exactness) == (
            "ok", "a longer answer with words", 5, "call", "exact")
        exchange = store.exchange(step.span_id)
        assert (exchange.request_body, exchange.response_body) == (REQUEST, stream)
        assert store.verify() == []

    def test_the_request_as_finally_sent_is_the_request(self, tape: Recording, store: SqliteStore) -> None:
        final = chat_request(message("user", "hello again"))
        call = tape.start(REQUEST)
        tape.end(call, final + RESPONSE, resent=len(final))

        exchange = store.exchange(call[1])

        assert (exchange.request_body, exchange.response_body) == (final, RESPONSE)
        assert store.calls(Filter())[0].request_preview == "hello again"

    def test_a_failed_call_says_how(self, tape: Recording, store: SqliteStore) -> None:
        tape.call(REQUEST, b'{"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}', status=429)
        tape.call(REQUEST, None, status=None, end={"error_type": "ConnectError", "error_message": "no route"})

        by_state = [(s.state, s.error_type, s.error_message) for s in reversed(store.calls(Filter()))]

        assert by_state[0][0] == "error" and by_state[0][2] == "slow down"
        assert by_state[1] == ("error", "ConnectError", "no route")

    def test_an_endpoint_without_an_adapter_is_a_call_all_the_same(self, tape: Recording, store: SqliteStore) -> None:
        call = tape.start(b"\x00raw", api="generic", attributes={"otel_llm.endpoint": "/images/generations"})
        tape.end(call, b"\x89PNG")

        (step,) = store.calls(Filter())

        assert (step.kind, step.api, step.operation) == ("call", "generic", None)
        assert store.exchange(call[1]).request_body == b"\x00raw"

    def test_content_that_was_left_out_says_why(self, tape: Recording, store: SqliteStore) -> None:
        call = tape.start(b"", omitted="content off")
        tape.end(call, b"", omitted="content off")

        exchange = store.exchange(call[1])

        assert (exchange.request_body, exchange.response_body, exchange.omitted, exchange.exactness) == (
            None, None, "content off", "none")

    def test_a_redacted_call_is_partial(self, tape: Recording, store: SqliteStore) -> None:
        call = tape.start(REQUEST, redacted=2)
        tape.end(call, RESPONSE, redacted=1)

        exchange = store.exchange(call[1])

        assert (exchange.exactness, exchange.redacted) == ("partial", 3)
        assert store.calls(Filter())[0].exactness == "partial"


class TestLife:
    def test_a_call_runs_until_its_end_and_is_incomplete_when_its_program_dies(self, tmp_path: Path, store: SqliteStore) -> None:
        spool = Spool(tmp_path / "spool")
        tape = Recording(spool)
        call = tape.start(chat_request(message("user", "are you there?")))
        tape.part(call, b"data: {}\n\n")

        (running,) = store.calls(Filter())
        session = store.sessions(Filter())[0]
        during = store.exchange(call[1])
        spool.close()
        (dead,) = store.calls(Filter())
        after = store.exchange(call[1])

        assert (running.state, running.end_ns, running.request_preview) == ("running", None, "are you there?")
        assert session.status == "running"
        assert (during.request_body, during.response_body, during.complete) == (after.request_body, after.response_body, False)
        assert after.response_body == b"data: {}\n\n"
        assert dead.state == "incomplete"
        assert segments(tmp_path / "spool") == []

    def test_an_end_that_comes_after_all_makes_it_whole(self, tmp_path: Path, store: SqliteStore) -> None:
        spool = Spool(tmp_path / "spool")
        tape = Recording(spool)
        call = tape.start(REQUEST)
        spool.close()
        store.catch_up()
        tape.end(call, RESPONSE)

        (step,) = store.calls(Filter())

        assert (step.state, step.exactness) == ("ok", "exact")

    def test_a_call_in_a_rotated_segment_still_runs(self, tmp_path: Path, store: SqliteStore) -> None:
        spool = Spool(tmp_path / "spool", segment_bytes=1000)
        tape = Recording(spool)
        call = tape.start(REQUEST)
        for _ in range(5):
            tape.step("filler", {"x": "y" * 500})
        store.catch_up()
        kept = segments(tmp_path / "spool")
        (step,) = store.calls(Filter())
        tape.end(call, RESPONSE)
        (ended,) = store.calls(Filter())
        spool.close()

        assert len(kept) == 1
        assert (step.state, ended.state) == ("running", "ok")

    def test_a_segment_is_not_deleted_while_its_writer_lives(self, tape: Recording, spool: Spool, store: SqliteStore) -> None:
        tape.step("a")
        store.catch_up()
        living = segments(spool.directory)
        tape.step("b")
        spool.close()
        store.catch_up()

        assert len(living) == 1
        assert segments(spool.directory) == []
        assert {step.name for step in all_steps(store)} == {"a", "b"}


class TestExactlyOnce:
    def test_a_segment_that_comes_back_is_stored_once(self, tmp_path: Path, store: SqliteStore) -> None:
        spool = Spool(tmp_path / "spool")
        tape = Recording(spool)
        call = tape.start(REQUEST)
        tape.part(call, b"")
        tape.end(call, RESPONSE)
        tape.span(call_span(call))
        spool.close()
        (name, _), = segments(spool.directory)
        copy = tmp_path / "copy"
        shutil.copy(spool.directory / name, copy)
        before = all_steps(store)
        for again in (name, "feedfeedfeed-1-0.seg"):
            shutil.copy(copy, spool.directory / again)
            store.catch_up()

        assert all_steps(store) == before
        assert store.sessions(Filter())[0].calls == 1
        assert segments(spool.directory) == []

    def test_small_batches_make_what_one_large_batch_makes(self, tmp_path: Path) -> None:
        found = []
        for size in (1, 3000, 8_000_000):
            directory = tmp_path / str(size)
            spool = Spool(directory / "spool", segment_bytes=5000)
            tape = Recording(spool)
            history = [message("system", "be brief " * 20)]
            for n in range(10):
                history.append(message("user", f"question {n} " + "x" * 100))
                tape.call(chat_request(*history), chat_response(f"answer {n} " + "y" * 100))
                history.append(message("assistant", f"answer {n} " + "y" * 100))
            spool.close()
            with SqliteStore(directory) as store:
                while store.index_batch(size):
                    pass
                found.append((store.sessions(Filter()), all_steps(store),
                              [store.exchange(c.span_id) for c in store.calls(Filter())], store.losses(), store.verify()))

        assert found[0] == found[1] == found[2]
        assert found[0][0][0].calls == 10
        assert found[0][3:] == ([], [])

    def test_two_indexers_at_once_store_each_call_once(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool", segment_bytes=100_000)
        tape = Recording(spool)
        for n in range(300):
            tape.call(chat_request(message("user", f"{n} " + "x" * 1000)), chat_response("y" * 100))
        spool.close()
        code = ("import sys; from otel_llm.store.sqlite import SqliteStore; from pathlib import Path\n"
                "store = SqliteStore(Path(sys.argv[1]))\nwhile store.index_batch(20_000): pass")
        processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
        codes = [process.wait() for process in processes]

        with SqliteStore(tmp_path) as store:
            calls = store.calls(Filter(), limit=1000)
            assert codes == [0, 0, 0]
            assert len(calls) == len({c.span_id for c in calls}) == 300
            assert (store.losses(), store.verify()) == ([], [])

    def test_an_indexer_that_is_killed_at_any_moment_loses_and_doubles_nothing(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool", segment_bytes=50_000)
        tape = Recording(spool)
        code = ("import sys; from otel_llm.store.sqlite import SqliteStore; from pathlib import Path\n"
                "store = SqliteStore(Path(sys.argv[1])); print(flush=True)\n"
                "while True:\n  while store.index_batch(3_000): pass")
        made = []
        for round_ in range(6):
            with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline()
                history = [message("system", "be brief " * 20)]
                for n in range(15 + 7 * round_):
                    history.append(message("user", f"{round_} {n} " + "x" * 100))
                    made.append(tape.call(chat_request(*history), chat_response("y" * 100)))
                process.kill()
        spool.close()

        with SqliteStore(tmp_path) as store:
            calls = store.calls(Filter(), limit=10_000)
            assert sorted(c.span_id for c in calls) == sorted(made)
            assert {c.state for c in calls} == {"ok"}
            assert (store.losses(), store.verify()) == ([], [])
            assert sum(s.calls for s in store.sessions(Filter(), limit=1000)) == len(made)

    def test_a_batch_that_fails_is_done_again(self, tape: Recording, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        tape.call(REQUEST, RESPONSE)
        with monkeypatch.context() as patch:
            patch.setattr("otel_llm.store.indexer.roll_up", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                store.catch_up()

        assert [c.state for c in store.calls(Filter())] == ["ok"]
        assert store.verify() == []


class TestLedger:
    def test_losses_that_were_written_are_listed(self, spool: Spool, store: SqliteStore) -> None:
        spool.lost("sampled out", 3)
        spool.lost("sampled out")
        spool.lost("too large")

        assert [(loss.reason, loss.count) for loss in store.losses()] == [("sampled out", 4), ("too large", 1)]

    def test_a_segment_that_somebody_removed_shows_as_a_gap(self, tmp_path: Path, store: SqliteStore) -> None:
        spool = Spool(tmp_path / "spool", segment_bytes=500)
        tape = Recording(spool)
        for _ in range(10):
            tape.step("a", {"x": "y" * 200})
        names = [name for name, _ in segments(spool.directory)]
        (spool.directory / names[2]).unlink()
        spool.close()

        (loss,) = store.losses()

        assert loss.reason == "missing record"
        assert loss.count == 10 - len(all_steps(store)) > 0

    def test_damage_is_counted_and_the_rest_is_read(self, tmp_path: Path, store: SqliteStore) -> None:
        spool = Spool(tmp_path / "spool")
        tape = Recording(spool)
        for n in range(5):
            tape.step(f"step {n}")
        spool.close()
        path = spool.directory / segments(spool.directory)[0][0]
        data = bytearray(path.read_bytes())
        data[data.index(b"step 2")] ^= 1
        path.write_bytes(data)

        names = {step.name for step in all_steps(store)}

        assert names == {f"step {n}" for n in (0, 1, 3, 4)}
        assert [(loss.reason, loss.count) for loss in store.losses()] == [("damaged frame", 1)]

    @pytest.mark.parametrize("header", [b"", b"not json", b"[]", b"{}", b'{"trace_id":"zz","span_id":"1"}', b"[1,2,3]"])
    @pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 6, 7, 29])
    def test_a_frame_that_makes_no_sense_costs_itself(self, kind: int, header: bytes, tape: Recording, store: SqliteStore,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
        from otel_llm.values.guard import faults

        monkeypatch.setattr(faults, "strict", False)
        tape.step("before")
        tape.tape.append(kind, header, b"body")
        tape.step("after")

        assert {step.name for step in all_steps(store)} == {"before", "after"}
        assert all(isinstance(loss, Loss) for loss in store.losses())


class TestBackground:
    def test_a_program_indexes_its_own_spool(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool")
        spool.start_background(lambda weak: background.run(weak, 0.02))
        threads = [t.name for t in threading.enumerate()]
        Recording(spool).call(REQUEST, RESPONSE)
        started = [t for t in threading.enumerate() if t.name == "otel-llm-indexer"]
        with SqliteStore(tmp_path) as store:
            for _ in range(500):
                if store._all("SELECT 1 FROM call", ()):
                    break
                threading.Event().wait(0.01)
            found = store._all("SELECT count(*) FROM call", ())

        assert "otel-llm-indexer" not in threads
        assert started and started[0].daemon
        assert found == [(1,)]
        del spool
        started[0].join(5)

    def test_a_young_segment_of_a_dead_process_is_swept(self, tmp_path: Path, store: SqliteStore) -> None:
        (tmp_path / "spool").mkdir()
        left = tmp_path / "spool" / "abc-1-0.new"
        left.write_bytes(b"")
        os.utime(left, (1, 1))
        Recording(Spool(tmp_path / "spool")).step("a")

        store.catch_up()

        assert not left.exists()


def test_many_dead_programs_are_taken_in_a_few_at_a_time(
    tmp_path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_llm.store.indexer.MAX_OPEN", 10)
    for n in range(45):
        spool = Spool(tmp_path / "spool")
        Recording(spool, number=100 * n).start(REQUEST)
        spool.close()
    alive = Spool(tmp_path / "spool")
    Recording(alive, number=9000).start(REQUEST)

    states = [call.state for call in store.calls(Filter(), limit=100)]

    assert states == ["running", *["incomplete"] * 45]
    assert len(segments(tmp_path / "spool")) == 1
    assert (store.losses(), store.verify()) == ([], [])
    alive.close()


def test_a_reader_ends_although_a_program_goes_on_writing(
    tmp_path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool")
    tape = Recording(spool)
    tape.step("first")
    assert store._indexer is not None
    batch = store._indexer.index_batch

    def endless(batch_bytes: int) -> bool:
        tape.step("again", {"x": "y" * 2000})
        batch(batch_bytes)
        return True

    monkeypatch.setattr(store._indexer, "index_batch", endless)
    store.catch_up()
    spool.close()
