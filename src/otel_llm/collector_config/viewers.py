"""What viewers see: spans without raw bodies, without keys, and with as much of the content as their policy allows.

Three policies. `none` takes prompts, answers, tool arguments and everything else that quotes them away. `masked` leaves them
readable and replaces personal data. `full` leaves them as they are. Under each of them raw bodies go, credentials of known
kinds are masked, and an attribute that a trace page could not open is replaced by a well-formed note that says how long it was.

The SDK masks first and knows better where; this is the second line, for programs that did not.
"""

from __future__ import annotations

from typing import Any

from otel_llm.collector_config.choices import Content
from otel_llm.collector_config.emit import Noted, literal
from otel_llm.semconv import names, quoting

MAX_ATTRIBUTE = 262_144
"""Bytes of one attribute in a viewer. The page of a 10 MB span takes Jaeger's UI eleven seconds."""

OLD_CACHE_NAME = next(old for old, new in names.LEGACY_NAMES.items()
                      if new == names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS)

_START = r"(?:\b|\\+[nrtbf]|\\+u[0-9a-fA-F]{4})"
"""Where a word begins in JSON text; an escape before it goes along, so that no half of one stays behind."""

SECRETS = (
    _START + r"sk-[A-Za-z0-9_-]{20,}",
    _START + r"(?:gh[oprsu]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,})",
    _START + r"xox[abps]-[A-Za-z0-9-]{10,}",
    _START + r"A[KS]IA[0-9A-Z]{16}\b",
    _START + r"AIza[0-9A-Za-z_-]{35}",
    _START + r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    _START + r"[Bb]earer +[A-Za-z0-9._~+/-]{16,}=*",
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[^\"-]*-----END [A-Z ]{0,40}PRIVATE KEY-----|[A-Za-z0-9+/=\\\s]*)",
)
"""Credentials of known kinds, as RE2 patterns."""

PERSONAL = (
    r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+",
    r"\b(?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|6011|65\d{2})[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b|\b3[47]\d{2}[ -]?\d{6}[ -]?\d{5}\b",
    r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b",
    r"\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\d{2,4}){2,4}\b",
    r"\b\d{3}-\d{2}-\d{4}\b",
)
"""Mail addresses, card numbers, IBANs, phone numbers in international form, US social security numbers."""


def transform_viewers() -> dict[str, Any]:
    """For all viewers: raw bodies away, the old name where Jaeger reads only that, nothing too large to open."""
    cap = [_note(name, before, after) for name, before, after in (
        (names.GEN_AI_SYSTEM_INSTRUCTIONS, '[{"type":"text","content":"', '"}]'),
        (names.GEN_AI_INPUT_MESSAGES, '[{"role":"user","parts":[{"type":"text","content":"', '"}]}]'),
        (names.GEN_AI_OUTPUT_MESSAGES, '[{"role":"assistant","parts":[{"type":"text","content":"', '"}]}]'),
        (names.GEN_AI_TOOL_DEFINITIONS, '[{"type":"function","name":"', '"}]'),
        (names.GEN_AI_TOOL_CALL_ARGUMENTS, '"', '"'),
        (names.GEN_AI_TOOL_CALL_RESULT, '"', '"'),
        (names.GEN_AI_RETRIEVAL_DOCUMENTS, '[{"content":"', '"}]'),
    )]
    new, old = _of("span", names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS), _of("span", OLD_CACHE_NAME)
    return {
        "error_mode": "ignore",
        "trace_statements": [
            {"context": "span", "statements": [
                *_without_bodies("span"),
                Noted("Jaeger's GenAI view reads the old name.", f"set({old}, {new}) where {new} != nil and {old} == nil"),
                Noted("Too long for a page: a note in the same shape instead.", cap[0]), *cap[1:],
                f"truncate_all(span.attributes, {MAX_ATTRIBUTE})",
            ]},
            {"context": "spanevent", "statements": [*_without_bodies("spanevent"),
                                                    f"truncate_all(spanevent.attributes, {MAX_ATTRIBUTE})"]},
        ],
        "log_statements": [{"context": "log", "statements": [*_without_bodies("log"),
                                                             f"truncate_all(log.attributes, {MAX_ATTRIBUTE})"]}],
    }


def transform_policy(policy: Content) -> dict[str, Any]:
    """What a policy takes away that is no attribute's value, and with `none` every attribute that quotes content."""
    status = [f'replace_pattern(span.status.message, "{_in_ottl(pattern)}", "****")' for pattern in SECRETS]
    if policy != "none":
        personal = PERSONAL if policy == "masked" else ()
        status += [f'replace_pattern(span.status.message, "{_in_ottl(pattern)}", "****")' for pattern in personal]
        return {"error_mode": "ignore", "trace_statements": [{"context": "span", "statements": status}]}
    is_genai = 'IsMatch(log.event_name, "^gen_ai\\\\.") or IsMatch(log.attributes["event.name"], "^gen_ai\\\\.")'
    return {
        "error_mode": "ignore",
        "trace_statements": [
            {"context": "span", "statements": [_without_content("span"), 'set(span.status.message, "")']},
            {"context": "spanevent", "statements": [_without_content("spanevent")]},
        ],
        "log_statements": [{"context": "log", "statements": [_without_content("log"), f'set(log.body, "") where {is_genai}']}],
    }


def redaction(policy: Content) -> dict[str, Any]:
    """The values that are masked wherever they stand; how many were, the span says in `redaction.masked.count`."""
    patterns = [*SECRETS, *(PERSONAL if policy == "masked" else ())]
    return {"allow_all_keys": True, "redact_all_types": True, "blocked_values": [literal(p) for p in patterns], "summary": "info"}


def content_keys() -> str:
    """One pattern for every key that quotes content."""
    ours = (*quoting.CONTENT_MESSAGES, *quoting.CONTENT_TEXTS, f"{names.GEN_AI_PROMPT_VARIABLE_PREFIX}*")
    patterns = (*(name.replace(".", r"\.").replace("*", ".*") for name in ours), *quoting.FOREIGN_CONTENT)
    return f"^({'|'.join(patterns)})$"


def _of(context: str, name: str) -> str:
    return f'{context}.attributes["{name}"]'


def _without_bodies(context: str) -> list[str]:
    return [f'delete_key({context}.attributes, "{name}")' for name in quoting.CONTENT_BODIES]


def _without_content(context: str) -> str:
    return f'delete_matching_keys({context}.attributes, "{_in_ottl(content_keys())}")'


def _note(name: str, before: str, after: str) -> str:
    """The statement that replaces an attribute above the limit."""
    here = _of("span", name)
    words = [before, here, " bytes, too long for a viewer; the replay store has all of it" + after]
    text = ", ".join(f"String(Len({word}))" if word == here else '"' + word.replace('"', '\\"') + '"' for word in words)
    return f'set({here}, Concat([{text}], "")) where IsString({here}) and Len({here}) > {MAX_ATTRIBUTE}'


def _in_ottl(pattern: str) -> str:
    """A pattern as the text between the quotes of an OTTL string, in a file that the collector expands."""
    return literal(pattern.replace("\\", "\\\\").replace('"', '\\"'))
