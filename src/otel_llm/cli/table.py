"""Rows printed in the three forms that people and programs want.

- On a terminal an aligned table that fits its width (`otel_llm.text.table`).
- Elsewhere tab-separated text, a row a line, every column. There is no header line unless `--header`.
- `--json` is an array with a row an object, `--jsonl` an object a line; field names are those of the values and of SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from otel_llm.cli.app import App
from otel_llm.cli.output import Output
from otel_llm.text.safe import json_text
from otel_llm.text.table import Column, Row, aligned, tab_separated

Json = Mapping[str, Any]


def drop_order(columns: Sequence[Column[Any]]) -> str:
    """The sentence of the help that says which columns go first."""
    names = [c.title.lower() for c in sorted((c for c in columns if c.keep is not None), key=lambda c: c.keep or 0)]
    return f"On a narrow terminal columns are left out in this order: {', '.join(names)}."


def form_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`, `--jsonl` and `--header`, as the parameters `form` and `header`."""
    command = click.option("--header", is_flag=True, help="Name the columns also where the output is no terminal.")(command)
    command = click.option("--jsonl", "form", flag_value="jsonl", help="Print one JSON object a line.")(command)
    return click.option("--json", "form", flag_value="json", default=None, help="Print a JSON array.")(command)


def print_rows(
    app: App,
    rows: Iterable[Row],
    columns: Sequence[Column[Row]],
    *,
    form: str | None,
    header: bool,
    as_json: Callable[[Row], Json],
) -> None:
    """Print rows in the form that was asked for, or the one that fits where the output goes."""
    output = Output(app)
    if form is not None:
        print_json(output, (as_json(row) for row in rows), form)
    elif output.width is None:
        if header:
            output.write("\t".join(column.name for column in columns))
        for row in rows:
            output.write(tab_separated(row, columns))
    else:
        output.show(aligned(list(rows), columns, output.width), paged=True)


def print_json(output: Output, values: Iterable[Any], form: str) -> None:
    """An array with an element a line, or an object a line; printed as it comes."""
    if form == "jsonl":
        for value in values:
            output.write(json_text(value))
        return
    before = "["
    for value in values:
        output.write(before + json_text(value))
        before = ","
    output.write("[]" if before == "[" else "]")
