"""The terminal as a program of its own, over a store in memory: `python program.py SCENARIO [ARGUMENT …]`."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from cli.terminal import app_of
from otel_llm.cli.verbs import root
from otel_llm.values.call import Usage
from replay.memory_store import T0, MemoryStore, Writer, newcomer

WIDE = "日本語のとても長い質問です。注文番号はどこにありますか。 👩‍👩‍👧 " * 3
HOSTILE = "\x1b[2J\x1b]0;owned\x07red \x9b31m\u202egnp.exe\r\nsecond\tcolumn\x00\x7f [bold]x[/bold] \ud800"


def many(store: MemoryStore) -> None:
    """Sessions with long names, wide letters, unknown figures and many tags."""
    for n in range(12):
        tags = {"team": "search", "stage": "production", "release": "2025.03"}
        w = Writer(store, f"user-chosen-session-name-{n}", user_id="somebody@example.org", prefix=f"{n + 1:x}", tags=tags,
                   start_ns=T0 + n * 10**12)
        for turn in range(3):
            cost = None if n == 3 else 34_000_000 * (n + 1)
            w.chat([{"role": "user", "content": f"{WIDE}{turn}"}], WIDE, usage=Usage(12_345, 678), cost=cost)


def hostile(store: MemoryStore) -> None:
    """A session in which everything that was captured tries to drive the terminal."""
    w = Writer(store, "sess-hostile0001", user_id=HOSTILE, tags={HOSTILE: HOSTILE})
    w.chat([{"role": "user", "content": HOSTILE}], HOSTILE, model=f"gpt{HOSTILE}")
    store.all_steps[0] = replace(store.all_steps[0], request_preview=HOSTILE, response_preview=HOSTILE, error_message=HOSTILE,
                                 prompt_name=HOSTILE)
    w.sum_up()


def trap(store: MemoryStore) -> None:
    """Sessions of which one is named like a command."""
    for n, name in enumerate(("$(touch pwned)", "sess-fine", "a b", "x;y", "`z`")):
        Writer(store, name, prefix=f"{n + 1}").chat([{"role": "user", "content": "x"}], "y")


SCENARIOS = {"trap": trap, "newcomer": newcomer, "many": many, "hostile": hostile, "empty": lambda store: None}


def build(scenario: str) -> MemoryStore:
    store = MemoryStore()
    SCENARIOS[scenario](store)
    return store


if __name__ == "__main__":
    root.main(args=sys.argv[2:], prog_name="otel-llm", obj=app_of(build(sys.argv[1]), environ=os.environ))
