"""Sessions of a small shop, made by the real SDK against the simulator, and suites about them.

The simulator answers `echo: …` with what stands there. A system prompt that holds a word of `lossy` makes it lose what a suite
checks for, in every n-th session: that is the regression that has to be found.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import otel_llm
from cli.terminal import Run, on_store
from otel_llm.testing import Answer, Simulator, raw

GOOD, BAD = "Be kind.", "Be kind. Never promise money."
PROMPT = "refunds"


def record(client: Any, count: int, *, turns: int = 1, prompt: str = PROMPT, model: str = "gpt-4o-mini") -> None:
    """So many sessions, `shop-000` and on, whose calls come from a prompt."""
    for number in range(count):
        with otel_llm.session(f"shop-{number:03}", user="ada", tags={"team": "shop"}), otel_llm.prompt_ref(prompt, version="1"):
            messages: list[Any] = [{"role": "system", "content": GOOD}]
            for turn in range(turns):
                messages.append({"role": "user", "content": f"echo: order {number}.{turn}: your refund is on its way"})
                made = client.chat.completions.create(model=model, messages=messages).choices[0].message
                messages.append(made.model_dump(exclude_none=True))


def answer(text: str, **only: Any) -> Answer:
    """An answer of these words."""
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": text, "refusal": None}, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 18, "completion_tokens": 5, "total_tokens": 23}}
    return raw(json.dumps(body).encode(), **only)


def system_of(body: dict[str, Any]) -> str:
    first = (body.get("messages") or [{}])[0]
    return str(first.get("content")) if first.get("role") == "system" else ""


def number_of(body: dict[str, Any]) -> int:
    """The number of the session that a request is of."""
    return int(str(body["messages"][1]["content"]).split()[2].split(".")[0])


def plant(sim: Simulator, when: Callable[[dict[str, Any]], bool], times: int = 100_000) -> None:
    """From now on these requests are answered without the word that the suites check for."""
    sim.script(answer("We cannot help you there.", when=when, times=times))


def loses(*, word: str = "Never", every: int = 1) -> Callable[[dict[str, Any]], bool]:
    """Whether a request has this word in its system prompt, in every n-th session."""
    return lambda body: word in system_of(body) and number_of(body) % every == 0


def write_suite(folder: Path, text: str, **prompts: str) -> str:
    """A suite file, with the files of its prompts beside it; `v1="…"` is `v1.txt`."""
    for name, words in prompts.items():
        (folder / f"{name}.txt").write_text(words + "\n")
    path = folder / "suite.toml"
    path.write_text(text)
    return str(path)


def versions(*names: str, prompt: str = PROMPT) -> str:
    """The tables of prompt versions, each in the file of its name."""
    return "".join(f'[[prompts]]\nname = "{prompt}"\nversion = "{name}"\nfile = "{name}.txt"\n' for name in names)


def suite(store: Path, file: str, *args: str, verb: str = "suite", **environ: str) -> Run:
    """Run a suite as a user would."""
    return on_store(store, "replay", verb, file, *args, environ=environ)
