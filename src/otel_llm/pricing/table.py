"""The price table that the rest of the product holds: quick where a row is known, exact where the library may be asked."""

from __future__ import annotations

import json
import os
import threading
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal

from otel_llm.pricing.library import STANDARD_TIERS, calculate, context_of, find, row_of
from otel_llm.pricing.row import LIBRARY, multiply, units_at
from otel_llm.values.call import Cost, Usage

_MAX_ROWS = 4_000
_NO_USAGE = Usage()


class _Later(Enum):
    UNKNOWN_YET = "unknown yet"


UNKNOWN_YET: Final = _Later.UNKNOWN_YET
"""The quick way cannot say; `PriceTable.exact` can."""


class PriceTable:
    """Prices by provider and model. `cache` is the file that keeps rows between processes; None keeps them in memory only."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._rows: dict[str, Any] | None = None
        self._lock = threading.Lock()

    def quick(
        self, provider: str | None, model: str | None, usage: Usage, at_ns: int, *, service_tier: str | None = None
    ) -> Cost | None | Literal[_Later.UNKNOWN_YET]:
        """The cost if that takes no import: microseconds. None means that it is unknown and stays so."""
        if provider is None or model is None or (usage.input_tokens is None and usage == _NO_USAGE):
            return None
        if self._rows is None:
            self._rows = self._load()
        key = _key(provider, model, service_tier)
        row = self._rows.get(key, LIBRARY)
        if row == LIBRARY:
            return UNKNOWN_YET
        if row is None:
            return None
        try:
            return multiply(units_at(row, at_ns), usage)
        except (TypeError, ValueError, IndexError, KeyError):
            self._rows.pop(key, None)
            return UNKNOWN_YET

    def exact(
        self, provider: str | None, model: str | None, usage: Usage, at_ns: int, *, service_tier: str | None = None
    ) -> Cost | None:
        """The cost by the library, which is imported now if it was not. None when model, prices or counts are unknown."""
        cost = self.quick(provider, model, usage, at_ns, service_tier=service_tier)
        if cost is not UNKNOWN_YET:
            return cost
        assert provider is not None and model is not None
        found = find(provider, model)
        context = context_of(found, service_tier)
        self._keep(_key(provider, model, service_tier), None if found is None else row_of(found[1], context))
        cost = self.quick(provider, model, usage, at_ns, service_tier=service_tier)
        if cost is not UNKNOWN_YET:
            return cost
        return None if found is None else calculate(found, context, usage, at_ns)

    def _load(self) -> dict[str, Any]:
        """The rows in the cache file, if they are of the installed table. A broken file counts as none."""
        if self._cache is None:
            return {}
        try:
            kept = json.loads(self._cache.read_bytes())
            return dict(kept["rows"]) if kept["version"] == _version() else {}
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return {}

    def _keep(self, key: str, row: Any) -> None:
        """Keep a row, in the file too: replaced at once, readable by its owner only."""
        import tempfile

        with self._lock:
            rows = self._rows if self._rows is not None else {}
            if len(rows) >= _MAX_ROWS:
                rows.clear()
            rows[key] = row
            self._rows = rows
            if self._cache is None or row == LIBRARY:
                return
            text = json.dumps({"version": _version(), "rows": {**self._load(), **rows}}, separators=(",", ":"))
            try:
                handle, name = tempfile.mkstemp(dir=self._cache.parent, prefix=self._cache.name)
            except OSError:
                return
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                os.replace(name, self._cache)
            except OSError:
                os.unlink(name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("genai-prices")
    except PackageNotFoundError:
        return ""


def _key(provider: str, model: str, tier: str | None) -> str:
    return f"{provider}\t{model}\t{'' if tier is None or tier in STANDARD_TIERS else tier}"
