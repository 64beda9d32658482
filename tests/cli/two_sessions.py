"""Sessions to compare, made as an application makes them: the real SDK, real HTTP, the simulator, a real store."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner

import otel_llm
from cli.terminal import Run
from otel_llm.cli.verbs import root
from support.recording import Recording

STOCK = {"4411": "shipped"}


def run(rec: Recording, *args: str, environ: dict[str, str] | None = None) -> Run:
    result = CliRunner().invoke(root, ["--store", str(rec.directory), *args], prog_name="otel-llm", env=environ)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Run(result.exit_code, result.stdout, result.stderr)


def compared(rec: Recording, *args: str) -> Any:
    """The comparison as JSON."""
    return json.loads(run(rec, "replay", "compare", *args, "--json").out)


@otel_llm.tool
def look_up(order: str) -> dict[str, str]:
    """The state of an order."""
    return {"order": order, "state": STOCK[order]}


def talk(client: Any, session: str, *said: str, model: str = "gpt-4o-mini", tool: bool = True, lead: str = "Be brief.") -> None:
    """A session in which each text is asked (`echo: …` is answered with what stands there), after a tool."""
    with otel_llm.session(session):
        messages: list[Any] = [{"role": "system", "content": lead}]
        if tool:
            look_up("4411")
        for text in said:
            messages.append({"role": "user", "content": text})
            completion = client.chat.completions.create(model=model, messages=messages)
            messages.append(completion.choices[0].message.model_dump(exclude_none=True))


def outline(value: Any) -> list[str]:
    """The pairs of a comparison in a line each."""
    return [f"{pair['status']} {pair['kind']} {pair['number'] or '-'} {pair['words']}" for pair in value["pairs"]]


Talk = Callable[..., None]
