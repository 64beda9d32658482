"""The environment in which a Python program that knows nothing of us finds us: `otel-llm run`, and everything that reruns.

An interpreter imports `sitecustomize` as it starts, from the first directory of PYTHONPATH that has one: ours.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PLAN = "OTEL_LLM_REPLAY_PLAN"
"""Names the file that says what a program is answered from; without it a program records itself."""
STORE = "OTEL_LLM_STORE"
"""Names the directory of the store."""
_AUTO = str(Path(__file__).resolve().parent / "_auto")


def python_path(environ: Mapping[str, str]) -> str:
    """PYTHONPATH with the directory of our `sitecustomize` in front."""
    return os.pathsep.join(filter(None, (_AUTO, without_ours(environ))))


def without_ours(environ: Mapping[str, str]) -> str:
    """PYTHONPATH without that directory."""
    return os.pathsep.join(p for p in environ.get("PYTHONPATH", "").split(os.pathsep) if p and p != _AUTO)
