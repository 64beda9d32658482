"""What a marker says: against which sessions its test runs, by which rules, and which file a recording of it goes to."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from otel_llm._replaying import replaying, several
from otel_llm.pytest_plugin import MARKER
from otel_llm.replay.rerun.ignoring import Ignored
from otel_llm.replay.rerun.player import Rules
from otel_llm.transfer.session_file import SUFFIX, is_session_file
from otel_llm.values.errors import ConfigError

FOLDER = "sessions"
MAX_NAME = 150
_UNSAFE = re.compile(r"[^A-Za-z0-9_.,=@\[\]-]")
_RULES = [name for name, parameter in inspect.signature(replaying).parameters.items()
          if parameter.kind is parameter.KEYWORD_ONLY and name != "check"]
_PLACES: pytest.StashKey[dict[str, set[str]]] = pytest.StashKey()


@dataclass(frozen=True, slots=True)
class Marked:
    """A marked test. `sessions` are whole paths and ids; `rules` are arguments of `otel_llm.replaying`.

    `is_from_folder` says that the marker names a folder. Its files are given, and no test writes them.
    """

    item: pytest.Item
    sessions: tuple[str, ...]
    rules: dict[str, Any]
    is_from_folder: bool = False

    @property
    def file(self) -> Path | None:
        """The one file that the test can be recorded in; None for sessions of the store, and for several."""
        only = self.sessions[0]
        return Path(only) if len(self.sessions) == 1 and is_session_file(only) and not self.is_from_folder else None

    @property
    def ignored(self) -> Ignored:
        """Fields of requests that are new in every run."""
        return Ignored(several(self.rules.get("ignore", ())))

    def command(self, option: str) -> str:
        """What to type so that this test is recorded."""
        return f"pytest {shlex.quote(self.item.nodeid)} {option}"

    def shown(self, place: str | Path) -> str:
        """A path as people write it, from where pytest was started."""
        path = Path(place)
        start = self.item.config.invocation_params.dir
        return str(path.relative_to(start)) if path.is_relative_to(start) else str(path)


def files_in(item: Any, marker: pytest.Mark) -> list[Path] | None:
    """The session files of the folder that a marker names, sorted; None when it names none. Fails when there are none."""
    only = marker.args[0]
    if len(marker.args) > 1 or not isinstance(only, (str, os.PathLike)) or not (folder := item.path.parent / only).is_dir():
        return None
    found = sorted(path for path in folder.iterdir() if is_session_file(str(path)))
    if not found:
        pytest.fail(f"{folder} has no session file (*{SUFFIX}); `otel-llm export session ID -o {folder / 'NAME'}{SUFFIX}` "
                    "writes one.", pytrace=False)
    return found


def read_marker(item: pytest.Item, marker: pytest.Mark, file: Path | None = None) -> Marked:
    """What the marker says; `file` is the one of its folder. Fails the test when it makes no sense."""
    if unknown := sorted(set(marker.kwargs) - set(_RULES)):
        pytest.fail(f"{MARKER} has no argument {unknown[0]!r}; arguments are {', '.join(_RULES)}", pytrace=False)
    _check_rules(marker.kwargs)
    if any(not isinstance(one, (str, os.PathLike)) for one in marker.args):
        pytest.fail(f"{MARKER}{marker.args} names no session: give files (NAME{SUFFIX}) or ids", pytrace=False)
    if file is not None:
        return Marked(item, (str(file),), dict(marker.kwargs), is_from_folder=True)
    given = [os.fspath(one) for one in marker.args]
    if not given:
        _check_default(item)
        given = [_default_place(item)]
    sessions = tuple(os.path.normpath(item.path.parent / one) if is_session_file(one) else one for one in given)
    return Marked(item, sessions, dict(marker.kwargs))


def _check_rules(given: Mapping[str, Any]) -> None:
    """Fails a test whose rerun nobody could begin, also while it is recorded."""
    try:
        Rules(given.get("policy", "strict"), speed=given.get("speed", "instant"), ignore=several(given.get("ignore", ())))
    except ConfigError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def _default_place(item: pytest.Item) -> str:
    return os.path.join(item.path.parent, FOLDER, file_name([
        *(node.name for node in item.listchain() if isinstance(node, pytest.Class)), item.name]))


def file_name(names: list[str]) -> str:
    """The file of a test, by its class and name. Unusual characters are escaped as in a URL; a long name ends in its hash."""
    whole = ".".join(names)
    safe = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass")), whole)
    if len(safe) > MAX_NAME:
        safe = f"{safe[:MAX_NAME]}~{hashlib.blake2b(whole.encode('utf-8', 'surrogatepass'), digest_size=6).hexdigest()}"
    return safe + SUFFIX


def check_alone(item: pytest.Item, marked: Marked) -> None:
    """Fails a test that is to be recorded when another one has the same session file."""
    others = _places(item).get(marked.sessions[0].casefold(), set()) - {item.nodeid}
    if others:
        file = marked.shown(marked.sessions[0])
        pytest.fail(f"{min(others)} has the same session file, {file}, so that one recording would undo the other; give each "
                    "a file of its own.", pytrace=False)


def _check_default(item: pytest.Item) -> None:
    """Fails a test whose file would be that of another one, in another module of the same folder."""
    others = _places(item).get(_default_place(item).casefold(), set()) - {item.nodeid}
    if others:
        pytest.fail(f"{min(others)} would have the same session file as this test; give one of them a file of its own: "
                    f'@pytest.mark.{MARKER}("{FOLDER}/{item.path.stem}.{item.name}{SUFFIX}")', pytrace=False)


def _places(item: pytest.Item) -> dict[str, set[str]]:
    """Which tests of this run have which session file to themselves."""
    stash = item.session.stash
    if _PLACES not in stash:
        found = stash[_PLACES] = {}
        for one in item.session.items:
            marker = one.get_closest_marker(MARKER)
            if marker is not None and (place := _place(one, marker)) is not None:
                found.setdefault(place.casefold(), set()).add(one.nodeid)
    return stash[_PLACES]


def _place(item: pytest.Item, marker: pytest.Mark) -> str | None:
    """The one file that a marker means; None for several, for folders and for sessions of the store."""
    if not marker.args:
        return _default_place(item)
    only = marker.args[0]
    if len(marker.args) > 1 or not isinstance(only, (str, os.PathLike)) or not is_session_file(os.fspath(only)):
        return None
    return os.path.normpath(item.path.parent / only)
