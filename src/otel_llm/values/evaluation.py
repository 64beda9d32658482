"""How an answer is judged: an evaluator, which anybody may write, gives a score.

An evaluator sees the recorded answer, the new one and the request that the new one answers. What it cannot decide it does not
guess: its score then has neither value nor verdict, and says why. Such a score never counts as passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from otel_llm.values.call import Request


class Answer(Protocol):
    """One side of a comparison as evaluators see it; `otel_llm.replay.compare.answers.Answer` is one.

    `tool_calls` are `(name, arguments as JSON text)` in order. `status` is that of HTTP, None when no response came.
    """

    @property
    def text(self) -> str: ...

    @property
    def tool_calls(self) -> Sequence[tuple[str, str]]: ...

    @property
    def status(self) -> int | None: ...

    @property
    def error_type(self) -> str | None: ...

    @property
    def model(self) -> str | None: ...

    @property
    def finish_reason(self) -> str | None: ...


def has_answered(answer: Answer) -> bool:
    """Whether there is an answer, and not an error or nothing."""
    return answer.status is not None and answer.status < 400


def has_words(*answers: Answer) -> bool:
    """Whether a check on words has something to look at: false where all of these only ask for tools."""
    return any(answer.text or not answer.tool_calls for answer in answers)


@dataclass(frozen=True, slots=True)
class Score:
    """What an evaluator says: a measure, a verdict, or both. With neither, `explanation` says why it could not decide.

    A measure without a verdict is for information and decides nothing.
    """

    value: float | bool | None = None
    passed: bool | None = None
    explanation: str = ""

    @property
    def is_undecided(self) -> bool:
        """True when the evaluator could not do its work."""
        return self.value is None and self.passed is None

    @property
    def has_failed(self) -> bool:
        """True for a verdict against the answer, and for an evaluator that could not do its work."""
        return self.passed is False or self.is_undecided

    def as_json(self) -> dict[str, Any]:
        """`{"value": number | bool | null, "passed": bool | null, "explanation": text}`"""
        return {"value": self.value, "passed": self.passed, "explanation": self.explanation}


class Evaluator(Protocol):
    """Judges answers. It may raise: whoever calls it makes that an undecided score.

    Where there is nothing to judge (a check on words, and neither answer has any) it gives None.
    """

    @property
    def name(self) -> str:
        """What its scores are called."""

    def __call__(self, recorded: Answer, new: Answer, request: Request | None) -> Score | None:
        """The score of the new answer. `request` is None when nobody can read what was asked."""
