"""Killing a program again and again while it talks to a provider, and starting it anew, until there is nothing left to do."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from otel_llm.testing import Simulator
from support.provider import Provider

PATIENCE_S = 60.0
MOMENT_S = 0.05
"""The longest time between the last call that is waited for and the kill."""


class Killed:
    """Runs `otel-llm` on a store against a provider, and kills it with SIGKILL at random moments."""

    def __init__(self, store: Path, provider: Provider | Simulator, seed: int) -> None:
        self._provider, self._random = provider, random.Random(seed)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OPENAI_"))}
        self._environ = {**kept, "OTEL_LLM_STORE": str(store)}
        self.kills = 0
        self.last = ""
        """What the last run that ended by itself said."""

    def run(self, arguments: Sequence[str], *, most_calls: int) -> int | None:
        """The exit code of a run; None when it was killed, after so many calls at most and a moment more."""
        process = subprocess.Popen(
            [sys.executable, "-m", "otel_llm.cli", *arguments], env=self._environ, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        before = self._asked()
        calls, moment_s = self._random.randint(0, most_calls), self._random.uniform(0, MOMENT_S)
        until = time.monotonic() + PATIENCE_S
        while process.poll() is None and self._asked() - before < calls:
            assert time.monotonic() < until, "the program does not come on"
            time.sleep(0.001)
        try:
            _, said = process.communicate(timeout=moment_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            self.kills += 1
            return None
        self.last = said
        return process.returncode

    def _asked(self) -> int:
        """How many requests have arrived."""
        return self._provider.count.total() if isinstance(self._provider, Simulator) else len(self._provider.asked)
