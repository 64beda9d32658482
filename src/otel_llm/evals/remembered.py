"""A check that remembers what it said: the same answer to the same question is paid for once.

A judge costs money. Its scores are written down in a file, a line each, as they come; asked again, also by another process, it
says the same. The key is a hash of all that the judge sees and of what it judges by, so nothing captured stands in the file but
what the judge said of it. A score that came to no verdict is not kept: asked again, the judge may be there.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from otel_llm.evals.judge import asked, said
from otel_llm.values.call import Request
from otel_llm.values.errors import StoreUnwritable
from otel_llm.values.evaluation import Answer, Evaluator, Score


class Remembered:
    """The evaluator with a memory in a file. `by` is what it judges by besides its name, such as a rubric."""

    def __init__(self, evaluator: Evaluator, file: Path, by: str = "") -> None:
        self._evaluator, self._file, self._by = evaluator, file, by
        self._lock = threading.Lock()
        self._asking: dict[str, threading.Lock] = {}
        self._known = _read(file)

    @property
    def name(self) -> str:
        return self._evaluator.name

    def __call__(self, recorded: Answer, new: Answer, request: Request | None) -> Score | None:
        seen = [self.name, self._by, asked(request), recorded.status, said(recorded), said(new)]
        key = sha256(json.dumps(seen).encode()).hexdigest()
        with self._lock:
            one_at_a_time = self._asking.setdefault(key, threading.Lock())
        with one_at_a_time:
            if key in self._known:
                return self._known[key]
            score = self._evaluator(recorded, new, request)
            if score is not None and not score.is_undecided:
                self._keep(key, score)
            return score

    def _keep(self, key: str, score: Score) -> None:
        text = json.dumps({"key": key, **asdict(score)}) + "\n"
        self._known[key] = score
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, text.encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise StoreUnwritable(f"{self._file} cannot be written: {error.strerror or error}.") from error


def _read(file: Path) -> dict[str, Score]:
    """What was written down; a line that is cut is left out."""
    known: dict[str, Score] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return known
    for line in lines:
        try:
            value = json.loads(line)
            key = value.pop("key")
            known[key] = Score(**value)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return known
