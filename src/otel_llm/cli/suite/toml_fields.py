"""A TOML file read field by field, so that whatever is wrong in it is said with its key, its line and the good values.

`tomllib` keeps no places. The line of a key is looked up in the text when an error needs it, by following the headers of
tables; a key inside an inline table is found by the line of the table.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from otel_llm.values.errors import ConfigError

Place = tuple[str | int, ...]
"""Keys and, in arrays of tables, positions: `("variants", 1, "model")`."""
MAX_FILE = 1_000_000
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")


class Fields:
    """One table of a file. Each field is taken once; `end()` finds those that nobody took."""

    def __init__(self, file: str, text: str, values: Mapping[str, Any], place: Place = ()) -> None:
        self.file, self._text, self._values, self.place = file, text, values, place
        self._known: list[str] = []

    @classmethod
    def read(cls, file: str) -> Fields:
        """The file. Raises `ConfigError` when it cannot be read, or is no TOML."""
        try:
            data = Path(file).read_bytes()
            if len(data) > MAX_FILE:
                raise ConfigError(f"{file} has {len(data):,} bytes; a suite has at most {MAX_FILE:,}")
            text = data.decode("utf-8")
            return cls(file, text, tomllib.loads(text))
        except OSError as error:
            raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{file} is no UTF-8 text") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{file} is no TOML: {error}") from None

    def text(self, name: str, default: str | None = None, *, good: Sequence[str] = ()) -> str | None:
        """A text that is not empty; with `good` one of these."""
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, str) or not value.strip() or (good and value not in good):
            self.refuse(name, value, " or ".join(f'"{word}"' for word in good) or 'a text, such as "…"')
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; one text is a list of one."""
        value = self._take(name)
        listed = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(each, str) and each.strip() for each in listed):
            self.refuse(name, value, 'a list of texts, such as ["…", "…"]')
        if len(set(listed)) < len(listed):
            self.refuse(name, value, "a list of texts that differ")
        return tuple(listed)

    def whole(self, name: str, default: int | None, *, least: int, most: int) -> int | None:
        """A whole number."""
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.refuse(name, value, f"a whole number from {least:,} to {most:,}")
        return value

    def number(self, name: str, default: float | None, *, above: float, most: float, may_be_least: bool = False) -> float | None:
        """A number."""
        value = self._take(name)
        if value is None:
            return default
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not (above < value <= most or (may_be_least and value == above)):
            self.refuse(name, value, f"a number {'from' if may_be_least else 'above'} {above:g} to {most:g}")
        return float(value)

    def flag(self, name: str) -> bool:
        """true or false; false when it is not there."""
        value = self._take(name)
        if value is not None and not isinstance(value, bool):
            self.refuse(name, value, "true or false")
        return value is True

    def any(self, name: str) -> Any:
        """The value as it is; None when it is not there."""
        return self._take(name)

    def table(self, name: str) -> Fields:
        """A table; an empty one when it is not there."""
        value = self._take(name)
        if value is not None and not isinstance(value, dict):
            self.refuse(name, value, f"a table: [{name}]")
        return Fields(self.file, self._text, value or {}, (*self.place, name))

    def tables(self, name: str) -> list[Fields]:
        """An array of tables; one table is an array of one."""
        value = self._take(name)
        listed = [] if value is None else [value] if isinstance(value, dict) else value
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            self.refuse(name, value, f"an array of tables: [[{name}]]")
        return [Fields(self.file, self._text, each, (*self.place, name, place)) for place, each in enumerate(listed)]

    def values(self) -> Mapping[str, Any]:
        """All of the table as it is; every key is then known."""
        self._known += list(self._values)
        return self._values

    def end(self) -> None:
        """Raise when the table has a key that is not known."""
        for name in self._values:
            if name not in self._known:
                near = get_close_matches(name, self._known, n=1)
                hint = f"Did you mean {near[0]}? " if near else ""
                raise ConfigError(f"{self.where(name)}: unknown key {name!r}{self._inside()}. {hint}"
                                  f"Good keys: {', '.join(sorted(set(self._known)))}")

    def has(self, name: str) -> bool:
        """Whether the key is there."""
        return name in self._values

    def refuse(self, name: str, value: Any, good: str) -> NoReturn:
        """Raise `ConfigError` for a value."""
        self.fail(f"{name} = {_shown(value)}{self._inside()} is not usable; good values: {good}", name)

    def fail(self, message: str, name: str | None = None) -> NoReturn:
        """Raise `ConfigError` at a key, or at the table."""
        raise ConfigError(f"{self.where(name)}: {message}")

    def where(self, name: str | None) -> str:
        """The file and the line of a key, or of the table."""
        found = line_of(self._text, self.place if name is None else (*self.place, name))
        return self.file if found is None else f"{self.file}, line {found}"

    def _take(self, name: str) -> Any:
        self._known.append(name)
        return self._values.get(name)

    def _inside(self) -> str:
        names = [str(part) for part in self.place if isinstance(part, str)]
        return f" in [{'.'.join(names)}]" if names else ""


def line_of(text: str, place: Place) -> int | None:
    """The number of the line in which a key stands, else the innermost table around it; None when neither is found."""
    table: Place = ()
    seen: dict[Place, int] = {}
    best, depth = None, 0
    quotes: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if quotes is not None:
            quotes = None if quotes in line else quotes
            continue
        if header := _HEADER.match(line):
            table = _table(_names(header[2]), is_array=header[1] == "[[", seen=seen)
            here = table
        elif key := _KEY.match(line):
            here = (*table, *_names(key[1]))
            quotes = next((mark for mark in ('"""', "'''") if line.count(mark) == 1), None)
        else:
            continue
        if len(here) > depth and here == place[: len(here)]:
            best, depth = number, len(here)
    return best


def _table(names: Sequence[str], *, is_array: bool, seen: dict[Place, int]) -> Place:
    """The place that a header opens; `seen` counts the tables of each array."""
    place: Place = ()
    for at, name in enumerate(names):
        place = (*place, name)
        if is_array and at == len(names) - 1:
            seen[place] = seen.get(place, -1) + 1
        if place in seen:
            place = (*place, seen[place])
    return place


def _names(path: str) -> list[str]:
    return [part.strip().strip("\"'") for part in path.split(".")]


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 80 else text[:80] + "…"
