"""`otel-llm export jsonl`: everything that is stored of some sessions, to carry it to another store.

    otel-llm export jsonl @1 -o ticket.jsonl         one session
    otel-llm export jsonl --since 7d -o week.jsonl.gz
    otel-llm export jsonl | ssh host otel-llm import -
"""

from __future__ import annotations

import gzip
from contextlib import nullcontext
from typing import Any, BinaryIO, cast

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.files import STDOUT, output_file
from otel_llm.cli.move.export import chosen, nothing_fits, progress, report_damage, which_sessions
from otel_llm.cli.output import note
from otel_llm.text import numbers
from otel_llm.transfer import jsonl as file

LEVEL = 6


@click.command()
@which_sessions
@click.option("-o", "--output", default=STDOUT, metavar="FILE", help="Where to; .gz compresses (default: -).")
@pass_app
def jsonl(app: App, /, sessions: tuple[str, ...], output: str, **given: Any) -> None:
    """Write sessions as JSON lines, lossless, raw bodies included; `otel-llm import` reads them."""
    store, where = chosen(app, sessions, given)
    with store.snapshot(where) as snapshot, progress("steps", snapshot.steps_in_all) as shown, output_file(output) as out:
        packed = gzip.GzipFile("", "wb", LEVEL, out, mtime=0) if output.endswith(".gz") else nullcontext(out)
        with packed as lines:
            done = file.write(snapshot, cast(BinaryIO, lines), shown)
    if not done.sessions:
        note(nothing_fits(bool(sessions) or any(given.values())))
    else:
        note(" · ".join([numbers.plural(done.sessions, "session"), numbers.plural(done.steps, "step"),
                         numbers.size(done.bytes) + (f" in {output}" if output != STDOUT else "")]))
    report_damage(done.damaged)
