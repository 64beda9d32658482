"""`otel-llm doctor`: what can be recorded here, where it goes, what is there, and what was lost.

Endpoints that spans go to are asked, with an empty request, whether they take any. Each line is a finding: `ok`, `note` (good
to know) or `problem` (something is not recorded or not sent on as one would think). Exit 4 when the store cannot be used, else 0.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from textwrap import wrap
from typing import Any, Literal

import click

from otel_llm._version import __version__
from otel_llm.cli.app import App, pass_app
from otel_llm.cli.move.endpoints import advice, ask
from otel_llm.cli.output import Output
from otel_llm.cli.table import form_options, print_rows
from otel_llm.text import numbers
from otel_llm.text.lines import Line, width_of
from otel_llm.text.safe import line
from otel_llm.text.table import Column
from otel_llm.values.destination import FIRST, Destination, first_destination
from otel_llm.values.destination import destinations as all_destinations
from otel_llm.values.errors import ConfigError, StoreError
from otel_llm.values.settings import unread

GROUPS = ("opentelemetry_configurator", "opentelemetry_distro", "opentelemetry_instrumentor")
_GENAI = ("openai", "anthropic", "genai", "llm", "langchain", "bedrock", "vertex", "mistral", "groq", "cohere")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `value` is what was found, for programs."""

    state: Literal["ok", "note", "problem"]
    subject: str
    text: str
    value: Any = None


_STYLES = {"ok": "ok", "note": "running", "problem": "error"}
COLUMNS: list[Column[Finding]] = [
    Column("state", "STATE", lambda f: f.state, lambda f: f.state),
    Column("subject", "SUBJECT", lambda f: f.subject, lambda f: f.subject),
    Column("text", "TEXT", lambda f: f.text, lambda f: f.text, grows=True),
]


@click.command()
@form_options
@pass_app
def doctor(app: App, form: str | None, header: bool) -> None:
    """Check what is recorded, where it goes, what was lost."""
    trouble: list[StoreError] = []
    found = [*libraries(app), *_store(app, trouble), *destinations(app), *neighbours(), *variables(app)]
    output = Output(app)
    if form is None and output.width is not None:
        output.show(report(found, output.width), paged=True)
    else:
        print_rows(app, found, COLUMNS, form=form, header=header,
                   as_json=lambda f: {"state": f.state, "subject": f.subject, "text": f.text, "value": f.value})
    if trouble:
        raise trouble[0]


def report(found: Sequence[Finding], width: int) -> Iterator[Line]:
    """The findings for a terminal; a long text goes on below its own beginning."""
    room = min(max((width_of(line(f.subject)) for f in found), default=0), 24)
    indent = len("problem") + room + 4
    for finding in found:
        first, *rest = wrap(line(finding.text), max(width - indent, 20)) or [""]
        yield [(f"{finding.state:<7}  ", _STYLES[finding.state]), (f"{line(finding.subject):<{room}}  ", "bold"), (first, "")]
        yield from ([(" " * indent + text, "")] for text in rest)


def libraries(app: App) -> Iterator[Finding]:
    """Which supported SDKs are installed."""
    yield Finding("ok", "otel-llm", f"{__version__} on Python {sys.version.split()[0]}", __version__)
    for name in app.libraries():
        version = _version(name)
        if version is None:
            yield Finding("note", name, "is not installed; nothing of it can be recorded", None)
        else:
            yield Finding("ok", name, f"{version} is installed; its calls are recorded after otel_llm.init()", version)
    if app.settings.disabled:
        yield Finding("problem", "OTEL_SDK_DISABLED", "is set: nothing is recorded at all", True)
    if not app.settings.content:
        yield Finding("note", "OTEL_LLM_CONTENT", "is off: prompts and answers are not recorded, calls cannot be sent again")


def _store(app: App, trouble: list[StoreError]) -> Iterator[Finding]:
    """Where the data is, how much, and what is missing. A store that cannot be opened is a finding too."""
    yield Finding("ok", "store", f"{app.store_place()} (from {_source(app)})", app.store_place())
    try:
        facts, losses = app.store.facts(), app.store.losses()
    except StoreError as error:
        trouble.append(error)
        yield Finding("problem", "store", str(error))
        return
    for name, value in facts.items():
        if isinstance(value, (str, int, float)) and str(value) != app.store_place():
            yield Finding("ok", name.replace("_", " "), _fact(name, value), value)
        elif isinstance(value, Mapping):
            text = ", ".join(f"{key} {_fact(key, item)}" for key, item in value.items())
            yield Finding("ok", name.replace("_", " "), text or "nothing", dict(value))
    for loss in losses:
        yield Finding("problem", "lost", f"{numbers.count(loss.count)} × {loss.reason}, last {numbers.clock(loss.last_ns)}",
                      {"reason": loss.reason, "count": loss.count, "last_ns": loss.last_ns})
    if not losses:
        yield Finding("ok", "lost", "nothing", 0)


def _fact(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int):
        return str(value)
    if "bytes" in name:
        return numbers.size(value)
    return numbers.clock(value) if name.endswith("_ns") and value > 10**15 else numbers.count(value)


def _source(app: App) -> str:
    source = app.settings.sources.get("store", "default")
    return {"argument": "--store", "default": "the platform's user data directory"}.get(source, source)


def destinations(app: App) -> Iterator[Finding]:
    """Where spans go besides the store, and whether they are taken there."""
    named = app.settings.forward
    found = all_destinations(named, app.environ, first=False)
    try:
        standard = first_destination(app.environ, named.get(FIRST, ""))
    except ConfigError as error:
        yield Finding("problem", FIRST, f"{error} Spans stay in the store.")
    else:
        if standard is not None:
            found.insert(0, standard)
        elif FIRST in named:
            yield Finding("problem", FIRST, f"OTEL_LLM_FORWARD has options for {FIRST}; OTEL_EXPORTER_OTLP_ENDPOINT is not set")
        elif not named:
            yield Finding("note", "OTLP", "spans go to the store alone; set OTEL_EXPORTER_OTLP_ENDPOINT to send them on")
    for one in found:
        words = ask(one, app.environ)
        if words is None:
            yield Finding("ok", one.name, f"spans also go to {one.place}, which takes them; {_exposure(app, one)}", one.place)
        else:
            todo = advice(words, one, app.environ)
            yield Finding("problem", one.name, f"{one.place} takes no spans: {words}{f' – {todo}' if todo else ''}", one.place)
    yield from backlog(app)


def _exposure(app: App, one: Destination) -> str:
    """What the endpoint sees of prompts and answers."""
    is_on_spans = "SPAN" in app.settings.content_on_spans
    if not app.settings.content:
        return "without prompts and answers, which are not recorded"
    if one.content == "masked":
        return "prompts and answers masked"
    if one.content == "full" or (one.content == "span" and is_on_spans):
        return "with prompts and answers"
    if one.content == "none":
        return "without prompts and answers"
    return "without prompts and answers; OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY adds them"


def backlog(app: App) -> Iterator[Finding]:
    """How the endpoints fare that spans of this store go to."""
    try:
        found = app.store.facts().get("forwarding", ())
    except StoreError:
        return  # said already
    for one in found:
        text = f"{one['endpoint']}: {numbers.plural(one['waiting'], 'span')} waiting, {numbers.count(one['sent'])} sent"
        if one["refused"]:
            text += f", {numbers.count(one['refused'])} refused (`otel-llm forward status --letters`)"
        if one["lost"]:
            text += f", {numbers.count(one['lost'])} lost to the cap"
        if one["last_error"]:
            text += f"; last error {numbers.clock(one['last_error_ns'])}: {one['last_error']}"
        is_bad = one["refused"] or one["lost"] or one["state"] == "misplaced" or one["failures"]
        yield Finding("problem" if is_bad else "ok", f"to {one['name']}", text, dict(one))
    if any(one["waiting"] for one in found):
        yield Finding("note", "waiting spans", "go out with the next program that records here, or now with "
                      "`otel-llm forward run --until-empty`")


def neighbours() -> Iterator[Finding]:
    """Other OpenTelemetry packages that have a say when `opentelemetry-instrument` starts a program."""
    found: dict[str, list[str]] = {group: [] for group in GROUPS}
    for group in GROUPS:
        for point in metadata.entry_points(group=group):
            package = point.dist.name if point.dist is not None else point.value
            if package != "otel-llm":
                found[group].append(f"{point.name} ({package})")
    configurators = sorted(set(found["opentelemetry_configurator"]))
    if configurators:
        yield Finding("note", "configurators", f"{', '.join(configurators)}: under opentelemetry-instrument the first one wins; "
                      "set OTEL_PYTHON_CONFIGURATOR=otel_llm to be sure of ours", configurators)
    llm = sorted(point for point in found["opentelemetry_instrumentor"] if any(word in point.lower() for word in _GENAI))
    if llm:
        yield Finding("note", "instrumentors", f"{', '.join(llm)} also trace LLM calls; under their spans ours are left out", llm)
    if not configurators and not llm:
        yield Finding("ok", "neighbours", "no other package configures OpenTelemetry or traces LLM calls here", [])


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def variables(app: App) -> Iterator[Finding]:
    """Variables of the environment that may be slips of the pen."""
    for name, near in unread(app.environ):
        yield Finding("note", name, f"nobody reads it; did you mean {near}?" if near else "nobody reads it", near)
