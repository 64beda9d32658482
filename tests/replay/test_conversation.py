"""Each message once, in order; turns begin where a user speaks."""

from __future__ import annotations

from typing import Any

from otel_llm.replay.conversation import Entry, continuations, conversation, turns_opened
from otel_llm.replay.reading import RecordedCall, recorded
from otel_llm.replay.view import messages
from otel_llm.values.call import Call, Message, Reasoning, Request, Response, Text
from replay.memory_store import MemoryStore, Writer, newcomer


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def said(store: MemoryStore, session_id: str = "sess-x") -> list[tuple[int, str]]:
    return [(e.turn, e.message.text if e.message else "✗") for e in messages(store, store.steps(session_id))]


def test_the_newcomers_session_comes_out_in_order() -> None:
    store = MemoryStore()
    newcomer(store)

    entries = list(messages(store, store.steps("sess-newcomer01")))

    roles = [(e.turn, e.call_number, e.message.role if e.message else "failure") for e in entries]
    assert roles == [
        (1, 1, "system"), (1, 1, "user"), (1, 1, "assistant"), (1, 2, "tool"), (1, 2, "assistant"), (2, 3, "user"),
        (2, 3, "failure"), (3, 4, "user"), (3, 4, "assistant"), (4, 5, "user"), (4, 5, "assistant")]


def test_the_same_words_said_twice_are_shown_twice() -> None:
    store = MemoryStore()
    w = Writer(store, "sess-x")
    w.chat([user("yes")], "ok")
    w.chat([user("yes"), assistant("ok"), user("yes")], "ok")

    assert said(store) == [(1, "yes"), (1, "ok"), (2, "yes"), (2, "ok")]


def test_an_application_that_drops_old_messages_repeats_none() -> None:
    store = MemoryStore()
    w = Writer(store, "sess-x")
    w.chat([user("a")], "A")
    w.chat([user("a"), assistant("A"), user("b")], "B")
    w.chat([assistant("A"), user("b"), assistant("B"), user("c")], "C")
    w.chat([assistant("B"), user("c"), assistant("C"), user("a")], "A again")

    assert said(store) == [(1, "a"), (1, "A"), (2, "b"), (2, "B"), (3, "c"), (3, "C"), (4, "a"), (4, "A again")]


def test_the_same_request_again_is_no_new_turn() -> None:
    store = MemoryStore()
    w = Writer(store, "sess-x")
    w.chat([user("a")], None, status=429)
    w.chat([user("a")], "A")

    assert said(store) == [(1, "a"), (1, "✗"), (1, "A")]


def test_a_failed_question_that_was_given_up_stays_where_it_was_asked() -> None:
    store = MemoryStore()
    w = Writer(store, "sess-x")
    w.chat([user("a")], "A")
    w.chat([user("a"), assistant("A"), user("b")], None, status=500)
    w.chat([user("a"), assistant("A"), user("c")], "C")

    assert said(store) == [(1, "a"), (1, "A"), (2, "b"), (2, "✗"), (3, "c"), (3, "C")]


def test_an_answer_that_comes_back_without_its_reasoning_is_the_same_answer() -> None:
    store = MemoryStore()
    step = Writer(store, "sess-x").chat([user("a")], "A")
    thought = Message("assistant", (Reasoning("hm"), Text("A ")))
    asked = (Message("user", (Text("a"),)),)
    later = (*asked, Message("assistant", (Text("A"),)), Message("user", (Text("b"),)))

    first = Call("chat", "openai", "x", Request(messages=asked), Response(messages=(thought,)))
    second = Call("chat", "openai", "x", Request(messages=later), Response())

    entries = list(conversation(RecordedCall(step, store.exchange(step.span_id), call) for call in (first, second)))

    assert [e.message and e.message.text for e in entries] == ["a", "A ", "b"]


def test_examples_in_the_first_request_are_shown_and_the_last_words_are_the_turns_title() -> None:
    store = MemoryStore()
    Writer(store, "sess-x").chat([user("2+2"), assistant("4"), user("3+3")], "6")

    entries = list(messages(store, store.steps("sess-x")))

    assert [e.message and e.message.text for e in entries] == ["2+2", "4", "3+3", "6"]
    assert turns_opened(entries) == {"a000000000000001": (1, "3+3")}


def test_inputs_of_embeddings_are_not_said_by_anybody() -> None:
    store = MemoryStore()
    Writer(store, "sess-x").chat([], "x", body=b'{"model": "e", "input": ["secret"]}', step={"api": "openai_embeddings"})

    assert list(messages(store, store.steps("sess-x"))) == []


def test_a_call_whose_content_was_not_kept_leaves_a_gap_and_no_error() -> None:
    store = MemoryStore()
    w = Writer(store, "sess-x")
    w.chat([user("a")], "A", exchange={"request_body": None, "response_body": None, "omitted": "content off"})
    w.chat([user("a"), assistant("A"), user("b")], "B")

    assert [text for _, text in said(store)] == ["a", "A", "b", "B"]


def test_several_answers_are_numbered() -> None:
    store = MemoryStore()
    step = Writer(store, "sess-x").chat([user("a")], "A")
    answers = tuple(Message("assistant", (Text(t),)) for t in "xy")
    call = Call("chat", "openai", "x", Request(messages=(Message("user", (Text("a"),)),)), Response(messages=answers))

    entries = list(conversation([RecordedCall(step, store.exchange(step.span_id), call)]))

    assert [(e.choice, e.source) for e in entries] == [(None, "request"), (1, "response"), (2, "response")]
    assert isinstance(entries[0], Entry)


class TestContinuations:
    """Which call goes on from which."""

    @staticmethod
    def of(*calls: tuple[list[dict[str, Any]], Any]) -> list[tuple[int, int] | None]:
        """Parent and shared messages of each call, given as what was asked and what was answered."""
        store = MemoryStore()
        w = Writer(store, "s")
        for asked, answer in calls:
            w.chat(asked, answer, status=500 if answer is None else 200)
        found = continuations([recorded(store, step) for step in store.steps("s")])
        return [None if at is None else (at.parent, at.shared) for at in found]

    A, B = user("a"), user("b")

    def test_a_call_goes_on_from_the_one_whose_history_and_answer_begin_it(self) -> None:
        assert self.of(([self.A], "A."), ([self.B], "B."), ([self.A, assistant("A."), self.B], "C.")) == [None, None, (0, 2)]

    def test_instructions_may_change_on_the_way(self) -> None:
        noon, later = ({"role": "system", "content": f"It is {time}."} for time in ("noon", "one"))

        assert self.of(([noon, self.A], "A."), ([later, self.A, assistant("A."), self.B], "B.")) == [None, (0, 3)]

    def test_the_longest_history_decides(self) -> None:
        second = [self.A, assistant("A."), self.B]

        assert self.of(([self.A], "A."), (second, "B."), ([*second, assistant("B."), self.A], "C.")) == [None, (0, 2), (1, 4)]

    def test_two_that_go_on_from_one_are_its_branches(self) -> None:
        second = [self.A, assistant("A."), self.B]

        assert self.of(([self.A], "A."), (second, None), (second, "B.")) == [None, (0, 2), (0, 2)]

    def test_of_equal_conversations_each_goes_on_with_its_own(self) -> None:
        second = [self.A, assistant("A."), self.B]

        assert self.of(([self.A], "A."), ([self.A], "A."), (second, "B."), (second, "B.")) == [None, None, (1, 2), (0, 2)]

    def test_a_window_over_the_history_is_recognised_by_its_last_question_and_answer(self) -> None:
        third = [self.B, assistant("B."), self.A]

        assert self.of(([self.A], "A."), ([self.A, assistant("A."), self.B], "B."), (third, "C.")) == [None, (0, 2), (1, 2)]

    def test_an_example_that_only_looks_like_an_answer_is_none(self) -> None:
        example = [user("good"), assistant("A."), self.B]

        assert self.of(([self.A], "A."), (example, "B.")) == [None, None]
