"""Semantic conventions: what stands on a span, and back from it."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given

from knowledge.recorded import CASES, IDS, Case
from knowledge.strategies import calls
from otel_llm import semconv
from otel_llm.values.call import Call, Cost, Media, Message, Request, Response, Text, Tool, ToolCall, Usage
from support.conventions import CHECKER

CALL = Call(
    "chat", "openai", "openai_chat",
    Request(model="gpt-4o-mini", messages=(Message("user", (Text("Hi"),)),), temperature=1, stream=True, max_tokens=10),
    Response(id="r", model="gpt-4o-mini-2024-07-18", messages=(Message("assistant", (Text("Hello"),)),), finish_reasons=("stop",),
             usage=Usage(5, 2, 0), service_tier="default"))


class TestLaw:
    @given(calls)
    def test_read_is_the_inverse_of_write(self, call: Call) -> None:
        assert semconv.read(semconv.write(call, content=True)) == call

    @pytest.mark.parametrize("case", CASES, ids=IDS)
    def test_recorded_calls_survive_the_way_to_a_span_and_back(self, case: Case) -> None:
        call, _ = case.read()

        assert semconv.read(semconv.write(call, content=True)) == call

    @given(calls)
    def test_structured_content_reads_the_same_as_its_json(self, call: Call) -> None:
        attributes: dict[str, Any] = {**semconv.write(call, content=True), **semconv.write_content(call)}

        assert semconv.read(attributes) == call

    @given(calls)
    def test_attributes_are_what_otlp_can_carry(self, call: Call) -> None:
        for value in semconv.write(call, content=True).values():
            assert isinstance(value, (str, bool, int, float)) or (
                isinstance(value, tuple) and all(isinstance(v, str) for v in value))

    @given(calls)
    def test_without_content_no_content_is_written(self, call: Call) -> None:
        written = semconv.write(call, content=False)

        assert not {semconv.GEN_AI_INPUT_MESSAGES, semconv.GEN_AI_OUTPUT_MESSAGES, semconv.GEN_AI_SYSTEM_INSTRUCTIONS,
                    semconv.GEN_AI_TOOL_DEFINITIONS, semconv.OTEL_LLM_ERROR_MESSAGE} & set(written)


class TestWriting:
    def test_a_call_stands_on_a_span_like_this(self) -> None:
        assert semconv.write(CALL, content=True) == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "otel_llm.api": "openai_chat",
            "openai.api.type": "chat_completions",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.request.max_tokens": 10,
            "gen_ai.request.temperature": 1.0,
            "gen_ai.request.stream": True,
            "gen_ai.response.id": "r",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.finish_reasons": ("stop",),
            "openai.response.service_tier": "default",
            "gen_ai.usage.input_tokens": 5,
            "gen_ai.usage.output_tokens": 2,
            "gen_ai.usage.cache_read.input_tokens": 0,
            "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]',
            "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"Hello"}]}]',
        }

    def test_a_whole_number_for_a_double_becomes_a_double(self) -> None:
        assert type(semconv.write(CALL, content=False)["gen_ai.request.temperature"]) is float

    def test_what_says_nothing_is_not_written(self) -> None:
        assert semconv.write_request(Request(choice_count=1, service_tier="auto", stream=False)) == {}

    def test_arguments_are_an_object_with_the_exact_text_beside_it_only_where_that_differs(self) -> None:
        exact, spaced = semconv.write_part(ToolCall("a", "f", '{"x":1}')), semconv.write_part(ToolCall("a", "f", '{"x": 1}'))

        assert exact == {"type": "tool_call", "id": "a", "name": "f", "arguments": {"x": 1}}
        assert spaced == {**exact, "arguments_json": '{"x": 1}'}

    def test_money_is_in_dollars(self) -> None:
        written = semconv.write_cost(Cost(total=100_000, input=100_000))

        assert written == {"otel_llm.cost.total": 1e-7, "otel_llm.cost.input": 1e-7}

    def test_a_name_has_operation_and_target(self) -> None:
        assert [semconv.span_name("chat", "gpt-5"), semconv.span_name("chat"), semconv.span_name("fetch_response", "x")] == [
            "chat gpt-5", "chat", "fetch_response"]


class TestReading:
    def test_a_span_that_is_no_call_is_none(self) -> None:
        assert semconv.read({}) is None
        assert semconv.read({"gen_ai.operation.name": "execute_tool"}) is None

    def test_older_names_are_read_where_the_new_ones_are_missing(self) -> None:
        read = semconv.read({
            "gen_ai.operation.name": "chat", "gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.completion_tokens": 9,
            "gen_ai.usage.output_tokens": 4})

        assert read == Call("chat", None, "generic", Request(), Response(usage=Usage(3, 4)))

    def test_values_of_wrong_types_are_unknown(self) -> None:
        read = semconv.read({
            "gen_ai.operation.name": "chat", "gen_ai.request.model": 5, "gen_ai.usage.input_tokens": "7",
            "gen_ai.input.messages": "[{", "gen_ai.output.messages": 7, "gen_ai.response.finish_reasons": "stop"})

        assert read == Call("chat", None, "generic", Request())


class TestLimits:
    def test_large_media_become_a_digest_of_their_bytes(self) -> None:
        message = Message("user", (Media("image", "image/png", data="AAAA" * 3_000),))

        (written,) = semconv.write_messages([message], max_bytes=100_000)

        assert written["parts"][0]["content"].startswith("sha256:")

    def test_long_texts_lose_their_tail_and_say_so(self) -> None:
        (written,) = semconv.write_messages([Message("user", (Text("x" * 50_000),))], max_bytes=10_000)

        text = written["parts"][0]["content"]
        assert len(text) < 10_000 and text.endswith("[45000 characters left out]")

    def test_messages_between_the_first_and_the_newest_go_and_are_counted(self) -> None:
        history = [Message("user", (Text(f"{i} " + "x" * 300),)) for i in range(100)]

        written = semconv.write_messages(history, max_bytes=5_000)

        assert written[0]["parts"][0]["content"].startswith("0 ") and written[-1]["parts"][0]["content"].startswith("99 ")
        assert written[1]["parts"][0]["content"] == f"[{100 - len(written) + 1} messages left out]"
        assert len(json.dumps(written)) < 6_000

    def test_every_choice_stays(self) -> None:
        choices = tuple(Message("assistant", (Text("y" * 5_000),)) for _ in range(5))

        written = semconv.write_content(Call("chat", None, "x", Request(), Response(messages=choices)), max_bytes=2_000)

        assert len(written["gen_ai.output.messages"]) == 5

    def test_instructions_and_tools_are_limited_too_and_tools_keep_their_names(self) -> None:
        request = Request(system=(Text("z" * 9_000),), tools=tuple(
            Tool(f"t{i}", "d" * 900, '{"type":"object","description":"' + "e" * 900 + '"}') for i in range(9)))

        written = semconv.write_content(Call("chat", None, "x", request), max_bytes=2_000)

        assert len(written["gen_ai.system_instructions"][0]["content"]) < 2_000
        tools = written["gen_ai.tool.definitions"]
        assert [(tool["name"], "parameters" in tool) for tool in tools] == [(f"t{i}", False) for i in range(9)]

    def test_cut_arguments_stay_an_object(self) -> None:
        arguments = json.dumps({"text": "a" * 9_000})

        (written,) = semconv.write_messages([Message("assistant", (ToolCall("a", "f", arguments),))], max_bytes=2_000)

        (part,) = written["parts"]
        assert part["arguments"]["text"].endswith("characters left out]")
        assert "arguments_json" not in part

    def test_unlimited_content_is_whole(self) -> None:
        message = Message("user", (Text("x" * 500_000), Media("image", data="AAAA" * 30_000)))

        assert semconv.read_messages(semconv.write_messages([message])) == (message,)


@pytest.mark.skipif(not CHECKER.exists(), reason="the checker of the conventions is not beside this checkout")
class TestConventions:
    """What `write` makes, before the checker that holds spans to the registry and the JSON schemas."""

    @pytest.mark.parametrize("case", CASES, ids=IDS)
    def test_recorded_calls_break_no_rule(self, case: Case) -> None:
        call, _ = case.read()
        attributes = semconv.write(call, content=True)
        attributes |= {"server.address": "api.openai.com", "server.port": 443}
        failed = semconv.ERROR_TYPE in attributes

        module, registry = _checker()
        checker = module.Checker(registry)
        checker.span({
            "name": semconv.span_name(call.operation, call.request.model), "kind": "client", "events": [],
            "attributes": json.loads(json.dumps(attributes)), "status": {"code": "error" if failed else "unset"}})
        found = checker.findings

        nameless = "gen_ai.request.model is required" if call.request.model is None else None
        assert [f for f in found if f["level"] == "violation" and f["message"] != nameless] == []
        assert {f["id"] for f in found if f["level"] == "improvement"} <= {
            "part_type_unknown", "role_unknown", "tool_arguments_string", "tool_call_id_missing", "empty_value", "model_missing",
            "tool_response_orphan"}

    @pytest.mark.parametrize("key", [
        "gen_ai.input.messages", "gen_ai.tool.call.result", "gen_ai.evaluation.explanation", "otel_llm.response.body",
        "exception.message", "gen_ai.prompt.variable.city", "gen_ai.prompt.0.content", "llm.input_messages.0.message.content",
        "input.value", "traceloop.entity.output", "ai.response.text"])
    def test_what_quotes_content_is_known(self, key: str) -> None:
        assert semconv.quotes_content(key)

    @pytest.mark.parametrize("key", [
        "gen_ai.request.model", "gen_ai.prompt.name", "gen_ai.tool.name", "gen_ai.usage.input_tokens", "exception.type",
        "otel_llm.request.id", "input.value.length", "my.all_messages"])
    def test_what_quotes_none_as_well(self, key: str) -> None:
        assert not semconv.quotes_content(key)

    def test_every_name_is_one_that_the_registry_knows(self) -> None:
        _, registry = _checker()
        ours = {k: v for k, v in vars(semconv).items() if k.isupper() and isinstance(v, str)}

        unknown = {v for k, v in ours.items() if v.startswith(("gen_ai.", "openai.")) and not k.startswith(("METRIC_", "EVENT_"))
                   and registry.find(v.rstrip(".") + (".x" if v.endswith(".") else "")) is None}
        assert unknown == set()
        assert {v for k, v in ours.items() if k.startswith("METRIC_")} <= set(registry.metrics)
        assert {v for k, v in ours.items() if k.startswith("EVENT_")} <= set(registry.events)


@cache
def _checker() -> tuple[Any, Any]:
    """The checker's module and its registry, which takes a while to load."""
    spec = importlib.util.spec_from_file_location("check_spans", CHECKER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, module.Registry(CHECKER.parents[1] / "reference" / "semconv" / "data")
