"""Reads a collector's YAML with the line of every entry, which is what a finding points at.

PyYAML does the reading (the extra `collector`); nothing behind this module knows it. Values stay text, as they stand in the
file: `0` and `'0'` are the same to a check. Bounds on size and depth keep a file of aliases from growing into memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from otel_llm.values.errors import ConfigError

MAX_CHARACTERS = 4_000_000
MAX_NODES = 200_000
MAX_DEPTH = 100


class NotReadable(Exception):
    """The text is no YAML that a collector would read."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Node:
    """A value and the line where it begins; in a mapping that is the line of its key, counted from 1."""

    line: int
    value: str | Sequence[Node] | Mapping[str, Node] | None

    @property
    def map(self) -> Mapping[str, Node]:
        """The entries; none when it is no mapping."""
        return self.value if isinstance(self.value, Mapping) else {}

    @property
    def items(self) -> Sequence[Node]:
        """The elements of a list; none when it is none."""
        return self.value if not isinstance(self.value, (str, Mapping)) and self.value is not None else ()

    @property
    def text(self) -> str:
        """A scalar as it is written; empty for everything else."""
        return self.value if isinstance(self.value, str) else ""

    def get(self, *path: str) -> Node | None:
        """The node at the end of a path of keys."""
        here: Node | None = self
        for key in path:
            here = here.map.get(key) if here is not None else None
        return here

    def said(self, *path: str) -> str:
        """The scalar at the end of a path, or nothing."""
        found = self.get(*path)
        return found.text if found is not None else ""

    def walk(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
        """Every node below and this one, with its path."""
        yield path, self
        for key, node in self.map.items():
            yield from node.walk((*path, key))
        for node in self.items:
            yield from node.walk(path)


def read(text: str) -> Node:
    """The document. Raises `NotReadable` with a line, and `ConfigError` when PyYAML is missing."""
    try:
        import yaml
    except ImportError:
        raise ConfigError("Checking a file needs PyYAML, which is not installed: pip install 'otel-llm[collector]'.") from None
    if len(text) > MAX_CHARACTERS:
        raise NotReadable(1, f"{len(text):,} characters; a configuration has at most {MAX_CHARACTERS:,}")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        raise NotReadable(mark.line + 1 if mark is not None else 1, f"no YAML: {problem}") from None
    except RecursionError:
        raise NotReadable(1, "nested too deeply") from None
    return _Reader().node(root, 1, 0) if root is not None else Node(1, None)


class _Reader:
    def __init__(self) -> None:
        self._count = 0

    def node(self, raw: Any, line: int, depth: int) -> Node:
        self._count += 1
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            raise NotReadable(line, "too many values, or nested too deeply; aliases multiply what they stand for")
        if raw.id == "mapping":
            return Node(line, self._entries(raw, depth))
        if raw.id == "sequence":
            return Node(line, [self.node(item, item.start_mark.line + 1, depth + 1) for item in raw.value])
        return Node(line, None if raw.tag.endswith(":null") else raw.value)

    def _entries(self, raw: Any, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, value in raw.value:
            line = key.start_mark.line + 1
            if key.id != "scalar":
                raise NotReadable(line, "a key that is no text")
            if key.tag.endswith(":merge"):
                for part in value.value if value.id == "sequence" else [value]:
                    merged |= self.node(part, line, depth + 1).map
                continue
            if key.value in found:
                raise NotReadable(line, f"{key.value!r} stands here twice, first in line {found[key.value].line}")
            found[key.value] = self.node(value, line, depth + 1)
        return {**merged, **found}
