"""How long a rerun takes, against the program itself with a provider that answers at once.

Method. A program of its own makes N calls (a growing conversation of 20 turns each, then a new one; one call in five streams)
through the openai SDK. It runs *live*, instrumented, against the provider simulator on loopback (zero latency, a process of
its own), then as a *rerun* with `otel-llm replay rerun`: start of the terminal, reading the store, the closed network and the
report included. Wall time of whole processes, in turns (live, rerun, live, rerun, …), the median over the rounds. *Live* is
also measured without otel-llm.

    python tests/bench/rerun_bench.py [--calls 500] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = """
import sys
import openai

client = openai.OpenAI()
messages = []
for number in range(int(sys.argv[1])):
    if number % 20 == 0:
        messages = [{"role": "system", "content": "Be brief. " * 40}]
    messages.append({"role": "user", "content": f"echo: question {number}"})
    if number % 5 == 0:
        stream = client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
        text = "".join(item.choices[0].delta.content or "" for item in stream if item.choices)
    else:
        text = client.chat.completions.create(model="gpt-4o-mini", messages=messages).choices[0].message.content
    messages.append({"role": "assistant", "content": text})
"""


def timed(command: list[str], env: dict[str, str]) -> float:
    started = time.perf_counter()
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    took = time.perf_counter() - started
    assert run.returncode == 0, run.stderr
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.py"
        program.write_text(PROGRAM)
        command = [sys.executable, str(program), str(args.calls)]
        terminal = [sys.executable, "-m", "otel_llm.cli"]
        with subprocess.Popen([sys.executable, "-u", "-m", "otel_llm.testing"], stdout=subprocess.PIPE, text=True) as provider:
            assert provider.stdout is not None
            url = next(word for word in provider.stdout.readline().split() if word.startswith("http"))
            bare = {**os.environ, "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": url, "OTEL_LLM_STORE": f"{folder}/store"}
            timed([*terminal, "run", "--", *command], {**bare, "OTEL_SERVICE_NAME": "bench"})
            session = subprocess.run([*terminal, "sessions", "--jsonl"], env=bare, capture_output=True, text=True).stdout
            import json

            ids = [json.loads(line)["session_id"] for line in session.splitlines()]
            rerun = [*terminal, "replay", "rerun", ids[0], *(word for one in ids[1:] for word in ("--with", one)),
                     "--no-record", "--", *command]
            recorded = [*terminal, "--store", f"{folder}/other", "run", "--", *command]
            took: dict[str, list[float]] = {"program": [], "program, recorded": [], "rerun": []}
            for _ in range(args.rounds):
                took["program"].append(timed(command, bare))
                took["program, recorded"].append(timed(recorded, bare))
                took["rerun"].append(timed(rerun, bare))
            provider.terminate()
    print(f"{args.calls} calls in {len(ids)} sessions, {args.rounds} rounds, median seconds of whole processes")
    floor = statistics.median(took["program"])
    for name, values in took.items():
        found = statistics.median(values)
        print(f"{name:20} {found:6.2f} s  {found / floor:4.2f}x of the program")


if __name__ == "__main__":
    main()
