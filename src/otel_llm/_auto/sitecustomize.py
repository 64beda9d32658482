"""Loaded by every interpreter that `otel-llm run` or `otel-llm replay rerun` starts: records the program, or has it answered
from its recording, then lets it begin as it would have.

The directory of this file stands first on PYTHONPATH, so Python finds it in the place of a `sitecustomize` that the machine
may have; that one is run afterwards.
"""

import importlib.machinery
import importlib.util
import os
import sys


def _record() -> None:
    try:
        import otel_llm

        otel_llm.init()
        _seed()
    except Exception as error:
        print(f"otel-llm: this program is not recorded: {error}", file=sys.stderr)


def _answer(plan: str) -> None:
    """Have this program answered, or end it: without its recording it would call a provider."""
    try:
        from otel_llm._replaying import begin

        _seed()
        begin(plan)
    except BaseException as error:
        print(f"otel-llm: this program cannot be rerun: {error}", file=sys.stderr, flush=True)
        os._exit(3)


def _seed() -> None:
    seed = os.environ.get("OTEL_LLM_SEED", "").strip()
    if seed.isascii() and seed.removeprefix("-").isdigit():
        from otel_llm.replay.rerun.seams import seeded

        seeded(int(seed))


def _run_the_shadowed_one() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    elsewhere = [p for p in sys.path if os.path.abspath(p or os.curdir) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if os.environ.get("OTEL_LLM_REPLAY_PLAN"):
    _answer(os.environ["OTEL_LLM_REPLAY_PLAN"])
else:
    _record()
_run_the_shadowed_one()
