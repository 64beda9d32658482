"""`otel-llm collector check FILE`: what in a collector's configuration would lose spans, show content or give wrong numbers.

Exit 1 when something is found. Where a collector is installed (or named by OTEL_LLM_OTELCOL_BIN, or built by
collector/build.sh) its own `validate` speaks too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.output import Output, note
from otel_llm.cli.table import print_json
from otel_llm.collector_config import binary
from otel_llm.collector_config.lint import Finding
from otel_llm.collector_config.lint import check as lint
from otel_llm.text.numbers import plural
from otel_llm.text.safe import line
from otel_llm.values.errors import ConfigError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "form", flag_value="json", default=None, help="Print the findings as a JSON array.")
@click.option("--jsonl", "form", flag_value="jsonl", help="Print one JSON object a line.")
@pass_app
def check(app: App, file: Path, form: str | None) -> None:
    """Find usual mistakes in a configuration of the OpenTelemetry Collector; exit 1 when there are any."""
    findings = lint(_text(file))
    program = binary.find("otelcol", app.environ)
    if program is not None and all(found.rule != "yaml" for found in findings):
        findings += [Finding(None, "validate", said) for said in binary.validate(program, file, app.environ)]
    output = Output(app)
    if form is not None:
        print_json(output, map(_json, findings), form)
    else:
        for found in findings:
            place = f"{file}:{found.line}" if found.line is not None else str(file)
            output.show([[(f"{line(place)}: ", "id"), (line(found.message), ""), (f" [{found.rule}]", "dim")]], whole=True)
    by = f"{program} agrees" if program is not None else "no otelcol was found to validate it (collector/build.sh builds one)"
    note(f"{plural(len(findings), 'finding')} in {file}." if findings else f"Nothing found in {file}; {by}.")
    click.get_current_context().exit(1 if findings else 0)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is no text in UTF-8; give a configuration in YAML.") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}.") from None


def _json(found: Finding) -> dict[str, Any]:
    return {"line": found.line, "rule": found.rule, "message": found.message}
