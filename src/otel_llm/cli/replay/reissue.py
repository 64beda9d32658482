"""`otel-llm replay reissue ID`: send a recorded session or call again, and show how the new answers differ.

    otel-llm replay reissue @1 --model gpt-5-nano --set temperature=0
    otel-llm replay reissue @1 --threaded --prompt support@7=support.txt --repeat 5 --concurrency 4
    otel-llm replay reissue 4f1c --base-url http://localhost:8000/v1
    otel-llm replay reissue --resume sess-0123456789abcdef

What it would do and cost is said first. Where it may cost money it is confirmed, by a person or by `--yes`; an address of
this machine needs no confirmation. In a session, what is changed is for the calls of its conversation. A reissue that was
interrupted, however, can be gone on with; no answered call is bought twice. Exit 0 when everything was sent and answered, in
whatever words; 1 when an error came where there was an answer; 2 when nobody confirmed; 3 when a call could not be sent
again, a cap was reached or a call is in doubt; 4, with nothing sent, when the store cannot be written.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.ids import SessionId, steps_of
from otel_llm.cli.look.rows import verdict
from otel_llm.cli.output import Output, note
from otel_llm.cli.progress import Bar
from otel_llm.cli.replay.reissue_options import Wanted, given_now, read_options, reissue_options
from otel_llm.cli.replay.reissue_plan import announce, announce_resumption, check_prompts, check_writable, confirm
from otel_llm.cli.replay.reissue_results import Results
from otel_llm.cli.table import print_json
from otel_llm.replay.reissue import resume as going_on
from otel_llm.replay.reissue.orders import Means
from otel_llm.replay.reissue.outcomes import Outcome, Reissued
from otel_llm.replay.reissue.plan import plan
from otel_llm.replay.reissue.sending import keys_of, new_session_id
from otel_llm.replay.reissue.sending import reissue as send_again
from otel_llm.text import numbers
from otel_llm.text.safe import line
from otel_llm.values.errors import OtelLLMError


@click.command()
@click.argument("given", metavar="[SESSION|CALL]", type=SessionId(), required=False)
@reissue_options
@click.option("--yes", "-y", "is_confirmed", is_flag=True, help="Send without asking.")
@click.option("--json", "form", flag_value="json", default=None, help="Results as a JSON array.")
@click.option("--jsonl", "form", flag_value="jsonl", help="One JSON object a line, as each answer arrives.")
@pass_app
def reissue(app: App, /, given: str | None, is_confirmed: bool, form: str | None, **options: Any) -> None:
    """Send a session or a call again, also changed, after a price estimate; print how the answers differ."""
    wanted = read_options(given, options)
    if given is None:
        _go_on(app, wanted, form, is_confirmed=is_confirmed)
        return
    orders = wanted.orders
    _, steps = steps_of(app.store, given)
    todo = plan(app.store, steps, wanted.changes, environ=app.environ, price=app.price, is_threaded=orders.is_threaded)
    check_prompts(todo)
    if todo.planned:
        check_writable(app)
    announce(todo, orders)
    if todo.planned and todo.needs_confirmation and not is_confirmed:
        confirm(todo, orders.repeat)
    keys_of(todo, orders, app.environ)
    session_id = new_session_id()
    results = Results(todo, session_id, orders.is_threaded, orders.repeat, is_full=wanted.is_full)
    if todo.planned:
        note(f"The new session is {session_id}. After an interruption: otel-llm replay reissue --resume {session_id}")
    outcomes = send_again(todo, _means(app, results), orders, session_id=session_id)
    _send(app, results, outcomes, form, len(todo.planned) * orders.repeat)


def _go_on(app: App, wanted: Wanted, form: str | None, *, is_confirmed: bool) -> None:
    """Send what is left of a reissue."""
    assert wanted.resume is not None
    check_writable(app)
    found = going_on.find(wanted.resume, app.store, environ=app.environ, price=app.price)
    orders = wanted.over(found.orders, given_now())
    announce_resumption(found, resend=wanted.resend)
    session_id = found.undertaking.session_id
    to_send = found.left + (len(found.in_doubt) if wanted.resend else 0)
    results = Results(found.plan, session_id, orders.is_threaded, orders.repeat, is_resumed=True,
                      answered_before=found.answered - len(found.late), is_full=wanted.is_full)
    if to_send and found.plan.needs_confirmation and not is_confirmed:
        confirm(found.plan, 1)
    if not to_send and not found.late:
        note(f"Nothing is left to send. The session: otel-llm show {session_id}")
    outcomes = going_on.go_on(found, _means(app, results), orders, resend=wanted.resend)
    _send(app, results, outcomes, form, to_send + len(found.late))


def _means(app: App, results: Results) -> Means:
    def waits(count: int) -> None:
        note(f"Waiting for {numbers.plural(count, 'call')} under way; interrupted once more, they are in doubt.")

    return Means(app.store, app.sender, app.environ, app.price, waits=waits, came_late=results.add)


def _send(app: App, results: Results, outcomes: Generator[Outcome, None, None], form: str | None, total: int) -> None:
    """Print outcomes as they come, and what they came to, also when it ends early."""
    output = Output(app)
    ended_by: list[BaseException] = []

    def counted() -> Iterator[Outcome]:
        try:
            for outcome in outcomes:
                yield results.add(outcome)
                model = line(outcome.planned.asked_model or "")
                bar.step(f"{model} {verdict(outcome.diff)}" if isinstance(outcome, Reissued) else "")
        except (OtelLLMError, KeyboardInterrupt) as error:
            ended_by.append(error)  # what is there is printed whole before it is raised

    try:
        is_shown = form is None or not output.is_terminal
        with Bar("sending", total, is_shown=is_shown, has_color=output.has_color) as bar, closing(outcomes):
            if form is not None:
                print_json(output, map(results.as_json, counted()), form)
            else:
                for outcome in counted():
                    with bar.aside():
                        results.show(output, outcome)
    finally:
        results.sum_up(is_left=bool(ended_by))
    if ended_by:
        raise ended_by[0]
    click.get_current_context().exit(3 if not results.is_whole else 1 if results.has_new_failure else 0)
