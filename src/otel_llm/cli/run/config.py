"""`otel-llm config`: every setting with its value and its source, and every variable of the environment that counts.

A value that cannot be used is shown with the others, with what would be good in its place; the exit code is then 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.output import ENVIRONMENT
from otel_llm.cli.table import form_options, print_rows
from otel_llm.replay.requests.credentials import HOST_KEYS
from otel_llm.text.table import Column
from otel_llm.values.errors import ConfigError
from otel_llm.values.settings import STANDARD_VARIABLES, VARIABLES, Settings, unread

KEY_MEANING = "key for replays; never recorded, never printed"
KEY_VARIABLES = {
    "OPENAI_API_KEY": f"{KEY_MEANING}; goes to api.openai.com or to OPENAI_BASE_URL",
    "OPENAI_BASE_URL": "endpoint that OPENAI_API_KEY belongs to",
    "OPENAI_API_VERSION": "api-version for replays of Azure deployments",
}
_SECRET = ("_KEY", "_HEADERS")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: `source` is `argument`, `default`, the name of a variable, or `environment`; `value` is None when not set.

    `problem` says what is wrong with a value that cannot be used.
    """

    setting: str | None
    variable: str | None
    value: Any
    source: str | None
    meaning: str
    problem: str | None = None


COLUMNS: list[Column[Entry]] = [
    Column("setting", "SETTING", lambda e: e.setting or "", lambda e: e.setting, most=16, keep=1),
    Column("variable", "VARIABLE", lambda e: e.variable or "", lambda e: e.variable, most=56, style=lambda e: "id"),
    Column("value", "VALUE", lambda e: _marked(e), lambda e: _marked(e), most=48, style=lambda e: "error" if e.problem else ""),
    Column("source", "SOURCE", lambda e: e.source or "", lambda e: e.source, keep=3, most=24),
    Column("meaning", "MEANING", lambda e: e.problem or e.meaning, lambda e: e.problem or e.meaning, keep=2, grows=True),
]


@click.command()
@form_options
@pass_app
def config(app: App, form: str | None, header: bool) -> None:
    """Show every setting and where it comes from, and the variables that count."""
    found = list(entries(app))
    print_rows(app, found, COLUMNS, form=form, header=header, as_json=_json)
    if problems := [entry.problem for entry in found if entry.problem]:
        raise ConfigError("; ".join(problems))


def entries(app: App) -> Iterator[Entry]:
    """Our settings, the variables of OpenTelemetry, those of the terminal, the keys of replays."""
    problems = dict(_problems(app.environ))
    usable = {name: value for name, value in app.environ.items() if name not in problems}
    settings = Settings.resolve({"store": app.store_directory}, usable, strict=True)
    for variable in VARIABLES:
        if variable.name in problems:
            text = app.environ[variable.name]
            yield Entry(variable.setting, variable.name, text, variable.name, variable.meaning, problems[variable.name])
            continue
        value = getattr(settings, variable.setting)
        if variable.setting == "store":
            value = app.place_of(settings)
        source = settings.sources.get(variable.setting, "default")
        yield Entry(variable.setting, variable.name, value, "--store" if source == "argument" else source, variable.meaning)
    keys = dict.fromkeys((*KEY_VARIABLES, *HOST_KEYS.values()), KEY_MEANING) | KEY_VARIABLES
    for name, meaning in {**STANDARD_VARIABLES, **ENVIRONMENT, **keys}.items():
        value = app.environ.get(name)
        if value is not None and name.endswith(_SECRET):
            value = "(set)"
        yield Entry(None, name, value, "environment" if value is not None else None, meaning)
    for name, near in unread(app.environ):
        yield Entry(None, name, "(set)", "environment", f"nobody reads it; did you mean {near}?" if near else "nobody reads it")


def _problems(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The variables whose values cannot be used, and why."""
    for variable in VARIABLES:
        if variable.name in environ:
            try:
                Settings.resolve({}, {variable.name: environ[variable.name]}, strict=True)
            except ConfigError as error:
                yield variable.name, str(error)


def _marked(entry: Entry) -> str:
    return f"✗ {shown(entry.value)}" if entry.problem else shown(entry.value)


def shown(value: Any) -> str:
    """A value as it would be written in the environment."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items())
    return "" if value is None else str(value)


def _json(entry: Entry) -> dict[str, Any]:
    return {"setting": entry.setting, "variable": entry.variable, "value": entry.value, "source": entry.source,
            "meaning": entry.meaning, "problem": entry.problem}
