"""`otel-llm forward run`, `retry` and `drop`: sending what waits, with the secrets of this environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.move.forward import opened
from otel_llm.cli.move.forward_status import NOTHING
from otel_llm.cli.output import is_interactive, note
from otel_llm.text import numbers

if TYPE_CHECKING:
    from otel_llm.store.forward.queue import Waiting


@click.command()
@click.option("--until-empty", is_flag=True, help="End when nothing waits any more.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="End after so many seconds.")
@pass_app
def run(app: App, until_empty: bool, timeout: float | None) -> int:
    """Send what waits to every OTLP endpoint of this store, until interrupted.

    Headers and certificates come from the same variables as in the recording program. Exit 1 when the time is over and
    something still waits.
    """
    said: dict[int, str] = {}

    def tell(found: list[Waiting]) -> None:
        for one in found:
            words = f"{one.name}: {one.last_error}" if one.failures and one.last_error else ""
            if words and said.get(one.number) != words:
                note(f"{words}; {numbers.plural(one.waiting, 'span')} waiting")
            said[one.number] = words

    with opened(app) as forwarding:
        before = {one.number: one.sent for one in forwarding.waiting()}
        if not before:
            note(NOTHING)
        if not before and until_empty:
            return 0
        if not until_empty:
            note("Sending what comes; Ctrl-C stops (--until-empty ends when nothing waits).")
        is_empty = forwarding.run(until_empty=until_empty, timeout_s=timeout, tell=tell, sleep=app.sleep)
        for one in forwarding.waiting():
            click.echo(f"{one.name}\t{one.endpoint}\tsent {one.sent - before.get(one.number, 0)}\twaiting {one.waiting}"
                       f"\trefused {one.refused}")
    return 0 if is_empty else 1


@click.command()
@click.argument("name", required=False)
@pass_app
def retry(app: App, name: str | None) -> None:
    """Let dead letters wait again and end every wait, of all endpoints or of those called NAME.

    The recording program sends them, or `otel-llm forward run`.
    """
    with opened(app) as forwarding:
        count = forwarding.retry(name)
    click.echo(f"{numbers.plural(count, 'span')} waiting again")


@click.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_app
def drop(app: App, name: str, yes: bool) -> None:
    """Forget the OTLP endpoints called NAME and all that waits for them. The spans stay in the store."""
    with opened(app) as forwarding:
        left = sum(one.waiting for one in forwarding.waiting(name))
        if left and not yes:
            what = f"{numbers.plural(left, 'span')} waiting for {name!r} will not be sent"
            if not is_interactive():
                raise click.UsageError(f"{what}; confirm with --yes.")
            click.confirm(f"{what}. Go on?", abort=True)
        count = forwarding.drop(name)
    click.echo(f"{numbers.plural(count, 'span')} forgotten")
