"""Loaded by every interpreter that `otel-llm run` starts: records the program, then lets it begin as it would have.

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
    except Exception as error:
        print(f"otel-llm: this program is not recorded: {error}", file=sys.stderr)


def _run_the_shadowed_one() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    elsewhere = [p for p in sys.path if os.path.abspath(p or os.curdir) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


_record()
_run_the_shadowed_one()
