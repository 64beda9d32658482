"""A `Filter` as SQL: conditions with bound values, one table for sessions and one for steps.

In what follows `s` is a step and `n` its session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from otel_llm.store.rows import KIND, STATE
from otel_llm.values.session import Filter

LAST = "\U0010ffff"
"""Behind whatever an id goes on with: what begins like a text lies between the text and the text with this."""


class Conditions:
    """A WHERE clause that grows; values are bound, never written into the text."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.values: list[Any] = []

    def add(self, text: str, *values: Any) -> None:
        self._texts.append(text)
        self.values.extend(values)

    def among(self, expression: str, choices: Sequence[Any]) -> None:
        """One of the choices; no condition when there are none."""
        if choices:
            self.add(f"{expression} IN ({', '.join('?' * len(choices))})", *choices)

    @property
    def text(self) -> str:
        """The conditions, all of which must hold."""
        return " AND ".join(self._texts) or "1"


def session_conditions(where: Filter) -> Conditions:
    """Which sessions: facts of the session itself, and of at least one step in it that fits all that is asked of steps."""
    out = Conditions()
    _common(out, where, start="n.first_ns", cost="n.cost", tags="n.tags")
    out.among("n.status", where.status)
    step = Conditions()
    _of_step(step, where)
    if step.values:
        out.add(f"EXISTS (SELECT 1 FROM step s WHERE s.session = n.session AND {step.text})", *step.values)  # noqa: S608
    return out


def step_conditions(where: Filter) -> Conditions:
    """Which steps."""
    out = Conditions()
    _common(out, where, start="s.start_ns", cost="s.cost", tags="s.tags")
    out.among(STATE, where.status)
    _of_step(out, where)
    return out


def _common(out: Conditions, where: Filter, *, start: str, cost: str, tags: str) -> None:
    if where.since_ns is not None:
        out.add(f"{start} >= ?", where.since_ns)
    if where.until_ns is not None:
        out.add(f"{start} <= ?", where.until_ns)
    if where.min_cost is not None:
        out.add(f"{cost} >= ?", where.min_cost)
    if where.max_cost is not None:
        out.add(f"{cost} <= ?", where.max_cost)
    out.among("n.session_id", where.session)
    if where.session_prefix:
        out.add("n.session_id >= ? AND n.session_id < ?", where.session_prefix, where.session_prefix + LAST)
    for key, choices in where.tags.items():
        among = f" AND e.value IN ({', '.join('?' * len(choices))})" if choices else ""
        out.add(f"EXISTS (SELECT 1 FROM json_each({tags}) e WHERE e.key = ?{among})", key, *choices)  # noqa: S608
    out.among(KIND, where.kinds)


def _of_step(out: Conditions, where: Filter) -> None:
    out.among("s.user_id", where.user)
    if where.model:
        marks = ", ".join("?" * len(where.model))
        out.add(f"(s.model IN ({marks}) OR s.response_model IN ({marks}))", *where.model, *where.model)
    out.among("s.provider", where.provider)
    out.among("s.operation", where.operation)
    if where.prompt:
        marks = ", ".join("?" * len(where.prompt))
        out.add(f"(s.prompt_name IN ({marks}) OR s.prompt_name || '@' || s.prompt_version IN ({marks}))",
                *where.prompt, *where.prompt)
