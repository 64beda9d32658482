"""A session against a model on this machine: completions and chat, plain and streamed. See README.md beside this file."""

import openai

import otel_llm

otel_llm.init()

client = openai.OpenAI()
SETTINGS = {"model": "gemma3-270m", "seed": 7, "temperature": 0}

with otel_llm.session("local-model", tags={"where": "here"}):
    plain = client.completions.create(prompt="The longest river of Norway is", max_tokens=24, **SETTINGS)
    print("completion:", plain.choices[0].text.strip())

    words = client.completions.create(prompt="Three good names for a cat are", max_tokens=24, stream=True, **SETTINGS)
    print("streamed completion:", "".join(chunk.choices[0].text for chunk in words).strip())

    question = [{"role": "user", "content": "Say hello."}]
    reply = client.chat.completions.create(messages=question, max_tokens=16, **SETTINGS)
    print("chat:", (reply.choices[0].message.content or "").strip())

    chunks = client.chat.completions.create(messages=question, max_tokens=16, stream=True, **SETTINGS)
    print("streamed chat:", "".join(c.choices[0].delta.content or "" for c in chunks if c.choices).strip())
