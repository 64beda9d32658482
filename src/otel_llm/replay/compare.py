"""How two answers differ, as plain JSON values: what a reissue prints and the store keeps.

Two answers are the *same* when they say the same words, ask for the same tools with the same arguments, and ended alike (both
answered, or both failed with the same status). Tokens, cost and latency are reported and never decide: they differ between
two identical answers. Text is compared word by word, since a line of prose that changed in one word is not a new line; tool
arguments are compared as JSON, since their spacing means nothing.

    {"same": bool,
     "text": {"same": bool, "words": [["=" | "-" | "+", text], …]},
     "tool_calls": {"same": bool, "changes": [{"change": "added" | "removed" | "changed", "name", "old", "new"}, …]},
     "status", "error_type", "model", "finish_reason", "input_tokens", "output_tokens", "cost_pico_usd", "duration_ns":
         {"old": value | null, "new": value | null}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from otel_llm.values.call import Call, Cost, Message, Response, ToolCall, Usage

MAX_WORDS = 4_000
"""Beyond so many words on one side lines are compared first, because comparing words takes time quadratic in their number."""

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")

Words = list[list[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """One side of a comparison: what came back for a call, and the figures around it."""

    text: str = ""
    tool_calls: tuple[tuple[str, str], ...] = ()
    """(name, arguments as JSON text) in the order in which the model asked."""
    status: int | None = None
    error_type: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    cost: Cost | None = None
    duration_ns: int | None = None


def answer_of(
    call: Call | None,
    *,
    status: int | None,
    cost: Cost | None = None,
    duration_ns: int | None = None,
    error_type: str | None = None,
) -> Answer:
    """The side of a comparison that a call as it was read stands for; `None` is a call without a readable answer."""
    response = (call.response if call is not None else None) or Response()
    parts = [part for message in response.messages for part in message.parts]
    return Answer(
        text=text_of(response.messages),
        tool_calls=tuple((part.name, part.arguments) for part in parts if isinstance(part, ToolCall)),
        status=status,
        error_type=error_type or response.error_type,
        model=response.model,
        finish_reason=", ".join(response.finish_reasons) or None,
        usage=response.usage,
        cost=cost,
        duration_ns=duration_ns,
    )


def text_of(messages: Sequence[Message]) -> str:
    """The words of an answer; several choices stand one below the other."""
    return "\n\n".join(message.text for message in messages if message.text)


def compare(old: Answer, new: Answer) -> dict[str, Any]:
    """The difference of two answers in the shape above."""
    words = diff_words(old.text, new.text)
    changes = diff_tools(old.tool_calls, new.tool_calls)
    text_same = all(sign == "=" for sign, _ in words)
    ended_alike = _ending(old) == _ending(new)
    figures = {
        "status": (old.status, new.status),
        "error_type": (old.error_type, new.error_type),
        "model": (old.model, new.model),
        "finish_reason": (old.finish_reason, new.finish_reason),
        "input_tokens": (old.usage.input_tokens, new.usage.input_tokens),
        "output_tokens": (old.usage.output_tokens, new.usage.output_tokens),
        "cost_pico_usd": (old.cost and old.cost.total, new.cost and new.cost.total),
        "duration_ns": (old.duration_ns, new.duration_ns),
    }
    return {
        "same": text_same and not changes and ended_alike,
        "text": {"same": text_same, "words": words},
        "tool_calls": {"same": not changes, "changes": changes},
        **{name: {"old": before, "new": after} for name, (before, after) in figures.items()},
    }


def _ending(answer: Answer) -> object:
    """What two answers must share besides their words: an error by its status, everything answered alike."""
    return "answered" if answer.status is not None and answer.status < 400 else answer.status


def diff_words(old: str, new: str) -> Words:
    """Runs of words that stayed (`=`), went (`-`) and came (`+`); joining all but `+` gives the old text, all but `-` the new."""
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    if max(len(before), len(after)) > MAX_WORDS:
        before, after = _LINES.findall(old), _LINES.findall(new)
    runs: Words = []
    for tag, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            _append(runs, "=", "".join(before[i:j]))
        else:
            _append(runs, "-", "".join(before[i:j]))
            _append(runs, "+", "".join(after[k:m]))
    return runs


def _append(runs: Words, sign: str, text: str) -> None:
    if text:
        runs.append([sign, text])


def diff_tools(old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Tool calls that were added, removed or changed; calls of the same tool are paired in their order."""
    before, after = [(n, _json(a)) for n, a in old], [(n, _json(a)) for n, a in new]
    if before == after:
        return []
    matcher = SequenceMatcher(None, [name for name, _ in before], [name for name, _ in after], autojunk=False)
    changes: list[dict[str, Any]] = []
    for tag, i, j, k, m in matcher.get_opcodes():
        for gone, came in zip_longest(before[i:j], after[k:m]) if tag == "equal" else ():
            if gone[1] != came[1]:
                changes.append({"change": "changed", "name": gone[0], "old": gone[1], "new": came[1]})
        if tag != "equal":
            changes += [{"change": "removed", "name": name, "old": args, "new": None} for name, args in before[i:j]]
            changes += [{"change": "added", "name": name, "old": None, "new": args} for name, args in after[k:m]]
    return changes


def _json(text: str) -> Any:
    """The value of a tool's arguments; what is no JSON stays text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def is_same(diff: Mapping[str, Any]) -> bool:
    """What a stored difference says."""
    return diff.get("same") is True
