"""`otel-llm replay diff A B`: how the answers of two calls, or of two sessions call by call, differ.

Exit 1 when they do, and when nothing is recorded that could be compared.
"""

from __future__ import annotations

from itertools import zip_longest

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.ids import id_argument, steps_of
from otel_llm.cli.look.rows import NOT_COMPARED, verdict, verdict_style
from otel_llm.cli.output import Output, note
from otel_llm.cli.table import print_json
from otel_llm.replay.compare.answers import Answer, compare, recorded_answer
from otel_llm.replay.reading import recorded
from otel_llm.report.diff_lines import diff_lines
from otel_llm.text.numbers import plural
from otel_llm.text.safe import line
from otel_llm.values.errors import NotFound
from otel_llm.values.session import Step


@click.command()
@id_argument("first", "A")
@id_argument("second", "B")
@click.option("--json", "form", flag_value="json", default=None, help="The differences as a JSON array.")
@click.option("--jsonl", "form", flag_value="jsonl", help="One JSON object a line.")
@pass_app
def diff(app: App, first: str, second: str, form: str | None) -> None:
    """Compare the answers of two calls, or of two sessions call by call; exit 1 when they differ."""
    output = Output(app)
    pairs = list(zip_longest(_calls(app, first), _calls(app, second)))
    found = [(a, b, compare(_answer(app, a), _answer(app, b))) for a, b in pairs]
    unknown = sum(verdict(difference) == NOT_COMPARED for _, _, difference in found)
    different = sum(verdict(difference) == "different" for _, _, difference in found)
    if form is not None:
        print_json(output, ({"first": a and a.span_id, "second": b and b.span_id, **d} for a, b, d in found), form)
    else:
        for a, b, difference in found:
            output.show([[(f"{_name(a)} → {_name(b)}", "id"), (f"  {verdict(difference)}", verdict_style(difference))]])
            output.show(diff_lines(difference, color=output.has_color), whole=True)
        of = plural(len(found), "answer")
        said = [f"{different} of {of} differ{'s' if different == 1 else ''}."] if different else []
        said += [f"{unknown} of {of} could not be compared."] if unknown else []
        note(" ".join(said) or "The answers are the same.")
    click.get_current_context().exit(1 if different or unknown else 0)


def _calls(app: App, given: str) -> list[Step]:
    _, steps = steps_of(app.store, given)
    calls = [step for step in steps if step.kind == "call"]
    if not calls:
        raise NotFound("call", given)
    return calls


def _answer(app: App, step: Step | None) -> Answer:
    return Answer() if step is None else recorded_answer(recorded(app.store, step))


def _name(step: Step | None) -> str:
    return "(no call)" if step is None else line(step.span_id)
