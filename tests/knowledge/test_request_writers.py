"""Writers of requests: what they write reads back as it was, and what they leave out they name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from knowledge import strategies as any_
from knowledge.recorded import CASES, Case
from otel_llm.adapters import WRITERS, by_name
from otel_llm.values.call import Media, Message, Part, Reasoning, Refusal, Request, Text, Tool, ToolCall, ToolResult

NAMES = sorted(WRITERS)
word = st.text(min_size=1, max_size=20)
maybe = st.none() | word
url = st.text("abc/%?&é", max_size=12).map(lambda text: f"https://example.org/{text}")
base64 = st.text("ABCabc0129+/", min_size=1, max_size=12)
mime = st.sampled_from(["image/png", "application/pdf", "text/plain", "audio/wav"])
double = st.none() | st.floats(allow_nan=False, allow_infinity=False)
schema = any_.objects.map(lambda v: json.dumps(v, separators=(",", ":"), ensure_ascii=False))

images = st.builds(Media, st.just("image"), uri=url) | st.builds(Media, st.just("image"), mime, data=base64)
files = st.builds(Media, st.just("file"), file_id=word) | st.builds(Media, st.just("file"), mime, data=base64)
sounds = st.builds(Media, st.just("audio"), st.none() | st.sampled_from(["audio/wav", "audio/mpeg"]), data=base64)
said = st.lists(st.builds(Text, st.text(max_size=20)), max_size=3) | st.lists(st.builds(Refusal, word), min_size=1, max_size=1)
calls = st.lists(st.builds(ToolCall, maybe, word, any_.json_texts), max_size=2)
asking = st.lists(st.builds(Text, st.text(max_size=20)) | images | files | sounds, max_size=3).map(tuple)
tools = st.lists(st.builds(Tool, word, maybe, st.none() | schema, st.sampled_from(["function", "custom"])), max_size=2,
                 unique_by=lambda tool: tool.name).map(tuple)
roles = st.sampled_from(["system", "developer", "user"])


def history(names: st.SearchStrategy[str | None], answers: st.SearchStrategy[Sequence[Part]]) -> st.SearchStrategy[Any]:
    """Messages in the form in which both formats read them: an answer is one message, a result is one."""
    one = st.one_of(st.builds(Message, roles, asking, names),
                    st.builds(Message, st.just("assistant"), answers.map(tuple), names),
                    st.builds(Message, st.just("tool"), st.builds(ToolResult, maybe, st.text(max_size=20)).map(lambda r: (r,)), names))
    return st.lists(one, max_size=4).map(tuple)


CARRIED = {
    "openai_chat": st.builds(
        Request, model=maybe, messages=history(maybe, st.tuples(said, calls).map(lambda both: [*both[0], *both[1]])), tools=tools,
        stream=st.booleans(), max_tokens=any_.whole, temperature=double, top_p=double, top_k=any_.whole, seed=any_.whole,
        frequency_penalty=double, presence_penalty=double, stop_sequences=st.lists(word, max_size=2).map(tuple),
        choice_count=st.none() | st.integers(2, 9), output_type=st.sampled_from([None, "json", "text"]), reasoning_level=maybe,
        service_tier=maybe.filter(lambda tier: tier != "auto")),
    "openai_responses": st.builds(
        Request, model=maybe, messages=history(st.none(), st.lists(st.one_of(said, calls), max_size=3).map(lambda x: sum(x, []))),
        system=st.lists(st.builds(Text, st.text(max_size=20)), max_size=1).map(tuple), tools=tools, stream=st.booleans(),
        max_tokens=any_.whole, temperature=double, top_p=double, output_type=st.sampled_from([None, "json", "text"]),
        reasoning_level=maybe, service_tier=maybe.filter(lambda tier: tier != "auto"), previous_response_id=maybe,
        conversation_id=maybe),
}
"""What each format can carry."""


def joined(messages: Sequence[Message]) -> bool:
    """Whether answers stand side by side, which Responses reads as one."""
    pairs = zip(messages, messages[1:], strict=False)
    return any(one.role == other.role == "assistant" and one.name == other.name is None for one, other in pairs)


def written(name: str, request: Request) -> tuple[Request, tuple[str, ...]]:
    """The request as it reads back, and what was not carried."""
    body, lost = WRITERS[name].write(request)
    adapter = by_name(name)
    assert adapter is not None
    return adapter.request(json.loads(json.dumps(body))), lost


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_what_a_format_carries_reads_back_as_it_was(name: str, data: st.DataObject) -> None:
    request = data.draw(CARRIED[name])
    assume(name == "openai_chat" or not joined(request.messages))

    assert written(name, request) == (request, ())


@pytest.mark.parametrize("name", NAMES)
@given(request=any_.requests)
def test_what_does_not_read_back_is_named(name: str, request: Request) -> None:
    """Any values at all, also such as no adapter makes: the fields that differ have a word in the list, or nothing differs."""
    back, lost = written(name, request)

    scalars = [f.name for f in fields(Request) if f.name not in ("messages", "system", "tools", "stop_sequences")]
    changed = [f for f in scalars if getattr(back, f) != getattr(request, f)]
    assert all(f.replace("_", " ") in " ".join(lost) or getattr(request, f) in ("", None) for f in changed)
    assert len({t.name for t in request.tools} - {t.name for t in back.tools} - {""}) <= len(lost)
    if any(isinstance(part, Reasoning) for message in request.messages for part in message.parts):
        assert any("reasoning" in word for word in lost)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", [case for case in CASES if case.adapter.name in WRITERS], ids=lambda case: str(case.path.name))
def test_a_recorded_request_written_twice_is_the_same(name: str, case: Case) -> None:
    """In either format: what the first writing carried, the second carries again."""
    once, _ = written(name, case.read()[0].request)

    assert written(name, once) == (once, ())


@pytest.mark.parametrize(("name", "request_", "lost"), [
    ("openai_chat", Request(previous_response_id="resp_1", tools=(Tool("web_search", type="web_search"),)),
     ("previous response id", "the built-in tool web_search")),
    ("openai_chat", Request(messages=(Message("user", (Media("image", file_id="file_1"),)),)), ("image content",)),
    ("openai_chat", Request(messages=(Message("assistant", (Reasoning("Hm."), ToolCall("c", "f", "{}"), Text("So."))),)),
     ("reasoning", "the order of words and tool calls in a message")),
    ("openai_responses", Request(seed=1, stop_sequences=("x",), choice_count=2), ("seed", "stop sequences", "choice count")),
    ("openai_responses", Request(messages=(Message("user", (Text("Hi."),), "ada"),)), ("the name of an author",)),
    ("openai_responses", Request(tools=(Tool("docs", type="mcp"),), output_type="speech"),
     ("the built-in tool docs", "output type speech")),
])
def test_what_a_format_cannot_carry_is_listed(name: str, request_: Request, lost: tuple[str, ...]) -> None:
    _, found = WRITERS[name].write(request_)

    assert sorted(found) == sorted(lost)


def test_instructions_become_the_first_message_of_a_chat() -> None:
    request = Request(model="m", system=(Text("Be brief."),), messages=(Message("user", (Text("Hi."),)),))

    assert written("openai_chat", request) == (
        replace(request, system=(), messages=(Message("system", (Text("Be brief."),)), *request.messages)), ())
