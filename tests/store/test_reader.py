"""What readers ask a store, and what it says when it cannot answer."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from otel_llm._setup import store_directory
from otel_llm.store import schema
from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.errors import Ambiguous, NotFound, StoreDamaged, StoreTooNew, StoreUnwritable
from otel_llm.values.session import Filter, Ref, ReplayRecord
from otel_llm.values.settings import Settings
from store.frames_help import NOW, SECOND, Recording, chat_request, chat_response, chat_stream, ids, message

STREAM = chat_stream("one two three four")


def ask(tape: Recording, text: str, **more: object) -> str:
    return tape.call(chat_request(message("user", text)), chat_response(f"answer to {text}"), **more)  # type: ignore[arg-type]


class TestLists:
    @pytest.fixture(autouse=True)
    def calls(self, tape: Recording) -> None:
        ask(tape, "one", attributes={"user.id": "ann", "gen_ai.prompt.name": "greet", "gen_ai.prompt.version": "1",
                                     "otel_llm.tag.team": "red", "otel_llm.tag.odd.key": "x", "gen_ai.conversation.id": "a"})
        ask(tape, "two", attributes={"user.id": "bob", "otel_llm.tag.team": "blue", "gen_ai.conversation.id": "b"})
        tape.call(chat_request(message("user", "three"), model="gpt-4o"), b'{"error": {"message": "no"}}', status=500,
                  attributes={"gen_ai.provider.name": "azure.ai.openai", "gen_ai.conversation.id": "b", "otel_llm.cost.total": 0.25})

    @pytest.mark.parametrize(("where", "previews", "sessions"), [
        (Filter(), ["three", "two", "one"], ["b", "a"]),
        (Filter(user=("ann",)), ["one"], ["a"]),
        (Filter(user=("ann", "bob")), ["two", "one"], ["b", "a"]),
        (Filter(model=("gpt-4o",)), ["three"], ["b"]),
        (Filter(model=("gpt-4o-mini-2024-07-18",)), ["two", "one"], ["b", "a"]),
        (Filter(provider=("azure.ai.openai",)), ["three"], ["b"]),
        (Filter(provider=("azure.ai.openai",), user=("bob",)), [], []),
        (Filter(session=("a",)), ["one"], ["a"]),
        (Filter(operation=("chat",)), ["three", "two", "one"], ["b", "a"]),
        (Filter(operation=("embeddings",)), [], []),
        (Filter(prompt=("greet",)), ["one"], ["a"]),
        (Filter(prompt=("greet@1",)), ["one"], ["a"]),
        (Filter(prompt=("greet@2",)), [], []),
        (Filter(tags={"team": ("red", "green")}), ["one"], ["a"]),
        (Filter(tags={"team": ("red",), "odd.key": ("x",)}), ["one"], ["a"]),
        (Filter(tags={"it's": ("%",)}), [], []),
        (Filter(status=("error",)), ["three"], ["b"]),
        (Filter(min_cost=250_000_000_000), ["three"], ["b"]),
        (Filter(max_cost=1), [], []),
        (Filter(since_ns=NOW + 2 * SECOND), ["three", "two"], ["b"]),
        (Filter(until_ns=NOW + 2 * SECOND - 1), ["one"], ["a"]),
    ])
    def test_a_filter_means_what_it_says(self, where: Filter, previews: list[str], sessions: list[str], store: SqliteStore) -> None:
        assert [c.request_preview for c in store.calls(where)] == previews
        assert [s.session_id for s in store.sessions(where)] == sessions

    def test_pages_do_not_overlap(self, store: SqliteStore) -> None:
        pages = [store.calls(Filter(), limit=2, offset=at)[0:2] for at in (0, 2)]

        assert [[c.request_preview for c in page] for page in pages] == [["three", "two"], ["one"]]
        assert [s.session_id for s in store.sessions(Filter(), limit=1, offset=1)] == ["a"]


class TestSteps:
    def test_parents_come_before_their_children_whatever_the_clocks_say(self, tape: Recording, store: SqliteStore) -> None:
        trace = ids(900)[0]
        child = tape.step("child", trace_id=trace, parent=ids(3)[1])
        grandchild = tape.step("grandchild", trace_id=trace, parent=child)
        root = tape.step("root", trace_id=trace)
        orphan = tape.step("orphan", trace_id=trace, parent="00000000000000ff")

        (session,) = store.sessions(Filter())

        assert [s.span_id for s in store.steps(session.session_id)] == [root, child, grandchild, orphan]

    def test_kinds_come_from_the_operation(self, tape: Recording, store: SqliteStore) -> None:
        trace = ids(900)[0]
        kinds = {"execute_tool": "tool", "invoke_agent": "agent", "invoke_workflow": "workflow", "retrieval": "retrieval",
                 "chat": "call", "embeddings": "call", "something": "other"}
        for operation in kinds:
            tape.step(operation, {"gen_ai.operation.name": operation}, trace_id=trace)

        (session,) = store.sessions(Filter())

        assert {s.name: s.kind for s in store.steps(session.session_id)} == kinds

    def test_a_session_that_is_not_there_is_said_with_what_is_near(self, tape: Recording, store: SqliteStore) -> None:
        ask(tape, "hello", attributes={"session.id": "order-17"})

        with pytest.raises(NotFound, match="order-17") as error:
            store.steps("order-71")

        assert error.value.near == ("order-17",)

    def test_a_trace_of_many_thousand_spans_opens(self, tape: Recording, store: SqliteStore) -> None:
        trace = ids(900)[0]
        parent = None
        for n in range(5000):
            parent = tape.step(f"s{n}", trace_id=trace, parent=parent)

        (session,) = store.sessions(Filter())

        assert [s.name for s in store.steps(session.session_id)] == [f"s{n}" for n in range(5000)]


class TestIds:
    @pytest.fixture
    def span(self, tape: Recording) -> str:
        ask(tape, "one", attributes={"session.id": "order-17"})
        ask(tape, "two", attributes={"session.id": "order-18"})
        return ask(tape, "three", attributes={"session.id": "order-18"})

    def test_every_way_to_name_a_thing(self, span: str, tape: Recording, store: SqliteStore) -> None:
        trace = tape.made[-1][0]
        call, session = Ref("call", span, "order-18"), Ref("session", "order-18", "order-18")

        for given in (span, span[:5], span.upper(), "order-18:2", "@1:2", f" {span} "):
            assert store.resolve(given) == call, given
        for given in ("order-18", "@1"):
            assert store.resolve(given) == session, given
        for given in (trace, trace[:6]):
            assert store.resolve(given) == Ref("trace", trace, "order-18"), given
        assert store.resolve("@2").id == "order-17"

    def test_an_inferred_session_can_be_named_without_its_prefix(self, tape: Recording, store: SqliteStore) -> None:
        ask(tape, "one")
        full = store.sessions(Filter())[0].session_id

        assert store.resolve(full[5:10]).id == store.resolve(full[:9]).id == full

    @pytest.mark.parametrize("given", ["order-18:3", "order-18:0", "@3", "@0", "ord", "nope", "order-19", "@1:9", "", ":", "%", "order_"])
    def test_what_is_not_there_is_not_found(self, given: str, span: str, store: SqliteStore) -> None:
        with pytest.raises(NotFound):
            store.resolve(given)

    def test_a_prefix_of_several_is_ambiguous(self, span: str, store: SqliteStore) -> None:
        with pytest.raises(Ambiguous) as error:
            store.resolve("order")

        assert error.value.candidates == ("order-17", "order-18")

    def test_a_session_id_with_a_colon_is_still_found(self, tape: Recording, store: SqliteStore) -> None:
        ask(tape, "one", attributes={"session.id": "user:5"})

        assert store.resolve("user:5") == Ref("session", "user:5", "user:5")
        assert store.resolve("user:5:1").kind == "call"

    def test_an_exchange_of_nothing_is_not_found(self, tape: Recording, store: SqliteStore) -> None:
        tool = tape.step("tool", {"gen_ai.operation.name": "execute_tool"})

        for given in (tool, "zz", "00000000000000ff"):
            with pytest.raises(NotFound):
                store.exchange(given)
        with pytest.raises(NotFound):
            store.span("00000000000000ff")


class TestReplays:
    def test_a_record_is_found_from_both_sides(self, store: SqliteStore) -> None:
        record = ReplayRecord("00000000000000aa", "00000000000000bb", "new", "old", {"model": "m"}, {"text": [1, None]}, 17)

        store.record_replay(record)
        store.record_replay(record)

        assert store.replays("new") == store.replays("old") == [record]
        assert store.replays("other") == []


class TestFiles:
    def test_a_store_is_made_for_its_owner_alone(self, tmp_path: Path) -> None:
        with SqliteStore(tmp_path / "new") as store:
            facts = store.facts()

        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "new" / schema.FILE).stat().st_mode) == 0o600
        assert (facts["sessions"], facts["steps"], facts["version"], facts["readonly"]) == (0, 0, len(schema.MIGRATIONS), False)

    def test_the_views_answer_in_a_bare_shell(self, tape: Recording, store: SqliteStore, tmp_path: Path) -> None:
        ask(tape, "hello")
        store.catch_up()

        plain = sqlite3.connect(tmp_path / schema.FILE)
        rows = [plain.execute(f"SELECT * FROM {view}").fetchall() for view in ("sessions", "calls", "steps")]
        plain.close()

        assert [len(r) for r in rows] == [1, 1, 1]
        assert "hello" in rows[1][0]

    def test_a_file_that_is_no_database_is_damaged(self, tmp_path: Path) -> None:
        (tmp_path / schema.FILE).write_bytes(b"this is no database, whatever it is called\n" * 100)

        with pytest.raises(StoreDamaged, match="Move it away"):
            SqliteStore(tmp_path)

    def test_a_database_of_another_program_is_left_alone(self, tmp_path: Path) -> None:
        other = sqlite3.connect(tmp_path / schema.FILE)
        other.execute("CREATE TABLE theirs (x)")
        other.close()

        with pytest.raises(StoreDamaged, match="another program"):
            SqliteStore(tmp_path)

    def test_a_store_of_a_newer_release_says_what_to_do(self, tmp_path: Path) -> None:
        SqliteStore(tmp_path).close()
        newer = sqlite3.connect(tmp_path / schema.FILE)
        newer.execute("PRAGMA user_version = 999")
        newer.close()

        with pytest.raises(StoreTooNew, match="Upgrade"):
            SqliteStore(tmp_path)

    def test_a_pack_that_was_damaged_is_found(self, tape: Recording, store: SqliteStore) -> None:
        span = ask(tape, "hello " * 100)
        store.catch_up()
        store._connection.execute("UPDATE pack SET data = zeroblob(length(data))")

        with pytest.raises(StoreDamaged):
            store.exchange(span)
        assert store.verify() != []

    @pytest.mark.skipif(os.geteuid() == 0 and not os.environ.get("OTEL_LLM_TEST_AS_USER"), reason="root may write anything")
    def test_a_directory_that_cannot_be_written_is_read_as_it_is(self, tmp_path: Path) -> None:
        self._readonly(tmp_path)

    def _readonly(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool")
        tape = Recording(spool)
        ask(tape, "hello")
        with SqliteStore(tmp_path) as store:
            store.catch_up()
        ask(tape, "later")
        spool.close()
        for path in (tmp_path / schema.FILE, tmp_path):
            path.chmod(0o500 if path.is_dir() else 0o400)
        try:
            with SqliteStore(tmp_path) as store:
                assert len(store.calls(Filter())) == 1
                assert (store.facts()["readonly"], store.facts()["spool_is_indexed"]) == (True, False)
                with pytest.raises(StoreUnwritable):
                    store.merge("a", "b")
        finally:
            tmp_path.chmod(0o700)

    def test_a_database_that_is_read_only_is_read_as_it_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same without the help of the file system, for those who may write anything."""
        spool = Spool(tmp_path / "spool")
        tape = Recording(spool)
        ask(tape, "hello")
        with SqliteStore(tmp_path) as store:
            store.catch_up()
        ask(tape, "later")
        monkeypatch.setattr(schema, "connect", self._refuse)

        with SqliteStore(tmp_path) as store:
            assert [c.request_preview for c in store.calls(Filter())] == ["hello"]
            assert [h.snippet[:5] for h in store.search("hello", Filter())] == ["hello"]
            assert (store.facts()["readonly"], store.facts()["spool_is_indexed"]) == (True, False)
            with pytest.raises(StoreUnwritable):
                store.record_replay(ReplayRecord("aa", "bb", "a", "b", {}, {}, 1))

    @staticmethod
    def _refuse(directory: Path) -> sqlite3.Connection:
        raise StoreUnwritable("attempt to write a readonly database")

    def test_a_place_where_no_store_can_be_is_unwritable(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")

        with pytest.raises(StoreUnwritable):
            SqliteStore(tmp_path / "file" / "store")

    def test_the_setting_says_where_the_store_is(self, tmp_path: Path) -> None:
        assert store_directory(Settings(store=str(tmp_path))) == tmp_path
        assert store_directory(Settings()).name == "otel-llm"

    def test_the_views_speak_as_the_terminal_does(self, tape: Recording, store: SqliteStore) -> None:
        ask(tape, "hello")
        store.catch_up()

        cursor = store.connection.execute("SELECT * FROM calls")

        row = dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))
        assert (row["duration_ms"], row["state"], row["asked"]) == (500.0, "ok", "hello")
        assert "ms" not in row

    @pytest.mark.parametrize(("answer", "end", "attributes", "state"), [
        (STREAM, {}, {}, "ok"),
        (STREAM[: len(STREAM) // 2], {"complete": False}, {}, "incomplete"),
        (STREAM[: len(STREAM) // 2], {"complete": False, "error_type": "ReadError"}, {}, "error"),
        (None, {"omitted": "too large"}, {"gen_ai.response.finish_reasons": ["stop"]}, "ok"),
        (None, {"omitted": "too large"}, {}, "ok"),
    ], ids=["read to its end", "left early", "broken", "too large", "too large and without a span"])
    def test_a_stream_that_was_left_early_is_incomplete_for_every_reader(
        self, tape: Recording, store: SqliteStore, answer: bytes | None, end: dict[str, object], attributes: dict[str, object],
        state: str,
    ) -> None:
        tape.call(chat_request(message("user", "hello"), stream=True), answer, attributes=attributes, end={
            "content_type": "text/event-stream", **end})

        (call,) = store.calls(Filter())
        assert (call.state, call.end_ns is not None) == (state, True)
        assert [c.span_id for c in store.calls(Filter(status=(state,)))] == [call.span_id]
        assert store.connection.execute("SELECT state FROM calls").fetchone() == (state,)

    def test_migrations_are_applied_once_by_many_at_the_same_time(self, tmp_path: Path) -> None:
        import threading

        errors: list[BaseException] = []

        def work() -> None:
            try:
                SqliteStore(tmp_path).close()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        with SqliteStore(tmp_path) as store:
            assert errors == []
            applied = [(number, name) for number, (name, _) in enumerate(schema.MIGRATIONS, 1)]
            assert store._all("SELECT version, name FROM migration", ()) == applied
