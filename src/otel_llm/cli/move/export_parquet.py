"""`otel-llm export parquet`: one row a step, for DuckDB, pandas and their like.

    otel-llm export parquet --since 30d -o steps.parquet
    duckdb -c "from 'steps.parquet' select model, sum(cost_usd) group by model"
"""

from __future__ import annotations

import sys
from typing import Any

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.files import STDOUT, output_file
from otel_llm.cli.move.export import chosen, nothing_fits, progress, which_sessions
from otel_llm.cli.output import note
from otel_llm.text import numbers
from otel_llm.transfer import parquet as table
from otel_llm.values.errors import ConfigError


@click.command()
@which_sessions
@click.option("-o", "--output", default=STDOUT, metavar="FILE", help="Where to (default: -, which must not be a terminal).")
@pass_app
def parquet(app: App, /, sessions: tuple[str, ...], output: str, **given: Any) -> None:
    """Write steps as a Parquet file, one row a step, with the fields of `calls --json`."""
    if output == STDOUT and sys.stdout.isatty():
        raise ConfigError("Parquet is nothing to look at; give a file: -o steps.parquet")
    store, where = chosen(app, sessions, given)
    with store.snapshot(where) as snapshot, progress("steps", snapshot.steps_in_all) as shown, output_file(output) as out:
        count = table.write(snapshot, out, shown)
    note(numbers.plural(count, "step") + (f" in {output}" if output != STDOUT else "") if count
         else nothing_fits(bool(sessions) or any(given.values())))
