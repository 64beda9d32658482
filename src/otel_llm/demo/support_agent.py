"""A support agent of three turns: a tool, a stream, a call that is retried, and one that fails and is caught.

An ordinary program. The only line that has to do with otel-llm is the one that says so; there is no session code, and the
conversation is found all the same. It talks to whatever OPENAI_BASE_URL and OPENAI_API_KEY say.
"""

from __future__ import annotations

import json
import os
from typing import Any

import openai

import otel_llm

otel_llm.init()  # the one line

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
BIGGER_MODEL = os.environ.get("OPENAI_BIGGER_MODEL", "gpt-4o-grande")

ORDERS = {
    "4711": {"order_id": "4711", "item": "espresso machine", "status": "shipped", "carrier": "Nordpost", "arrives": "Friday"}}

TOOLS: list[Any] = [{
    "type": "function",
    "function": {
        "name": "lookup_order",
        "description": "Look up the status of an order by its number.",
        "parameters": {
            "type": "object",
            "properties": {"order_id": {"type": "string", "description": "the order number, digits only"}},
            "required": ["order_id"],
        },
    },
}]


@otel_llm.tool
def lookup_order(order_id: str) -> dict[str, str]:
    """Look up the status of an order by its number."""
    return ORDERS.get(order_id, {"order_id": order_id, "status": "unknown"})


def answer_with_tools(client: openai.OpenAI, messages: list[Any]) -> str:
    """Ask, run the tools that the model wants, ask again until there are words."""
    while True:
        message = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS).choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return message.content or ""
        for call in message.tool_calls:
            if call.type != "function":
                continue
            result = lookup_order(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})


def answer_in_a_stream(client: openai.OpenAI, messages: list[Any]) -> str:
    """Print the words as they come."""
    words = []
    stream = client.chat.completions.create(
        model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True})
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            words.append(chunk.choices[0].delta.content)
            print(chunk.choices[0].delta.content, end="", flush=True)
    print()
    messages.append({"role": "assistant", "content": "".join(words)})
    return "".join(words)


def answer_with_the_best(client: openai.OpenAI, messages: list[Any]) -> str:
    """Try a bigger model first, and fall back when it is not there."""
    for model in (BIGGER_MODEL, MODEL):
        try:
            completion = client.chat.completions.create(model=model, messages=messages, temperature=0.2)
        except openai.NotFoundError as error:
            print(f"  ({model}: {error.status_code}, falling back to {MODEL})")
            continue
        message = completion.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        return message.content or ""
    raise RuntimeError("no model answered")


def main() -> None:
    client = openai.OpenAI()
    messages: list[Any] = [
        {"role": "system", "content": "You are the support agent of a small coffee shop. Be brief and kind."}]

    for question, answer in (
        ("Hello, where is my order 4711?", answer_with_tools),
        ("Can you deliver it to my neighbour instead?", answer_in_a_stream),
        ("Thank you! How do I descale the espresso machine?", answer_with_the_best),
    ):
        print(f"user: {question}")
        messages.append({"role": "user", "content": question})
        print("agent: ", end="" if answer is answer_in_a_stream else "", flush=True)
        words = answer(client, messages)
        if answer is not answer_in_a_stream:
            print(words)


if __name__ == "__main__":
    main()
