"""A small agent as people write them: several turns, a stream, tools side by side, a retry, calls side by side.

It knows nothing of tests: `python agent.py [first line of the prompt]` prints what the user would see. Without
OPENAI_BASE_URL it would ask the real provider.
"""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

import otel_llm

TOOLS: Any = [{"type": "function", "function": {
    "name": "weather", "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
RUNS: list[str] = []
"""Every time that the tool itself ran."""


@otel_llm.tool
def weather(city: str) -> dict[str, Any]:
    """Ask the weather service."""
    RUNS.append(city)
    return {"city": city, "sky": "rain", "degrees": len(city)}


@otel_llm.retrieval
def documents(query: str) -> list[str]:
    """Look into the handbook."""
    RUNS.append(query)
    return [f"page about {query}"]


@otel_llm.workflow
def answer(line: str) -> list[str]:
    """The whole conversation; gives what was said."""
    client = openai.OpenAI(max_retries=2)
    messages: list[Any] = [{"role": "system", "content": f"{line} Handbook: {documents('umbrellas')[0]}"},
                           {"role": "user", "content": "What is the weather in Oslo? And in Rome?"}]
    said: list[str] = []
    first = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS).choices[0].message
    messages.append(first.model_dump(exclude_none=True))
    with ThreadPoolExecutor(2) as pool:
        calls: Any = first.tool_calls or []
        results = list(pool.map(otel_llm.bind(lambda call: weather(**json.loads(call.function.arguments))), calls))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)}
                 for call, result in zip(calls, results, strict=True)]
    stream: Any = client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
    said.append("".join(item.choices[0].delta.content or "" for item in stream if item.choices))
    messages += [{"role": "assistant", "content": said[0]}, {"role": "user", "content": "echo: thanks"}]
    try:
        client.chat.completions.create(model="no-such-model", messages=messages[:1])
    except openai.APIStatusError as error:
        said.append(f"{type(error).__name__} {error.status_code}")
    last = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=messages)
    said.append(last.parse().choices[0].message.content or "")
    return said + asyncio.run(side_by_side(line))


async def side_by_side(line: str) -> list[str]:
    """Five questions at once."""
    client: Any = openai.AsyncOpenAI()

    async def one(number: int) -> str:
        messages = [{"role": "system", "content": line}, {"role": "user", "content": f"echo: number {number}"}]
        found = await client.chat.completions.create(model="gpt-4o", messages=messages)
        return found.choices[0].message.content or ""

    return list(await asyncio.gather(*(one(number) for number in range(5))))


if __name__ == "__main__":
    otel_llm.init()
    with otel_llm.session("agent-1", user="ada"):
        print("\n".join(answer(sys.argv[1] if len(sys.argv) > 1 else "You are helpful.")))
    print("tools ran:", ", ".join(sorted(RUNS)), file=sys.stderr)
