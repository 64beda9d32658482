"""The table of commands, and the root command that reads it.

Help is printed from the table, so that it imports no verb. A verb is imported when it is run, or when the shell asks how to
complete it. The options of every command (`--store`, `--color`, …) may stand before the verb or behind it.
"""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from otel_llm._version import __version__
from otel_llm.cli import faults
from otel_llm.cli.app import App, wired

GROUPS = ("look", "replay", "prompts", "move", "run")
"""Headings of the help, in this order; one without commands is not shown."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One command: where it stands in the help, where its code is, and what it does in one line."""

    name: str
    group: str
    target: str
    help: str


VERBS: tuple[Verb, ...] = (
    Verb("sessions", "look", "otel_llm.cli.look.sessions:sessions", "List sessions, newest first, with totals."),
    Verb("show", "look", "otel_llm.cli.look.show:show", "Show a session, a trace or a call as people read it."),
    Verb("calls", "look", "otel_llm.cli.look.calls:calls", "List LLM calls, newest first."),
    Verb("call", "look", "otel_llm.cli.look.call:call", "Show the exact request and response of a call."),
    Verb("search", "look", "otel_llm.cli.look.search:search", "Find calls and tools by the words in them."),
    Verb("tail", "look", "otel_llm.cli.look.tail:tail", "Watch calls as they happen, one line each."),
    Verb("replay", "replay", "otel_llm.cli.replay:replay", "Send recorded calls again; compare answers."),
    Verb("forward", "move", "otel_llm.cli.move.forward:forward", "See and keep going what is sent to OTLP endpoints."),
    Verb("collector", "move", "otel_llm.cli.move.collector:collector", "Write and check OpenTelemetry Collector configurations."),
    Verb("export", "move", "otel_llm.cli.move.export:export", "Send stored sessions on: to OTLP, or to files."),
    Verb("import", "move", "otel_llm.cli.move.import_file:import_file", "Take in sessions that were exported to files."),
    Verb("run", "run", "otel_llm.cli.run.run:run", "Run a program with recording switched on."),
    Verb("serve", "run", "otel_llm.cli.run.serve:serve", "Receive OTLP over HTTP and gRPC into the store."),
    Verb("demo", "run", "otel_llm.cli.run.demo:demo", "See it all at work on a small support agent."),
    Verb("config", "run", "otel_llm.cli.run.config:config", "Show every setting and where it comes from."),
    Verb("doctor", "run", "otel_llm.cli.run.doctor:doctor", "Check what is recorded, where it goes, what was lost."),
    Verb("completion", "run", "otel_llm.cli.run.completion:completion", "Print the completion script of a shell."),
)

REPLAY_VERBS: tuple[Verb, ...] = (
    Verb("reissue", "replay", "otel_llm.cli.replay.reissue:reissue", "Send a session or a call again, also changed."),
    Verb("check", "replay", "otel_llm.cli.replay.check:check", "Say how far sessions can be replayed, and why not further."),
    Verb("rerun", "replay", "otel_llm.cli.replay.rerun:rerun", "Run your program against its recording, offline."),
    Verb("fork", "replay", "otel_llm.cli.replay.fork:fork", "Replay up to a call, then go on live with changes."),
    Verb("diff", "replay", "otel_llm.cli.replay.diff:diff", "Compare the answers of two calls."),
    Verb("compare", "replay", "otel_llm.cli.replay.compare:compare", "Compare sessions step by step; checks, reports."),
    Verb("suite", "replay", "otel_llm.cli.suite.suite:suite", "Sessions in several prompts and models; which regressed."),
    Verb("bisect", "replay", "otel_llm.cli.suite.bisect:bisect", "Find the prompt version where a check begins to fail."),
)

FORWARD_VERBS: tuple[Verb, ...] = (
    Verb("status", "move", "otel_llm.cli.move.forward_status:status", "List endpoints, what waits, and dead letters."),
    Verb("run", "move", "otel_llm.cli.move.forward_run:run", "Send what waits, without the program that recorded it."),
    Verb("retry", "move", "otel_llm.cli.move.forward_run:retry", "Let dead letters wait again; end every wait."),
    Verb("drop", "move", "otel_llm.cli.move.forward_run:drop", "Forget an endpoint and all that waits for it."),
)

COLLECTOR_VERBS: tuple[Verb, ...] = (
    Verb("config", "move", "otel_llm.cli.move.collector_config:config", "Print a configuration: Jaeger, OTLP, sampling."),
    Verb("check", "move", "otel_llm.cli.move.collector_check:check", "Find usual mistakes in a configuration."),
)

EXPORT_VERBS: tuple[Verb, ...] = (
    Verb("otlp", "move", "otel_llm.cli.move.export_otlp:otlp", "To Jaeger or any OTLP endpoint, ids and times unchanged."),
    Verb("jsonl", "move", "otel_llm.cli.move.export_jsonl:jsonl", "To a file that holds everything, for `otel-llm import`."),
    Verb("session", "move", "otel_llm.cli.move.export_session:session", "To a file to keep, read, edit and rerun."),
    Verb("parquet", "move", "otel_llm.cli.move.export_parquet:parquet", "To a table, one row a step."),
)

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class VerbGroup(click.Group):
    """A group whose commands stand in a table and are imported when they are needed."""

    def __init__(self, name: str, verbs: Sequence[Verb], **attributes: Any) -> None:
        super().__init__(name, context_settings=_CONTEXT, **attributes)
        self.verbs = {verb.name: verb for verb in verbs}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = self.verbs.get(cmd_name)
        if verb is None:
            return None
        module, _, name = verb.target.partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        if command.context_settings.get("ignore_unknown_options"):
            command.allow_interspersed_args = False  # what stands behind the first argument belongs to another program
        elif not any(param.name == "debug" for param in command.params):
            command.params.extend(shared_options(hidden=True))
        command.context_settings = {**_CONTEXT, **command.context_settings}
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.verbs and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"No command {args[0]!r}. {faults.nearest(args[0], list(self.verbs))}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group in GROUPS:
            rows = [(verb.name, verb.help) for verb in self.verbs.values() if verb.group == group]
            if rows:
                with formatter.section(group.capitalize()):
                    formatter.write_dl(rows)


class Root(VerbGroup):
    """`otel-llm` itself: fills the context, and turns errors into sentences and exit codes."""

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, complete_var: str | None = None,
             standalone_mode: bool = True, windows_expand_args: bool = True, **extra: Any) -> Any:
        app = extra.pop("obj", None) or wired()
        name = prog_name or "otel-llm"
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        enter: Callable[..., Any] = super().main
        code = faults.run(
            lambda: enter(args, name, complete_var, False, windows_expand_args, obj=app, **extra),
            is_debug=lambda: app.debug,
        )
        if standalone_mode:
            sys.exit(code)
        return code

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise faults.ReaderLeft from None


def _keep(attribute: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        app = ctx.find_object(App)
        if app is not None and value is not None and not ctx.resilient_parsing:
            setattr(app, attribute, value)
        elif app is not None and attribute == "store_directory" and value is not None:
            app.store_directory = value

    return callback


def shared_options(*, hidden: bool) -> list[click.Parameter]:
    """The options that every command understands; behind a verb they are not repeated in its help."""

    def option(*names: str, attribute: str, **attributes: Any) -> click.Option:
        return click.Option(names, expose_value=False, is_eager=True, hidden=hidden, callback=_keep(attribute), **attributes)

    return [
        option("--store", attribute="store_directory", metavar="DIR",
               help="Directory of the store (default: OTEL_LLM_STORE, else the user data directory)."),
        option("--color", attribute="color", type=click.Choice(["auto", "always", "never"]),
               help="Colour; auto means on a terminal, unless NO_COLOR or FORCE_COLOR says otherwise."),
        option("--pager/--no-pager", attribute="use_pager", default=None,
               help="Show long output through PAGER (less -FRX) on a terminal."),
        option("--debug", attribute="debug", is_flag=True, default=None, help="Show tracebacks."),
    ]


def _bare() -> None:
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        from otel_llm.cli.home import home

        home(context.find_object(App) or wired())


root = Root(
    "otel-llm",
    VERBS,
    callback=_bare,
    invoke_without_command=True,
    params=shared_options(hidden=False),
    help="The flight recorder for LLM applications: look at recorded sessions, search them, send them again.",
    epilog="An ID is any unique prefix of at least 4 characters; @1 is the latest session, @2 the one before, SESSION:3 the "
    "third call of a session. Exit codes: 0 done, 1 difference, 2 usage or not found, 3 cannot be replayed, "
    "4 store trouble, 130 interrupted.",
)
click.version_option(__version__, prog_name="otel-llm", message="%(prog)s %(version)s")(root)
