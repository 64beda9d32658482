"""Which tools a message asks for, and with which arguments.

A tool fits when its name, description and parameters share words with the message; a word in its name counts double.
Words that several of the offered tools share (`order` in `lookup_order` and `refund_order`) do not tell them apart,
so a tool is called for what is its own. When nothing is, the best one is called, and a tool that reads goes before
one that acts. Two tools asked for, or two ids, cities or addresses for one tool, become parallel calls.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .evidence import Evidence, Kind, kind_of
from .schema import Form
from .words import plain, stem, stems

_READS = re.compile(r"^(get|look|find|search|check|list|fetch|track|read|query|show)", re.I)
_SYNONYMS = {
    "status": ("where", "arriving", "progress"),
    "order": ("parcel", "package", "delivery", "shipment", "purchase"),
    "refund": ("money", "reimburse", "return"),
    "weather": ("rain", "sunny", "temperature", "forecast", "umbrella", "cold", "warm"),
    "price": ("cost", "much", "expensive", "cheap"),
    "search": ("find", "look"),
}
_MEANS = {stem(said): stem(meant) for meant, words in _SYNONYMS.items() for said in words}
_SPLITTING: tuple[Kind, ...] = ("id", "place", "email", "url")
_ASKED_FOR: tuple[Kind, ...] = ("id", "email")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: dict[str, Any]

    def missing(self, evidence: Evidence) -> list[str]:
        """The required ids and addresses that nobody has mentioned: what to ask for before calling."""
        properties = self.parameters.get("properties", {})
        return [
            plain(name)
            for name in self.parameters.get("required", ())
            if (kind := kind_of(name, properties.get(name, {}))) in _ASKED_FOR and not evidence.of(kind)
        ]


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call; `arguments` is JSON text."""

    name: str
    arguments: str


def wanted(tools: Sequence[Tool], message: str) -> list[Tool]:
    """The tools that the message asks for, in the order they are offered."""
    said = {meaning for word in stems(message) for meaning in (word, _MEANS.get(word, word))}
    if re.search(r"\bwhere\b", message, re.I):
        said.add(_MEANS["wher"])
    scores = [_score(tool, said) for tool in tools]
    shared = Counter(word for score in scores for word in score)
    own = [sum(weight for word, weight in score.items() if shared[word] == 1) for score in scores]
    total = [sum(score.values()) for score in scores]
    chosen = [tool for tool, mine, all_ in zip(tools, own, total, strict=True) if mine >= 2 or (mine and all_ >= 3)]
    if chosen:
        return chosen
    best = max(total, default=0)
    if best < 2:
        return []
    close = [tool for tool, score in zip(tools, total, strict=True) if score >= best - 1]
    return [next((tool for tool in close if _READS.match(tool.name)), tools[total.index(best)])]


def calls(tool: Tool, evidence: Evidence, *, model: str, may_be_parallel: bool) -> list[Call]:
    """The call of this tool, or one for each value when the message names several for a single property."""
    properties = tool.parameters.get("properties", {})
    kinds = Counter(kind_of(name, schema) for name, schema in properties.items() if schema.get("type") != "array")
    split = next((kind for kind in _SPLITTING if kinds[kind] == 1 and len(evidence.of(kind)) > 1), None)
    views = [evidence.only(split, value) for value in evidence.of(split)] if split and may_be_parallel else [evidence]
    return [Call(tool.name, json.dumps(_arguments(tool, view, model), ensure_ascii=False)) for view in views]


def _arguments(tool: Tool, evidence: Evidence, model: str) -> Any:
    form = Form(evidence, evidence.text, model=model, must=False)
    return form.fill({"type": "object", **tool.parameters})


def _score(tool: Tool, said: set[str]) -> dict[str, int]:
    properties = tool.parameters.get("properties", {})
    hints = " ".join([*map(plain, properties), *(str(one.get("description", "")) for one in properties.values())])
    score = {word: 1 for word in stems(f"{tool.description} {hints}") if word in said}
    score |= {word: 2 for word in stems(plain(tool.name)) if word in said}
    return score
