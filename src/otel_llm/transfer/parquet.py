"""Steps as a Parquet file, one row a step: for DuckDB, pandas, Polars and whatever else reads tables.

The columns are the fields that `calls --json` has, with the same names: tokens and money laid flat, times in nanoseconds UTC,
money as dollars to read and as pico-dollars to add up, tags as a map. Unknown is null. Rows are written in groups as they are
read, so that a store of any size goes through little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from typing import Any, BinaryIO

from otel_llm.values.archive import Snapshot
from otel_llm.values.call import Usage
from otel_llm.values.errors import ConfigError
from otel_llm.values.session import Step

GROUP_ROWS = 10_000

_TYPES: Mapping[str, str] = {
    "start_ns": "int64", "end_ns": "int64", "first_chunk_ns": "int64", "duration_ns": "int64", "attempts": "int64",
    "stream": "bool", "opens_turn": "bool", "tags": "map"}
_NESTED = {"usage": tuple(field.name for field in fields(Usage)), "cost": ("cost_usd", "cost_pico_usd")}
TOKENS = _NESTED["usage"]

COLUMNS: Mapping[str, str] = {
    name: "double" if name == "cost_usd" else "int64" if field.name in _NESTED else _TYPES.get(name, "string")
    for field in (*fields(Step),) for name in _NESTED.get(field.name, (field.name,))} | {"duration_ns": "int64"}
"""The columns and their types: string, int64, double, bool, map (of text by text)."""


def write(
    snapshot: Snapshot, out: BinaryIO, progress: Callable[[int], None] = lambda steps: None, *, group_rows: int = GROUP_ROWS
) -> int:
    """Write the steps of the chosen sessions; how many there were. Raises `ConfigError` when pyarrow is not installed."""
    try:
        pyarrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError("Parquet needs pyarrow: pip install 'otel-llm[parquet]'") from None
    types = {"string": pyarrow.string(), "int64": pyarrow.int64(), "double": pyarrow.float64(), "bool": pyarrow.bool_(),
             "map": pyarrow.map_(pyarrow.string(), pyarrow.string())}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    count = 0
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for group in _groups(snapshot, group_rows):
            columns = {name: [row[name] for row in group] for name in COLUMNS}
            writer.write_table(pyarrow.table(columns, schema=schema), row_group_size=group_rows)
            count += len(group)
            progress(count)
    return count


def _groups(snapshot: Snapshot, size: int) -> Iterator[Sequence[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for mark in snapshot.sessions():
        for step in snapshot.steps(mark.session_id):
            group.append(row_of(step))
            if len(group) >= size:
                yield group
                group = []
    if group:
        yield group


def row_of(step: Step) -> dict[str, Any]:
    """A step as a flat row."""
    row: dict[str, Any] = {}
    for name in _PLAIN:
        value = getattr(step, name)
        row[name] = _clean(value) if isinstance(value, str) else value
    for name in TOKENS:
        row[name] = getattr(step.usage, name)
    row["cost_usd"] = step.cost.total_usd if step.cost is not None else None
    row["cost_pico_usd"] = step.cost.total if step.cost is not None else None
    row["tags"] = [(_clean(key), _clean(value)) for key, value in step.tags.items()]
    row["duration_ns"] = step.duration_ns
    return row


_PLAIN = tuple(field.name for field in fields(Step) if field.name not in ("usage", "cost", "tags"))


def _clean(text: str) -> str:
    """Text that UTF-8 can say; lone surrogates become `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
