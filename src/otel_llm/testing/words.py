"""How a model says it: the same content sounds different from another model, temperature or system prompt.

What a model says is decided elsewhere; a `Voice` wraps it. Small models (`*-mini`, `*-nano`, …) are terse, the others
fuller and politer, and within each kind the model's name and the temperature choose among the phrases. The system
prompt has the last word: "be concise", "be friendly", "use bullet points" and "sign as …" are obeyed. So a reissued
call with another model or prompt shows a difference worth reading, and the same call never shows one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

_SMALL = re.compile(r"mini|nano|lite|flash|haiku|3\.5|small", re.I)
_TERSE = re.compile(r"\b(concise|brief|briefly|short|terse|one sentence|few words)\b", re.I)
_WARM = re.compile(r"\b(friendly|polite|politely|warm|empath\w+|kind|detailed|courteous)\b", re.I)
_BULLETS = re.compile(r"\bbullet", re.I)
_SIGN = re.compile(r"\bsign(?: your \w+)?(?: off)? (?:as|with) [\"'“]?([\w .&-]+?)[\"'”]?(?:[.,;]|$)", re.I | re.M)

_OPENINGS = (
    "Thank you for reaching out.",
    "Thanks for your message.",
    "I appreciate you getting in touch.",
    "I am happy to help with this.",
    "Of course, let me help you with that.",
    "Thank you for your patience.",
    "Thank you for the question.",
)
_CLOSINGS = (
    "Is there anything else I can help you with?",
    "Please let me know if you need anything more.",
    "I hope that helps!",
    "Do tell me if something is still unclear.",
    "I am here if you have another question.",
)
_LEADS = ("", "Sure.", "In short:", "OK.", "Quick answer:", "Noted.", "Right.")
_ENDS = ("", "Anything else?", "Ask if unclear.", "Done.", "That is all.")
_UNTELLING = (
    "a an the and or but if of to in on at for from with without by about as is are was were be been am do does did "
    "can could would should will shall may might must have has had i me my mine you your yours we us our it its he she "
    "they them their this that these those there here what which who whom whose when where why how please hi hello hey "
    "thanks thank not no yes so very just also any some all get got give tell let want need like know help use"
)
_STOP = frozenset(_UNTELLING.split())
_LEADING = re.compile(
    r"^(?:(?:hi|hello|hey|dear \w+|please|can|could|would|will|you|tell me|explain|do|does|did|what(?:'s|’s)?|how|why|"
    r"when|where|who|is|are|was|i|we|want to|need to|would like to|like to|the|about|me|help)\b[,!.:]?\s*)+",
    re.I,
)
_MIRROR = {"my": "your", "mine": "yours", "me": "you", "i": "you", "we": "you", "our": "your", "us": "you", "am": "are"}


@dataclass(frozen=True, slots=True)
class Voice:
    """A way of wording: what stands before and after the content."""

    is_terse: bool
    opening: str
    closing: str
    has_bullets: bool
    signature: str

    def say(self, content: str) -> str:
        """The content as one message in this voice."""
        text = " ".join(part for part in (self.opening, content, self.closing) if part)
        text = re.sub(r" *\n *", "\n", text)
        return f"{text}\n\n— {self.signature}" if self.signature else text

    def listed(self, facts: Sequence[str]) -> str:
        """Several facts: bullet points if the system prompt wants them, else one sentence."""
        if self.has_bullets and len(facts) > 1:
            return "\n" + "\n".join(f"- {fact}" for fact in facts) + "\n"
        return join(facts) + "."


def voice(model: str, temperature: float | None, system: str, variant: int = 0) -> Voice:
    """The voice of this model at this temperature under this system prompt; `variant` tells choices apart."""
    seed = number(model, "wording")
    shift = round((1.0 if temperature is None else temperature) * 10) + variant
    is_warm, is_brief = bool(_WARM.search(system)), bool(_TERSE.search(system))
    is_terse = is_brief or (bool(_SMALL.search(model)) and not is_warm)
    openings, closings = (_LEADS, _ENDS) if is_terse else (_OPENINGS, _CLOSINGS)
    opening = openings[(seed + shift) % len(openings)]
    closing = closings[(seed // 7 + shift) % len(closings)]
    signature = _SIGN.search(system)
    return Voice(is_terse, opening, closing, bool(_BULLETS.search(system)), signature[1].strip() if signature else "")


def number(*values: object) -> int:
    """A number that depends on the values only and is the same in every process."""
    return int.from_bytes(sha256(repr(values).encode()).digest()[:4], "big")


def stems(text: str) -> list[str]:
    """The words that carry meaning, lower-case and without their endings, in order and without repeats."""
    words = re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())
    return list(dict.fromkeys(stem(word) for word in words if len(word) > 2 and word not in _STOP))


def stem(word: str) -> str:
    for ending in ("ing", "ies", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) > 2:
            return word[: -len(ending)]
    return word


def sentences(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


def topic(message: str, max_words: int = 12) -> str:
    """What the message is about, in the user's words as the other side would say them."""
    parts = sentences(message)
    asked = next((part for part in reversed(parts) if part.endswith("?")), parts[0] if parts else "")
    core = _LEADING.sub("", asked).rstrip("?!. ") or asked.rstrip("?!. ")
    words = [_MIRROR.get(word.lower(), word) for word in core.split()]
    return " ".join(words[:max_words]) + (" …" if len(words) > max_words else "")


def join(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def plain(name: str) -> str:
    """An identifier as words: `order_id` and `orderId` are `order id`."""
    return re.sub(r"[_\-.]+|(?<=[a-z])(?=[A-Z])", " ", name).strip().lower()
