"""Asking in another wire format: what is carried over, what is named as lost, and whole sessions over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_llm.replay.requests.translate import translate
from otel_llm.testing import Simulator
from replay.agents import CHAT_TOOLS, HOW, MODEL, OSLO, RESPONSES_TOOLS, SYSTEM, TAKE, Stage, chat_agent, responses_agent, user

SCHEMA = {"name": "out", "schema": {"type": "object"}, "strict": True}
CHAT: dict[str, Any] = {
    "model": "m", "messages": [
        SYSTEM, user("Hi."),
        {"role": "assistant", "content": "One moment.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"}],
    "tools": CHAT_TOOLS, "tool_choice": {"type": "function", "function": {"name": "weather"}}, "temperature": 0.5,
    "max_tokens": 9, "reasoning_effort": "low", "stream": True, "stream_options": {"include_usage": True},
    "response_format": {"type": "json_schema", "json_schema": SCHEMA}, "metadata": {"k": "v"}, "parallel_tool_calls": False}
RESPONSES: dict[str, Any] = {
    "model": "m", "input": [
        SYSTEM, user("Hi."), {"role": "assistant", "content": "One moment."},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Oslo"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"}],
    "tools": RESPONSES_TOOLS, "tool_choice": {"type": "function", "name": "weather"}, "temperature": 0.5,
    "max_output_tokens": 9, "reasoning": {"effort": "low"}, "stream": True,
    "text": {"format": {"type": "json_schema", **SCHEMA}}, "metadata": {"k": "v"}, "parallel_tool_calls": False}


class TestBodies:
    def test_a_chat_becomes_a_request_of_responses(self) -> None:
        assert translate(CHAT, "openai_chat", "openai_responses") == (RESPONSES, ())

    def test_and_back(self) -> None:
        made, lost = translate(RESPONSES, "openai_responses", "openai_chat")

        strict = [{"type": "function", "function": {**CHAT_TOOLS[0]["function"], "strict": False}}]
        limit = {key: value for key, value in CHAT.items() if key != "max_tokens"}
        assert (made, lost) == ({**limit, "tools": strict, "max_completion_tokens": 9}, ())

    def test_what_cannot_be_carried_over_is_named(self) -> None:
        more = {"seed": 1, "stop": ["x"], "logit_bias": {"1": 2}, "n": 1, "service_tier": "auto", "logprobs": False,
                "presence_penalty": 0.5}
        image = {"role": "user", "name": "ada", "content": [
            {"type": "image_url", "image_url": {"url": "https://example.org/x.png", "detail": "low"}}]}

        made, lost = translate({**CHAT, **more, "messages": [image]}, "openai_chat", "openai_responses")

        assert made["input"] == [{"role": "user", "content": [{"type": "input_image", "image_url": "https://example.org/x.png"}]}]
        assert sorted(lost) == ["detail of a content part", "logit_bias", "presence penalty", "seed", "stop sequences",
                                "the name of an author"]

    def test_what_only_a_provider_can_do_is_named(self) -> None:
        body = {"model": "m", "input": [
                    {"type": "reasoning", "id": "rs_1", "summary": []}, {"type": "web_search_call", "id": "ws_1"}, user("Hi.")],
                "tools": [{"type": "web_search"}], "reasoning": {"effort": "low", "summary": "auto"}, "include": ["x"],
                "truncation": "disabled", "instructions": "Be brief."}

        made, lost = translate(body, "openai_responses", "openai_chat")

        assert made["messages"] == [SYSTEM, {"role": "assistant", "content": ""}, user("Hi.")]
        assert sorted(lost) == ["a part of type web_search_call", "include", "reasoning", "reasoning summary",
                                "the built-in tool web_search"]


class TestSessions:
    """Against the simulator, which refuses what it does not understand."""

    RULES: dict[str, Any] = {HOW: OSLO, "rain in Oslo": "It rains.", TAKE: "An umbrella."}

    def test_a_chat_session_in_responses_with_the_report(self, stage: Stage, sim: Simulator) -> None:
        with stage.record(self.RULES) as client:
            chat_agent(client, [HOW, TAKE])
            client.chat.completions.create(model=MODEL, messages=[user("echo: x")], seed=1, stop="y", n=1)

        done = stage.reissue("--provider", "openai_responses", "--base-url", sim.base_url, "--json")

        assert (done.code, [r["diff"]["status"]["new"] for r in json.loads(done.out)]) == (0, [200] * 4)
        assert sim.count == {"/v1/responses": 4}
        assert "4 calls translated to openai_responses; not carried over: seed (1 call), stop sequences (1 call)." in done.err
        assert [r["lost"] for r in json.loads(done.out)] == [[], [], [], ["seed", "stop sequences"]]
        assert [e["type"] for e in json.loads(sim.exchanges[2].request_body)["input"] if "type" in e] == [
            "function_call", "function_call_output"]

    @pytest.mark.parametrize("is_stateful", [True, False])
    def test_a_session_of_responses_in_chat_with_its_whole_history(self, stage: Stage, sim: Simulator, is_stateful: bool) -> None:
        with stage.record(self.RULES) as client:
            responses_agent(client, [HOW, TAKE], is_stateful=is_stateful)

        done = stage.reissue("--provider", "openai_chat", "--base-url", sim.base_url)

        roles = [[m["role"] for m in json.loads(e.request_body)["messages"]] for e in sim.exchanges]
        begun = ["system", "user", "assistant", "tool"]
        assert (done.code, sim.count) == (0, {"/v1/chat/completions": 3})
        assert roles == [["system", "user"], begun, [*begun, "assistant", "user"]]
        assert "3 calls translated to openai_chat; everything was carried over." in done.err

    @pytest.mark.parametrize("is_stateful", [True, False])
    def test_threads_go_on_in_the_other_format(self, stage: Stage, is_stateful: bool) -> None:
        with stage.record(self.RULES) as client:
            responses_agent(client, [HOW, TAKE], is_stateful=is_stateful)

        done = stage.reissue("--provider", "openai_chat", "--threaded", rules={**self.RULES, "rain in Oslo": "RAIN!"})

        history = stage.histories[-1]
        new = history[2]["tool_calls"][0]["id"]
        assert done.code == 0
        assert history == [
            SYSTEM, user(HOW),
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": new, "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}]},
            {"role": "tool", "tool_call_id": new, "content": "rain in Oslo"}, {"role": "assistant", "content": "RAIN!"}, user(TAKE)]
        assert new not in json.dumps(stage.recorded)

    def test_a_history_that_only_the_provider_has_is_not_sent(self, stage: Stage) -> None:
        with stage.record(self.RULES) as client:
            responses_agent(client, [HOW, TAKE], is_stateful=True)

        done = stage.reissue("--provider", "openai_chat", session="source:3")

        assert (done.code, stage.provider.asked) == (3, [])
        assert "its history is with the provider, and the call before it is not among those to send" in done.err

    def test_what_is_no_conversation_stays_in_its_format(self, stage: Stage) -> None:
        with stage.record() as client:
            client.chat.completions.create(model=MODEL, messages=[user("Hi.")])
            client.embeddings.create(model="text-embedding-3-small", input="a river")

        done = stage.reissue("--provider", "openai_responses")

        assert (done.code, [sorted(body) for body in stage.provider.asked]) == (0, [
            ["input", "model"], ["encoding_format", "input", "model"]])
        assert "What was changed (provider) is for the conversation." in done.err
