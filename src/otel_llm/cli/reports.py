"""The reports of a command: at most one on standard output, the others in files. Common to `compare`, `suite` and `rerun`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from otel_llm.cli.files import STDOUT, check_output, output_file
from otel_llm.cli.output import Output, note
from otel_llm.report.github import stopped
from otel_llm.text.lines import Line
from otel_llm.text.safe import json_text
from otel_llm.values.errors import ConfigError

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Reports:
    """What was asked for. `form` is json or github, None for people; files are names, `-` for standard output."""

    form: str | None = None
    junit_file: str | None = None
    html_file: str | None = None

    @property
    def _files(self) -> Iterator[tuple[str, str]]:
        for option, file in (("--junit", self.junit_file), ("--html", self.html_file)):
            if file is not None:
                yield option, file

    @property
    def has_stdout(self) -> bool:
        """True when standard output belongs to a report for programs."""
        return self.form is not None or STDOUT in (self.junit_file, self.html_file)

    def check(self) -> None:
        """Raise `ConfigError` when they would get into each other's way, or a file cannot be written."""
        writers = [*([f"--{self.form}"] if self.form else []), *(f"{option} -" for option, file in self._files if file == STDOUT)]
        if len(writers) > 1:
            raise ConfigError(f"{' and '.join(writers)} would both write to standard output; give one of them a file.")
        for option, file in self._files:
            check_output(file, option)

    def write(self, junit: Callable[[], str], html: Callable[[], str] | None = None) -> None:
        """Write the files that were asked for."""
        made = {"--junit": junit, "--html": html}
        for option, file in self._files:
            make = made[option]
            assert make is not None
            text = make()
            with output_file(file, option) as place:
                place.write(text.encode())
            if file != STDOUT:
                note(f"Wrote {file}.")

    def show(
        self, output: Output, *, as_json: Callable[[], Any], lines: Callable[[bool], Iterable[Line]], github: Iterable[str]
    ) -> None:
        """Standard output: one JSON object, or the lines, with the commands of GitHub Actions behind them where these are wanted.

        `lines` is told whether a person reads them, with colour and within the width. A runner obeys nothing in the others.
        """
        if self.form == "json":
            output.write(json_text(as_json()))
        elif self.form == "github":
            begin, end = stopped()
            output.write(begin)
            output.show(lines(False), whole=True)
            output.write(end)
            for command in github:
                output.write(command)
        elif not self.has_stdout:
            output.show(lines(True), paged=True, whole=True)


def report_options(*, json: str, github: str, junit: str, html: bool = True) -> Callable[[Command], Command]:
    """`--json`, `--github`, `--junit` and `--html` with these words of help: `form`, `junit_file`, `html_file` for `Reports`."""

    def decorate(command: Command) -> Command:
        options = [click.option("--json", "form", flag_value="json", default=None, help=json),
                   click.option("--github", "form", flag_value="github", help=github),
                   click.option("--junit", "junit_file", metavar="FILE", help=junit)]
        if html:
            options.append(click.option("--html", "html_file", metavar="FILE", help="Write a page that works offline."))
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
