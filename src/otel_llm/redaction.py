"""Secrets out of bodies before anything is written.

Prompts and tool results carry keys more often than anyone likes, and looking for them costs every call. Each known kind of
key has a letter that is rare in JSON (`-` in `sk-`, `_` in `ghp_`, `A` in `AKIA`, …). The scan looks for that one letter and
only there looks around whether a key begins. A body without keys is read a few times and never copied. Inline media hold
every letter and no key, so the scan passes over them.

Words that merely hold the letters ("task-", "risk-free") and base64 stay: a key begins at a word boundary, is long, and
holds a digit. A marker such as `[redacted:openai_key]` needs no escaping, so JSON stays JSON. The count goes on the tape,
where a call with a redacted body is partial and no longer exact.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from otel_llm.values.media import without_media

_DIGIT = r"(?=[A-Za-z0-9_-]*[0-9])"
SMALL = 2_000
"""From here on it pays to ask first whether an anchor is there at all, at the speed of a `memchr`."""
_BEARER = r" *(?=[A-Za-z0-9._~+/-]*[0-9])[A-Za-z0-9._~+/-]{16,}=*"


class _Rule(NamedTuple):
    """A kind of secret: `head` (of fixed width) and the rare letter (or word) `anchor` begin it, `tail` follows."""

    marker: str
    head: str
    anchor: str
    tail: str
    at_boundary: bool = True


_RULES = (
    _Rule("[redacted:anthropic_key]", "sk", "-", r"ant-" + _DIGIT + r"[A-Za-z0-9_-]{16,}"),
    _Rule("[redacted:openai_key]", "sk", "-", _DIGIT + r"[A-Za-z0-9_-]{20,}"),
    _Rule("[redacted:gitlab_token]", "glpat", "-", r"[A-Za-z0-9_-]{20,}"),
    _Rule("[redacted:slack_token]", "xox[abps]", "-", _DIGIT + r"[A-Za-z0-9-]{10,}"),
    _Rule(
        "[redacted:private_key]", "", "-",
        r"----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"
        r"(?:[^-\"]*-----END [A-Z ]{0,40}PRIVATE KEY-----|(?:[A-Za-z0-9+/=\s]|\\{1,2}[nr])*)",
        False,
    ),
    _Rule("[redacted:github_token]", "gh[oprsu]", "_", r"[A-Za-z0-9]{36,}"),
    _Rule("[redacted:github_token]", "github", "_", r"pat_[A-Za-z0-9_]{22,}"),
    _Rule("[redacted:huggingface_token]", "hf", "_", r"[A-Za-z0-9]{30,}"),
    _Rule("[redacted:aws_key]", "", "A", r"[KS]IA[0-9A-Z]{16}(?![A-Za-z0-9+=])"),
    _Rule("[redacted:google_key]", "", "A", r"Iza[0-9A-Za-z_-]{35}(?![A-Za-z0-9+/=_-])"),
    _Rule("[redacted:jwt]", "ey", "J", r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    _Rule("Bearer [redacted:bearer_token]", "B", "earer ", _BEARER),
    _Rule("bearer [redacted:bearer_token]", "b", "earer ", _BEARER),
)


def _begins(prefix: str) -> str:
    """A word boundary before `prefix`, looked at from behind it. In JSON text a line end reads as backslash and n."""
    return rf"(?:(?<![A-Za-z0-9]{prefix})|(?<=\\[nrtbf]{prefix})|(?<=\\u[0-9a-fA-F]{{4}}{prefix}))"


def _seen_from_anchor(rule: _Rule) -> str:
    """The rule as the scan uses it: standing behind the anchor, first back, then on."""
    prefix = rule.head + rule.anchor
    back = (rf"(?<={prefix})" if rule.head else "") + (_begins(prefix) if rule.at_boundary else "")
    return back + rule.tail


class _Scan(NamedTuple):
    """What is looked for around one anchor."""

    anchor: bytes
    around: re.Pattern[bytes]
    replacements: tuple[tuple[bytes, bytes], ...]
    """Patterns and markers, applied in turn after a hit; they are compiled when the first hit asks for them."""


def _scans() -> tuple[_Scan, ...]:
    """One scan an anchor."""
    families: dict[str, list[_Rule]] = {}
    for rule in _RULES:
        families.setdefault(rule.anchor, []).append(rule)
    return tuple(
        _Scan(
            anchor.encode(),
            re.compile((re.escape(anchor) + "(?:" + "|".join(map(_seen_from_anchor, rules)) + ")").encode()),
            tuple(
                (((_begins("") if r.at_boundary else "") + r.head + r.anchor + r.tail).encode(), r.marker.encode())
                for r in rules
            ),
        )
        for anchor, rules in families.items()
    )


_SCANS = _scans()


class Redactor:
    """Replaces known kinds of secrets. Disabled, it gives every body back as it is."""

    __slots__ = ("enabled",)

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def redact(self, body: bytes) -> tuple[bytes, int]:
        """The body without secrets, and how many were replaced."""
        if not self.enabled:
            return body, 0
        replaced = 0
        words, scans = body, _SCANS
        if len(body) > SMALL:
            words = without_media(body)
            scans = tuple(scan for scan in _SCANS if scan.anchor in words)
        for _, around, replacements in scans:
            if around.search(words) is not None:
                for pattern, marker in replacements:
                    body, count = re.subn(pattern, marker, body)
                    replaced += count
        return body, replaced

    def redact_stream(self, body: bytes) -> tuple[bytes, int]:
        """The same for an event stream, where a secret arrives in pieces that no event holds whole.

        The pieces of text are laid end to end, secrets are looked for in that, and what belongs to one is cut out of every
        piece. Pieces of several choices or tools that are interleaved are not told apart.
        """
        body, replaced = self.redact(body)
        if not self.enabled:
            return body, replaced
        pieces = [found.span(1) for found in _PIECE.finditer(body)]
        text = b"".join([body[start:end] for start, end in pieces])
        secrets = sorted(
            (*found.span(), marker) for _, around, replacements in _SCANS if around.search(text) is not None
            for pattern, marker in replacements for found in re.finditer(pattern, text))
        if not secrets:
            return body, replaced
        out, done, at = bytearray(), 0, 0
        for start, end in pieces:
            out += body[done:start]
            out += _without(body[start:end], at, secrets)
            done, at = end, at + end - start
        return bytes(out + body[done:]), replaced + len(secrets)


_PIECE = re.compile(
    rb'"(?:content|delta|arguments|text|reasoning|reasoning_content|refusal|partial_json)": ?"([^"\\]*+(?:\\.[^"\\]*+)*+)"')
"""A piece of text in an event: the string value of a field that carries words."""


def _without(piece: bytes, at: int, secrets: list[tuple[int, int, bytes]]) -> bytes:
    """A piece that begins at `at` of the whole text, without its share of the secrets; the first share leaves the marker."""
    out, done = bytearray(), 0
    for start, end, marker in secrets:
        low, high = max(start - at, 0), min(end - at, len(piece))
        if low < high:
            out += piece[done:low]
            out += marker if start >= at else b""
            done = high
    return bytes(out + piece[done:])


def clean_url(url: str) -> str:
    """Scheme, host, port and path: no user, no password, no query, no fragment. Empty when it is no URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path}" if parts.scheme else parts.path
