"""`otel-llm config`: every setting with its value and its source, and every variable of the environment that counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.output import ENVIRONMENT
from otel_llm.cli.table import Column, form_options, print_rows
from otel_llm.replay.credentials import HOST_KEYS
from otel_llm.values.settings import STANDARD_VARIABLES, VARIABLES

KEY_MEANING = "key for replays; never recorded, never printed"
KEY_VARIABLES = {
    "OPENAI_API_KEY": f"{KEY_MEANING}; goes to api.openai.com or to OPENAI_BASE_URL",
    "OPENAI_BASE_URL": "endpoint that OPENAI_API_KEY belongs to",
    "OPENAI_API_VERSION": "api-version for replays of Azure deployments",
}
_SECRET = ("_KEY", "_HEADERS")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: `source` is `argument`, `default`, the name of a variable, or `environment`; `value` is None when not set."""

    setting: str | None
    variable: str | None
    value: Any
    source: str | None
    meaning: str


COLUMNS: list[Column[Entry]] = [
    Column("setting", "SETTING", lambda e: e.setting or "", lambda e: e.setting, most=16, keep=1),
    Column("variable", "VARIABLE", lambda e: e.variable or "", lambda e: e.variable, most=56, style=lambda e: "id"),
    Column("value", "VALUE", lambda e: shown(e.value), lambda e: shown(e.value), most=48),
    Column("source", "SOURCE", lambda e: e.source or "", lambda e: e.source, keep=3, most=24),
    Column("meaning", "MEANING", lambda e: e.meaning, lambda e: e.meaning, keep=2, grows=True),
]


@click.command()
@form_options
@pass_app
def config(app: App, form: str | None, header: bool) -> None:
    """Show every setting and where it comes from, and the variables that count."""
    print_rows(app, entries(app), COLUMNS, form=form, header=header, as_json=_json)


def entries(app: App) -> Iterator[Entry]:
    """Our settings, the variables of OpenTelemetry, those of the terminal, the keys of replays."""
    settings = app.settings
    for variable in VARIABLES:
        value = getattr(settings, variable.setting)
        if variable.setting == "store":
            value = app.store_place()
        source = settings.sources.get(variable.setting, "default")
        yield Entry(variable.setting, variable.name, value, "--store" if source == "argument" else source, variable.meaning)
    keys = dict.fromkeys((*KEY_VARIABLES, *HOST_KEYS.values()), KEY_MEANING) | KEY_VARIABLES
    for name, meaning in {**STANDARD_VARIABLES, **ENVIRONMENT, **keys}.items():
        value = app.environ.get(name)
        if value is not None and name.endswith(_SECRET):
            value = "(set)"
        yield Entry(None, name, value, "environment" if value is not None else None, meaning)


def shown(value: Any) -> str:
    """A value as it would be written in the environment."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items())
    return "" if value is None else str(value)


def _json(entry: Entry) -> dict[str, Any]:
    return {"setting": entry.setting, "variable": entry.variable, "value": entry.value, "source": entry.source,
            "meaning": entry.meaning}
