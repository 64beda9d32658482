"""The stream of OpenAI Chat Completions: deltas put together to the response that would have come unstreamed.

Text completions stream in the same way, with `text` in place of a `delta`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import otel_llm.adapters.folding as folding
import otel_llm.adapters.openai_parts as openai_parts
from otel_llm.adapters.fields import items, obj
from otel_llm.values.adapter import Json

EARLY = 4_000
_STRING = rb'"([^"\\\n]*(?:\\.[^"\\\n]*)*)"'
_TEXT = re.compile(
    rb'"delta": ?\{(?:"role": ?"assistant", ?)?(?:"(?:content|refusal|reasoning_content|reasoning)"'
    rb'|"tool_calls": ?\[\{"index": ?\d+, ?"function": ?\{"arguments"): ?' + _STRING + rb'\}')
"""The text of a chunk whose delta has nothing else to say."""
_OTHERS = re.compile(rb'"(?:delta|message|text)"')
_NOISE = re.compile(rb',"obfuscation":"\w*"\}(?=\n|\Z)')
"""Random letters that make all chunks of a stream equally long, so that their length does not tell the words."""


def skips(event: bytes) -> bool:
    """A chunk that says of itself that nothing has finished, with no usage behind that, is content.

    Inside a JSON string a quote is escaped, so the text of a delta cannot imitate these keys. The search runs from the right
    because the key stands there: five times faster than from the left.
    """
    at = event.rfind(b'"finish_reason":null')
    if at < 0:
        at = event.rfind(b'"finish_reason": null')
    return at >= 0 and event.find(b'"usage":{', at) < 0 and event.find(b'"usage": {', at) < 0


def fold(stream: bytes) -> bytes:
    """Deltas of the same text are put together."""
    has_noise = stream.find(b'"obfuscation"', 0, EARLY) >= 0
    return folding.fold(_NOISE.sub(b"}", stream) if has_noise else stream, _TEXT, _OTHERS)


def ended(events: Sequence[Json]) -> bool:
    """Every choice that was seen has a finish reason, or the provider said that it failed."""
    finished: dict[Any, bool] = {}
    for event in events:
        if openai_parts.error(event)[0] is not None:
            return True
        for choice in items(event.get("choices")):
            index = obj(choice).get("index")
            index = index if type(index) is int else 0
            finished[index] = finished.get(index, False) or bool(obj(choice).get("finish_reason"))
    return bool(finished) and all(finished.values())


def assemble(events: Sequence[Json]) -> Json:
    """The unstreamed response. Of values that come again the last one holds; usage is merged field by field."""
    body: dict[str, Any] = {}
    usage: dict[str, Any] = {}
    choices: dict[int, _Choice] = {}
    for event in events:
        if not isinstance(event, dict):
            continue
        for key, value in event.items():
            if key not in ("choices", "usage") and value is not None and (key != "object" or value == "error"):
                body[key] = value
        usage.update({k: v for k, v in obj(event.get("usage")).items() if v is not None})
        for item in items(event.get("choices")):
            choice = obj(item)
            index = choice.get("index")
            choices.setdefault(index if type(index) is int else 0, _Choice()).add(choice)
    body["choices"] = [choices[index].finished(index) for index in sorted(choices)]
    if usage:
        body["usage"] = usage
    return body


class _Choice:
    """One choice while its deltas arrive."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.message: dict[str, Any] = {}
        self.slots: dict[int, dict[str, Any]] = {}
        self.last = 0
        self.audio: dict[str, list[str]] = {}
        self.choice: dict[str, Any] = {}

    def add(self, choice: Mapping[str, Any]) -> None:
        if choice.get("finish_reason"):
            self.choice["finish_reason"] = choice["finish_reason"]
        if isinstance(choice.get("text"), str):
            self.texts.setdefault("text", []).append(choice["text"])
        delta = obj(choice.get("delta")) or obj(choice.get("message"))
        for key in ("content", "refusal", "reasoning_content", "reasoning"):
            value = delta.get(key)
            if isinstance(value, str):
                self.texts.setdefault(key, []).append(value)
            elif isinstance(value, list):
                self.message[key] = [*self.message.get(key, ()), *value]
        for key in ("role", "name"):
            if isinstance(delta.get(key), str):
                self.message[key] = delta[key]
        for called in items(delta.get("tool_calls")):
            self._tool(obj(called))
        if called := obj(delta.get("function_call")):
            _extend(self.message.setdefault("function_call", {}), called)
        for key, value in obj(delta.get("audio")).items():
            if isinstance(value, str):
                pieces = self.audio.setdefault(key, [])
                pieces[:] = [value] if key == "id" else [*pieces, value]

    def _tool(self, called: Mapping[str, Any]) -> None:
        """Put a piece into its slot. Without an index the id decides, and without an id it goes on with the last call."""
        index, identity = called.get("index"), called.get("id")
        kind = "custom" if isinstance(called.get("custom"), dict) else "function"
        inner = obj(called.get(kind))
        if type(index) is not int:
            known = [i for i, slot in self.slots.items() if identity and slot.get("id") == identity]
            starts = bool(identity) or bool(inner.get("name") and self.slots.get(self.last, {}).get(kind, {}).get("name"))
            index = known[0] if known else max(self.slots, default=-1) + 1 if starts else self.last
        elif identity and inner.get("name") and self.slots.get(index, {}).get("id") not in (None, identity):
            index = next((i for i, s in self.slots.items() if s.get("id") == identity), max(self.slots) + 1)
        elif not identity and index != self.last and self.slots.get(self.last, {}).get("index") == index:
            index = self.last
        slot = self.slots.setdefault(index, {"index": called.get("index"), "type": kind, kind: {}})
        self.last = index
        if identity:
            slot["id"] = identity
        _extend(slot.setdefault(kind, {}), inner)

    def finished(self, index: int) -> dict[str, Any]:
        message = {"role": "assistant", **self.message}
        for key, pieces in self.texts.items():
            if key == "text":
                self.choice["text"] = "".join(pieces)
            else:
                message.setdefault(key, "".join(pieces))
        if self.slots:
            message["tool_calls"] = [self.slots[i] for i in sorted(self.slots)]
        if self.audio:
            message["audio"] = {key: "".join(pieces) for key, pieces in self.audio.items()}
        return {"index": index, "message": message, "finish_reason": None, **self.choice}


def _extend(call: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Names come once, arguments in pieces; a null is an empty piece, an object is the whole."""
    if isinstance(piece.get("name"), str) and piece["name"]:
        call["name"] = piece["name"]
    for key in ("arguments", "input"):
        value = piece.get(key)
        if isinstance(value, str):
            call[key] = call[key] + value if isinstance(call.get(key), str) else value
        elif isinstance(value, dict):
            call[key] = value
