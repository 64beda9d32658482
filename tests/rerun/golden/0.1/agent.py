"""A travel desk: the program whose recorded session lies beside it. Neither is ever changed."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

import otel_llm

TOOLS: Any = [
    {"type": "function", "function": {
        "name": "weather", "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]


@otel_llm.tool
def weather(city: str) -> dict[str, Any]:
    """The real one would ask a service."""
    return {"city": city, "sky": "rain", "degrees": len(city)}


@otel_llm.retrieval
def handbook(query: str) -> list[dict[str, Any]]:
    """The real one would look into an index."""
    return [{"id": "p-12", "score": 0.75, "content": f"About {query}: take one along. ünïcödé 日本"}]


@otel_llm.agent
def plan(client: openai.OpenAI) -> list[str]:
    """Two turns: tools side by side, then a stream."""
    messages: list[Any] = [
        {"role": "system", "content": f"You plan journeys. Handbook: {handbook('umbrellas')[0]['content']}"},
        {"role": "user", "content": "What is the weather in Oslo? And in Rome?"}]
    first = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS, temperature=0).choices[0].message
    calls: Any = first.tool_calls or []
    messages.append(first.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}))
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(otel_llm.bind(lambda call: weather(**json.loads(call.function.arguments))), calls))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)}
                 for call, result in zip(calls, results, strict=True)]
    stream: Any = client.chat.completions.create(
        model="gpt-4o-mini", messages=messages, stream=True, stream_options={"include_usage": True})
    told = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    messages += [{"role": "assistant", "content": told}, {"role": "user", "content": "echo: Grazie! 🌧️"}]
    last = client.chat.completions.create(model="gpt-4o-mini", messages=messages).choices[0].message.content
    return [told, str(last)]


def answer(client: openai.OpenAI) -> list[str]:
    """The other endpoints, and what goes wrong."""
    said = []
    try:
        client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "Hello?"}])
    except openai.APIStatusError as error:
        said.append(f"{type(error).__name__} {error.status_code}")
    said.append(client.responses.create(model="gpt-4.1", input="echo: first", instructions="Be brief.").output_text)
    events: Any = client.responses.create(model="gpt-4.1", input="echo: second", stream=True)
    said.append("".join(event.delta for event in events if event.type == "response.output_text.delta"))
    vectors = client.embeddings.create(model="text-embedding-3-small", input=["rain", "sun"], dimensions=4, encoding_format="float")
    said.append(", ".join(f"{number:.3f}" for one in vectors.data for number in one.embedding))
    return said


async def fan_out() -> list[str]:
    """Four calls at once, two of them equal."""
    async with openai.AsyncOpenAI() as client:
        async def one(text: str) -> str:
            found = await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": f"echo: {text}"}])
            return str(found.choices[0].message.content)

        return list(await asyncio.gather(*map(one, ("a", "b", "b", "c"))))


@otel_llm.workflow
def travel_desk() -> list[str]:
    """All of it."""
    with openai.OpenAI(max_retries=2) as client:
        return [*plan(client), *answer(client), *asyncio.run(fan_out())]


if __name__ == "__main__":
    with otel_llm.session("travel-desk", user="ada", tags={"team": "travel"}):
        print("\n".join(travel_desk()))
