"""Adapters: from recorded bytes to calls, whatever is wrong with the bytes."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.recorded import CASES, IDS, STREAMS, Case
from knowledge.spelling import spell
from knowledge.strategies import values
from otel_llm.adapters import ADAPTERS, by_name, by_path, read_call
from otel_llm.adapters.sse import parse_events

CONTENT = {"messages", "system", "tools"}


class TestRecordedCalls:
    @pytest.mark.parametrize("case", CASES, ids=IDS)
    def test_read_as_they_were_meant(self, case: Case) -> None:
        call, is_complete = case.read()

        response = None if call.response is None else spell(call.response)["Response"]
        assert {"request": spell(call.request)["Request"], "response": response, "complete": is_complete} == {
            k: case.expected[k] for k in ("request", "response", "complete")}
        assert (call.operation, call.provider, call.api) == (case.adapter.operation, case.expected["provider"], case.adapter.name)

    @pytest.mark.parametrize("case", CASES, ids=IDS)
    def test_read_cheaply_lose_nothing_but_content(self, case: Case) -> None:
        full, is_complete = case.read()

        cheap = case.read(content=False)

        response = None if full.response is None else replace(full.response, messages=())
        request = replace(full.request, messages=(), system=(), tools=())
        assert cheap == (replace(full, request=request, response=response), is_complete)

    @pytest.mark.parametrize("case", CASES, ids=IDS)
    def test_have_one_finish_reason_a_choice_or_none_at_all(self, case: Case) -> None:
        response = case.read()[0].response

        if response is not None and response.finish_reasons and response.messages:
            assert len(response.finish_reasons) == len(response.messages)


class TestBodies:
    @pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.path.name)
    def test_a_stream_may_be_cut_at_any_byte(self, case: Case) -> None:
        body = case.response or b""

        for end in range(0, len(body), 7):
            for content in (True, False):
                read_call(case.adapter, "openai", case.request, body[:end], "text/event-stream", status=200, content=content)

    @pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.path.name)
    @pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
    def test_a_stream_reads_the_same_under_every_line_end(self, case: Case, line_end: bytes) -> None:
        assert case.response is not None
        turned = case.response.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", line_end)

        assert replace_response(case, turned).read() == case.read()

    @given(st.sampled_from(ADAPTERS), values, values, st.booleans())
    def test_any_json_is_read_without_a_fault(self, adapter: Any, asked: Any, answered: Any, content: bool) -> None:
        read_call(adapter, None, json.dumps(asked).encode(), json.dumps(answered).encode(), "", status=200, content=content)

    @given(st.sampled_from(CASES), st.randoms(use_true_random=False), values)
    def test_a_wrong_type_anywhere_costs_only_its_field(self, case: Case, random: random.Random, wrong: Any) -> None:
        for body in (case.request, case.response):
            if body is None or case.response_type == "text/event-stream":
                continue
            try:
                broken = spoil(json.loads(body), random, wrong)
            except ValueError:
                continue
            raw = json.dumps(broken).encode()
            read_call(case.adapter, "openai", raw, raw, "application/json", status=200)

    @given(st.sampled_from(STREAMS), st.randoms(use_true_random=False), values)
    def test_a_wrong_type_anywhere_in_a_stream_is_survived(self, case: Case, random: random.Random, wrong: Any) -> None:
        events, _ = parse_events(case.response or b"")
        broken = [spoil(event, random, wrong) for event in events]

        stream = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in broken)

        read_call(case.adapter, "openai", case.request, stream, "text/event-stream", status=200)

    @given(st.binary(max_size=200), st.sampled_from(["application/json", "text/event-stream", ""]))
    def test_any_bytes_are_read_without_a_fault(self, body: bytes, content_type: str) -> None:
        read_call(ADAPTERS[0], "openai", body, body, content_type, status=200)

    def test_depth_beyond_reason_counts_as_no_json(self) -> None:
        body = b'{"messages":' + b"[" * 100_000

        call, is_complete = read_call(ADAPTERS[0], "openai", body, body, "application/json", status=200)

        assert (call.request.messages, is_complete) == ((), False)

    def test_invalid_utf8_costs_a_character_and_not_the_body(self) -> None:
        call, _ = read_call(ADAPTERS[0], "openai", b'{"model":"m","messages":[{"role":"user","content":"caf\xe9"}]}', None, "")

        assert (call.request.model, call.request.messages[0].text) == ("m", "caf\N{REPLACEMENT CHARACTER}")

    def test_a_json_answer_under_an_event_stream_type_is_read_as_json(self) -> None:
        body = b'{"error": {"message": "No.", "type": "invalid_request_error"}}'

        call, _ = read_call(ADAPTERS[0], "openai", b"{}", body, "text/event-stream", status=400)

        assert call.response is not None
        assert (call.response.error_type, call.response.error_message) == ("invalid_request_error", "No.")

    def test_a_failure_without_explanation_is_named_by_its_status(self) -> None:
        call, is_complete = read_call(ADAPTERS[0], "openai", b"{}", None, "", status=503)

        assert call.response is not None
        assert (call.response.error_type, is_complete) == ("503", False)

    def test_xai_counts_reasoning_beside_the_completion_and_is_put_right(self) -> None:
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115,
                 "completion_tokens_details": {"reasoning_tokens": 100}}

        call, _ = read_call(ADAPTERS[0], "x_ai", b"{}", json.dumps({"usage": usage}).encode(), "")

        assert call.response is not None
        assert (call.response.usage.output_tokens, call.response.usage.reasoning_output_tokens) == (105, 100)


class TestTables:
    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("/v1/chat/completions", "openai_chat"),
            ("/chat/completions", "openai_chat"),
            ("chat/completions", "openai_chat"),
            ("/openai/deployments/x/chat/completions?api-version=1", "openai_chat"),
            ("/v1/completions", "openai_completions"),
            ("/v1/embeddings", "openai_embeddings"),
            ("/openai/v1/responses", "openai_responses"),
            ("/v1/images/generations", None),
            ("/v1/responses/resp_1/cancel", None),
            ("/v1/files", None),
        ],
    )
    def test_a_path_finds_its_adapter_by_its_end(self, path: str, name: str | None) -> None:
        found = by_path(path)

        assert (found and found.name) == name

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("/v1/responses/resp_1", "openai_fetch_response"),
            ("responses/resp_1?stream=true", "openai_fetch_response"),
            ("/v1/responses/resp_1/input_items", None),
            ("/v1/chat/completions", None),
            ("/v1/organization/usage/completions", None),
        ],
    )
    def test_reading_asks_no_model_but_may_fetch_a_response(self, path: str, name: str | None) -> None:
        found = by_path(path, "GET")

        assert (found and found.name) == name

    def test_every_adapter_is_found_by_its_name(self) -> None:
        assert [by_name(adapter.name) for adapter in ADAPTERS] == list(ADAPTERS)
        assert by_name("generic") is None


def replace_response(case: Case, body: bytes) -> Case:
    return replace(case, response=body)


def spoil(value: Any, random: random.Random, wrong: Any) -> Any:
    """The value with something wrong at a random place."""
    if random.random() < 0.15 or not isinstance(value, (dict, list)) or not value:
        return wrong
    if isinstance(value, list):
        at = random.randrange(len(value))
        return [spoil(v, random, wrong) if i == at else v for i, v in enumerate(value)]
    at = random.choice(sorted(value))
    return {k: spoil(v, random, wrong) if k == at else v for k, v in value.items()}
