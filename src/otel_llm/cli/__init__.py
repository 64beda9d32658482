"""The terminal: `otel-llm`, a door like any other. It parses, calls one use, prints.

    verbs      the table of commands and their groups; the root command
    faults     how a run ends: exit codes, one sentence an error
    app        what a verb is given: store, sender, settings
    output     where text goes: colour, width, pager
    table      rows as an aligned table, as tab-separated text, as JSON
    numbers    how figures look            safe     how captured text is made harmless
    filters    --since, --where and the like
    ids        what may name a session, a trace or a call

    look/, replay/, suite/, move/, run/    the verbs below the headings of the help, a module each, and what they share

A verb's module is imported when the verb runs, so that `--help` and `--version` cost little more than Python itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run the terminal and leave with its exit code; the entry point of `otel-llm`."""
    from otel_llm.cli.verbs import root

    root.main(args=list(sys.argv[1:] if args is None else args), prog_name="otel-llm")
