"""The options of `otel-llm replay reissue`, and what they amount to: what is changed, and how it is to go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from otel_llm.adapters import WRITERS
from otel_llm.cli.filters import read_seconds, read_usd
from otel_llm.replay.reissue.budget import Caps
from otel_llm.replay.reissue.orders import Orders
from otel_llm.replay.reissue.pace import read_rate
from otel_llm.replay.requests.changes import Changes, PromptText, read_setting
from otel_llm.values.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])

GOING_ON = frozenset({"resume", "resend", "concurrency", "rate", "retries", "max_calls", "max_cost", "max_time", "is_confirmed",
                      "is_full", "form"})
"""Options that may stand beside `--resume`: all others were said when the reissue was begun."""

_OPTIONS = (
    click.option("--model", metavar="NAME", help="Ask this model instead."),
    click.option("--set", "settings", multiple=True, metavar="KEY=JSON", help="Set a field; dotted keys reach inside."),
    click.option("--system", metavar="TEXT|@FILE", help="Replace the system prompt."),
    click.option("--prompt", "prompts", multiple=True, metavar="NAME@VERSION=FILE",
                 help="Replace the system prompt of calls that come from this prompt; the new calls carry name and version."),
    click.option("--provider", type=click.Choice(list(WRITERS)), help="Ask in this wire format; what is lost is listed."),
    click.option("--threaded", is_flag=True, help="Let new answers flow into later turns (else: the recorded history)."),
    click.option("--repeat", type=click.IntRange(1, 1000), default=1, metavar="N", help="Send everything so often."),
    click.option("--base-url", metavar="URL", help="Send to this endpoint instead."),
    click.option("--api-key-env", metavar="NAME", help="Take the key from this variable."),
    click.option("--concurrency", type=click.IntRange(1, 64), default=1, metavar="N",
                 help="So many calls at a time; the order inside a conversation is kept."),
    click.option("--rate", metavar="N/s|N/min", help="Send no faster than this."),
    click.option("--retries", type=click.IntRange(0, 10), default=2, show_default=True, metavar="N",
                 help="Try again where surely nobody was paid: 429, 503, no connection. Nothing else is tried again."),
    click.option("--max-calls", type=click.IntRange(min=1), metavar="N", help="Send at most so many calls."),
    click.option("--max-cost", metavar="USD", help="Stop before the cost passes this."),
    click.option("--max-time", metavar="TIME", help="Send nothing more after so long: 90s, 2m."),
    click.option("--resume", metavar="SESSION", help="Go on with the reissue that makes this session."),
    click.option("--resend-in-doubt", "resend", is_flag=True,
                 help="With --resume: also send calls that may have been answered and paid for."),
    click.option("--full", "is_full", is_flag=True, help="All figures, also of answers that are the same."),
)


def reissue_options(command: Command) -> Command:
    """All of them, as the parameters of `read_options`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for. With `resume`, `caps` and what else was given stand for what the reissue was begun with."""

    changes: Changes
    orders: Orders
    caps: Caps
    resume: str | None
    resend: bool
    is_full: bool

    def over(self, begun: Orders, given: frozenset[str]) -> Orders:
        """The orders of a reissue that is gone on with: as it was begun, but for what was given now."""
        now = {name: getattr(self.orders, name) for option, name in (
            ("concurrency", "concurrency"), ("rate", "interval_ns"), ("retries", "retries")) if option in given}
        return replace(begun.with_caps(self.caps), **now)


def read_options(given: str | None, options: Mapping[str, Any]) -> Wanted:
    """What the options amount to. Raises `ConfigError` with the good values."""
    caps = Caps(
        calls=options["max_calls"],
        cost=None if options["max_cost"] is None else read_usd(options["max_cost"], "--max-cost"),
        seconds=None if options["max_time"] is None else read_seconds(options["max_time"], "--max-time"),
    )
    system = options["system"]
    changes = Changes(
        options["model"], dict(map(read_setting, options["settings"])), options["base_url"],
        _text_of_file(system[1:], "--system") if system is not None and system.startswith("@") else system,
        tuple(map(read_prompt, options["prompts"])), options["provider"])
    orders = Orders(
        options["threaded"], options["repeat"], options["concurrency"],
        0 if options["rate"] is None else read_rate(options["rate"]), options["retries"], caps, options["api_key_env"])
    wanted = Wanted(changes, orders, caps, options["resume"], options["resend"], options["is_full"])
    if (given is None) == (wanted.resume is None):
        raise ConfigError("Name a SESSION or a CALL to send again, or go on with --resume SESSION; one of the two.")
    if wanted.resume is not None and (other := given_now() - GOING_ON):
        names = ", ".join(sorted("--" + name for name in map(_spelled, other)))
        raise ConfigError(f"{names} cannot stand beside --resume: a reissue goes on as it was begun. Begin a new one for that.")
    if wanted.resend and wanted.resume is None:
        raise ConfigError("--resend-in-doubt goes with --resume SESSION.")
    return wanted


def given_now() -> frozenset[str]:
    """Names of the parameters that stand on the command line."""
    context = click.get_current_context()
    shared = ("store_directory", "store", "color", "pager", "debug", "given")
    return frozenset(name for name in context.params
                     if context.get_parameter_source(name) is ParameterSource.COMMANDLINE and name not in shared)


def read_prompt(text: str) -> PromptText:
    """`support@7=new.txt` as a version of a prompt, with the text of the file. Raises `ConfigError`."""
    named, equals, file = text.partition("=")
    name, at, version = named.rpartition("@")
    if not (name and at and version and equals and file):
        raise ConfigError(f"--prompt {text!r} is not usable; good values: NAME@VERSION=FILE, such as support@7=support.txt")
    return PromptText(name, version, _text_of_file(file, "--prompt"))


def _text_of_file(name: str, option: str) -> str:
    """What stands in a file, without its last line end."""
    try:
        return Path(name).expanduser().read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ConfigError(f"{option}: the file {name!r} cannot be read: {why}") from None


def _spelled(name: str) -> str:
    return {"settings": "set", "prompts": "prompt"}.get(name, name.replace("_", "-"))
