"""Programs whose sessions are replayed: small agents on the real SDK, in both of OpenAI's formats, and a model to be told what to say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import openai

import otel_llm
from cli.terminal import Run, on_store
from support.provider import Decide, Provider, Saying
from support.recording import recording

MODEL = "gpt-4o-mini"
SYSTEM = {"role": "system", "content": "Be brief."}
WEATHER: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOLS: list[Any] = [{"type": "function", "function": {"name": "weather", "description": "Say it.", "parameters": WEATHER}}]
RESPONSES_TOOLS: list[Any] = [
    {"type": "function", "name": "weather", "description": "Say it.", "parameters": WEATHER, "strict": False}]
SKY = {"Oslo": "rain", "Rome": "sun"}
HOW, TAKE = "How is the weather in Oslo?", "What shall I take?"
OSLO: Saying = [("weather", {"city": "Oslo"})]


def weather(city: str) -> str:
    return f"{SKY.get(city, 'unknown')} in {city}"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def model(rules: Mapping[str, Saying]) -> Decide:
    """A model that answers the last message, a user's words or a tool's result, by rules; `?` is for everything else."""

    def decide(body: dict[str, Any]) -> Saying:
        given = body.get("messages") or body["input"]
        last = given if isinstance(given, str) else given[-1].get("content") or given[-1].get("output")
        return rules.get(last, rules.get("?", "Well."))

    return decide


def chat_agent(
    client: Any, questions: Sequence[str], *, keep: Callable[[Any], Any] | None = None, window: int | None = None
) -> None:
    """Asks one question after the other, running tools in between, with the whole history each time, or the last of it."""
    messages: list[Any] = []
    for question in questions:
        messages.append(user(question))
        while True:
            sent = [SYSTEM, *messages[-window if window else 0 :]]
            made = client.chat.completions.create(model=MODEL, messages=sent, tools=CHAT_TOOLS).choices[0].message
            messages.append(made.model_dump(exclude_none=True) if keep is None else keep(made))
            if not made.tool_calls:
                break
            for call in made.tool_calls:
                messages.append({"role": "tool", "tool_call_id": call.id, "content": weather(**json.loads(call.function.arguments))})


def responses_agent(client: Any, questions: Sequence[str], *, is_stateful: bool) -> None:
    """The same in Responses: with the history at the provider, or handed on as it came."""
    history: list[Any] = []
    previous: str | None = None
    for question in questions:
        new: list[Any] = [user(question)]
        while True:
            history += new
            made = client.responses.create(
                model=MODEL, instructions="Be brief.", tools=RESPONSES_TOOLS, input=new if is_stateful else history,
                **({"previous_response_id": previous} if previous and is_stateful else {}))
            previous = made.id
            history += [item.model_dump(exclude_none=True) for item in made.output]
            calls = [item for item in made.output if item.type == "function_call"]
            if not calls:
                break
            new = [{"type": "function_call_output", "call_id": call.call_id, "output": weather(**json.loads(call.arguments))}
                   for call in calls]


@cache
def _client() -> openai.OpenAI:
    """One for all tests: making it reads the certificates of this machine, which takes longer than the rest of a recording.

    It keeps no connection, since its provider is another one in each test.
    """
    return openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="k", max_retries=0, default_headers={"Connection": "close"})


class Stage:
    """A store with a recorded session `source`, and the provider that it is replayed against."""

    def __init__(self, directory: Path, provider: Provider) -> None:
        self.directory, self.provider = directory, provider

    @contextmanager
    def record(self, rules: Mapping[str, Saying] | None = None) -> Iterator[Any]:
        """Record what is done with the client as the session `source`; what the provider was asked is then forgotten."""
        if rules is not None:
            self.provider.decide = model(rules)
        with recording(self.directory), otel_llm.session("source"):
            yield _client().with_options(base_url=self.provider.base_url)
        self.recorded = list(self.provider.asked)
        self.provider.asked.clear()

    def reissue(
        self, *arguments: str, rules: Mapping[str, Saying] | None = None, session: str = "source", **environ: str
    ) -> Run:
        """Send the session again."""
        if rules is not None:
            self.provider.decide = model(rules)
        given = () if "--resume" in arguments else (session,)
        return on_store(self.directory, "replay", "reissue", *given, *arguments, environ=environ)

    @property
    def histories(self) -> list[Any]:
        """The histories of all that was asked."""
        return [body.get("messages") or body.get("input") for body in self.provider.asked]
