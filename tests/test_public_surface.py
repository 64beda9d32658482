"""What `import otel_llm` promises."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import otel_llm


def test_all_is_sorted_and_everything_in_it_is_there() -> None:
    assert otel_llm.__all__ == sorted(otel_llm.__all__)
    assert [name for name in otel_llm.__all__ if not hasattr(otel_llm, name)] == []


def test_every_public_function_says_what_one_gets() -> None:
    silent = [name for name in otel_llm.__all__ if callable(getattr(otel_llm, name)) and not getattr(otel_llm, name).__doc__]

    assert silent == []


def test_the_version_is_said_in_one_place() -> None:
    assert importlib.metadata.version("otel-llm") == otel_llm.__version__


def test_importing_it_imports_neither_the_sdk_nor_opentelemetrys_sdk() -> None:
    code = "import sys, otel_llm; print([m for m in ('openai', 'opentelemetry.sdk', 'rich', 'genai_prices', 'sqlite3') if m in sys.modules])"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"


def test_no_entry_point_leads_nowhere() -> None:
    groups = ("console_scripts", "opentelemetry_instrumentor", "opentelemetry_traces_exporter", "opentelemetry_configurator")
    ours = [e for group in groups for e in importlib.metadata.entry_points(group=group) if e.value.startswith("otel_llm")]

    assert {e.group for e in ours} == set(groups)
    assert all(callable(e.load()) for e in ours)
