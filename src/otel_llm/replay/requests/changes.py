"""What a reissue changes in a recorded request, and how little else it touches.

A body that is not changed is not even parsed: its bytes go out as they came in. A changed one is edited as JSON; the order
of its keys, its spacing and its way of writing non-ASCII characters stay as the SDK wrote them, so that a look at the two
bodies shows the change and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from otel_llm.values.errors import ConfigError, NotReplayable


@dataclass(frozen=True, slots=True)
class PromptText:
    """A version of a prompt: what calls that come from the prompt `name` are told instead."""

    name: str
    version: str
    text: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What to ask differently. `settings` maps dotted keys (`response_format.type`, `messages.0.content`) to JSON values.

    `system` replaces the system prompt, `prompts` that of calls which come from these prompts; `api` is the wire format to use.
    """

    model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    base_url: str | None = None
    system: str | None = None
    prompts: tuple[PromptText, ...] = ()
    api: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The changes as the store keeps them; empty for an unchanged reissue. Of prompts the versions."""
        given = {
            "model": self.model, "set": dict(self.settings) or None, "base_url": self.base_url, "system": self.system,
            "prompts": {prompt.name: prompt.version for prompt in self.prompts} or None, "provider": self.api}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def edits(self) -> dict[str, Any]:
        """The dotted keys of the body that get a new value."""
        return {**({"model": self.model} if self.model is not None else {}), **self.settings}

    def prompt_for(self, name: str | None) -> PromptText | None:
        """The text for calls of a prompt; None when there is none."""
        return next((prompt for prompt in self.prompts if prompt.name == name), None)

    def to_options(self) -> dict[str, Any]:
        """All of it as JSON, to be read back by `from_options`."""
        return {**self.as_json(), "prompts": [[prompt.name, prompt.version, prompt.text] for prompt in self.prompts]}

    @classmethod
    def from_options(cls, value: Mapping[str, Any]) -> Changes:
        """The changes that `to_options` wrote."""
        return cls(value.get("model"), value.get("set") or {}, value.get("base_url"), value.get("system"),
                   tuple(PromptText(*prompt) for prompt in value["prompts"]), value.get("provider"))


def read_setting(text: str) -> tuple[str, Any]:
    """`temperature=0` as a key and a JSON value; what does not look like JSON is taken as text (`service_tier=flex`).

    Raises `ConfigError` when there is no `=`, or the value begins like JSON and is none.
    """
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {text!r} is not usable; good values: key=JSON, such as temperature=0 or tool_choice='\"none\"'")
    try:
        return key, json.loads(value, parse_constant=_refuse)
    except ValueError:
        if value[:1] in ('"', "{", "["):
            raise ConfigError(f"--set {text!r}: the value begins like JSON and is none; check its quotes and brackets") from None
        return key, value


def _refuse(word: str) -> Any:
    raise ConfigError(f"{word} is no JSON value; good values: numbers, text, true, false, null, lists and objects")


def edit(body: bytes, edits: Mapping[str, Any]) -> bytes:
    """The body with some dotted keys set; the same bytes when every key already has its value.

    Raises `NotReplayable` when the body is no JSON object, or a dotted key leads through something that is no container.
    """
    if not edits:
        return body
    try:
        value = json.loads(body)
    except ValueError:
        raise NotReplayable("the recorded request is no JSON, so nothing in it can be changed") from None
    if not isinstance(value, dict):
        raise NotReplayable("the recorded request is no JSON object, so nothing in it can be changed")
    return dump(value, like=body) if put_all(value, edits) else body


def put_all(value: dict[str, Any], edits: Mapping[str, Any]) -> bool:
    """Set dotted keys in a body; True when one of them had another value. Raises `NotReplayable`."""
    changed = [_put(value, key.split("."), new) for key, new in edits.items()]
    return any(changed)


def _put(target: Any, path: list[str], new: Any) -> bool:
    """Set one value; True when it was another before."""
    for depth, name in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(target, list):
            if not name.isdecimal() or int(name) >= len(target):
                raise NotReplayable(f"{'.'.join(path)}: {name!r} is no place in a list of {len(target)}")
            place: Any = int(name)
        elif isinstance(target, dict):
            place = name
            if not last and name not in target:
                target[name] = {}
        else:
            raise NotReplayable(f"{'.'.join(path)}: there is a {type(target).__name__} where {name!r} should be looked up")
        if last:
            missing = isinstance(target, dict) and place not in target
            before = None if missing else target[place]
            target[place] = new
            return missing or before != new or type(before) is not type(new)
        target = target[place]
    return False


def dump(value: Any, *, like: bytes) -> bytes:
    """JSON spaced and escaped like the body that it replaces."""
    spaced = b'": ' in like[:200]
    separators = (", ", ": ") if spaced else (",", ":")
    text = json.dumps(value, ensure_ascii=like.isascii(), separators=separators)
    return text.encode("utf-8", "surrogatepass")
