"""Shortcuts of reading: a folded stream says what the stream said, and what is recalled is what would have been parsed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.recorded import CASES, IDS, Case
from knowledge.strategies import values
from otel_llm.adapters import openai_chat, openai_completions
from otel_llm.adapters.split import Trail, join, split_body
from otel_llm.adapters.sse import parse_events
from otel_llm.values.adapter import Adapter

words = st.text(max_size=4) | st.sampled_from(["\\", '"', "\n", "\\u", '"}', '{"delta": {"content": "x"}}', "\ud83d", "data: "])
deltas: st.SearchStrategy[dict[str, Any]] = st.one_of(
    words.map(lambda w: {"content": w}), words.map(lambda w: {"content": w}), words.map(lambda w: {"role": "assistant", "content": w}),
    words.map(lambda w: {"refusal": w}), words.map(lambda w: {"reasoning_content": w}),
    st.tuples(st.integers(0, 1), words).map(lambda t: {"tool_calls": [{"index": t[0], "function": {"arguments": t[1]}}]}),
    st.just({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
    st.just({}), values.map(lambda v: {"content": v}), values.map(lambda v: {"content": "a", "other": v}))


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A chat stream in one of the spellings of providers, now and then with more in an event than text."""
    spell = draw(st.sampled_from([{"separators": (",", ":")}, {}]))
    is_ascii, noise = draw(st.booleans()), draw(st.booleans())
    out: list[bytes] = []
    for delta in draw(st.lists(deltas, max_size=12)):
        event: dict[str, Any] = {"id": "c", "choices": [{"index": draw(st.sampled_from([0, 0, 0, 1])), "delta": delta,
                                                         "finish_reason": draw(st.sampled_from([None, None, None, "stop"]))}]}
        if noise:
            event["obfuscation"] = "x" * draw(st.integers(0, 4))
        if draw(st.integers(0, 9)) == 0:
            event["usage"] = draw(values)
        text = json.dumps(event, ensure_ascii=is_ascii, **spell)
        out.append(b"data: " + text.encode("utf-8", "surrogatepass"))
        if draw(st.integers(0, 9)) == 0:
            out.append(draw(st.sampled_from([b"", b": ping", b"event: error\ndata: {}", b"data: [DONE]", b"data: {\ndata: }"])))
    stream = b"\n\n".join(out) + b"\n\n"
    return stream[: draw(st.integers(0, len(stream)))] if draw(st.booleans()) else stream


def meaning(adapter: Adapter, body: bytes, *, folded: bool) -> tuple[Any, bool, bool]:
    events, is_done = parse_events(body, None, adapter.fold if folded else None)
    return adapter.response(adapter.assemble(events)), is_done, adapter.ended(events)


@settings(max_examples=400)
@given(streams(), st.sampled_from([openai_chat, openai_completions]))
def test_a_folded_stream_amounts_to_the_same(body: bytes, adapter: Any) -> None:
    assert meaning(adapter, body, folded=True) == meaning(adapter, body, folded=False)


@pytest.mark.parametrize("case", [c for c in CASES if c.response_type == "text/event-stream"],
                         ids=[i for c, i in zip(CASES, IDS, strict=True) if c.response_type == "text/event-stream"])
def test_a_recorded_stream_amounts_to_the_same_when_folded(case: Case) -> None:
    assert case.response is not None

    assert meaning(case.adapter, case.response, folded=True) == meaning(case.adapter, case.response, folded=False)


def test_five_hundred_words_become_few_events() -> None:
    chunk = 'data: {"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}'
    body = "\n\n".join([chunk % f"word {n} " for n in range(500)] + ["data: [DONE]", ""]).encode()

    events, _ = parse_events(body, None, openai_chat.fold)

    assert len(events) < 5
    assert openai_chat.assemble(events)["choices"][0]["message"]["content"] == "".join(f"word {n} " for n in range(500))


elements = values | st.sampled_from([1, 12, "a", "ab", {"role": "user"}, {"role": "user", "content": "x" * 90},
                                     {"role": "user", "content": "x" * 90 + "y"}])


@given(st.lists(st.lists(elements, max_size=5), min_size=1, max_size=6), st.booleans())
def test_a_body_splits_the_same_whatever_came_before_it(histories: list[list[Any]], is_ascii: bool) -> None:
    trail = Trail()
    for history in histories:
        body = json.dumps({"messages": history, "tools": history[:2]}, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
        split = split_body(body, "openai_chat", trail)

        assert split == split_body(body, "openai_chat")
        assert split is None or join(split) == body
