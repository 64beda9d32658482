"""A part of an application: asks a model, with a tool."""

import json
from typing import Any

import openai

import otel_llm

TOOLS: Any = [{"type": "function", "function": {
    "name": "weather", "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]


@otel_llm.tool
def weather(city: str) -> dict[str, str]:
    """The real one would ask a service; in a test its result is recorded, too."""
    return {"city": city, "sky": "rain"}


def what_to_wear(city: str) -> str:
    """Advice for a day in a city."""
    client = openai.OpenAI()
    messages: Any = [{"role": "system", "content": "You give advice on clothes. Be brief."},
                     {"role": "user", "content": f"What is the weather in {city}?"}]
    while True:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS).choices[0].message
        if not answer.tool_calls:
            return answer.content or ""
        messages.append(answer.model_dump(exclude_none=True))
        for call in answer.tool_calls:
            result = weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
