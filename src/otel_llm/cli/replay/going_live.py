"""Before a program that is rerun may ask a provider: what goes out, what it may cost, and a yes."""

from __future__ import annotations

from collections.abc import Sequence

import click

from otel_llm.cli.app import App
from otel_llm.cli.output import is_interactive, note
from otel_llm.replay.requests.credentials import is_loopback, origin_of
from otel_llm.text import numbers
from otel_llm.values.errors import ConfigError, NotFound
from otel_llm.values.session import Step


def confirm(app: App, where: str, calls: Sequence[Step], model: str | None, *, is_confirmed: bool) -> bool:
    """Say what goes live and what these calls would cost, on stderr; True when somebody said yes to it.

    Calls to this machine need no yes, and then nothing else may be called.

    Raises `ConfigError` when there is nobody to ask, `Abort` when the answer is no.
    """
    costs = [found.total for step in calls
             if (found := app.price(step.provider, model or step.response_model or step.model, step.usage)) is not None]
    about = f"about {numbers.cost(sum(costs))} by the recorded tokens" if costs else "unknown"
    said = f"{where} the program runs live. Cost: {about}."
    note(said)
    if is_confirmed or all(_is_free(app, step) for step in calls):
        return is_confirmed
    if not is_interactive():
        raise ConfigError(f"Nothing was started, because nobody confirmed. {said} Give --yes to go on.")
    if not click.confirm("Go live?", default=False, err=True):
        note("Nothing was started.")
        raise click.Abort
    return True


def _is_free(app: App, step: Step) -> bool:
    """True when a call went to this very machine."""
    try:
        return is_loopback(origin_of(app.store.exchange(step.span_id).url))
    except (ConfigError, NotFound):
        return False
