"""The floors of the house: imports go downwards only, and never between siblings of knowledge, edges and uses.

    5  doors      cli, demo, testing, _setup, _configurator, otel_llm itself
       words      report, and text below it: how what was found out looks
    4  uses       replay, evals, …
    3  edges      capture, store
    2  knowledge  adapters, dialects, otlp, pricing, redaction   (semconv just below them)
    1  values
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from pathlib import Path

import pytest

import otel_llm

ROOT = Path(otel_llm.__file__).parent
FLOORS = {
    "values": 10, "_version": 10, "semconv": 20, "adapters": 25, "otlp": 25, "dialects": 25, "pricing": 25, "redaction": 25,
    "capture": 30, "store": 30, "replay": 40, "prompts": 40, "evals": 40, "review": 40, "analytics": 40, "alerts": 40,
    "access": 40, "transfer": 40, "collector_config": 40, "text": 45, "report": 47, "cli": 50, "server": 50, "testing": 50, "demo": 50, "pytest_plugin": 50, "_setup": 50, "_replaying": 50,
    "_configurator": 50, "_auto": 50, "_environment": 50, "": 50}
SIBLINGS_MAY_MEET = {10, 50}
FOREIGN = {
    "values": set(), "semconv": set(), "adapters": set(), "redaction": set(), "pricing": {"genai_prices"}, "otlp": {"opentelemetry", "google"}, "transfer": {"pyarrow"},
    "replay": {"time_machine"}, "evals": set(), "text": {"rich"}, "report": set(), "capture": {"opentelemetry", "brotli", "brotlicffi", "zstandard", "compression"},
    "store": {"opentelemetry", "zstandard", "compression", "platformdirs"}, "testing": {"brotli", "zstandard"},
    "cli": {"click", "rich", "openai", "opentelemetry"}}
MODULES = sorted(ROOT.rglob("*.py"))


def place(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


@functools.cache
def imports(path: Path) -> list[str]:
    """Every module that a file imports, at any depth, relative ones made absolute."""
    package = ("otel_llm", *path.relative_to(ROOT).parent.parts)
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            found += [f"{module}.{alias.name}" for alias in node.names] if module == "otel_llm" else [module]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downwards_only(path: Path) -> None:
    here = place(path)
    wrong = []
    for name in imports(path):
        if not name.startswith("otel_llm"):
            continue
        there = (name.split(".") + [""])[1]
        there = there if there in FLOORS else ""
        if there == here or (here == "" and there == ""):
            continue
        up = FLOORS[there] > FLOORS[here]
        sideways = FLOORS[there] == FLOORS[here] and FLOORS[here] not in SIBLINGS_MAY_MEET
        if (up or sideways) and not (there == "" and here in ("capture",) and name == "otel_llm"):
            wrong.append(name)

    assert wrong == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_each_place_knows_only_the_libraries_that_it_is_about(path: Path) -> None:
    import sys

    allowed = FOREIGN.get(place(path))
    if allowed is None:
        return
    tops = {name.partition(".")[0] for name in imports(path)}

    assert tops - allowed - sys.stdlib_module_names - {"otel_llm"} == set()


def test_no_module_imports_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        name = ".".join(("otel_llm", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        graph[name] = {i for i in imports(path) if i.startswith("otel_llm.")}
    assert circle_in({name: {there for there in targets if there in graph and not related(name, there)}
                      for name, targets in graph.items()}) is None


def test_no_folder_imports_in_a_circle() -> None:
    """A folder is one idea; two that need each other are one, or hold a third."""
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        here = folder_of(path)
        graph.setdefault(here, set()).update(folder_of(file) for name in imports(path) if (file := file_of(name)) is not None)
    for here, targets in graph.items():
        targets.discard(here)
    graph.pop(".")  # the package itself and the set-up, which know everything

    assert circle_in(graph) is None


def related(name: str, other: str) -> bool:
    return f"{name}.".startswith(f"{other}.") or other.startswith(f"{name}.")


def circle_in(graph: Mapping[str, set[str]]) -> str | None:
    seen: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> str | None:
        if name in trail:
            return " → ".join((*trail[trail.index(name):], name))
        if name in seen:
            return None
        found = next(filter(None, (visit(there, (*trail, name)) for there in sorted(graph.get(name, ())))), None)
        seen.add(name)
        return found

    return next(filter(None, (visit(name, ()) for name in graph)), None)


def file_of(name: str) -> Path | None:
    """The file of a module of ours; None of another's."""
    base = ROOT.joinpath(*name.split(".")[1:])
    found = [file for file in (base / "__init__.py", base.with_suffix(".py")) if file.is_file()]
    return found[0] if name.startswith("otel_llm.") and found else None


def folder_of(path: Path) -> str:
    return str(path.parent.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_opens_with_its_idea_and_stays_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert ast.get_docstring(ast.parse(text)), "a module begins with the idea behind it"
    assert text.count("\n") <= 400, "look for the seam"


def test_sql_is_written_in_the_store_alone() -> None:
    words = ("SELECT ", "INSERT INTO", "DELETE FROM", "CREATE TABLE")
    found = [str(p.relative_to(ROOT)) for p in MODULES if place(p) != "store" and any(w in p.read_text() for w in words)]

    assert found == []


def test_attribute_names_are_written_in_semconv_alone() -> None:
    found = [(str(p.relative_to(ROOT)), node.value) for p in MODULES if place(p) not in ("semconv",)
             for node in ast.walk(ast.parse(p.read_text())) if isinstance(node, ast.Constant) and isinstance(node.value, str)
             and node.value.startswith(("gen_ai.", "otel_llm.cost", "otel_llm.tag")) and " " not in node.value]

    assert found == []
