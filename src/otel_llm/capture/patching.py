"""Putting a wrapper in the place of a function, and the very same function back.

`Patches` remembers what it replaced. Undoing restores the object that was there, unless somebody else has wrapped ours in the
meantime: then ours stays below theirs and passes straight through (`active` is False), for cutting a stranger's wrapper out
would be worse.

`when_imported` runs something as soon as a module is imported, so that watching a library costs nothing in a program that
does not use it.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from otel_llm.values.guard import guard


class Patches:
    """What one instrumentor has replaced."""

    def __init__(self) -> None:
        self.active = True
        self._done: list[tuple[Any, str, Any, Any]] = []
        self._lock = threading.Lock()

    def wrap(self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Replace `owner.name` by `make(original)`; what `owner` does not define itself is left alone."""
        original = vars(owner).get(name)
        if original is None or not callable(original):
            return
        wrapper = functools.wraps(original)(make(original))
        setattr(owner, name, wrapper)
        self._done.append((owner, name, original, wrapper))

    def wrap_once(self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """The same from any thread, and nothing when it is replaced already. Who comes back finds it replaced."""
        with self._lock:
            if self.active and not any(done is owner and known == name for done, known, _, _ in self._done):
                self.wrap(owner, name, make)

    def undo(self) -> None:
        with self._lock:
            self.active = False
            while self._done:
                owner, name, original, wrapper = self._done.pop()
                if vars(owner).get(name) is wrapper:
                    setattr(owner, name, original)


def is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds nothing itself; lets the others find, and runs our part after the module has run."""

    def __init__(self, name: str, then: Callable[[ModuleType], None]) -> None:
        self.name, self.then = name, then
        self._busy = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name or self._busy:
            return None
        self._busy = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._busy = False
        if spec is None or spec.loader is None:
            return None
        loader, then = spec.loader, self.then
        original = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            loader.exec_module = original  # type: ignore[method-assign]
            original(module)
            with guard(f"instrument {fullname}"):
                then(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def when_imported(name: str, then: Callable[[ModuleType], None]) -> Callable[[], None]:
    """Run `then(module)` now if the module is imported, else right after it is. Gives the function that calls it off."""
    module = sys.modules.get(name)
    if module is not None:
        then(module)
        return lambda: None
    finder = _Finder(name, then)
    sys.meta_path.insert(0, finder)

    def cancel() -> None:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)

    return cancel
