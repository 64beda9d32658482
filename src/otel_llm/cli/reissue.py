"""`otel-llm replay reissue ID`: send a recorded session or call again, and show how the new answers differ.

    otel-llm replay reissue @1 --model gpt-5-nano --set temperature=0
    otel-llm replay reissue 4f1c --base-url http://localhost:8000/v1

What it would do and cost is said first. Where it may cost money it is confirmed, by a person or by `--yes`; an address of
this machine needs no confirmation. Exit 0 when everything was sent, whatever came back; 2 when nobody confirmed; 3 when
something cannot be sent again or a cap was reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from otel_llm.cli import numbers
from otel_llm.cli.app import App, pass_app
from otel_llm.cli.difflines import diff_lines
from otel_llm.cli.filters import read_seconds, read_usd
from otel_llm.cli.ids import id_argument, steps_of
from otel_llm.cli.output import Output, is_interactive, note
from otel_llm.cli.rows import money, title_of
from otel_llm.cli.safe import line
from otel_llm.cli.table import print_json
from otel_llm.replay.changes import Changes, read_setting
from otel_llm.replay.credentials import show_origin
from otel_llm.replay.plan import Plan, plan
from otel_llm.replay.reissue import Caps, Reissued, new_session_id
from otel_llm.replay.reissue import reissue as send_again
from otel_llm.values.errors import ConfigError, OtelLLMError


@click.command()
@id_argument(metavar="SESSION|CALL")
@click.option("--model", metavar="NAME", help="Ask this model instead.")
@click.option("--set", "settings", multiple=True, metavar="KEY=JSON", help="Set a field; dotted keys reach inside.")
@click.option("--base-url", metavar="URL", help="Send to this endpoint instead.")
@click.option("--api-key-env", metavar="NAME", help="Take the key from this variable.")
@click.option("--max-calls", type=click.IntRange(min=1), help="Send at most so many calls.")
@click.option("--max-cost", metavar="USD", help="Stop before the cost passes this.")
@click.option("--max-time", metavar="TIME", help="Send nothing more after so long: 90s, 2m.")
@click.option("--yes", "-y", "is_confirmed", is_flag=True, help="Send without asking.")
@click.option("--json", "form", flag_value="json", default=None, help="Results as a JSON array.")
@click.option("--jsonl", "form", flag_value="jsonl", help="One JSON object a line, as each answer arrives.")
@pass_app
def reissue(
    app: App, given: str, model: str | None, settings: tuple[str, ...], base_url: str | None, api_key_env: str | None,
    max_calls: int | None, max_cost: str | None, max_time: str | None, is_confirmed: bool, form: str | None,
) -> None:  # fmt: skip
    """Send a session or a call again, also changed, after a price estimate; print how the answers differ."""
    changes = Changes(model, dict(map(read_setting, settings)), base_url)
    caps = Caps(
        calls=max_calls,
        cost=None if max_cost is None else read_usd(max_cost, "--max-cost"),
        seconds=None if max_time is None else read_seconds(max_time, "--max-time"),
    )
    _, steps = steps_of(app.store, given)
    todo = plan(app.store, steps, changes, environ=app.environ, price=app.price)
    _announce(todo, caps)
    if todo.planned and todo.needs_confirmation and not is_confirmed:
        _confirm(todo)
    session_id, done = new_session_id(), list[Reissued]()

    def results() -> Iterator[Reissued]:
        sending = send_again(todo, app.store, sender=app.sender, environ=app.environ, price=app.price, caps=caps,
                             api_key_env=api_key_env, session_id=session_id)
        for result in sending:
            done.append(result)
            note(f"{len(done)}/{len(todo.planned)} {line(result.planned.model or '')} "
                 f"{numbers.duration(result.new.duration_ns)} {'same' if result.diff['same'] else 'different'}")
            yield result

    output = Output(app)
    try:
        if form is not None:
            print_json(output, (_json(result, session_id, todo) for result in results()), form)
        else:
            for result in results():
                _show(output, result)
    except (OtelLLMError, KeyboardInterrupt):
        _sum_up(done, session_id)
        raise
    _sum_up(done, session_id)


def _announce(todo: Plan, caps: Caps) -> None:
    """The plan in words, on stderr."""
    for skip in todo.skipped:
        note(f"Skipped {line(title_of(skip.step))} {skip.step.span_id}: {line(skip.reason)}.")
    for call in todo.planned:
        if call.warning:
            note(f"Careful with {call.recorded.step.span_id}: {line(call.warning)}.")
    if todo.planned:
        unchanged = all(call.is_unchanged for call in todo.planned)
        models = ", ".join(dict.fromkeys(line(call.model or numbers.UNKNOWN) for call in todo.planned))
        note(f"{numbers.plural(len(todo.planned), 'call')} to {_places(todo)}, model {models}, "
             f"{'unchanged' if unchanged else 'changed'}. {_price(todo)}")
        if caps.cost is not None:
            note(f"At most {numbers.cost(caps.cost)} is spent.")


def _places(todo: Plan) -> str:
    return ", ".join(show_origin(origin) for origin in todo.origins)


def _price(todo: Plan) -> str:
    """The estimate in words; an unknown price is said plainly."""
    if todo.estimate is None:
        return "What it costs is unknown."
    more = f", and {numbers.plural(todo.unpriced, 'call')} of unknown cost" if todo.unpriced else ""
    return f"By the recorded tokens it costs about {numbers.cost(todo.estimate)}{more}."


def _confirm(todo: Plan) -> None:
    """Ask the person at the terminal. Raises `ConfigError` when there is none, `Abort` when the answer is no."""
    if not is_interactive():
        what = f"{numbers.plural(len(todo.planned), 'call')} to {_places(todo)}"
        raise ConfigError(f"Nothing was sent, because nobody confirmed: {what}. {_price(todo)} Give --yes to send.")
    if not click.confirm("Send?", default=False, err=True):
        note("Nothing was sent.")
        raise click.Abort


def _show(output: Output, result: Reissued) -> None:
    step = result.planned.recorded.step
    output.show([[(f"{step.span_id} → {result.exchange.span_id}", "id"), (f"  {line(step.request_preview)}", "bold"),
                  ("  same" if result.diff["same"] else "  different", "ok" if result.diff["same"] else "recovered")]])
    output.show(diff_lines(result.diff, color=output.has_color), whole=True)
    output.show([[]])


def _json(result: Reissued, session_id: str, todo: Plan) -> dict[str, Any]:
    """One result: which call, what changed, how the answers differ (the shape of `otel_llm.replay.compare`)."""
    return {
        "source_session_id": todo.source_session_id,
        "source_span_id": result.planned.recorded.step.span_id,
        "session_id": session_id,
        "span_id": result.exchange.span_id,
        "changes": todo.changes.as_json(),
        "is_unchanged": result.planned.is_unchanged,
        **money(result.new.cost),
        "diff": dict(result.diff),
    }


def _sum_up(done: list[Reissued], session_id: str) -> None:
    if not done:
        return
    same = sum(bool(result.diff["same"]) for result in done)
    costs = [result.new.cost.total for result in done if result.new.cost is not None]
    price = numbers.costs(sum(costs) if costs else None, len(done) - len(costs))
    note(f"{numbers.plural(len(done), 'call')} sent, {same} answered the same, {len(done) - same} differently; {price}. "
         f"The new session: otel-llm show {session_id}")
