"""The context in thread pools, for those who ask for it (`init(threads=True)` or `OTEL_LLM_THREADS=true`).

`ThreadPoolExecutor.submit` is replaced by one that ties the function to the context of the submitter, as `otel_llm.bind` does
by hand. Opt-in, because it changes a class that is not ours.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from otel_llm.capture.context import bind
from otel_llm.capture.patching import Patches


def carry_into_pools() -> Patches:
    """Patch `ThreadPoolExecutor.submit`; `.undo()` on what is returned puts it back."""
    patches = Patches()

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def submit(pool: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            return original(pool, bind(function) if patches.active and callable(function) else function, *args, **kwargs)

        return submit

    patches.wrap(ThreadPoolExecutor, "submit", make)
    return patches
