"""Any call at all, for laws that hold for every call: the values in their canonical form.

Canonical means what adapters make: whole numbers that OTLP can carry, no `choice_count=1`, no tier `auto`.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from otel_llm.values.call import (
    Call,
    Media,
    Message,
    Other,
    Part,
    Reasoning,
    Refusal,
    Request,
    Response,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
)

words = st.text(max_size=30)
maybe_words = st.none() | words
number = st.none() | st.floats(allow_nan=False, allow_infinity=False)
whole = st.none() | st.integers(-(2**63), 2**63 - 1)
tokens = st.none() | st.integers(0, 2**40)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=6)
objects = st.dictionaries(st.text(max_size=6), values, max_size=3)
json_texts = st.one_of(
    words,
    values.map(json.dumps),
    objects.map(json.dumps),
    objects.map(lambda v: json.dumps(v, separators=(",", ":"), ensure_ascii=False)),
    st.sampled_from(['{"a": 1', "", "{}", "null", '"text"', '{"a":1,"a":2}', "1.0", "[1, 2]", '{"x":1e3}', '{"s":"\\ud800"}']))
kinds = st.sampled_from(["text", "tool_call", "web_search_call", "mcp_call", "hologram", "blob", "other", "compaction"]) | words


@st.composite
def others(draw: st.DrawFn) -> Other:
    kind = draw(kinds)
    if draw(st.booleans()):
        return Other(kind, draw(json_texts))
    return Other(kind, json.dumps({"type": kind, **{k: v for k, v in draw(objects).items() if k != "type"}},
                                  separators=(",", ":"), ensure_ascii=False))


parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, words),
    st.builds(Reasoning, words),
    st.builds(Refusal, words),
    st.builds(ToolCall, maybe_words, words, json_texts),
    st.builds(ToolResult, maybe_words, json_texts),
    st.builds(Media, st.sampled_from(["image", "audio", "video", "file"]), maybe_words, maybe_words, maybe_words, maybe_words),
    others())
many_parts = st.lists(parts, max_size=4).map(tuple)
messages = st.lists(st.builds(Message, st.sampled_from(["system", "developer", "user", "assistant", "tool"]) | words, many_parts,
                              maybe_words), max_size=4).map(tuple)
tools = st.lists(st.builds(Tool, words, maybe_words, st.none() | json_texts, st.sampled_from(["function", "web_search"])),
                 max_size=3).map(tuple)
requests = st.builds(
    Request,
    model=maybe_words, messages=messages, system=many_parts, tools=tools, stream=st.booleans(), max_tokens=whole,
    temperature=number, top_p=number, top_k=whole, frequency_penalty=number, presence_penalty=number, seed=whole,
    stop_sequences=st.lists(words, max_size=3).map(tuple), choice_count=st.none() | st.integers(2, 9), output_type=maybe_words,
    reasoning_level=maybe_words, service_tier=maybe_words.filter(lambda t: t != "auto"),
    encoding_formats=st.lists(words, max_size=2).map(tuple), dimensions=whole, previous_response_id=maybe_words,
    conversation_id=maybe_words)
usages = st.builds(Usage, *[tokens] * 11)
responses = st.builds(
    Response,
    id=maybe_words, model=maybe_words, messages=messages, finish_reasons=st.lists(words, max_size=3).map(tuple), usage=usages,
    status=maybe_words, service_tier=maybe_words, system_fingerprint=maybe_words, error_type=maybe_words,
    error_message=maybe_words)
calls = st.builds(
    Call, st.sampled_from(["chat", "text_completion", "embeddings", "fetch_response", "generate_content"]), maybe_words,
    st.sampled_from(["openai_chat", "openai_responses", "openai_embeddings", "generic"]), requests, st.none() | responses)
