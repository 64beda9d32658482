"""How two answers differ, as plain JSON values: what a reissue prints and the store keeps.

Two answers are the *same* when they say the same words, ask for the same tools with the same arguments, and ended alike (both
answered, or both failed with the same status). Tokens, cost and latency are reported and never decide: they differ between
two identical answers. Text is compared word by word, since a line of prose that changed in one word is not a new line; tool
arguments are compared as JSON, since their spacing means nothing. The answer of an embeddings call is its vectors: they are the
same when all their numbers are, to the 32 bits that providers compute with; else `cosine` says how far the least similar are.

Where nothing could be compared (no answer was recorded, or nobody can read it) `compared` is false, and so is `same`.

    {"same": bool, "compared": bool,
     "text": {"same": bool, "words": [["=" | "-" | "+", text], …]},
     "tool_calls": {"same": bool, "changes": [{"change": "added" | "removed" | "changed", "name", "old", "new"}, …]},
     "vectors": null (no embeddings) | {"same": bool | null, "old": count | null, "new": count | null, "cosine": float | null},
     "status", "error_type", "error_message", "model", "finish_reason", "input_tokens", "output_tokens", "cost_pico_usd",
     "duration_ns":
         {"old": value | null, "new": value | null}}
"""

from __future__ import annotations

import binascii
import json
import math
import re
import sys
from array import array
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from otel_llm.replay.compare.edits import opcodes
from otel_llm.replay.reading import RecordedCall
from otel_llm.values.call import Call, Cost, Message, Response, ToolCall, Usage

MAX_WORDS = 4_000
"""Beyond so many words on one side, or where too many of them differ, lines are compared: nobody reads so many single words."""

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")

Words = list[list[str]]
Vectors = tuple[tuple[float, ...], ...]
EMBEDDINGS = "embeddings"


@dataclass(frozen=True, slots=True)
class Answer:
    """One side of a comparison: what came back for a call, and the figures around it."""

    text: str = ""
    tool_calls: tuple[tuple[str, str], ...] = ()
    """(name, arguments as JSON text) in the order in which the model asked."""
    status: int | None = None
    error_type: str | None = None
    error_message: str | None = None
    """What the provider said of an error; where nothing came, what the program was told."""
    model: str | None = None
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    cost: Cost | None = None
    duration_ns: int | None = None
    is_readable: bool = True
    """False when an answer may have come whose words nobody could read."""
    is_embeddings: bool = False
    vectors: Vectors | None = None
    """What an embeddings call gave, in the order of its inputs; None when it is not known."""


def answer_of(
    call: Call | None,
    *,
    status: int | None,
    cost: Cost | None = None,
    duration_ns: int | None = None,
    error_type: str | None = None,
    body: bytes | None = None,
) -> Answer:
    """The side of a comparison that a call as it was read stands for; `None` is a call without a readable answer.

    `body` is the response as it was received, which alone holds the vectors of an embeddings call.
    """
    response = (call.response if call is not None else None) or Response()
    parts = [part for message in response.messages for part in message.parts]
    is_embeddings = call is not None and call.operation == EMBEDDINGS
    return Answer(
        is_readable=call is not None,
        is_embeddings=is_embeddings,
        vectors=vectors_of(body) if is_embeddings else None,
        text=text_of(response.messages),
        tool_calls=tuple((part.name, part.arguments) for part in parts if isinstance(part, ToolCall)),
        status=status,
        error_type=error_type or response.error_type,
        error_message=response.error_message,
        model=response.model,
        finish_reason=", ".join(response.finish_reasons) or None,
        usage=response.usage,
        cost=cost,
        duration_ns=duration_ns,
    )


def recorded_answer(recorded: RecordedCall) -> Answer:
    """The recorded side of a comparison, with the figures that the store has."""
    step = recorded.step
    answer = answer_of(
        recorded.call,
        status=recorded.exchange.status,
        cost=step.cost,
        duration_ns=step.duration_ns,
        error_type=step.error_type,
        body=recorded.exchange.response_body,
    )
    said = answer.error_message or step.error_message
    return replace(answer, model=answer.model or step.response_model, usage=step.usage, error_message=said)


def text_of(messages: Sequence[Message]) -> str:
    """The words of an answer; several choices stand one below the other."""
    return "\n\n".join(message.text for message in messages if message.text)


def compare(old: Answer, new: Answer) -> dict[str, Any]:
    """The difference of two answers in the shape above."""
    words = diff_words(old.text, new.text)
    changes = diff_tools(old.tool_calls, new.tool_calls)
    text_same = all(sign == "=" for sign, _ in words)
    vectors = diff_vectors(old.vectors, new.vectors) if old.is_embeddings or new.is_embeddings else None
    vectors_same = vectors is None or vectors["same"] is True or not (_answered(old) or _answered(new))
    ended_alike = _ending(old) == _ending(new)
    is_compared = not ended_alike or (_is_known(old) and _is_known(new))
    figures = {
        "status": (old.status, new.status),
        "error_type": (old.error_type, new.error_type),
        "error_message": (old.error_message, new.error_message),
        "model": (old.model, new.model),
        "finish_reason": (old.finish_reason, new.finish_reason),
        "input_tokens": (old.usage.input_tokens, new.usage.input_tokens),
        "output_tokens": (old.usage.output_tokens, new.usage.output_tokens),
        "cost_pico_usd": (old.cost and old.cost.total, new.cost and new.cost.total),
        "duration_ns": (old.duration_ns, new.duration_ns),
    }
    return {
        "same": is_compared and text_same and not changes and vectors_same and ended_alike,
        "compared": is_compared,
        "text": {"same": text_same, "words": words},
        "tool_calls": {"same": not changes, "changes": changes},
        "vectors": vectors,
        **{name: {"old": before, "new": after} for name, (before, after) in figures.items()},
    }


def _ending(answer: Answer) -> object:
    """What two answers must share besides their words: an error by its status, everything answered alike."""
    return "answered" if _answered(answer) else answer.status


def _answered(answer: Answer) -> bool:
    return answer.status is not None and answer.status < 400


def _is_known(answer: Answer) -> bool:
    """Whether it is known what came back: words or vectors that can be read, or the error that came instead."""
    if answer.text or answer.tool_calls or answer.vectors is not None:
        return True
    if _answered(answer):
        return answer.is_readable and not answer.is_embeddings
    return answer.status is not None or answer.error_type is not None


def diff_words(old: str, new: str) -> Words:
    """Runs of words that stayed (`=`), went (`-`) and came (`+`); joining all but `+` gives the old text, all but `-` the new."""
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    steps, is_shortest = opcodes(before, after) if max(len(before), len(after)) <= MAX_WORDS else ([], False)
    if not is_shortest:
        before, after = _LINES.findall(old), _LINES.findall(new)
        steps, _ = opcodes(before, after)
    runs: Words = []
    gone = came = ""
    for place, (tag, i, j, k, m) in enumerate(steps, 1):
        text = "".join(before[i:j])
        is_gap = tag == "equal" and text.isspace() and "\n" not in text  # between two changes it belongs to both
        if tag != "equal" or (is_gap and (gone or came) and place < len(steps)):
            gone, came = gone + text, came + "".join(after[k:m])
            continue
        while gone and came and gone[-1] == came[-1] and gone[-1] in " \t":
            gone, came, text = gone[:-1], came[:-1], gone[-1] + text
        runs += [[sign, words] for sign, words in (("-", gone), ("+", came), ("=", text)) if words]
        gone = came = ""
    return runs + [[sign, words] for sign, words in (("-", gone), ("+", came)) if words]


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


def diff_vectors(old: Vectors | None, new: Vectors | None) -> dict[str, Any]:
    """How the vectors of two embeddings calls compare; `cosine` is that of the least similar pair, None when there is none."""
    known = old is not None and new is not None
    pairs = list(zip(old, new, strict=True)) if old is not None and new is not None and len(old) == len(new) else []
    cosines = [_cosine(before, after) for before, after in pairs]
    return {
        "same": old == new if known else None,
        "old": None if old is None else len(old),
        "new": None if new is None else len(new),
        "cosine": min((c for c in cosines if c is not None), default=None) if None not in cosines else None,
    }


def _cosine(one: Sequence[float], other: Sequence[float]) -> float | None:
    lengths = math.hypot(*one) * math.hypot(*other)
    if len(one) != len(other) or not lengths or not math.isfinite(lengths):
        return None
    return max(-1.0, min(1.0, sum(a * b for a, b in zip(one, other, strict=True)) / lengths))


def vectors_of(body: bytes | None) -> Vectors | None:
    """The vectors in the response of an embeddings call, as numbers or base64; None when they cannot be read."""
    try:
        rows = json.loads(body or b"")["data"]
        return tuple(_vector(row["embedding"]) for row in sorted(rows, key=lambda row: row.get("index", 0))) or None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, binascii.Error):
        return None


def _vector(value: str | Iterable[float]) -> tuple[float, ...]:
    """The numbers in 32 bits, as base64 has them, so that both ways of writing a vector give the same."""
    if not isinstance(value, str):
        return tuple(array("f", value))
    numbers = array("f", b64decode(value, validate=True))
    if sys.byteorder == "big":
        numbers.byteswap()
    return tuple(numbers)


def is_same(diff: Mapping[str, Any]) -> bool:
    """What a stored difference says."""
    return diff.get("same") is True


def is_new_failure(diff: Mapping[str, Any]) -> bool:
    """True when an error came where there was an answer."""
    old, new = diff["status"]["old"], diff["status"]["new"]
    return old is not None and old < 400 and (new is None or new >= 400)
