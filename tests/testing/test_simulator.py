"""The simulator as its users meet it: the real SDK, a real socket, and no test that waits for a clock."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from array import array
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from openai import AzureOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, TypeAdapter

import otel_llm.testing
from otel_llm.testing import Exchange, Simulator, compress, cut, error, hang, normal, raw, sse

ORDER_TOOL: dict[str, Any] = {
    "name": "lookup_order",
    "description": "Look up the status of an order.",
    "parameters": {
        "type": "object",
        "properties": {"order_id": {"type": "string"}},
        "required": ["order_id"],
    },
}
WEATHER_TOOL: dict[str, Any] = {
    "name": "get_weather",
    "description": "The current weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city"],
    },
}
TOOLS: Any = [{"type": "function", "function": tool} for tool in (ORDER_TOOL, WEATHER_TOOL)]
FLAT_TOOLS: Any = [{"type": "function", "strict": False, **tool} for tool in (ORDER_TOOL, WEATHER_TOOL)]

needs_today = pytest.mark.skipif(not hasattr(OpenAI, "responses"), reason="this SDK is older than the responses API")


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def client(sim: Simulator) -> Iterator[OpenAI]:
    with OpenAI(base_url=sim.base_url, api_key="sk-secret", max_retries=2) as made:
        yield made


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def say(client: OpenAI, text: str, model: str = "gpt-4o", **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=user(text), **more)


def text(answer: Any) -> str:
    return str(answer.choices[0].message.content)


def called(answer: Any) -> list[tuple[str, dict[str, Any]]]:
    calls = answer.choices[0].message.tool_calls or []
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


def test_the_public_names_are_those_of_all() -> None:
    names = otel_llm.testing.__all__

    assert names == sorted(names)
    assert all(hasattr(otel_llm.testing, name) for name in names)


class TestChat:
    def test_an_answer_has_text_a_dated_model_and_usage_that_adds_up(self, client: OpenAI) -> None:
        answer = say(client, "How do I reset my password?")

        assert "reset your password" in text(answer)
        assert (answer.object, answer.model) == ("chat.completion", "gpt-4o-2024-08-06")
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        assert answer.usage.prompt_tokens_details.cached_tokens == 0

    def test_a_stream_says_the_same_as_the_plain_answer(self, client: OpenAI) -> None:
        plain = say(client, "How do I reset my password?")

        chunks = list(say(client, "How do I reset my password?", stream=True, stream_options={"include_usage": True}))

        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == text(plain)
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert (chunks[-1].choices, chunks[-1].usage) == ([], plain.usage)

    def test_a_stream_has_no_usage_unless_asked(self, client: OpenAI) -> None:
        assert {chunk.usage for chunk in say(client, "Hello!", stream=True)} == {None}

    def test_the_same_body_gets_the_same_bytes_from_another_simulator(self, client: OpenAI, sim: Simulator) -> None:
        say(client, "Where is my order A-1?", tools=TOOLS)
        with Simulator() as other, OpenAI(base_url=other.base_url, api_key="k") as second:
            say(second, "Where is my order A-1?", tools=TOOLS)
            theirs = other.exchanges[0]

        assert sim.exchanges[0].response_body == theirs.response_body
        assert sim.exchanges[0].request_body == theirs.request_body

    def test_another_model_or_temperature_words_it_differently(self, client: OpenAI) -> None:
        models = ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-nano", "gpt-5"]

        by_model = [text(say(client, "How do I reset my password?", model)) for model in models]
        by_heat = [text(say(client, "How do I reset my password?", temperature=heat)) for heat in (0, 0.5, 1.0, 1.5)]

        assert len(set(by_model)) == len(models)
        assert len(set(by_heat)) == 4
        assert len(by_model[1]) < len(by_model[0])

    def test_the_system_prompt_answers_and_sets_the_tone(self, client: OpenAI) -> None:
        system = "You are a support agent. Refunds take 14 days. Be concise. Sign as Ada."
        messages: Any = [{"role": "system", "content": system}, *user("How long do refunds take?")]

        answer = text(client.chat.completions.create(model="gpt-4o", messages=messages))

        assert "Refunds take 14 days." in answer
        assert answer.endswith("— Ada")

    def test_an_echo_is_answered_word_for_word(self, client: OpenAI) -> None:
        assert text(say(client, "echo: ünï\n  códe 🙂")) == "ünï\n  códe 🙂"

    def test_n_choices_are_numbered_and_differ(self, client: OpenAI) -> None:
        answer = say(client, "How do I reset my password?", n=2)

        assert [choice.index for choice in answer.choices] == [0, 1]
        assert answer.choices[0].message.content != answer.choices[1].message.content

    def test_n_streams_are_interleaved(self, client: OpenAI) -> None:
        said = ["", ""]
        order = []
        for chunk in say(client, "How do I reset my password?", n=2, stream=True):
            order.append(chunk.choices[0].index)
            said[chunk.choices[0].index] += chunk.choices[0].delta.content or ""

        assert order[:4] == [0, 1, 0, 1]
        assert [*said] == [one.message.content for one in say(client, "How do I reset my password?", n=2).choices]

    def test_a_token_limit_ends_the_answer(self, client: OpenAI) -> None:
        answer = say(client, "How do I reset my password?", max_tokens=3)

        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 3

    def test_a_refusal_stands_in_its_own_field(self, client: OpenAI) -> None:
        message = say(client, "Please refuse this.").choices[0].message

        assert (message.content, bool(message.refusal)) == (None, True)

    def test_a_reasoning_model_reports_what_it_thought(self, client: OpenAI) -> None:
        usage = say(client, "How do I reset my password?", "gpt-5").usage

        assert 0 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens

    def test_a_cache_key_makes_whole_blocks_of_the_prompt_cached(self, client: OpenAI) -> None:
        usage = say(client, "echo: " + "word " * 200, extra_body={"prompt_cache_key": "k"}).usage

        assert usage.prompt_tokens_details.cached_tokens == 256

    def test_a_body_without_messages_is_refused_in_the_providers_shape(self, client: OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="gpt-4o", messages=[])

        assert (caught.value.param, caught.value.type) == ("messages", "invalid_request_error")


class TestTools:
    def test_a_message_that_fits_a_tool_calls_it_with_the_id_it_names(self, client: OpenAI) -> None:
        answer = say(client, "Where is my order A-1001?", tools=TOOLS)

        assert called(answer) == [("lookup_order", {"order_id": "A-1001"})]
        assert answer.choices[0].finish_reason == "tool_calls"

    def test_enums_and_numbers_come_from_the_message(self, client: OpenAI) -> None:
        answer = say(client, "Weather in New York for 3 days, in fahrenheit?", tools=TOOLS)

        assert called(answer) == [("get_weather", {"city": "New York", "days": 3, "unit": "fahrenheit"})]

    def test_two_ids_become_parallel_calls(self, client: OpenAI) -> None:
        answer = say(client, "Where are my orders A-1 and A-2?", tools=TOOLS)

        assert called(answer) == [("lookup_order", {"order_id": "A-1"}), ("lookup_order", {"order_id": "A-2"})]

    def test_two_fitting_tools_become_parallel_calls(self, client: OpenAI) -> None:
        answer = say(client, "What is the weather in Oslo, and where is order A-1?", tools=TOOLS)

        assert called(answer) == [("lookup_order", {"order_id": "A-1"}), ("get_weather", {"city": "Oslo"})]

    def test_parallel_calls_can_be_switched_off(self, client: OpenAI) -> None:
        answer = say(client, "Where are my orders A-1 and A-2?", tools=TOOLS, parallel_tool_calls=False)

        assert called(answer) == [("lookup_order", {"order_id": "A-1"})]

    def test_streamed_calls_join_to_the_plain_ones(self, client: OpenAI) -> None:
        joined: dict[int, list[str]] = {}
        for chunk in say(client, "Where are my orders A-1 and A-2?", tools=TOOLS, stream=True):
            for piece in chunk.choices[0].delta.tool_calls or []:
                joined.setdefault(piece.index, []).append(piece.function.arguments)

        assert all(len(pieces) > 1 for pieces in joined.values())
        assert [json.loads("".join(pieces)) for pieces in joined.values()] == [{"order_id": "A-1"}, {"order_id": "A-2"}]

    def test_a_missing_id_is_asked_for(self, client: OpenAI) -> None:
        answer = say(client, "Where is my order?", tools=TOOLS)

        assert called(answer) == []
        assert "Could you tell me the order id?" in text(answer)

    def test_an_id_that_was_asked_for_leads_to_the_call(self, client: OpenAI) -> None:
        talk: Any = [*user("Where is my order?"), {"role": "assistant", "content": "The id?"}, *user("It is A-12.")]

        answer = client.chat.completions.create(model="gpt-4o", messages=talk, tools=TOOLS)

        assert called(answer) == [("lookup_order", {"order_id": "A-12"})]

    def test_an_id_named_earlier_is_remembered(self, client: OpenAI) -> None:
        talk: Any = [*user("Hi, it is about A-12."), {"role": "assistant", "content": "Yes?"}, *user("Order status?")]

        answer = client.chat.completions.create(model="gpt-4o", messages=talk, tools=TOOLS)

        assert called(answer) == [("lookup_order", {"order_id": "A-12"})]

    def test_a_message_that_fits_no_tool_is_answered(self, client: OpenAI) -> None:
        assert called(say(client, "Tell me about your company.", tools=TOOLS)) == []

    @pytest.mark.parametrize(
        ("choice", "names"),
        [
            ("none", []),
            ("required", ["lookup_order"]),
            ({"type": "function", "function": {"name": "get_weather"}}, ["get_weather"]),
        ],
    )
    def test_tool_choice_is_obeyed(self, client: OpenAI, choice: Any, names: list[str]) -> None:
        answer = say(client, "Good morning", tools=TOOLS, tool_choice=choice)

        assert [name for name, _ in called(answer)] == names

    def test_results_are_told_in_a_sentence(self, client: OpenAI) -> None:
        first = say(client, "Where is my order A-1001?", tools=TOOLS).choices[0].message
        result = {"order_id": "A-1001", "status": "shipped", "items": ["mug", "cap"], "paid": True}
        reply = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": json.dumps(result)}
        messages: Any = [*user("Where is my order A-1001?"), first.to_dict(), reply]

        answer = client.chat.completions.create(model="gpt-4o", messages=messages, tools=TOOLS)

        told = "For order id A-1001, the status is shipped, the items are mug and cap and it is paid."
        assert told in text(answer)


class Line(BaseModel):
    order_id: str
    quantity: int


class Ticket(BaseModel):
    summary: str
    sentiment: Literal["positive", "negative", "neutral"]
    is_urgent: bool
    lines: list[Line]
    email: str | None


@needs_today
class TestStructuredOutput:
    def test_parse_gives_the_users_model(self, client: OpenAI) -> None:
        answer = client.chat.completions.parse(
            model="gpt-4o",
            messages=user("My 2 mugs of order A-7 came broken, write to ada@example.com"),
            response_format=Ticket,
        )

        ticket = answer.choices[0].message.parsed
        assert ticket is not None
        assert (ticket.sentiment, ticket.email) == ("negative", "ada@example.com")
        assert ticket.lines == [Line(order_id="A-7", quantity=2)]

    def test_responses_parse_gives_the_users_model(self, client: OpenAI) -> None:
        answer = client.responses.parse(model="gpt-4o", input="I love my order A-7", text_format=Ticket)

        assert answer.output_parsed is not None
        assert answer.output_parsed.sentiment == "positive"

    def test_json_mode_gives_an_object(self, client: OpenAI) -> None:
        answer = say(client, "echo: 42, as JSON", response_format={"type": "json_object"})

        assert json.loads(text(answer)) == {"answer": "42, as JSON"}


@needs_today
class TestResponses:
    def test_a_stream_has_the_real_sequence_and_ends_with_the_whole_response(self, client: OpenAI) -> None:
        events = list(client.responses.create(model="gpt-4o", input="Hello!", stream=True))
        names = [one.type for one in events]

        assert list(dict.fromkeys(names)) == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
        assert [one.sequence_number for one in events] == list(range(len(events)))
        said = "".join(one.delta for one in events if one.type == "response.output_text.delta")
        assert events[-1].type == "response.completed"
        assert events[-1].response.output_text == said

    def test_function_calls_stream_and_their_outputs_are_answered(self, client: OpenAI) -> None:
        with client.responses.stream(model="gpt-4o", input="Where is order A-9?", tools=FLAT_TOOLS) as stream:
            first = stream.get_final_response()
        call = first.output[0]
        assert call.type == "function_call"
        output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": '{"status": "lost"}'}]

        second = client.responses.create(model="gpt-4o", input=output, previous_response_id=first.id)

        assert json.loads(call.arguments) == {"order_id": "A-9"}
        assert "the status is lost" in second.output_text

    def test_a_previous_response_is_remembered(self, client: OpenAI) -> None:
        first = client.responses.create(model="gpt-4o", input="Hi, my name is Ada.", instructions="Be brief.")

        second = client.responses.create(model="gpt-4o", input="What is my name?", previous_response_id=first.id)

        assert "Your name is Ada." in second.output_text
        assert second.usage is not None and first.usage is not None
        assert second.usage.input_tokens > first.usage.input_tokens

    def test_an_unknown_previous_response_is_refused(self, client: OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="gpt-4o", input="Hi", previous_response_id="resp_none")

        assert caught.value.code == "previous_response_not_found"

    def test_a_stored_response_is_retrieved_until_it_is_deleted(self, client: OpenAI) -> None:
        made = client.responses.create(model="gpt-4o", input="Hello!")

        assert client.responses.retrieve(made.id) == made
        client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)

    def test_a_token_limit_leaves_it_incomplete(self, client: OpenAI) -> None:
        answer = client.responses.create(model="gpt-4o", input="How do I reset my password?", max_output_tokens=4)

        assert answer.status == "incomplete"
        assert answer.incomplete_details is not None
        assert answer.incomplete_details.reason == "max_output_tokens"

    def test_a_reasoning_model_puts_its_reasoning_first(self, client: OpenAI) -> None:
        answer = client.responses.create(model="o3", input="Hello!", reasoning={"effort": "high"})

        assert [item.type for item in answer.output] == ["reasoning", "message"]


def events(exchange: Exchange) -> list[Any]:
    lines = exchange.response_body.decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


class TestShapes:
    """What is on the wire has every field that the SDK's types require."""

    @pytest.mark.parametrize("question", ["Hello!", "Where are orders A-1 and A-2?", "Please refuse this."])
    def test_chat(self, client: OpenAI, sim: Simulator, question: str) -> None:
        say(client, question, tools=TOOLS)
        list(say(client, question, tools=TOOLS, stream=True, stream_options={"include_usage": True}))

        plain, streamed = sim.exchanges
        ChatCompletion.model_validate_json(plain.response_body)
        assert all(ChatCompletionChunk.model_validate(data) for data in events(streamed))

    @needs_today
    @pytest.mark.parametrize("model", ["gpt-4o", "gpt-5"])
    @pytest.mark.parametrize("question", ["Hello!", "Where are orders A-1 and A-2?", "Please refuse this."])
    def test_responses(self, client: OpenAI, sim: Simulator, question: str, model: str) -> None:
        from openai.types.responses import Response, ResponseStreamEvent

        client.responses.create(model=model, input=question, tools=FLAT_TOOLS)
        list(client.responses.create(model=model, input=question, tools=FLAT_TOOLS, stream=True))

        plain, streamed = sim.exchanges
        Response.model_validate_json(plain.response_body)
        event: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
        assert all(event.validate_python(data) for data in events(streamed))

    def test_the_rest(self, client: OpenAI, sim: Simulator) -> None:
        from openai import types

        client.embeddings.create(model="m", input="x", dimensions=4, encoding_format="float")
        client.completions.create(model="m", prompt="x")
        client.images.generate(prompt="x", model="gpt-image-1")
        client.moderations.create(input="x")
        client.files.create(file=("a.txt", b"x"), purpose="batch")
        client.models.retrieve("gpt-4o")

        shapes = [
            types.CreateEmbeddingResponse,
            types.Completion,
            types.ImagesResponse,
            types.ModerationCreateResponse,
            types.FileObject,
            types.Model,
        ]
        for shape, exchange in zip(shapes, sim.exchanges, strict=True):
            shape.model_validate_json(exchange.response_body)


class TestOtherEndpoints:
    def test_embeddings_are_the_same_as_floats_and_as_base64(self, client: OpenAI) -> None:
        ask: Any = {"model": "text-embedding-3-small", "input": ["red mug", "blue cap"]}

        floats = client.embeddings.create(**ask, encoding_format="float").data
        packed: Any = client.embeddings.create(**ask, encoding_format="base64").data

        assert [len(one.embedding) for one in floats] == [1536, 1536]
        assert list(array("f", b64decode(packed[1].embedding))) == pytest.approx(floats[1].embedding, abs=1e-6)

    def test_texts_that_share_words_are_close(self, client: OpenAI) -> None:
        inputs = ["refund of a broken mug", "the mug is broken", "opening hours in Oslo"]

        one, near, far = (
            item.embedding
            for item in client.embeddings.create(model="text-embedding-3-small", input=inputs, dimensions=256).data
        )

        assert sum(map(float.__mul__, one, near)) > sum(map(float.__mul__, one, far)) + 0.2

    def test_old_completions_give_n_choices_plain_and_streamed(self, client: OpenAI) -> None:
        ask: Any = {"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello", "n": 2, "max_tokens": 50}

        plain = client.completions.create(**ask)
        said = ["", ""]
        for chunk in client.completions.create(**ask, stream=True):
            said[chunk.choices[0].index] += chunk.choices[0].text

        assert said == [choice.text for choice in plain.choices]

    def test_models_are_listed_and_an_unknown_one_is_not_found(self, client: OpenAI) -> None:
        assert "gpt-4o" in [model.id for model in client.models.list()]
        assert client.models.retrieve("gpt-4o").id == "gpt-4o"
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            client.models.retrieve("gpt-0")

    def test_images_speech_and_moderation_answer(self, client: OpenAI) -> None:
        picture = client.images.generate(model="gpt-image-1", prompt="a mug").data
        sound = client.audio.speech.create(model="tts-1", voice="alloy", input="Hi", response_format="wav").read()
        flags = client.moderations.create(input="I will kill the process").results[0]

        assert picture is not None and str(picture[0].b64_json).startswith("iVBOR")
        assert sound[:4] == b"RIFF"
        assert (flags.flagged, flags.categories.violence, flags.categories.hate) == (True, True, False)

    def test_uploads_are_read_and_do_not_depend_on_the_boundary(self, client: OpenAI) -> None:
        files = [client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch") for _ in range(2)]
        heard = client.audio.transcriptions.create(model="whisper-1", file=("call.wav", b"\0\1\r\n\2"))

        assert files[0] == files[1]
        assert (files[0].filename, files[0].bytes) == ("a.jsonl", 3)
        assert heard.text == "This is the transcription of call.wav, 5 bytes of audio."

    def test_anything_else_is_not_found_in_the_providers_shape(self, client: OpenAI) -> None:
        with pytest.raises(openai.NotFoundError, match=r"Invalid URL \(POST /v1/nothing\)"):
            client.post("/nothing", cast_to=object, body={})

    def test_azure_paths_answer_with_azures_additions(self, sim: Simulator) -> None:
        client = AzureOpenAI(azure_endpoint=sim.url, api_key="sk-secret", api_version="2024-10-21")

        answer = say(client, "Hello!")
        first = next(iter(say(client, "Hello!", stream=True)))
        client.embeddings.create(model="text-embedding-3-small", input="x")

        assert answer.to_dict()["prompt_filter_results"]
        assert first.choices == []
        assert sim.exchanges[0].path == "/openai/deployments/gpt-4o/chat/completions"
        assert sim.exchanges[0].query == "api-version=2024-10-21"
        assert sim.exchanges[0].request_headers["api-key"] == "***"


class TestScript:
    def test_an_error_then_success_is_retried_by_the_sdk(self, client: OpenAI, sim: Simulator) -> None:
        sim.script(error(500, times=2))

        answer = say(client, "Hello!")

        assert answer.choices
        assert [exchange.status for exchange in sim.exchanges] == [500, 500, 200]
        assert sim.count == {"/v1/chat/completions": 3}
        assert sim.pending == 0

    def test_an_error_carries_what_it_was_given(self, client: OpenAI, sim: Simulator) -> None:
        sim.script(error(402, "Pay first.", type="billing", code="no_money", headers={"x-request-id": "req_1"}))

        with pytest.raises(openai.APIStatusError, match="Pay first") as caught:
            say(client, "Hello!")

        assert (caught.value.status_code, caught.value.type, caught.value.code) == (402, "billing", "no_money")
        assert caught.value.request_id == "req_1"

    def test_an_answer_waits_in_the_queue_for_the_request_it_is_for(self, client: OpenAI, sim: Simulator) -> None:
        sim.script(
            error(400, match="/embeddings"),
            error(401, when=lambda body: body.get("model") == "gpt-4o-mini"),
        )

        say(client, "Hello!")
        with pytest.raises(openai.AuthenticationError):
            say(client, "Hello!", "gpt-4o-mini")
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(model="m", input="x")

    def test_a_plan_is_the_same_queue_and_normal_fills_a_place(self) -> None:
        with (
            Simulator(plan=[normal(), error(400)]) as sim,
            OpenAI(base_url=sim.base_url, api_key="k") as client,
        ):
            say(client, "Hello!")
            with pytest.raises(openai.BadRequestError):
                say(client, "Hello!")

    def test_raw_bytes_arrive_as_they_are(self, client: OpenAI, sim: Simulator) -> None:
        sim.script(raw(b"<html>busy</html>", "text/html", status=400))

        with pytest.raises(openai.BadRequestError) as caught:
            say(client, "Hello!")

        assert caught.value.response.text == "<html>busy</html>"

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    @pytest.mark.parametrize("is_stream", [False, True])
    def test_a_compressed_answer_is_recorded_before_its_coding(
        self, client: OpenAI, sim: Simulator, encoding: Any, is_stream: bool
    ) -> None:
        sim.script(normal(), compress(encoding))

        for _ in range(2):
            answer = say(client, "Hello!", stream=is_stream)
            if is_stream:
                list(answer)

        bare, coded = sim.exchanges
        assert coded.response_headers["content-encoding"] == encoding
        assert coded.response_body == bare.response_body

    def test_zstd_is_coded_when_its_package_is_there(self, sim: Simulator) -> None:
        zstandard = pytest.importorskip("zstandard")
        sim.script(raw(b'{"a": 1}', encoding="zstd"))
        connection = http.client.HTTPConnection("127.0.0.1", sim.port)
        connection.request("GET", "/v1/models")

        coded = connection.getresponse().read()

        assert zstandard.ZstdDecompressor().decompressobj().decompress(coded) == b'{"a": 1}'
        assert sim.exchanges[0].response_body == b'{"a": 1}'
        connection.close()

    def test_a_coding_without_its_package_says_what_to_install(
        self, client: OpenAI, sim: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "brotli", None)
        sim.script(compress("br"))

        with pytest.raises(openai.InternalServerError, match="pip install brotli"):
            say(client, "Hello!")

    def test_a_cut_body_breaks_the_call(self, sim: Simulator) -> None:
        sim.script(cut(after_bytes=10), cut(after_bytes=-1))
        client = OpenAI(base_url=sim.base_url, api_key="k", max_retries=0)

        for _ in range(2):
            with pytest.raises(openai.APIConnectionError):
                say(client, "Hello!")

        assert [(exchange.status, len(exchange.response_body)) for exchange in sim.exchanges] == [(200, 10), (0, 0)]

    def test_a_cut_stream_delivers_what_came_before(self, client: OpenAI, sim: Simulator) -> None:
        sim.script(sse({"choices": [], "id": "1"}, {"choices": [], "id": "2"}, cut=True))
        seen = []

        with pytest.raises(Exception):  # noqa: B017 (each major of the SDK raises another one)
            for chunk in say(client, "Hello!", stream=True):
                seen.append(chunk.id)

        assert seen == ["1", "2"]
        assert sim.exchanges[0].response_body.count(b"data: ") == 2

    def test_a_stream_can_be_written_by_hand(self, client: OpenAI, sim: Simulator) -> None:
        sim.script(sse(b": comment\r\n\r\n", {"id": "1"}, '{"id":"2"}', {"error": {"message": "overloaded"}}))
        seen = []

        with pytest.raises(openai.APIError, match="overloaded"):
            for chunk in say(client, "Hello!", stream=True):
                seen.append(chunk.id)

        assert seen == ["1", "2"]

    def test_a_gate_holds_the_rest_of_a_stream(self, client: OpenAI, sim: Simulator) -> None:
        gate = threading.Event()
        sim.script(sse({"id": "1"}, {"id": "2"}, gate=gate, gate_after=1))
        stream = iter(say(client, "Hello!", stream=True))

        first = next(stream)
        held = list(sim.exchanges)
        gate.set()

        assert (first.id, held) == ("1", [])
        assert [chunk.id for chunk in stream] == ["2"]
        assert sim.exchanges[0].response_body.endswith(b"data: [DONE]\n\n")

    def test_a_gate_may_stand_before_the_first_event_or_after_the_last(self, client: OpenAI, sim: Simulator) -> None:
        before, after = threading.Event(), threading.Event()
        sim.script(sse({"id": "1"}, gate=before), sse({"id": "1"}, done=False, gate=after, gate_after=1))

        stream = say(client, "Hello!", stream=True)
        before.set()
        assert [chunk.id for chunk in stream] == ["1"]

        stream = iter(say(client, "Hello!", stream=True))
        assert next(stream).id == "1"
        after.set()
        assert list(stream) == []

    def test_a_gated_stream_may_be_cut_when_the_gate_opens(self, client: OpenAI, sim: Simulator) -> None:
        gate = threading.Event()
        sim.script(sse({"id": "1"}, cut=True, gate=gate, gate_after=1))
        stream = iter(say(client, "Hello!", stream=True))

        first = next(stream)
        held = list(sim.exchanges)
        gate.set()

        assert (first.id, held) == ("1", [])
        with pytest.raises(Exception):  # noqa: B017 (each major of the SDK raises another one)
            next(stream)

    def test_an_event_stream_may_be_empty(self, client: OpenAI, sim: Simulator) -> None:
        sim.script(sse(done=False))

        assert list(say(client, "Hello!", stream=True)) == []

    def test_a_hang_ends_when_the_client_leaves(self, sim: Simulator) -> None:
        sim.script(hang())
        connection = http.client.HTTPConnection("127.0.0.1", sim.port)
        connection.request("POST", "/v1/chat/completions", b"{}")
        assert sim.wait_for(1)
        assert sim.exchanges == []

        connection.close()

        assert sim.wait_for_exchanges(1)
        assert (sim.exchanges[0].status, sim.exchanges[0].request_body) == (0, b"{}")

    def test_a_hang_answers_once_its_event_is_set(self, client: OpenAI, sim: Simulator) -> None:
        until = threading.Event()
        sim.script(hang(until, of=compress("gzip")))
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(say(client, "echo: late")))
        thread.start()

        assert sim.wait_for(1)
        assert sim.exchanges == []
        until.set()
        thread.join(10)

        assert text(answers[0]) == "late"

    def test_a_mistake_in_a_test_shows_up_as_an_error_that_is_not_retried(self, client: OpenAI, sim: Simulator) -> None:
        sim.script(error(400, when=lambda body: body["nothing"]))

        with pytest.raises(openai.InternalServerError, match="KeyError"):
            say(client, "Hello!")

        assert sim.count.total() == 1


    @pytest.mark.parametrize("make", [
        lambda **only: error(404, **only), lambda **only: raw(b"", **only), lambda **only: sse("x", **only), normal, cut, hang,
        lambda **only: compress("gzip", **only)])
    def test_a_condition_that_there_is_none_of_is_refused(self, make: Any) -> None:
        with pytest.raises(TypeError) as refused:
            make(model="gpt-4o-grande")

        assert str(refused.value) == (
            "model= is no condition of an answer; conditions are match, when, times. What stands in the body is asked by "
            "when=lambda body: body.get('model') == 'gpt-4o-grande'")


class TestServer:
    def test_an_exchange_holds_what_was_sent_but_no_key(self, client: OpenAI, sim: Simulator) -> None:
        answer = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=user("Hello!"))

        exchange = sim.exchanges[0]
        assert isinstance(exchange, Exchange)
        assert (exchange.method, exchange.path, exchange.status) == ("POST", "/v1/chat/completions", 200)
        assert json.loads(exchange.request_body)["messages"] == user("Hello!")
        assert exchange.response_body == answer.content
        assert exchange.response_headers["x-request-id"] == answer.headers["x-request-id"]
        assert exchange.request_headers["authorization"] == "***"
        assert "sk-secret" not in repr(exchange)

    def test_a_connection_is_kept_for_the_next_request(self, sim: Simulator) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", sim.port)
        connection.request("GET", "/v1/models")
        connection.getresponse().read()
        first = connection.sock

        connection.request("GET", "/v1/models/gpt-4o")
        answer = json.load(connection.getresponse())

        assert connection.sock is first
        assert answer["id"] == "gpt-4o"
        connection.close()

    def test_a_request_may_come_in_chunks(self, sim: Simulator) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", sim.port)
        pieces = [b'{"model": "m", ', b'"input": "x", "dimensions": 2}']
        connection.request("POST", "/v1/embeddings", body=iter(pieces), encode_chunked=True)

        assert connection.getresponse().status == 200
        assert sim.exchanges[0].request_body == b"".join(pieces)
        connection.close()

    def test_parallel_clients_get_their_own_answers(self, client: OpenAI, sim: Simulator) -> None:
        answers: dict[int, str] = {}

        def ask(number: int) -> None:
            answers[number] = text(say(client, f"echo: {number}"))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

        assert answers == {number: str(number) for number in range(20)}
        assert sim.count.total() == len(sim.exchanges) == 20

    def test_closing_drops_who_hangs_and_refuses_who_comes(self) -> None:
        sim = Simulator(plan=[hang()])
        client = OpenAI(base_url=sim.base_url, api_key="k", max_retries=0)
        failures: list[Exception] = []

        def ask() -> None:
            try:
                say(client, "Hello!")
            except openai.APIConnectionError as caught:
                failures.append(caught)

        thread = threading.Thread(target=ask)
        thread.start()
        assert sim.wait_for(1)
        sim.close()
        sim.close()
        thread.join(10)
        ask()

        assert len(failures) == 2

    def test_only_the_latest_exchanges_are_kept_when_asked(self) -> None:
        with Simulator(keep_exchanges=2) as sim, OpenAI(base_url=sim.base_url, api_key="k") as client:
            for number in range(3):
                say(client, f"echo: {number}")

            assert [b"echo: 0" in exchange.request_body for exchange in sim.exchanges] == [False, False]

    @pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
    def test_it_serves_from_a_shell_until_it_is_told_to_stop(self, stop: signal.Signals) -> None:
        command = [sys.executable, "-m", "otel_llm.testing"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            base_url = process.stdout.readline().strip()
            with OpenAI(base_url=base_url, api_key="k") as client:
                answer = text(say(client, "echo: from outside"))
            process.send_signal(stop)
            noise = process.stderr.read()

        assert (answer, noise, process.returncode) == ("from outside", "", 0)
