"""How sessions compare, step by step: the one value that every report is made from.

Side 0 is what the others are compared with: the recording, the first of several replays. Each step of each other side stands in
one pair with the step of side 0 that it corresponds to, or alone. The JSON (`Comparison.as_json`) is public:

    {"title", "passed": bool, "exit_code": 0 | 1 | 3, "decided_by": "difference" | "checks", "source": file | null,
     "notes": [text],
     "sides": [{"session_id", "label", "start_ns", "steps", "calls", "errors", "input_tokens", "output_tokens",
                "cost_pico_usd", "unpriced", "duration_ns", "counts": {status: pairs} (not of side 0)}],
     "pairs": [{"side": number of the other side, "status", "passed": bool, "kind", "number", "label", "words", "note",
                "left", "right": {"session_id", "span_id", "number"} | null,
                "text": {"same", "old", "new", "words": [[sign, text]], "left_out"} | null,
                "answer", "request": [{"path", "change": "changed" | "added" | "removed", "old", "new", "words"?, "left_out"?}],
                "repeated", "ids", "left_out": changes that are not listed,
                "figures": {name: {"old", "new"}}, "scores": [{"name", "value", "passed", "explanation"}]}]}

A `status` is `same`; `different`; `failed` (an error where there was an answer); `only_left`, `only_right` (the step is there on
one side alone); `not_compared` (it is not known what came back). A sign is `=` (on both sides), `-` (old), `+` (new) or `…`: what
stands there is left out, and the text says how much. Unknown figures are null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from otel_llm.values.evaluation import Score

Status = Literal["same", "different", "failed", "only_left", "only_right", "not_compared"]
STATUSES: tuple[Status, ...] = ("same", "different", "failed", "only_left", "only_right", "not_compared")
Sign = Literal["=", "-", "+", "…"]
Words = tuple[tuple[Sign, str], ...]
DecidedBy = Literal["difference", "checks"]


@dataclass(frozen=True, slots=True)
class TextDiff:
    """Two texts as runs of words. `left_out` counts the characters, of both sides together, that no run holds."""

    words: Words = ()
    same: bool = True
    left_out: int = 0

    @property
    def old(self) -> str:
        return self._side("+")

    @property
    def new(self) -> str:
        return self._side("-")

    def _side(self, other: Sign) -> str:
        return "".join("…" if sign == "…" else text for sign, text in self.words if sign != other)

    def as_json(self) -> dict[str, Any]:
        return {"same": self.same, "old": self.old, "new": self.new, "words": [list(run) for run in self.words],
                "left_out": self.left_out}


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs. `old` and `new` are JSON values, null where the field is not there.

    Of long texts `text` has the words that differ. Where `left_out` is not 0, `old` and `new` are beginnings of the JSON text.
    """

    path: str
    old: Any = None
    new: Any = None
    change: Literal["changed", "added", "removed"] = "changed"
    text: TextDiff | None = None
    left_out: int = 0

    def as_json(self) -> dict[str, Any]:
        made: dict[str, Any] = {"path": self.path, "change": self.change, "old": self.old, "new": self.new}
        if self.text is not None:
            made |= {"words": [list(run) for run in self.text.words]}
        if self.left_out:
            made |= {"left_out": self.left_out}
        return made


@dataclass(frozen=True, slots=True)
class StepRef:
    """Which step. `number` counts the calls of its session from 1; other steps have none."""

    session_id: str
    span_id: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure on both sides; None is unknown, or a step that is not there."""

    old: Any = None
    new: Any = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A step and the one that corresponds to it on another side. `words` are the first words of what was asked.

    `answer` are the differences of tool calls, and of the result of a tool or a workflow; `request` those of what was asked, or
    of arguments. `repeated` counts long differences of the request that stand in an earlier pair already (a history that differs
    is sent again with every call), `ids` the ids in it that providers make up for each run.
    """

    status: Status
    kind: str
    label: str
    left: StepRef | None = None
    right: StepRef | None = None
    side: int = 1
    words: str = ""
    note: str = ""
    text: TextDiff | None = None
    answer: tuple[Change, ...] = ()
    request: tuple[Change, ...] = ()
    repeated: int = 0
    ids: int = 0
    left_out: int = 0
    figures: Mapping[str, Figure] = field(default_factory=dict)
    scores: tuple[tuple[str, Score], ...] = ()

    @property
    def number(self) -> int | None:
        """The number of the call on side 0, else on the other."""
        here = self.left or self.right
        return here.number if here is not None else None

    @property
    def is_matched(self) -> bool:
        """True when the step is there on both sides."""
        return self.status not in ("only_left", "only_right")


@dataclass(frozen=True, slots=True)
class Side:
    """One session (or the part of it that is compared) and its totals. A total is None when no call knows the figure.

    `duration_ns` is the sum over the calls; `unpriced` are the calls of unknown cost, which `cost_pico_usd` does not hold.
    """

    session_id: str
    label: str
    start_ns: int | None = None
    steps: int = 0
    calls: int = 0
    errors: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_pico_usd: int | None = None
    unpriced: int = 0
    duration_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of it. `decided_by` says what a pair must hold to pass: no difference, or (where a check decided) the checks.

    `source` is the file that asked for the comparison, if one did; reports point there. `name` is what it is called in every run,
    for those who keep a history of it; the title has ids of sessions, which a new replay does not share.
    """

    title: str
    sides: tuple[Side, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()
    decided_by: DecidedBy = "difference"
    source: str | None = None
    name: str = ""

    def passes(self, pair: Pair) -> bool:
        """Whether a pair is as it should be."""
        if any(score.has_failed for _, score in pair.scores):
            return False
        is_checked = any(score.passed is not None for _, score in pair.scores)
        return pair.status == "same" or (self.decided_by == "checks" and is_checked and pair.status == "different")

    def pairs_of(self, side: int) -> list[Pair]:
        """The pairs of one other side, in order."""
        return [pair for pair in self.pairs if pair.side == side]

    def counts(self, side: int | None = None) -> dict[Status, int]:
        """How many pairs have each status that occurs; of all sides, or of one."""
        found = [pair.status for pair in self.pairs if side is None or pair.side == side]
        return {status: found.count(status) for status in STATUSES if status in found}

    @property
    def is_comparable(self) -> bool:
        """False when no step is there on two sides."""
        return any(pair.is_matched for pair in self.pairs)

    @property
    def exit_code(self) -> int:
        """0 when every pair passes, 1 when one does not, 3 when that cannot be said."""
        if not self.is_comparable:
            return 3
        failing = [pair for pair in self.pairs if not self.passes(pair)]
        if any(pair.status != "not_compared" or pair.scores for pair in failing):
            return 1
        return 3 if failing else 0

    def as_json(self) -> dict[str, Any]:
        """The value in the shape above."""
        return {
            "title": self.title, "passed": self.exit_code == 0, "exit_code": self.exit_code, "decided_by": self.decided_by,
            "source": self.source, "notes": list(self.notes),
            "sides": [asdict(side) | ({"counts": self.counts(n)} if n else {}) for n, side in enumerate(self.sides)],
            "pairs": [self._pair_json(pair) for pair in self.pairs],
        }

    def _pair_json(self, pair: Pair) -> dict[str, Any]:
        return {
            "side": pair.side, "status": pair.status, "passed": self.passes(pair), "kind": pair.kind, "number": pair.number,
            "label": pair.label, "words": pair.words, "note": pair.note,
            "left": None if pair.left is None else asdict(pair.left),
            "right": None if pair.right is None else asdict(pair.right),
            "text": None if pair.text is None else pair.text.as_json(),
            "answer": _list(pair.answer), "request": _list(pair.request), "repeated": pair.repeated, "ids": pair.ids,
            "left_out": pair.left_out,
            "figures": {name: asdict(figure) for name, figure in pair.figures.items()},
            "scores": [{"name": name, **score.as_json()} for name, score in pair.scores],
        }


def _list(changes: Sequence[Change]) -> list[dict[str, Any]]:
    return [change.as_json() for change in changes]
