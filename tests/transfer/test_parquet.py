"""Steps as a table: the same names and figures as the JSON, readable by anything that reads Parquet."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from otel_llm.cli.look.rows import step_json
from otel_llm.store.sqlite import SqliteStore
from otel_llm.transfer import parquet
from otel_llm.values.errors import ConfigError
from otel_llm.values.session import Filter


def table(store: SqliteStore, **more: Any) -> Any:
    read = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    out = io.BytesIO()
    with store.snapshot(Filter()) as snapshot:
        parquet.write(snapshot, out, **more)
    return read.ParquetFile(io.BytesIO(out.getvalue()))


def test_there_is_one_row_a_step_with_the_fields_of_the_json(source: SqliteStore) -> None:
    rows = {row["span_id"]: {**row, "tags": dict(row["tags"])} for row in table(source).read().to_pylist()}

    for session in source.sessions(Filter()):
        for step in source.steps(session.session_id):
            said = step_json(step)
            row = rows.pop(step.span_id)
            assert {name: row[name] for name in said} == said
    assert rows == {}


def test_columns_have_types_that_add_up(source: SqliteStore) -> None:
    types = {field.name: str(field.type) for field in table(source).schema_arrow}

    assert (types["cost_pico_usd"], types["cost_usd"], types["input_tokens"], types["start_ns"], types["stream"]) == (
        "int64", "double", "int64", "int64", "bool")
    assert types["tags"].startswith("map<string")


def test_rows_are_written_in_groups(source: SqliteStore) -> None:
    file = table(source, group_rows=3)

    assert file.metadata.num_row_groups > 3
    assert max(file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)) <= 3


def test_an_empty_store_makes_an_empty_table(copy: SqliteStore) -> None:
    assert table(copy).metadata.num_rows == 0


def test_without_pyarrow_the_extra_is_named(source: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with source.snapshot(Filter()) as snapshot, pytest.raises(ConfigError, match=r"pip install 'otel-llm\[parquet\]'"):
        parquet.write(snapshot, io.BytesIO())
