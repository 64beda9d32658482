"""Workflows, agents, tools and retrievals; sessions, tags and prompts around them."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import trace

import otel_llm
from support.chat import HELLO
from support.recording import Recording


def bodies(rec: Recording, name: str) -> tuple[Any, Any]:
    """Arguments and result of a step, as the store has them."""
    (span,) = [s for s in rec.spans if s.name == name]
    exchange = rec.exchange(span)
    return json.loads(exchange.request_body or b"null"), json.loads(exchange.response_body or b"null")


class TestDecorators:
    def test_a_function_is_a_step_with_its_arguments_and_its_result(self, rec: Recording) -> None:
        @otel_llm.tool
        def add(a: int, b: int = 2, **more: int) -> int:
            """Add numbers."""
            return a + b + sum(more.values())

        assert add(1, c=4) == 7

        assert bodies(rec, "execute_tool add") == ({"a": 1, "c": 4}, 7)
        assert dict(rec.spans[0].attributes or {}) == {
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "add", "gen_ai.tool.type": "function",
            "gen_ai.tool.description": "Add numbers."}

    def test_a_coroutine_function_stays_one(self, rec: Recording) -> None:
        @otel_llm.agent("planner", description="plans")
        async def plan(goal: str) -> str:
            return goal.upper()

        assert asyncio.iscoroutinefunction(plan)
        assert asyncio.run(plan("go")) == "GO"
        assert bodies(rec, "invoke_agent planner") == ({"goal": "go"}, "GO")

    def test_a_generator_runs_inside_and_its_consumer_outside(self, rec: Recording, client: Any, caplog: Any) -> None:
        @otel_llm.workflow
        def words() -> Iterator[str]:
            client.chat.completions.create(**HELLO)
            yield "a"
            yield "b"

        seen = []
        with caplog.at_level(logging.WARNING):
            for word in words():
                assert trace.get_current_span() is trace.INVALID_SPAN
                seen.append(word)

        call, workflow = rec.spans
        assert seen == ["a", "b"] and call.parent is not None and call.parent.span_id == workflow.context.span_id
        assert bodies(rec, "invoke_workflow words")[1] == "ab"
        assert caplog.records == []

    def test_an_async_generator_does_too_and_may_be_left_early(self, rec: Recording) -> None:
        @otel_llm.chain("letters")
        async def letters() -> AsyncIterator[str]:
            for letter in "abc":
                yield letter

        async def main() -> str:
            stream = letters()
            async for letter in stream:
                await stream.aclose()  # type: ignore[attr-defined]
                return letter
            return ""

        assert asyncio.run(main()) == "a"
        assert bodies(rec, "invoke_workflow letters")[1] == "a"

    def test_a_generator_can_be_sent_to_and_thrown_into(self, rec: Recording) -> None:
        @otel_llm.tool
        def echo() -> Any:
            got = yield "ready"
            try:
                yield got
            except KeyError:
                yield "caught"

        talk = echo()
        assert (next(talk), talk.send("hi"), talk.throw(KeyError("x"))) == ("ready", "hi", "caught")
        talk.close()
        assert len(rec.spans) == 1

    def test_an_exception_passes_untouched_and_marks_the_step(self, rec: Recording) -> None:
        problem = LookupError("no such order")

        @otel_llm.tool
        def lookup() -> None:
            raise problem

        with pytest.raises(LookupError) as caught:
            lookup()

        assert caught.value is problem
        assert (rec.spans[0].attributes or {})["error.type"] == "LookupError"
        assert rec.spans[0].status.description == "no such order"

    def test_a_method_leaves_out_self_and_hostile_values_do_no_harm(self, rec: Recording) -> None:
        class Hostile:
            def __repr__(self) -> str:
                raise RuntimeError("no")

            __str__ = __repr__

        class Box:
            @otel_llm.tool("open")
            def open(self, key: Any, circle: Any) -> str:
                return "\ud800"

        circle: list[Any] = []
        circle.append(circle)
        Box().open(Hostile(), circle)

        arguments, result = bodies(rec, "execute_tool open")
        assert arguments["key"] == "<Hostile>" and result == "?"

    def test_while_nothing_is_instrumented_functions_run_as_they_are(self) -> None:
        @otel_llm.workflow
        def plain(x: int) -> int:
            return x + 1

        with otel_llm.tool("t") as step:
            step.result(plain(1))

        assert plain(1) == 2


class TestBlocks:
    def test_a_block_is_a_step(self, rec: Recording) -> None:
        with otel_llm.retrieval("handbook", query="holidays", top_k=3) as step:
            step.result([{"id": "d1", "score": 0.5}])

        assert bodies(rec, "retrieval handbook") == ("holidays", [{"id": "d1", "score": 0.5}])
        assert rec.spans[0].kind.name == "CLIENT"

    def test_steps_nest(self, rec: Recording, client: Any) -> None:
        with otel_llm.workflow("w"), otel_llm.agent("a"):
            client.chat.completions.create(**HELLO)
            with otel_llm.tool("t"):
                pass

        parents = {s.name: s.parent.span_id if s.parent else None for s in rec.spans}
        ids = {s.name: s.context.span_id for s in rec.spans}
        assert parents == {"invoke_workflow w": None, "invoke_agent a": ids["invoke_workflow w"],
                           "chat gpt-4o-mini": ids["invoke_agent a"], "execute_tool t": ids["invoke_agent a"]}

    def test_one_scope_can_be_entered_again_inside_itself(self, rec: Recording) -> None:
        scope = otel_llm.tool("again")
        with scope, scope:
            pass

        assert [s.name for s in rec.spans] == ["execute_tool again"] * 2


class TestSurroundings:
    def test_a_session_stands_on_everything_inside(self, rec: Recording, client: Any) -> None:
        with otel_llm.session("chat-1", user="ada", tags={"team": "search"}), otel_llm.workflow("w"):
            client.chat.completions.create(**HELLO)

        wanted = {"gen_ai.conversation.id": "chat-1", "session.id": "chat-1", "user.id": "ada", "otel_llm.tag.team": "search"}
        assert all(wanted.items() <= dict(s.attributes or {}).items() for s in rec.spans)
        from otel_llm.values.session import Filter

        (session,) = rec.store.sessions(Filter(tags={"team": ("search",)}))
        assert (session.session_id, session.user_id, session.inferred) == ("chat-1", "ada", False)

    @pytest.mark.parametrize("id", ["", "@1", "x" * 201, "line\nbreak"])
    def test_a_session_id_that_could_not_be_addressed_is_not_used_and_ends_nothing(
        self, rec: Recording, client: Any, caplog: Any, id: str
    ) -> None:
        with otel_llm.session(id, user="ada"):
            client.chat.completions.create(**HELLO)

        assert "session.id" not in rec.attributes and rec.attributes["user.id"] == "ada"
        assert "is not used" in caplog.text

    def test_ids_with_colons_are_everyday_ids(self, rec: Recording, client: Any) -> None:
        for id in ("org:42", "org:42:thread:1"):
            with otel_llm.session(id):
                client.chat.completions.create(**HELLO)

        found = [rec.store.resolve(text) for text in ("org:42", "org:42:thread:1", "org:42:1", "org:42:thread:1:1")]
        calls = [format(c.context.span_id, "016x") for c in rec.calls]
        assert [(ref.kind, ref.id) for ref in found] == [
            ("session", "org:42"), ("session", "org:42:thread:1"), ("call", calls[0]), ("call", calls[1])]

    def test_a_prompt_stands_on_its_calls_and_on_the_root(self, rec: Recording, client: Any) -> None:
        with otel_llm.workflow("w"), otel_llm.prompt_ref("greet", 3, {"name": "Ada Canary"}):
            client.chat.completions.create(**HELLO)

        wanted = {"gen_ai.prompt.name": "greet", "gen_ai.prompt.version": "3"}
        assert all(wanted.items() <= dict(s.attributes or {}).items() for s in rec.spans)
        assert "Ada Canary" not in repr([s.attributes for s in rec.spans])

    def test_asyncio_tasks_inherit_and_threads_do_when_bound(self, rec: Recording) -> None:
        seen: list[Any] = []

        def note() -> None:
            with otel_llm.tool("t"):
                pass
            seen.append((rec.spans[-1].attributes or {}).get("session.id"))

        async def main() -> None:
            await asyncio.gather(asyncio.to_thread(note), asyncio.to_thread(note))

        with otel_llm.session("s-1"):
            asyncio.run(main())
            for function in (note, otel_llm.bind(note)):
                thread = threading.Thread(target=function)
                thread.start()
                thread.join()

        assert seen == ["s-1", "s-1", None, "s-1"]

    def test_leaving_in_another_context_is_silent(self, rec: Recording, caplog: Any) -> None:
        block = otel_llm.session("s-1")
        contextvars.copy_context().run(block.__enter__)
        with caplog.at_level(logging.WARNING):
            block.__exit__(None, None, None)

        assert caplog.records == []

    def test_tags_without_a_session(self, rec: Recording, client: Any) -> None:
        with otel_llm.tags(team="search", feature="suggest"):
            client.chat.completions.create(**HELLO)

        assert {k: v for k, v in rec.attributes.items() if "tag" in k} == {
            "otel_llm.tag.team": "search", "otel_llm.tag.feature": "suggest"}
