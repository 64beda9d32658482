"""Sessions are found, not asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.errors import NotFound, StoreError
from otel_llm.values.session import Filter, SessionRow
from otel_llm.values.spandata import SpanData
from store.frames_help import SECOND, Recording, chat_request, chat_response, chat_stream, dump, ids, message, sse

SYSTEM = message("system", "You are a careful assistant. " * 5)


class Chat:
    """A program that keeps a history, as programs do: every call in a trace of its own."""

    def __init__(self, tape: Recording, system: dict[str, Any] | None = SYSTEM) -> None:
        self.tape = tape
        self.history = [system] if system else []

    def ask(self, text: str, answer: str, *, stream: bool = False, **more: Any) -> str:
        self.history.append(message("user", text))
        span = self.tape.call(chat_request(*self.history), chat_stream(answer) if stream else chat_response(answer), **more)
        self.history.append(message("assistant", answer))
        return span

    def fail(self, text: str, **more: Any) -> str:
        """A turn that fails; the message stays in the history."""
        self.history.append(message("user", text))
        return self.tape.call(chat_request(*self.history), b'{"error": {"message": "boom"}}', status=500, **more)

    def retry(self, answer: str, **more: Any) -> str:
        span = self.tape.call(chat_request(*self.history), chat_response(answer), **more)
        self.history.append(message("assistant", answer))
        return span

    def use_tool(self, text: str, result: str, answer: str) -> None:
        calls = [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}]
        self.history.append(message("user", text))
        self.tape.call(chat_request(*self.history), chat_response(None, tool_calls=calls, finish="tool_calls"))
        self.history.append({"role": "assistant", "tool_calls": calls})
        self.history.append({"role": "tool", "tool_call_id": "call_1", "content": result})
        self.retry(answer)


def sessions(store: SqliteStore) -> list[SessionRow]:
    """Oldest first."""
    return list(reversed(store.sessions(Filter(), limit=1000)))


class TestInferred:
    def test_a_script_with_tools_streams_and_a_failed_turn_is_one_session(self, tape: Recording, store: SqliteStore) -> None:
        chat = Chat(tape)
        chat.ask("What is the capital of Italy?", "Rome.")
        chat.use_tool("How is the weather there?", "sunny", "It is sunny in Rome.")
        chat.fail("And tomorrow?")
        chat.retry("It will rain.")
        chat.ask("Thank you, goodbye!", "Goodbye!", stream=True)

        (session,) = sessions(store)

        assert session.inferred
        assert session.session_id.startswith("sess-") and len(session.session_id) == 17
        assert (session.title, session.turns, session.calls, session.errors, session.status) == (
            "What is the capital of Italy?", 4, 6, 1, "recovered")
        assert [s.request_preview for s in store.steps(session.session_id)] == [
            "What is the capital of Italy?", "How is the weather there?", "sunny", "And tomorrow?", "And tomorrow?",
            "Thank you, goodbye!"]
        assert [s.response_preview for s in store.steps(session.session_id)][1] == 'weather({"city":"Rome"})'

    def test_a_failed_first_turn_that_is_asked_again_stays_in_its_session(self, tape: Recording, store: SqliteStore) -> None:
        chat = Chat(tape)
        chat.fail("hello?")
        chat.retry("Yes.")
        chat.ask("Good.", "Very.")

        assert [(s.calls, s.turns) for s in sessions(store)] == [(3, 2)]

    def test_a_failed_turn_that_was_taken_back_stays_in_its_session(self, tape: Recording, store: SqliteStore) -> None:
        chat = Chat(tape)
        chat.ask("one", "1")
        chat.fail("two?")
        chat.history.pop()
        chat.ask("three", "3")

        assert [s.calls for s in sessions(store)] == [3]

    def test_two_unrelated_calls_with_the_same_words_are_two_sessions(self, tape: Recording, store: SqliteStore) -> None:
        Chat(tape).ask("hello", "hi")
        Chat(tape).ask("hello", "hi")

        assert [s.calls for s in sessions(store)] == [1, 1]

    def test_conversations_that_begin_alike_go_on_separately(self, tape: Recording, store: SqliteStore) -> None:
        chats = [Chat(tape) for _ in range(3)]
        for n, chat in enumerate(chats):
            chat.ask("hello", "hi")
            chat.ask(f"I am {n}", f"hello {n}")
        for n, chat in enumerate(chats):
            chat.ask("and?", f"nothing, {n}")

        assert [s.calls for s in sessions(store)] == [3, 3, 3]

    def test_a_history_that_is_taken_up_by_another_process_stays_one_session(self, tmp_path: Path, store: SqliteStore) -> None:
        first = Chat(Recording(Spool(tmp_path / "spool")))
        first.ask("remember me", "I will")
        other = Chat(Recording(Spool(tmp_path / "spool"), number=100))
        other.history = first.history
        other.ask("who am I?", "you")

        assert [s.calls for s in sessions(store)] == [2]

    def test_of_several_alike_in_other_processes_none_is_taken(self, tmp_path: Path, store: SqliteStore) -> None:
        for n in range(2):
            Chat(Recording(Spool(tmp_path / "spool"), number=100 * n)).ask("hello", "hi")
        third = Chat(Recording(Spool(tmp_path / "spool"), number=300))
        third.history = [SYSTEM, message("user", "hello"), message("assistant", "hi")]
        third.ask("more", "less")

        assert [s.calls for s in sessions(store)] == [1, 1, 1]

    def test_a_system_prompt_that_changes_with_the_time_does_not_matter(self, tape: Recording, store: SqliteStore) -> None:
        chat = Chat(tape, message("system", "It is 10:00"))
        chat.ask("hello", "hi")
        chat.history[0] = message("system", "It is 10:01")
        chat.ask("bye", "bye")

        assert [s.calls for s in sessions(store)] == [2]

    def test_calls_that_come_in_many_batches_find_each_other(self, tape: Recording, store: SqliteStore) -> None:
        chat = Chat(tape)
        for n in range(5):
            chat.ask(f"question {n}", f"answer {n}")
            store.catch_up()

        assert [(s.calls, s.turns) for s in sessions(store)] == [(5, 5)]

    def test_a_stream_that_is_indexed_before_its_end_is_found_all_the_same(self, tape: Recording, store: SqliteStore) -> None:
        chat = Chat(tape)
        chat.history.append(message("user", "hello"))
        call = tape.start(chat_request(*chat.history))
        store.catch_up()
        tape.end(call, chat_stream("hi there"))
        chat.history.append(message("assistant", "hi there"))
        store.catch_up()
        chat.ask("go on", "ok")

        assert [(s.calls, s.turns) for s in sessions(store)] == [(2, 2)]

    def test_the_id_comes_from_the_trace(self, tmp_path: Path) -> None:
        found = []
        for name in ("a", "b"):
            Chat(Recording(Spool(tmp_path / name / "spool"))).ask("hello", "hi")
            with SqliteStore(tmp_path / name) as store:
                found.append(sessions(store)[0].session_id)

        assert found[0] == found[1]


class TestResponsesApi:
    def response(self, id_: str, text: str) -> bytes:
        return json.dumps({"id": id_, "object": "response", "status": "completed", "model": "gpt-4o", "output": [
            {"type": "message", "role": "assistant", "id": "m", "content": [{"type": "output_text", "text": text}]}],
            "usage": {"input_tokens": 1, "output_tokens": 2}}).encode()

    def test_a_previous_response_is_the_session(self, tape: Recording, store: SqliteStore) -> None:
        tape.call(dump({"model": "gpt-4o", "input": "hello"}), self.response("resp_1", "hi"), api="openai_responses")
        tape.call(dump({"model": "gpt-4o", "input": "hello"}), self.response("resp_9", "hi"), api="openai_responses")
        tape.call(dump({"model": "gpt-4o", "input": "more", "previous_response_id": "resp_1"}), self.response("resp_2", "less"),
                  api="openai_responses")

        assert [(s.calls, s.turns) for s in sessions(store)] == [(1, 1), (2, 2)]

    def test_a_conversation_of_the_provider_is_the_session(self, tape: Recording, store: SqliteStore) -> None:
        for n in range(3):
            tape.call(dump({"model": "gpt-4o", "input": f"hello {n}", "conversation": "conv_1"}), self.response(f"resp_{n}", "hi"),
                      api="openai_responses")

        assert [s.calls for s in sessions(store)] == [3]

    def test_input_items_that_repeat_the_output_extend_the_session(self, tape: Recording, store: SqliteStore) -> None:
        items: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
        tape.call(dump({"model": "gpt-4o", "input": items}), self.response("resp_1", "hi"), api="openai_responses")
        items.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]})
        items.append({"role": "user", "content": "more"})
        tape.call(dump({"model": "gpt-4o", "input": items}), self.response("resp_2", "less"), api="openai_responses")

        assert [s.calls for s in sessions(store)] == [2]


class TestNamed:
    @pytest.mark.parametrize("key", ["gen_ai.conversation.id", "session.id"])
    def test_a_name_on_the_call_wins(self, key: str, tape: Recording, store: SqliteStore) -> None:
        chat = Chat(tape)
        chat.ask("hello", "hi", attributes={key: "order 17"})
        Chat(tape).ask("other", "words", attributes={key: "order 17"})
        chat.ask("more", "less")

        (session,) = sessions(store)

        assert (session.session_id, session.calls, session.inferred) == ("order 17", 3, False)

    def test_a_name_anywhere_in_the_trace_is_that_of_all_its_steps(self, tape: Recording, store: SqliteStore) -> None:
        trace = ids(500)[0]
        tape.step("tool", {"gen_ai.operation.name": "execute_tool"}, trace_id=trace)
        Chat(tape).ask("hello", "hi", trace_id=trace)
        before = sessions(store)
        tape.step("root", {"session.id": "mine", "user.id": "ann"}, trace_id=trace)

        (session,) = sessions(store)

        assert [s.inferred for s in before] == [True]
        assert (session.session_id, session.steps, session.inferred, session.user_id, session.title) == (
            "mine", 3, False, "ann", "hello")

    def test_two_names_in_one_trace_are_two_sessions(self, tape: Recording, store: SqliteStore) -> None:
        trace = ids(500)[0]
        Chat(tape).ask("hello", "hi", trace_id=trace, attributes={"session.id": "a"})
        Chat(tape).ask("hello", "hi", trace_id=trace, attributes={"session.id": "b"})

        assert [(s.session_id, s.calls) for s in sessions(store)] == [("a", 1), ("b", 1)]

    def test_all_steps_of_a_trace_are_one_session(self, tape: Recording, store: SqliteStore) -> None:
        trace = ids(500)[0]
        for n in range(3):
            Chat(tape).ask(f"unrelated {n}", "yes", trace_id=trace)
        tape.step("root", {"gen_ai.operation.name": "invoke_workflow"}, trace_id=trace)

        assert [(s.calls, s.steps) for s in sessions(store)] == [(3, 4)]

    def test_a_trace_whose_second_call_goes_on_with_an_old_session_joins_it(self, tape: Recording, store: SqliteStore) -> None:
        chat = Chat(tape)
        chat.ask("hello", "hi")
        trace = ids(500)[0]
        tape.step("search", {"gen_ai.operation.name": "execute_tool"}, trace_id=trace)
        Chat(tape).ask("classify: more", "question", trace_id=trace)
        chat.ask("more", "less", trace_id=trace)

        assert [(s.calls, s.steps, s.title) for s in sessions(store)] == [(3, 4, "hello")]


class TestRow:
    def test_sums_are_unknown_when_no_call_knows_and_zero_only_when_one_says_so(self, tape: Recording, store: SqliteStore) -> None:
        chat = Chat(tape)
        chat.ask("a", "b", stream=True)
        chat.ask("c", "d", stream=True)

        (session,) = sessions(store)

        assert (session.usage.input_tokens, session.cost, session.unpriced_calls) == (None, None, 2)

    def test_figures_add_up(self, tape: Recording, store: SqliteStore) -> None:
        chat = Chat(tape)
        chat.ask("a", "b", attributes={"user.id": "ann", "otel_llm.tag.team": "red"})
        chat.ask("c", "d", attributes={"otel_llm.tag.tier": "free"})
        trace, span = tape.made[-1]
        tape.step("tool", {"gen_ai.operation.name": "execute_tool"}, trace_id=trace, parent=span)

        (session,) = sessions(store)
        steps = store.steps(session.session_id)

        assert (session.calls, session.steps, session.usage.input_tokens, session.usage.output_tokens) == (2, 3, 22, 14)
        assert session.cost is not None and session.cost.total == sum(s.cost.total for s in steps if s.cost)
        assert (session.user_id, session.tags, session.models) == ("ann", {"team": "red", "tier": "free"}, ("gpt-4o-mini",))
        assert (session.first_ns, session.last_ns) == (steps[0].start_ns, max(s.end_ns or 0 for s in steps))

    @pytest.mark.parametrize(("fails", "status"), [([False, False], "ok"), ([True, False], "recovered"), ([False, True], "error")])
    def test_the_last_turn_decides_the_status(self, fails: list[bool], status: str, tape: Recording, store: SqliteStore) -> None:
        chat = Chat(tape)
        chat.ask("zero", "0")
        for n, fail in enumerate(fails):
            if fail:
                chat.fail(f"turn {n}")
                chat.history.pop()
            else:
                chat.ask(f"turn {n}", f"{n}")

        assert [s.status for s in sessions(store)] == [status]

    def test_a_session_without_calls_is_named_after_its_root(self, tape: Recording, store: SqliteStore) -> None:
        trace = ids(500)[0]
        tape.step("child", trace_id=trace, parent="00000000000000aa")
        tape.step("root", trace_id=trace)

        assert [s.title for s in sessions(store)] == ["root"]

    def test_a_replay_names_the_session_that_it_repeats(self, tape: Recording, store: SqliteStore) -> None:
        source = Chat(tape).ask("hello", "hi")
        Chat(tape).ask("hello", "hello!", attributes={"otel_llm.replay.source.span_id": source})

        first, second = sessions(store)

        assert (first.replay_of, second.replay_of) == (None, first.session_id)

    def test_a_span_alone_carries_a_conversation_too(self, tape: Recording, store: SqliteStore) -> None:
        """Spans of other instrumentors, with their content on them."""
        def span(*messages: tuple[str, str], answer: str) -> None:
            trace, span_id, at = tape.next()
            said = [{"role": r, "parts": [{"type": "text", "content": c}]} for r, c in messages]
            out = [{"role": "assistant", "parts": [{"type": "text", "content": answer}], "finish_reason": "stop"}]
            tape.span(SpanData(trace, span_id, None, "chat m", "client", at, at + SECOND, {
                "gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps(said),
                "gen_ai.output.messages": json.dumps(out)}))

        span(("user", "hello"), answer="hi")
        span(("user", "hello"), ("assistant", "hi"), ("user", "more"), answer="less")

        (session,) = sessions(store)

        assert (session.calls, session.turns, session.title) == (2, 2, "hello")
        assert [s.response_preview for s in store.steps(session.session_id)] == ["hi", "less"]


class TestUndo:
    def test_two_sessions_can_be_made_one(self, tape: Recording, store: SqliteStore) -> None:
        Chat(tape).ask("hello", "hi")
        Chat(tape).ask("other", "words")
        first, second = sessions(store)

        store.merge(first.session_id, second.session_id)

        assert [(s.session_id, s.calls, s.title) for s in sessions(store)] == [(first.session_id, 2, "hello")]
        assert store.verify() == []

    def test_a_session_can_be_cut_before_a_call(self, tape: Recording, store: SqliteStore) -> None:
        chat = Chat(tape)
        spans = [chat.ask(f"turn {n}", f"{n}") for n in range(4)]

        name = store.split(spans[2])
        chat.ask("turn 4", "4")

        assert [(s.calls, s.title) for s in sessions(store)] == [(2, "turn 0"), (3, "turn 2")]
        assert sessions(store)[1].session_id == name
        with pytest.raises(StoreError):
            store.split(spans[0])
        with pytest.raises(NotFound):
            store.split("00000000000000aa")


def test_events_that_are_no_json_do_not_matter(tape: Recording, store: SqliteStore) -> None:
    tape.call(chat_request(message("user", "hello")), b"data: {broken\n\n" + sse({"choices": []}))

    assert [s.calls for s in sessions(store)] == [1]
