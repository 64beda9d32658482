"""A conversation of three turns with a tool; the only line about recording is the one that says so."""

import json

import openai

import otel_llm

otel_llm.init()

client = openai.OpenAI()
tools = [{"type": "function", "function": {
    "name": "get_stock", "description": "Look up how many of an article are in stock.",
    "parameters": {"type": "object", "properties": {"article": {"type": "string"}}, "required": ["article"]}}}]
messages = [{"role": "system", "content": "You help the shop assistants. Be brief."}]

for question in ("How many of article 'A-77' are in stock?", "Is that enough for a weekend?", "Thank you, that is all."):
    messages.append({"role": "user", "content": question})
    while True:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=tools).choices[0].message
        messages.append(answer.model_dump(exclude_none=True))
        if not answer.tool_calls:
            break
        for call in answer.tool_calls:
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps({"article": "A-77", "in_stock": 12})})
    print(f"{question}\n  {answer.content}")
