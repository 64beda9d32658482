"""Search finds calls and tools by what was said in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_llm.store import schema, search
from otel_llm.store.search import parse, snippet
from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.store.texts import searchable
from otel_llm.values.session import Filter
from otel_llm.values.spandata import EventData
from store.frames_help import Recording, chat_request, chat_response, chat_stream, message

FIRST = [message("system", "You sell flowers."), message("user", "I want my money back for the red roses")]


def found(store: SqliteStore, text: str, where: Filter | None = None, limit: int = 50) -> list[str]:
    return [hit.step.request_preview or hit.step.name for hit in store.search(text, where or Filter(), limit=limit)]


@pytest.fixture(autouse=True)
def calls(tape: Recording) -> None:
    tape.call(chat_request(*FIRST), chat_response("Of course. Refund No. 17-b is under way to Zoë."))
    tape.call(chat_request(*FIRST, message("assistant", "Of course. Refund No. 17-b is under way to Zoë."),
                           message("user", "Thank you")), chat_stream("You are welcome, dear customer"),
              attributes={"gen_ai.prompt.name": "polite", "otel_llm.tag.team": "orange"})
    tape.step("execute_tool lookup", {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup",
        "gen_ai.tool.call.arguments": '{"order": "A-113"}', "gen_ai.tool.call.result": "shipped on Monday"})


FIRST_CALL, SECOND_CALL, TOOL = "I want my money back for the red roses", "Thank you", "execute_tool lookup"


@pytest.mark.parametrize(("text", "hits"), [
    ("refund", [FIRST_CALL]),
    ("REFUND", [FIRST_CALL]),
    ("zoe", [FIRST_CALL]),
    ("roses money", [FIRST_CALL]),
    ("roses welcome", []),
    ("flowers", [FIRST_CALL]),
    ('"red roses"', [FIRST_CALL]),
    ('"roses red"', []),
    ('"dear customer" welcome', [SECOND_CALL]),
    ("customer", [SECOND_CALL]),
    ("17-b", [FIRST_CALL]),
    ("b-17", []),
    ("polite", [SECOND_CALL]),
    ("orange", [SECOND_CALL]),
    ("shipped", [TOOL]),
    ("A-113", [TOOL]),
    ("chat", [SECOND_CALL, FIRST_CALL]),
    ("", []),
    ("  ", []),
    ('"', []),
    ("rose", []),
    ("AND OR NOT", []),
    ('refund"', [FIRST_CALL]),
    ("refund* OR (roses)", []),
])
def test_a_query_finds_what_it_says(text: str, hits: list[str], store: SqliteStore) -> None:
    assert found(store, text) == hits


def test_history_is_found_where_it_was_new_and_nowhere_else(store: SqliteStore) -> None:
    assert found(store, "roses") == [FIRST_CALL]


def test_the_filter_holds_for_hits(store: SqliteStore) -> None:
    assert found(store, "chat", Filter(prompt=("polite",))) == [SECOND_CALL]
    assert found(store, "chat", limit=1) == [SECOND_CALL]


def test_the_snippet_shows_the_words(store: SqliteStore) -> None:
    (hit,) = store.search("refund", Filter())

    assert "Refund No. 17-b" in hit.snippet
    assert "\n" not in hit.snippet


def test_what_comes_later_is_found_later(tape: Recording, store: SqliteStore) -> None:
    assert found(store, "tulips") == []
    call = tape.start(chat_request(message("user", "and tulips?")))
    running = found(store, "tulips")
    tape.end(call, chat_response("we have hyacinths"))

    assert running == ["and tulips?"]
    assert found(store, "hyacinths tulips") == ["and tulips?"]


def test_content_that_comes_after_its_span_was_searched_is_found(tape: Recording, store: SqliteStore) -> None:
    from otel_llm.values.spandata import SpanData

    trace, span, at = tape.next()
    tape.span(SpanData(trace, span, None, "chat early", "client", at, at + 1, {"gen_ai.operation.name": "chat"}))
    assert found(store, "early") == ["chat early"]
    tape.number -= 1
    tape.call(chat_request(message("user", "violets please")), chat_response("here"))

    assert found(store, "violets") == ["violets please"]
    assert found(store, "early") == ["violets please"]


def test_many_hits_come_newest_first(tape: Recording, store: SqliteStore) -> None:
    for n in range(30):
        tape.call(chat_request(message("user", f"needle {n}")), chat_response("hay"))

    assert found(store, "needle", limit=3) == ["needle 29", "needle 28", "needle 27"]
    assert len(found(store, "needle", limit=100)) == 30


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40))
def test_no_query_breaks_the_search(store: SqliteStore, text: str) -> None:
    assert isinstance(found(store, text), list)


@given(st.text(max_size=60))
def test_a_query_is_words_and_phrases(text: str) -> None:
    query = parse(text)

    assert all(word in query.words for phrase in query.phrases for word in phrase)
    assert '"' not in "".join(query.words)


def test_a_snippet_of_a_long_text_is_short() -> None:
    text = "before " * 100 + "needle " + "after " * 100

    assert len(snippet(text, ["needle"])) < 140
    assert "needle" in snippet(text, ["needle"])


FAILED = {"error_type": "TimeoutError", "error_message": "the barometer exploded"}


def test_what_went_wrong_is_found(tape: Recording, store: SqliteStore) -> None:
    tape.call(chat_request(message("user", "and daisies?")), None, status=None, end=FAILED)
    tape.step("execute_tool break", {"gen_ai.operation.name": "execute_tool", "error.type": "ValueError"}, status_code="error",
              status_message="no such flower", events=(EventData("exception", 1, {
                  "exception.type": "garden.ValueError", "exception.message": "no such flower: triffid"}),))

    assert found(store, "TimeoutError barometer") == ["and daisies?"]
    assert found(store, '"no such flower"') == ["execute_tool break"]
    assert found(store, "triffid garden ValueError") == ["execute_tool break"]


def test_what_an_older_release_indexed_without_its_error_is_indexed_again(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = Recording(spool, number=100)
    tape.call(chat_request(message("user", "and daisies?")), None, status=None, end=FAILED)
    with monkeypatch.context() as older:
        older.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:3])
        older.setattr(search, "searchable", lambda *args: searchable(*args).replace("barometer", ""))
        with SqliteStore(tmp_path) as store:
            assert (found(store, "daisies"), found(store, "barometer")) == (["and daisies?"], [])

    with SqliteStore(tmp_path) as store:
        assert (found(store, "daisies"), found(store, "barometer")) == (["and daisies?"], ["and daisies?"])
        assert store.connection.execute("SELECT count(*) FROM search_later").fetchone() == (0,)
