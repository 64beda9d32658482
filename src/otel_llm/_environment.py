"""The environment in which a Python program that knows nothing of us finds us: `otel-llm run`, and everything that reruns.

An interpreter imports `sitecustomize` as it starts, from the first directory of PYTHONPATH that has one: ours. With `-E` or `-I`
Python does not read that variable, with `-S` it imports no `sitecustomize`; such a program runs as always and is neither recorded
nor answered, which nobody would notice.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

PLAN = "OTEL_LLM_REPLAY_PLAN"
"""Names the file that says what a program is answered from; without it a program records itself."""
STORE = "OTEL_LLM_STORE"
"""Names the directory of the store."""
_AUTO = str(Path(__file__).resolve().parent / "_auto")
_PYTHON = re.compile(r"(python|pypy)[\d.]*[a-z]?(\.exe)?")
_WITH_VALUE = frozenset("WX")
_ENDS_OPTIONS = frozenset("cm")
HIDES = {"E": "does not read PYTHONPATH", "I": "does not read PYTHONPATH", "S": "imports no sitecustomize"}
"""Options of Python that hide us from a program, and how."""
_MOST_HEAD = 1000


def python_path(environ: Mapping[str, str]) -> str:
    """PYTHONPATH with the directory of our `sitecustomize` in front."""
    return os.pathsep.join(filter(None, (_AUTO, without_ours(environ))))


def without_ours(environ: Mapping[str, str]) -> str:
    """PYTHONPATH without that directory."""
    return os.pathsep.join(p for p in environ.get("PYTHONPATH", "").split(os.pathsep) if p and p != _AUTO)


def hidden_by(command: Sequence[str], path: str | None = None) -> str | None:
    """The option of Python in this command, or in the first line of the script that it names, that hides it; else None."""
    return _option_in(command) or _option_in(_first_line(command[0], path))


def _option_in(words: Sequence[str]) -> str | None:
    """What follows the first word that is an interpreter, up to the program that it is given."""
    start = next((at for at, word in enumerate(words) if _PYTHON.fullmatch(Path(word).name)), len(words))
    rest = iter(words[start + 1 :])
    for word in rest:
        if word == "-" or word == "--" or not word.startswith("-"):
            return None
        if word.startswith("--"):
            continue
        for at, letter in enumerate(word[1:], 1):
            if letter in HIDES:
                return f"-{letter}"
            if letter in _ENDS_OPTIONS:
                return None
            if letter in _WITH_VALUE:
                if at == len(word) - 1:
                    next(rest, None)
                break
    return None


def _first_line(name: str, path: str | None) -> list[str]:
    """The words behind `#!` of a script; none when it is something else."""
    found = shutil.which(name, path=path)
    try:
        with open(found or name, "rb") as file:
            head = file.readline(_MOST_HEAD)
        return shlex.split(head[2:].decode()) if head.startswith(b"#!") else []
    except (OSError, ValueError):
        return []
