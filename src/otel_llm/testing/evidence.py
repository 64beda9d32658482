"""What a message offers to fill a form with: its ids, numbers, places, names, dates, addresses and quotations.

A model that calls a tool or answers in a schema takes the values from the conversation. Here that is pattern matching:
each `Kind` is a pool of values in the order of the text, and a property draws from the pool that its name, type and
format point to. What the last message does not say is looked up in the earlier ones, the latest first.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

MAX_READ = 4_000
"""Characters of a message that are looked at: patterns take their time, and evidence stands at the beginning."""

Kind = Literal["id", "number", "place", "name", "date", "email", "url", "quote", "reason", "none"]

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")
_URL = re.compile(r"https?://[^\s\"'<>]+[^\s\"'<>.,;!?]")
_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_DATE = re.compile(rf"\d{{4}}-\d\d-\d\d(?:T[\d:.]+Z?)?|\b(?:today|tomorrow|yesterday|(?:next )?(?:{_DAYS}))\b", re.I)
_QUOTE = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|(?<!\w)'([^'\n]+)'(?!\w)|`([^`\n]+)`")
_ID = re.compile(
    r"\b[A-Za-z]{1,12}[-_]\d[\w-]*"  # A-1001, order_42
    r"|\b[A-Z]{1,6}\d[\w-]*"  # SKU123
    r"|#\s?\w*\d[\w-]*"  # #1001
    r"|(?<=rder |cket |oice |ount |omer |mber |case )\d+\b"  # order 7
    r"|(?<![\d.,$€£])\b\d{3,}\b(?![.,]?\d|%)"
)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w-])")
_CAPITALS = r"[A-Z][\w’'-]*(?:\s+[A-Z][\w’'-]+)*"
_PLACES = re.compile(rf"\b(?:in|for|at|to|from|near|of)\s+({_CAPITALS}(?:(?:,\s*|,?\s+(?:and|or)\s+){_CAPITALS})*)")
_LIST = re.compile(r",\s*(?:and |or )?|\s+(?:and|or)\s+")
_PLACE_SMALL = re.compile(r"\b(?:in|near)\s+([a-z][a-z-]{2,})\b(?!\s+(?:of|to|that))")
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][a-z]\w*|^[A-Z][a-z]+(?=\s+(?:and|or)\s+[A-Z])", re.M)
_REASON = re.compile(r"\b(?:because|since|as)\s+([^.!?\n]+)", re.I)

_NAMED: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"e_?mail", re.I), "email"),
    (re.compile(r"(^|_)(date|day|when|until|deadline)($|_)|Date$", re.I), "date"),
    (re.compile(r"(^|_)(url|uri|link)($|_)", re.I), "url"),
    (re.compile(r"(^|_)(ids?|number|no|code|sku|ticket|ref|reference|order|account|isbn)$|[a-z]I[dD]s?$"), "id"),
    (re.compile(r"city|location|place|country|town|destination|origin|region|address", re.I), "place"),
    (re.compile(r"reason|cause|why", re.I), "reason"),
    (re.compile(r"(^|_)names?$|people|person|participant|attendee|author", re.I), "name"),
)
_FORMATS: dict[str, Kind] = {"email": "email", "date": "date", "date-time": "date", "uri": "url"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """The pools of one conversation. `text` is the last message."""

    text: str
    pools: dict[Kind, tuple[str, ...]]

    def of(self, kind: Kind) -> tuple[str, ...]:
        return self.pools.get(kind, ())

    def only(self, kind: Kind, value: str) -> "Evidence":
        """The same evidence with a single value of this kind: what one of several parallel calls sees."""
        return replace(self, pools={**self.pools, kind: (value,)})


def gather(messages: Sequence[str]) -> Evidence:
    """The evidence in a user's messages, oldest first; a pool that the last one leaves empty is filled from before."""
    pools: dict[Kind, tuple[str, ...]] = {}
    for message in reversed(messages):
        for kind, values in _read(message).items():
            if values and not pools.get(kind):
                pools[kind] = values
    return Evidence(messages[-1] if messages else "", pools)


def kind_of(name: str, schema: dict[str, Any]) -> Kind:
    """The pool that a property of this name and JSON schema draws from; `none` for enums, booleans and the like."""
    types = schema.get("type", "string")
    types = types if isinstance(types, list) else [types]
    if "enum" in schema or "const" in schema or not {"string", "integer", "number"} & set(types):
        return "none"
    if "string" in types and (known := _FORMATS.get(str(schema.get("format")))):
        return known
    named = next((kind for pattern, kind in _NAMED if pattern.search(name)), None)
    if "string" not in types:
        return "id" if named == "id" and name.lower().endswith("id") else "number"
    return named or "quote"


def _read(text: str) -> dict[Kind, tuple[str, ...]]:
    text = text[:MAX_READ]
    emails, urls, dates = _EMAIL.findall(text), _URL.findall(text), _DATE.findall(text)
    quotes = ["".join(groups) for groups in _QUOTE.findall(text)]
    rest = _DATE.sub(" ", _URL.sub(" ", _EMAIL.sub(" ", text)))
    ids = [found.lstrip("# ") for found in _ID.findall(rest)]
    numbers = _NUMBER.findall(_ID.sub(" ", rest))
    groups = _PLACES.findall(rest)
    places = [place for group in groups for place in _LIST.split(group) if not re.search(r"\d", place)]
    found: dict[Kind, list[str]] = {
        "id": ids,
        "number": numbers,
        "place": places or _PLACE_SMALL.findall(rest)[:1],
        "name": _NAME.findall(rest),
        "date": dates,
        "email": emails,
        "url": urls,
        "quote": quotes,
        "reason": [reason.strip() for reason in _REASON.findall(text)],
    }
    return {kind: tuple(dict.fromkeys(values)) for kind, values in found.items()}
