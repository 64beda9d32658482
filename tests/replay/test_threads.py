"""Sending whole sessions again: frozen as they were recorded, or threaded, with the new answers in the later turns."""

from __future__ import annotations

import json
from typing import Any

import pytest

from replay.agents import HOW, MODEL, OSLO, SYSTEM, TAKE, Stage, chat_agent, responses_agent, user
from support.provider import Saying

BEFORE: dict[str, Saying] = {HOW: OSLO, "rain in Oslo": "It rains in Oslo.", TAKE: "An umbrella."}
NOW: dict[str, Saying] = {HOW: OSLO, "rain in Oslo": "RAIN!", TAKE: "Boots."}


def call(identity: str, city: str = "Oslo") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": city})}}


def asks(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": list(calls)}


def tool(identity: str, text: str = "rain in Oslo") -> dict[str, str]:
    return {"role": "tool", "tool_call_id": identity, "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def ids(stage: Stage) -> list[str]:
    """The ids of the tool calls in the last request, in their order."""
    found = [call["id"] for message in stage.histories[-1] for call in message.get("tool_calls") or ()]
    return found + [item["call_id"] for item in stage.histories[-1] if item.get("type") == "function_call"]


def states(done: Any) -> list[tuple[str, str | None]]:
    return [(result["state"], result["reason"]) for result in json.loads(done.out)]


class TestFrozen:
    @pytest.mark.parametrize("kind", ["chat", "stateless", "stateful"])
    def test_every_call_goes_out_as_it_was_recorded(self, stage: Stage, kind: str) -> None:
        with stage.record(BEFORE) as client:
            if kind == "chat":
                chat_agent(client, [HOW, TAKE])
            else:
                responses_agent(client, [HOW, TAKE], is_stateful=kind == "stateful")

        done = stage.reissue(rules=NOW)

        assert (done.code, stage.provider.asked) == (0, stage.recorded)


class TestThreadedChats:
    def test_new_answers_and_tool_results_flow_into_the_later_turns(self, stage: Stage) -> None:
        with stage.record(BEFORE) as client:
            chat_agent(client, [HOW, TAKE])

        done = stage.reissue("--threaded", rules=NOW)

        (new,) = ids(stage)
        begun = [SYSTEM, user(HOW), asks(call(new)), tool(new)]
        assert done.code == 0
        assert stage.histories == [[SYSTEM, user(HOW)], begun, [*begun, said("RAIN!"), user(TAKE)]]
        assert new not in json.dumps(stage.recorded)
        assert [{k: v for k, v in b.items() if k != "messages"} for b in stage.provider.asked] == [
            {k: v for k, v in b.items() if k != "messages"} for b in stage.recorded]

    def test_an_answer_is_handed_on_as_the_program_did(self, stage: Stage) -> None:
        with stage.record(BEFORE) as client:
            chat_agent(client, [HOW, TAKE], keep=lambda made: made.model_dump())

        stage.reissue("--threaded", rules=NOW)

        (new,) = ids(stage)
        rest = {"refusal": None, "annotations": None, "audio": None, "function_call": None}
        answers = [message for message in stage.histories[-1] if message["role"] == "assistant"]
        assert set(answers[0]) <= {"role", "content", "tool_calls", *rest}
        assert [(a["content"], a.get("tool_calls")) for a in answers] == [(None, [call(new)]), ("RAIN!", None)]

    def test_a_model_that_says_the_same_is_sent_the_same_bytes(self, stage: Stage, sim: Any) -> None:
        """Against the simulator, which answers equal requests equally, ids included."""
        with stage.record() as client:
            client = client.with_options(base_url=sim.base_url)
            chat_agent(client, ["What is the weather in Oslo?", "echo: thanks"])
            responses_agent(client, ["What is the weather in Rome?", "echo: thanks"], is_stateful=True)
            responses_agent(client, ["What is the weather in Rome?", "echo: bye"], is_stateful=False)
        before = [exchange.request_body for exchange in sim.exchanges]

        done = stage.reissue("--threaded", "--concurrency", "3")

        assert (done.code, len(before)) == (0, 9)
        assert sorted(exchange.request_body for exchange in sim.exchanges[9:]) == sorted(before)

    def test_equal_arguments_are_the_same_call_and_each_gets_its_result(self, stage: Stage) -> None:
        both: Saying = [("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"})]
        with stage.record({HOW: both, TAKE: "Both."}) as client:
            chat_agent(client, [HOW, TAKE])

        stage.reissue("--threaded", rules={HOW: [*OSLO, ("weather", {"city": "Rome"})], TAKE: "Both."})  # type: ignore[misc]

        first, second = ids(stage)
        assert stage.histories[1] == [
            SYSTEM, user(HOW), asks(call(first), call(second, "Rome")), tool(first), tool(second, "sun in Rome")]

    def test_a_tool_call_that_was_never_recorded_stops_its_branch_and_no_other(self, stage: Stage) -> None:
        with stage.record({**BEFORE, "Hello.": "Hello!", "Bye.": "Bye!"}) as client:
            chat_agent(client, [HOW, TAKE])
            chat_agent(client, ["Hello.", "Bye."])

        done = stage.reissue("--threaded", "--json", rules={HOW: [("weather", {"city": "Paris"})], "Hello.": "Hi."})

        why = 'the new answer asks weather({"city": "Paris"}), and nothing is recorded that answers it'
        assert done.code == 3
        assert states(done) == [("answered", None), ("stopped", why), ("stopped", "the call that it goes on from was not sent"),
                                ("answered", None), ("answered", None)]
        assert stage.histories == [[SYSTEM, user(HOW)], [SYSTEM, user("Hello.")], [SYSTEM, user("Hello."), said("Hi."), user("Bye.")]]
        assert "3 calls sent, 0 answered the same, 3 differently, 2 stopped" in done.err

    def test_a_turn_that_needs_no_tool_any_more_ends_earlier(self, stage: Stage) -> None:
        with stage.record(BEFORE) as client:
            chat_agent(client, [HOW, TAKE])

        done = stage.reissue("--threaded", "--json", rules={HOW: "No idea.", TAKE: "A coat."})

        assert done.code == 0
        assert states(done) == [("answered", None), (
            "not needed", "the new answer asked for no tool, so that there is none to answer"), ("answered", None)]
        assert stage.histories[1:] == [[SYSTEM, user(HOW), said("No idea."), user(TAKE)]]

    def test_a_tool_that_is_asked_for_earlier_gets_its_result_before_the_users_next_words(self, stage: Stage) -> None:
        with stage.record({**BEFORE, "Hello.": "Hello!"}) as client:
            chat_agent(client, ["Hello.", HOW])

        stage.reissue("--threaded", rules={"Hello.": OSLO, HOW: "Rain."})

        (new,) = ids(stage)
        assert stage.histories[1] == [
            SYSTEM, user("Hello."), {**asks(call(new)), "content": None}, tool(new), user(HOW)]

    def test_what_goes_on_from_a_call_that_fails_is_not_sent(self, stage: Stage) -> None:
        with stage.record(BEFORE) as client:
            chat_agent(client, [HOW, TAKE])

        done = stage.reissue("--threaded", "--json", rules={HOW: 400})

        assert (done.code, len(stage.provider.asked)) == (3, 1)
        assert states(done)[1:] == [("stopped", "the call before it was not answered (400)"),
                                    ("stopped", "the call that it goes on from was not sent")]

    def test_a_program_that_drops_old_messages_gets_new_answers_where_the_old_ones_stand(self, stage: Stage) -> None:
        with stage.record({"a": "A.", "b": "B.", "c": "C."}) as client:
            chat_agent(client, ["a", "b", "c"], window=3)

        stage.reissue("--threaded", rules={"a": "A!", "b": "B!", "c": "C!"})

        assert stage.histories == [
            [SYSTEM, user("a")], [SYSTEM, user("a"), said("A!"), user("b")], [SYSTEM, user("b"), said("B!"), user("c")]]

    def test_answers_that_no_call_gave_stay_and_that_is_said(self, stage: Stage) -> None:
        examples = [user("good"), said("positive"), user("bad"), said("negative")]
        with stage.record({"?": "positive"}) as client:
            for text in ("fine", "nice"):
                client.chat.completions.create(model=MODEL, messages=[*examples, user(text)])

        done = stage.reissue("--threaded", rules={"?": "Positive!"})

        assert stage.provider.asked == stage.recorded
        assert "hold answers that no call of this session gave, such as examples; these stay as recorded." in done.err

    def test_a_streamed_answer_flows_on_like_any_other(self, stage: Stage, sim: Any) -> None:
        with stage.record() as client:
            client = client.with_options(base_url=sim.base_url)
            messages: list[Any] = [user("echo: one")]
            stream = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
            words = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
            messages += [said(words), user("echo: two")]
            client.chat.completions.create(model=MODEL, messages=messages)

        done = stage.reissue("--threaded", "--set", 'messages.0.content="echo: uno"')

        sent = [json.loads(exchange.request_body)["messages"] for exchange in sim.exchanges[2:]]
        assert done.code == 0
        assert sent == [[user("echo: uno")], [user("echo: uno"), said("uno"), user("echo: two")]]


class TestThreadedResponses:
    def test_the_response_that_is_named_is_the_new_one_and_so_are_the_tool_calls(self, stage: Stage) -> None:
        with stage.record(BEFORE) as client:
            responses_agent(client, [HOW, TAKE], is_stateful=True)

        done = stage.reissue("--threaded", rules=NOW)

        first, second, third = stage.provider.asked
        answer, taken = second["input"][0], third["previous_response_id"]
        assert done.code == 0
        assert stage.histories == [[user(HOW)], [
            {"type": "function_call_output", "call_id": answer["call_id"], "output": "rain in Oslo"}], [user(TAKE)]]
        assert "previous_response_id" not in first
        assert len({second["previous_response_id"], taken, *(body.get("previous_response_id") for body in stage.recorded)}) == 5
        assert answer["call_id"] != stage.recorded[1]["input"][0]["call_id"]

    def test_a_history_that_the_program_hands_on_gets_the_new_items(self, stage: Stage) -> None:
        with stage.record(BEFORE) as client:
            responses_agent(client, [HOW, TAKE], is_stateful=False)

        done = stage.reissue("--threaded", rules=NOW)

        (new,) = ids(stage)
        history = stage.histories[-1]
        assert done.code == 0
        assert [(item.get("type"), item.get("call_id"), item.get("output")) for item in history] == [
            (None, None, None), ("function_call", new, None), ("function_call_output", new, "rain in Oslo"),
            ("message", None, None), (None, None, None)]
        assert history[3]["content"][0]["text"] == "RAIN!"
        assert new not in json.dumps(stage.recorded)

    def test_a_history_in_a_conversation_of_the_provider_is_not_threaded(self, stage: Stage) -> None:
        with stage.record(BEFORE) as client:
            client.responses.create(model=MODEL, input=TAKE, conversation="conv_1")

        done = stage.reissue("--threaded", "--json", session="conv_1")

        assert (done.code, stage.provider.asked) == (3, [])
        assert states(done) == [("stopped", "its history is in a conversation that the provider keeps")]
