"""What is said before anything is sent: which calls, where to, what changes, what it costs; and the question whether to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from otel_llm.cli.app import App
from otel_llm.cli.look.rows import title_of
from otel_llm.cli.output import is_interactive, note
from otel_llm.cli.replay.reissue_results import repeat_text
from otel_llm.replay.reissue.orders import Orders
from otel_llm.replay.reissue.plan import Plan
from otel_llm.replay.reissue.resume import Resumption
from otel_llm.replay.requests.credentials import show_origin
from otel_llm.text import numbers
from otel_llm.text.safe import line
from otel_llm.values.errors import ConfigError, StoreUnwritable
from otel_llm.values.session import Step

MOST_NAMED = 5
"""Ids that one remark lists."""


def check_writable(app: App) -> None:
    """Raise when the answers could not be kept: they may cost money, so it is asked before anything is sent."""
    place = Path(app.store_place())
    parts = (place, *place.glob("spool"), *place.glob("store.sqlite*"))
    refused = next((part for part in parts if part.exists() and not os.access(part, os.W_OK)), None)
    if refused is not None or app.store.facts().get("readonly"):
        raise StoreUnwritable(f"Nothing was sent, because the answers could not be kept: {refused or place} is read-only here. "
                              "Run this as somebody who can write the store.")


def check_prompts(todo: Plan) -> None:
    """Raise `ConfigError` when a new text is given for a prompt that no call comes from."""
    sent = {call.recorded.step.prompt_name for call in todo.planned if call.changes.prompts}
    strange = next((prompt.name for prompt in todo.changes.prompts if prompt.name not in sent), None)
    if strange is None or not todo.planned:
        return
    steps = [call.step for call in todo.calls if call.step.prompt_name is not None]
    known = dict.fromkeys(f"{step.prompt_name}{f'@{step.prompt_version}' if step.prompt_version else ''}" for step in steps)
    named = f"Its calls come from {', '.join(known)}." if known else "None of its calls comes from a prompt that has a name."
    raise ConfigError(f"No call of {todo.source_session_id} that can be sent comes from the prompt {strange!r}, so --prompt "
                      f"changes nothing. {named}")


def announce(todo: Plan, orders: Orders) -> None:
    """The plan in words, on stderr."""
    _say_skipped(todo)
    _say_untouched(todo)
    _say_translated(todo)
    if orders.is_threaded and todo.unthreaded:
        named = _named([call.recorded.step for call in todo.unthreaded])
        hold = "holds" if len(todo.unthreaded) == 1 else "hold"
        note(f"{numbers.plural(len(todo.unthreaded), 'call')} ({named}) {hold} answers that no call of this session gave, such "
             "as examples; these stay as recorded.")
    if not todo.planned:
        return
    unchanged = all(call.is_unchanged for call in todo.planned)
    models = list(dict.fromkeys(line(call.asked_model or numbers.UNKNOWN) for call in todo.planned))
    times = f", {orders.repeat} times each" if orders.repeat > 1 else ""
    history = ", new answers flow into later turns" if orders.is_threaded else ""
    named = f"{'model' if len(models) == 1 else 'models'} {', '.join(models)}"
    note(f"{numbers.plural(len(todo.planned), 'call')} to {places(todo)}, {named}, "
         f"{'unchanged' if unchanged else 'changed'}{times}{history}. {price_text(todo, orders.repeat)}")
    if orders.caps.cost is not None:
        note(f"At most {numbers.cost(orders.caps.cost)} is spent.")


def _say_skipped(todo: Plan) -> None:
    for skip in todo.skipped:
        note(f"Skipped {line(title_of(skip.step))} {skip.step.span_id}: {line(skip.reason)}.")
    for call in todo.planned:
        if call.warning:
            note(f"Careful with {call.recorded.step.span_id}: {line(call.warning)}.")


def _say_untouched(todo: Plan) -> None:
    steps = [call.recorded.step for call in todo.untouched]
    if not steps:
        return
    kinds = "/".join(dict.fromkeys(line(step.operation or "other") for step in steps))
    changed = dict.fromkeys(todo.changes.edits) | dict.fromkeys(
        name for name in ("system", "prompts", "provider") if name in todo.changes.as_json())
    note(f"Left as recorded: {numbers.plural(len(steps), f'{kinds} call')} ({_named(steps)}). What was changed "
         f"({', '.join(map(line, changed))}) is for the conversation.")


def _named(steps: Sequence[Step]) -> str:
    """Their ids, the first few of them."""
    more = f" and {numbers.plural(len(steps) - MOST_NAMED, 'more', 'more')}" if len(steps) > MOST_NAMED else ""
    return ", ".join(step.span_id for step in steps[:MOST_NAMED]) + more


def _say_translated(todo: Plan) -> None:
    translated = [call for call in todo.planned if call.request.api != call.recorded.exchange.api]
    if not translated:
        return
    lost = Counter(what for call in translated for what in call.lost)
    listed = ", ".join(f"{line(what)} ({numbers.plural(count, 'call')})" for what, count in lost.items())
    note(f"{numbers.plural(len(translated), 'call')} translated to {todo.changes.api}; "
         f"{f'not carried over: {listed}' if listed else 'everything was carried over'}.")


def announce_resumption(found: Resumption, *, resend: bool) -> None:
    """How far a reissue came, and what is left of it."""
    _say_skipped(found.plan)
    if found.gone:
        note(f"{numbers.plural(found.gone, 'call')} of {found.undertaking.source_session_id} cannot be sent: "
             "they are not in the store any more.")
    doubtful = len(found.in_doubt)
    doubt = f", {numbers.count(doubtful)} in doubt{' (to be sent again)' if resend and doubtful else ''}" if doubtful else ""
    late = f" ({len(found.late)} of them found on the tape)" if found.late else ""
    note(f"Going on with {found.undertaking.session_id}: {numbers.plural(found.answered, 'call')} answered{late}, "
         f"{numbers.count(found.left)} to send{doubt}.")
    for key in found.in_doubt[:MOST_NAMED]:
        again = repeat_text(key.iteration, found.orders.repeat)
        note(f"In doubt: {key.source_span_id}{again} was sent, and no answer is recorded.")


def confirm(todo: Plan, repeat: int) -> None:
    """Ask the person at the terminal. Raises `ConfigError` when there is none, `Abort` when the answer is no."""
    if not is_interactive():
        what = f"{numbers.plural(len(todo.planned), 'call')} to {places(todo)}"
        raise ConfigError(f"Nothing was sent, because nobody confirmed: {what}. {price_text(todo, repeat)} Give --yes to send.")
    if not click.confirm("Send?", default=False, err=True):
        note("Nothing was sent.")
        raise click.Abort


def places(todo: Plan) -> str:
    """Where the calls would go."""
    return ", ".join(show_origin(origin) for origin in todo.origins)


def price_text(todo: Plan, repeat: int = 1) -> str:
    """The estimate in words; an unknown price is said plainly."""
    if todo.estimate is None:
        return "What it costs is unknown."
    more = f", and {numbers.plural(todo.unpriced * repeat, 'call')} of unknown cost" if todo.unpriced else ""
    return f"By the recorded tokens it costs about {numbers.cost(todo.estimate * repeat)}{more}."
