"""Asks a support assistant a dozen questions, each in a session of its own, so that there is something to compare with."""

from pathlib import Path

import openai

import otel_llm

QUESTIONS = (
    "Where is my order 4711?", "Can I send the blue lamp back?", "My parcel came open. What now?", "How long do I have for a return?",
    "I was charged twice.", "Do you ship to Norway?", "The lamp flickers.", "Which bulb fits the blue lamp?", "Cancel order 4712.",
    "Can I change my address?", "I never got the refund for 4709.", "Is the red lamp back in stock?")

otel_llm.init()
client = openai.OpenAI()
system = (Path(__file__).parent / "support-1.txt").read_text().strip()

for number, question in enumerate(QUESTIONS, 1):
    with otel_llm.session(f"support-{number}", tags={"team": "support"}), otel_llm.prompt_ref("support", version="1"):
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
        print(f"{question} {answer.choices[0].message.content}")
