"""The user's own lines on the way to an error: what is left of a traceback without the SDK's frames and ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from otel_llm.values.errors import ReplayDiverged

_OURS = str(Path(__file__).parent.parent) + os.sep


def is_own(path: str, config: pytest.Config) -> bool:
    """True for code of the project whose tests run, and not of what is installed in it."""
    return path.startswith(str(config.rootpath) + os.sep) and "site-packages" not in path and not path.startswith(_OURS)


def own(error: BaseException, config: pytest.Config) -> Iterator[tuple[str, int, str]]:
    """File, line and function of each of the user's frames, the outermost first."""
    for at in _links(error.__traceback__):
        code = at.tb_frame.f_code
        if is_own(code.co_filename, config):
            yield code.co_filename, at.tb_lineno, code.co_name


def shortened(item: pytest.Item, found: pytest.ExceptionInfo[Any]) -> pytest.ExceptionInfo[Any]:
    """Of a difference what passed the user's own lines alone, unless all was asked for; any other error as it is."""
    wants_all = item.config.getoption("fulltrace") or item.config.getoption("tbstyle") == "long"
    kept = None
    if isinstance(found.value, ReplayDiverged) and not wants_all:
        for at in reversed([*_links(found.value.__traceback__)]):
            if is_own(at.tb_frame.f_code.co_filename, item.config):
                kept = TracebackType(kept, at.tb_frame, at.tb_lasti, at.tb_lineno)
    return found if kept is None else pytest.ExceptionInfo.from_exc_info((type(found.value), found.value, kept))


def _links(at: TracebackType | None) -> Iterator[TracebackType]:
    while at is not None:
        yield at
        at = at.tb_next
