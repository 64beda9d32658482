"""`otel-llm export session ID -o FILE`: one session, or a few, as a file to keep beside the tests, to read and to edit.

    otel-llm export session @1 -o tests/sessions/refund.session
    otel-llm replay rerun tests/sessions/refund.session -- python app.py
"""

from __future__ import annotations

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.files import STDOUT, output_file
from otel_llm.cli.ids import SessionId
from otel_llm.cli.move.export import chosen, progress, report_damage
from otel_llm.cli.output import note
from otel_llm.text import numbers
from otel_llm.transfer import session_file


@click.command()
@click.argument("sessions", nargs=-1, required=True, metavar="SESSION…", type=SessionId())
@click.option("-o", "--output", default=STDOUT, metavar="FILE", help="Where to, by custom NAME.session (default: -).")
@pass_app
def session(app: App, sessions: tuple[str, ...], output: str) -> None:
    """Write sessions as one JSON file that can be read, compared, edited, and rerun; exact bodies included."""
    store, where = chosen(app, sessions, {})
    with store.snapshot(where) as snapshot, progress("steps", snapshot.steps_in_all) as shown, output_file(output) as out:
        done = session_file.write(snapshot, out, shown)
    note(" · ".join([numbers.plural(done.sessions, "session"), numbers.plural(done.steps, "step"),
                     numbers.size(done.bytes) + (f" in {output}" if output != STDOUT else "")]))
    if done.left_out:
        its, they = ("its", "it") if done.left_out == 1 else ("their", "them")
        note(f"Left out: {numbers.plural(done.left_out, 'replay')}, because {its} other session is not in the file; "
             f"name both sessions to keep {they}.")
    report_damage(done.damaged)
