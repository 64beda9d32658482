"""Splitting bodies at their messages, and recognising a message that comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.recorded import CASES, IDS, Case
from knowledge.strategies import messages, objects, values
from otel_llm.adapters import openai_chat, openai_responses
from otel_llm.adapters.history import message_key
from otel_llm.adapters.split import LISTS, join, split_body
from otel_llm.values.call import Message

spaces = st.text(alphabet=" \t\n\r", max_size=3)


@st.composite
def written(draw: st.DrawFn, value: st.SearchStrategy[Any]) -> bytes:
    """JSON of a value, with white space and escapes as nobody would write them."""

    def spell(v: Any) -> str:
        if isinstance(v, dict):
            pairs = [draw(spaces) + text(k) + draw(spaces) + ":" + draw(spaces) + spell(x) + draw(spaces) for k, x in v.items()]
            return "{" + (",".join(pairs) or draw(spaces)) + "}"
        if isinstance(v, list):
            return "[" + (",".join(draw(spaces) + spell(x) + draw(spaces) for x in v) or draw(spaces)) + "]"
        return text(v) if isinstance(v, str) else json.dumps(v)

    def text(v: str) -> str:
        return json.dumps(v, ensure_ascii=draw(st.booleans()))

    return (draw(spaces) + spell(draw(value)) + draw(spaces)).encode()


bodies = st.fixed_dictionaries({}, optional={
    "model": st.text(), "messages": values | st.lists(objects), "tools": st.lists(values), "input": values | st.lists(objects),
    "z": values})


class TestSplit:
    @given(written(bodies), st.sampled_from(sorted(LISTS)))
    def test_a_body_joins_again_byte_for_byte(self, body: bytes, adapter: str) -> None:
        split = split_body(body, adapter)

        assert split is not None
        assert join(split) == body
        assert split.value == json.loads(body)
        assert [piece.value for piece in split.slices] == [json.loads(piece.raw) for piece in split.slices]

    @pytest.mark.parametrize("case", [c for c in CASES if c.request and c.adapter.name in LISTS],
                             ids=[i for c, i in zip(CASES, IDS, strict=True) if c.request and c.adapter.name in LISTS])
    def test_recorded_requests_split_at_their_messages_and_tools(self, case: Case) -> None:
        assert case.request is not None
        split = split_body(case.request, case.adapter.name)

        assert split is not None
        assert join(split) == case.request
        assert case.adapter.request(split.value) == case.read()[0].request
        lists = LISTS[case.adapter.name]
        elements = [v for key, value in split.value.items() if key in lists and isinstance(value, list) for v in value]
        assert [piece.value for piece in split.slices] == elements

    def test_gaps_and_slices_are_exact(self) -> None:
        split = split_body(b' {"model":"m", "messages" : [ {"a":1} ,"\xc3\xa9" ]}\n', "openai_chat")

        assert split is not None
        assert split.gaps == (b' {"model":"m", "messages" : [ ', b" ,", b" ]}\n")
        assert [(piece.kind, piece.raw) for piece in split.slices] == [("message", b'{"a":1}'), ("message", b'"\xc3\xa9"')]

    @pytest.mark.parametrize(
        "body",
        [b"", b"null", b"[]", b"{", b'{"a":1}x', b'{"a":1,}', b'{"messages":[1,]}', b'{"messages":[1', b'{"a" 1}', b"{1:2}",
         b'{"messages":[],"messages":[]}', b'\xef\xbb\xbf{"messages":[]}', b'{"messages":["\xff"]}',
         b'{"messages":' + b"[" * 100_000],
    )
    def test_what_is_no_plain_json_object_is_kept_whole(self, body: bytes) -> None:
        assert split_body(body, "openai_chat") is None

    def test_an_adapter_without_lists_keeps_bodies_whole(self) -> None:
        assert split_body(b'{"input":["a"]}', "openai_embeddings") is None

    @given(st.binary(max_size=60))
    def test_any_bytes_split_without_a_fault(self, body: bytes) -> None:
        split = split_body(body, "openai_chat")

        assert split is None or join(split) == body


class TestMessageKey:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"role": "assistant", "content": None, "tool_calls": []}, {"role": "assistant"}),
            ({"role": "user", "content": "Hi"}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}),
            ({"role": "user", "content": "Hi\n"}, {"role": "user", "content": "Hi", "name": "ada"}),
            ({"role": "assistant", "content": "4", "reasoning_content": "2+2"}, {"role": "assistant", "content": "4"}),
            (
                {"role": "assistant",
                 "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]},
                {"role": "assistant", "content": "",
                 "tool_calls": [{"function": {"arguments": '{"x":1}', "name": "f"}, "type": "function", "id": "a"}]},
            ),
            ({"role": "tool", "tool_call_id": "a", "content": "1"},
             {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "1"}]}),
        ],
    )
    def test_what_says_the_same_has_one_key(self, one: Any, other: Any) -> None:
        assert message_key(openai_chat.message(one)) == message_key(openai_chat.message(other))

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi"}),
            ({"role": "user", "content": "Hi"}, {"role": "user", "content": "Ho"}),
            ({"role": "tool", "tool_call_id": "a", "content": "1"}, {"role": "tool", "tool_call_id": "b", "content": "1"}),
            ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
             {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,BB"}}]}),
        ],
    )
    def test_what_says_something_else_has_another(self, one: Any, other: Any) -> None:
        assert message_key(openai_chat.message(one)) != message_key(openai_chat.message(other))

    @pytest.mark.parametrize(
        "case", [c for c in CASES if c.adapter.name == "openai_responses" and b'"output": [' in (c.response or b"")],
        ids=lambda c: c.path.name)
    def test_an_answer_of_items_is_recognised_when_it_comes_back_as_input(self, case: Case) -> None:
        response = case.read()[0].response
        assert response is not None

        again = openai_responses.messages(json.loads(case.response or b"")["output"])

        assert [message_key(m) for m in again] == [message_key(m) for m in response.messages]

    @given(messages)
    def test_every_message_has_a_key(self, some: tuple[Message, ...]) -> None:
        assert all(message_key(m) == message_key(m) for m in some)
