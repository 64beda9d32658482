"""Counting tokens the simple way: four characters are one token.

No tokenizer agrees with it, and none has to. It is cheap, it depends on the text only, and a longer text costs more:
enough for budgets, prices and comparisons to mean something. Each message costs three tokens on top, as in the
provider's own recipe.
"""

import re
from dataclasses import dataclass
from typing import Any

_REASONING = re.compile(r"^(o\d|gpt-5(?!.*chat))")
_EFFORT = {"none": 0, "minimal": 0, "low": 1, "medium": 2, "high": 4, "xhigh": 8, "max": 8}


def count(text: str) -> int:
    return -(-len(text) // 4)


def pieces(text: str) -> list[str]:
    """The text cut into what a stream sends one by one; joined, they are the text."""
    return re.findall(r"\s*\S{1,12}|\s+$", text)


def truncate(text: str, max_tokens: int) -> str:
    """The beginning of the text that is worth so many tokens."""
    return text[: max_tokens * 4]


def is_reasoning(model: str) -> bool:
    return bool(_REASONING.match(model))


def reasoning_tokens(model: str, effort: str | None, question: str) -> int:
    """What a reasoning model thinks before it answers: more for more effort and for a longer question; else 0."""
    return (32 + count(question)) * _EFFORT.get(effort or "medium", 2) if is_reasoning(model) else 0


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one answer. `output` includes `reasoning`, `input` includes `cached`."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0

    def as_chat(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.input,
            "completion_tokens": self.output,
            "total_tokens": self.input + self.output,
            "prompt_tokens_details": {"cached_tokens": self.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def as_response(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": 0},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input + self.output,
        }


def cached_tokens(body: dict[str, Any], input_tokens: int) -> int:
    """Whole blocks of 128 tokens count as cached when the request names a `prompt_cache_key`; otherwise 0.

    A real cache depends on who asked before. This one depends on the request alone, so that the same request costs
    the same every time.
    """
    return input_tokens // 128 * 128 if body.get("prompt_cache_key") else 0
