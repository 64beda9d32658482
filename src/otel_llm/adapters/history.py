"""Recognising a message when it comes back in a later request.

An answer returns as history, and on its way the application may have changed everything that does not matter: null content
became missing, a text became a list of one text part, tool arguments were parsed and written again, reasoning was dropped.
`message_key` is one spelling for what the message says, so that equal keys mean the same message. It is text, not a hash:
whoever keeps it hashes it with a key of their own.
"""

from __future__ import annotations

import hashlib
import json

from otel_llm.values.call import Media, Message, Other, Reasoning, Refusal, Text, ToolCall, ToolResult
from otel_llm.values.canonical import canonical_json


def message_key(message: Message) -> bytes:
    """What the message says, in one spelling: role, words, tool calls, tool results, media.

    Left out: reasoning, the name of the author, white space around the words, and where words stand among the other parts.
    """
    words: list[str] = []
    rest: list[list[str | None]] = []
    for part in message.parts:
        if isinstance(part, (Text, Refusal)):
            words.append(part.content)
        elif isinstance(part, ToolCall):
            rest.append(["call", part.id, part.name, _arguments(part.arguments)])
        elif isinstance(part, ToolResult):
            rest.append(["result", part.id, part.result.strip()])
        elif isinstance(part, Media):
            data = None if part.data is None else hashlib.sha256(part.data.encode(errors="surrogatepass")).hexdigest()
            rest.append(["media", part.modality, part.uri, part.file_id, data])
        elif isinstance(part, Other):
            rest.append(["other", part.type, _arguments(part.json)])
        else:
            assert isinstance(part, Reasoning)
    spelling = [message.role, "".join(words).strip(), *rest]
    return canonical_json(spelling).encode(errors="surrogatepass")


def _arguments(text: str) -> str:
    """JSON in canonical spelling; no arguments are an empty object, and what is no JSON stays as it is."""
    try:
        return canonical_json(json.loads(text or "{}"))
    except (ValueError, RecursionError):
        return text
