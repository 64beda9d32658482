"""A collector's configuration as its pipelines see it: what is defined, what is joined to what.

    section      name → settings
    pipeline     receivers, processors, exporters, each a name with its line
    connector    an exporter of one pipeline and a receiver of another; `passed` follows spans back through them
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from otel_llm.collector_config.reading import Node

SECTIONS = ("receivers", "processors", "connectors", "exporters", "extensions")
_DEFAULT = re.compile(r"\$\{env:[A-Za-z0-9_]+:-([^}]*)\}")
_DURATION = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One pipeline; the nodes are the names in its lists."""

    name: str
    line: int
    receivers: Sequence[Node]
    processors: Sequence[Node]
    exporters: Sequence[Node]


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration."""

    root: Node
    defined: Mapping[str, Mapping[str, Node]]
    """Section to its components."""
    pipelines: Sequence[Pipeline]

    def of_type(self, section: str, *types: str) -> list[tuple[str, Node]]:
        """Components of a section by type."""
        return [(name, node) for name, node in self.defined[section].items() if type_of(name) in types]

    def passed(self, pipeline: Pipeline, seen: frozenset[str] = frozenset()) -> list[tuple[str, Node]]:
        """Every processor that spans may have passed when they leave this pipeline, through connectors back to the receivers."""
        found = [(node.text, node) for node in pipeline.processors]
        entered = {node.text for node in pipeline.receivers} & set(self.defined["connectors"])
        for other in self.pipelines:
            if other.name not in seen | {pipeline.name} and entered & {node.text for node in other.exporters}:
                found += self.passed(other, seen | {pipeline.name})
        return found

    def leading_to(self, component: str) -> list[Pipeline]:
        """The pipelines that export to a component."""
        return [p for p in self.pipelines if component in {node.text for node in p.exporters}]


def config_of(root: Node) -> Config:
    """The view on a document that was read."""
    defined = {section: (root.get(section) or Node(0, None)).map for section in SECTIONS}
    pipelines = []
    for name, node in (root.get("service", "pipelines") or Node(0, None)).map.items():
        parts = [(node.get(part) or Node(node.line, None)).items for part in ("receivers", "processors", "exporters")]
        pipelines.append(Pipeline(name, node.line, *parts))
    return Config(root, defined, pipelines)


def type_of(name: str) -> str:
    """`otlp_http/jaeger` is of type `otlp_http`."""
    return name.partition("/")[0]


def with_defaults(text: str) -> str:
    """Text with every `${env:X:-d}` replaced by its default."""
    return _DEFAULT.sub(r"\1", text)


def seconds(text: str) -> float | None:
    """A duration as Go writes it; None when it is none."""
    if text.strip() in ("0", "0s"):
        return 0.0
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
