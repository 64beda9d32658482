"""Folding a stream: neighbouring events that differ in one piece of text become one event with all of the text.

An answer of 500 words comes as 500 events that are equal but for a word, and to parse each of them costs a hundred times what
the word is worth. Where an adapter knows that such texts are put together to one, they can be put together as they stand in
the JSON: what is before and behind them is compared as bytes, and of the texts it is checked that each is whole.
"""

from __future__ import annotations

import re

_TEXTS = re.compile(rb'[^"\\\x00-\x09\x0b-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x09\x0b-\x1f]*)*')
"""The inside of JSON strings, one a line: no line can end in the middle of an escape, nor in the middle of a string."""


def fold(body: bytes, text: re.Pattern[bytes], others: re.Pattern[bytes]) -> bytes:
    """The stream with its runs of texts folded; lines end in `\\n`.

    The first group of `text` is the piece of text in an event, which does not end with it. An event in which `others` is found
    as well, before or behind that, may say something else too, and stays as it is.
    """
    out: list[bytes] = []
    run: list[bytes] = []
    before = behind = b""
    for block in _blocks(body):
        if run and block.startswith(before) and block.endswith(behind):
            run.append(block)
            continue
        out += run if len(run) < 2 else _folded(run, before, behind)
        found = text.search(block)
        if found is None or others.search(block, 0, found.start()) or others.search(block, found.end()):
            out.append(block)
            run = []
        else:
            before, behind, run = block[: found.start(1)], block[found.end(1) :], [block]
    out += run if len(run) < 2 else _folded(run, before, behind)
    return b"\n\n".join(out)


def _blocks(body: bytes) -> list[bytes]:
    """What stands between empty lines. Where all events are of one line, cutting at single bytes is twice as fast."""
    lines = body.split(b"\n")
    return body.split(b"\n\n") if any(lines[1::2]) else lines[::2]


def _folded(run: list[bytes], before: bytes, behind: bytes) -> list[bytes]:
    """One event with the text of all; the events themselves when what differs is not text alone."""
    start, end = len(before), -len(behind)
    lines = b"\n".join([block[start:end] for block in run])
    is_whole = lines.count(b"\n") == len(run) - 1 and min(map(len, run)) >= start - end
    if not is_whole or _TEXTS.fullmatch(lines) is None:
        return run
    return [b"".join((before, lines.replace(b"\n", b""), behind))]
