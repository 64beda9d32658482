"""Finds the OpenTelemetry Collector and Jaeger, and lets the Collector check a file.

Looked for in this order: the variable `OTEL_LLM_OTELCOL_BIN` (or `OTEL_LLM_JAEGER_BIN`), the PATH, the cache that
`collector/build.sh` fills.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from otel_llm.values.errors import ConfigError

OTELCOL_VERSION = "0.155.0"
JAEGER_VERSION = "2.13.0"
VARIABLES = {"otelcol": "OTEL_LLM_OTELCOL_BIN", "jaeger": "OTEL_LLM_JAEGER_BIN"}
_NAMES = {"otelcol": ("otelcol", "otelcol-contrib"), "jaeger": ("jaeger",)}
_VERSIONS = {"otelcol": OTELCOL_VERSION, "jaeger": JAEGER_VERSION}


def find(program: str, environ: Mapping[str, str]) -> Path | None:
    """Where `otelcol` or `jaeger` is, or None. A variable that names nothing is an error, not a reason to look elsewhere."""
    given = environ.get(VARIABLES[program])
    if given:
        if not os.access(given, os.X_OK) or os.path.isdir(given):
            raise ConfigError(f"{VARIABLES[program]}={given!r} is no program; give the path of {program}, or unset it.")
        return Path(given)
    for name in _NAMES[program]:
        found = shutil.which(name, path=environ.get("PATH", os.defpath))
        if found:
            return Path(found)
    cache = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".cache")
    built = Path(cache, "otel-llm", "bin", f"{program}-{_VERSIONS[program]}")
    return built if os.access(built, os.X_OK) else None


def validate(program: Path, file: Path, environ: Mapping[str, str]) -> list[str]:
    """What the program's own check says against a file, a line an error; nothing when it passes."""
    try:
        done = subprocess.run([program, "validate", "--config", file], env=dict(environ), capture_output=True, text=True,
                              errors="replace", timeout=60, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{program} cannot check a file: {error}") from None
    if done.returncode == 0:
        return []
    said = [line.removeprefix("Error: ").strip() for line in (done.stderr or done.stdout).splitlines()]
    return [line for line in said if line and "collector server run finished with error" not in line] or [
        f"refused, with exit code {done.returncode} and no word why"]
