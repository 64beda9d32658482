"""One step against the step that corresponds to it.

Calls are compared by what came back (`otel_llm.replay.compare.answers` says when two answers are the same); how the requests
differ is listed and does not decide, since a replay with another model or prompt differs there on purpose. Tools, workflows
and other steps are compared by their arguments and their results as JSON, and by how they ended: a model decided what a tool is
given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from otel_llm.replay.compare.answers import Answer, compare, is_new_failure, recorded_answer
from otel_llm.replay.compare.fields import FieldChange, body_changes, field_changes
from otel_llm.replay.compare.wording import LONG, Room, change_of, one_sided, text_diff
from otel_llm.replay.reading import RecordedCall, recorded
from otel_llm.values.call import Request, Response
from otel_llm.values.comparison import Change, Figure, Pair, Status, StepRef, TextDiff
from otel_llm.values.errors import NotFound
from otel_llm.values.evaluation import Evaluator, Score, has_answered
from otel_llm.values.session import Exchange, Step
from otel_llm.values.store import Store

FIGURES = ("status", "error_type", "model", "finish_reason", "input_tokens", "output_tokens", "cost_pico_usd", "duration_ns")
MAX_CHANGES = 40
"""Changed fields that are listed of one step."""
MAX_NOTE = 500
_URL = "(url)"
"""The path of a change of where a request went; no JSON field is called like that."""
_PAIRED = "p"
_MADE_UP = re.compile(r"(^|\.)(tool_calls\.\d+\.id|tool_call_id|call_id|previous_response_id|input\.\d+\.id)$")
"""Where requests hold ids that a provider made up for this run alone."""


@dataclass(slots=True)
class Comparing:
    """What the comparison of one side remembers from pair to pair."""

    store: Store
    side: int
    evaluators: Sequence[Evaluator]
    room: Room
    seen: set[tuple[str, str]] = field(default_factory=set)

    def calls(self, old: RecordedCall, new: RecordedCall, refs: tuple[StepRef, StepRef]) -> Pair:
        """Two calls."""
        before, after = _answer(old), _answer(new)
        diff = _verdict(before, after)
        if not diff["compared"] and old.exchange.response_body is not None and _are_equal(old.exchange, new.exchange):
            diff |= {"compared": True, "same": True}
        status: Status = (
            "not_compared" if not diff["compared"]
            else "same" if diff["same"]
            else "failed" if is_new_failure(diff)
            else "different"
        )  # fmt: skip
        pair = _of(old.step, status, self.side, refs[0], refs[1])
        asked = new.call.request if new.call is not None else None
        answer, left_out = self._kept(_answer_fields(diff))
        return self._with_request(replace(
            pair,
            text=text_diff(before.text, after.text, self.room) if before.text or after.text else None,
            answer=answer,
            left_out=left_out,
            figures=_figures(diff),
            note="" if status == "same" else _why(new.step, new.exchange if status == "not_compared" else None),
            scores=tuple(self._scores(before, after, asked)),
        ), _requests(old.exchange, new.exchange))  # fmt: skip

    def steps(self, old: Step, new: Step, refs: tuple[StepRef, StepRef]) -> Pair:
        """Two steps that are no calls."""
        before, after = _outcome(self.store, old), _outcome(self.store, new)
        arguments, result = (
            _changes(a, b, name) if a is not None and b is not None else []
            for a, b, name in zip(before, after, ("arguments", "result"), strict=True)
        )
        ended_alike = (old.state, old.error_type) == (new.state, new.error_type)
        status: Status = "same" if ended_alike and not result and not arguments else "different"
        if new.state in ("error", "incomplete") and old.state == "ok":
            status = "failed"
        elif status == "same" and (before[1] is None) != (after[1] is None):
            status = "not_compared"
        pair = _of(old, status, self.side, refs[0], refs[1])
        diff = {"error_type": {"old": old.error_type, "new": new.error_type},
                "duration_ns": {"old": old.duration_ns, "new": new.duration_ns}}
        kept, left_out = self._kept(result)
        note = "" if status == "same" else _why(new, None)
        return self._with_request(replace(pair, answer=kept, left_out=left_out, figures=_figures(diff), note=note), arguments)

    def alone(self, step: Step, ref: StepRef, *, is_left: bool) -> Pair:
        """A step that is there on one side only."""
        pair = _of(step, "only_left" if is_left else "only_right", self.side, ref if is_left else None, None if is_left else ref)
        text: TextDiff | None = None
        figures: dict[str, Any] = {"duration_ns": step.duration_ns, "error_type": step.error_type}
        if step.kind == "call":
            answer = _answer(recorded(self.store, step))
            text = one_sided(answer.text, "-" if is_left else "+", self.room) if answer.text else None
            figures |= {"status": answer.status, "model": answer.model, "input_tokens": answer.usage.input_tokens,
                        "output_tokens": answer.usage.output_tokens, "cost_pico_usd": answer.cost and answer.cost.total}
        sided = {name: Figure(old=figures.get(name)) if is_left else Figure(new=figures.get(name)) for name in FIGURES}
        return replace(pair, text=text, figures={name: figure for name, figure in sided.items() if figure != Figure()})

    def _with_request(self, pair: Pair, found: Iterable[FieldChange]) -> Pair:
        """The pair with what was asked differently; made-up ids, and long differences and places that an earlier pair has, are
        counted.
        """
        fresh: list[FieldChange] = []
        repeated = ids = 0
        for change in found:
            if change.change == "changed" and _MADE_UP.search(change.path):
                ids += 1
                continue
            key = _text(change.old), _text(change.new)
            comes_again = change.path == _URL or max(map(len, key)) > LONG
            if comes_again and key in self.seen:
                repeated += 1
                continue
            if comes_again:
                self.seen.add(key)
            fresh.append(change)
        kept, left_out = self._kept(fresh)
        return replace(pair, request=kept, repeated=repeated, ids=ids, left_out=pair.left_out + left_out)

    def _kept(self, found: Sequence[FieldChange]) -> tuple[tuple[Change, ...], int]:
        """The first changes, and how many are not listed."""
        return tuple(change_of(change, self.room) for change in found[:MAX_CHANGES]), len(found[MAX_CHANGES:])

    def _scores(self, old: Answer, new: Answer, request: Request | None) -> Iterable[tuple[str, Score]]:
        """What the evaluators say. Where an error came instead of an answer there is nothing to like about it."""
        for evaluator in self.evaluators:
            if has_answered(new):
                score = judged(evaluator, old, new, request)
                if score is not None:
                    yield evaluator.name, score
            elif has_answered(old):
                yield evaluator.name, Score(passed=False, explanation=f"no answer to check: {_ending(new)}")


def _answer_fields(diff: Mapping[str, Any]) -> list[FieldChange]:
    """What differs in an answer besides its words: tools that were asked for, vectors."""
    found: list[FieldChange] = []
    for change in diff["tool_calls"]["changes"]:
        path = f"tool_calls.{change['name']}"
        if change["change"] == "changed":
            found += _values(change["old"], change["new"], path)
        else:
            found.append(FieldChange(path, change["old"], change["new"], change["change"]))
    vectors = diff["vectors"]
    if vectors is not None and vectors["same"] is False:
        cosine = "" if vectors["cosine"] is None else f", cosine at least {vectors['cosine']:.6f}"
        found.append(FieldChange("vectors", f"{vectors['old']} vectors", f"{vectors['new']} vectors{cosine}"))
    return found


def judged(evaluator: Evaluator, old: Answer, new: Answer, request: Request | None) -> Score | None:
    """The score; that of an evaluator that raises is undecided."""
    try:
        return evaluator(old, new, request)
    except Exception as error:
        return Score(explanation=f"{type(error).__name__}: {error}"[:MAX_NOTE])


def _ending(answer: Answer) -> str:
    return " ".join(str(part) for part in (answer.error_type, answer.status) if part is not None) or "nothing came back"


def _answer(call: RecordedCall) -> Answer:
    """What came back. Where its bytes were not kept, or no adapter found anything in them, nobody can read it."""
    answer = recorded_answer(call)
    is_empty = call.exchange.response_body is None or call.call is None or call.call.response == Response()
    return replace(answer, is_readable=False) if is_empty else answer


def _are_equal(old: Exchange, new: Exchange) -> bool:
    """Whether two answers that nobody can read are the same bytes all the same."""
    return (old.status, old.response_body) == (new.status, new.response_body)


def _verdict(old: Answer, new: Answer) -> dict[str, Any]:
    """The comparison of two answers. Words stand for whole texts, since only whether they are equal is asked here."""
    if old.text == new.text:
        word = _PAIRED if old.text else ""
        return compare(replace(old, text=word), replace(new, text=word))
    return compare(replace(old, text="old" if old.text else ""), replace(new, text="new" if new.text else ""))


def _of(step: Step, status: Status, side: int, left: StepRef | None, right: StepRef | None) -> Pair:
    title = step.response_model or step.model or step.name if step.kind == "call" else step.name
    return Pair(status, step.kind, title, left, right, side, words=step.request_preview)


def _figures(diff: Mapping[str, Any]) -> dict[str, Figure]:
    found = {name: Figure(diff[name]["old"], diff[name]["new"]) for name in FIGURES if name in diff}
    return {name: figure for name, figure in found.items() if figure != Figure()}


def _why(step: Step, exchange: Exchange | None) -> str:
    """What went wrong on the new side, or why it is not known."""
    if exchange is not None:
        return (exchange.omitted or "it is not known what came back")[:MAX_NOTE]
    return ": ".join(part for part in (step.error_type, step.error_message) if part)[:MAX_NOTE]


def _requests(old: Exchange, new: Exchange) -> list[FieldChange]:
    """How two requests differ. One that was not recorded differs in nothing that is known."""
    found = [FieldChange(_URL, old.url, new.url)] if old.url and new.url and old.url != new.url else []
    if old.request_body is None or new.request_body is None or old.request_body == new.request_body:
        return found
    return [*found, *_changes(old.request_body, new.request_body, "")]


def _outcome(store: Store, step: Step) -> tuple[bytes | None, bytes | None]:
    """Arguments and result of a step; None where they were not recorded."""
    try:
        exchange = store.exchange(step.span_id)
    except NotFound:
        return None, None
    return exchange.request_body, exchange.response_body


def _changes(old: bytes | None, new: bytes | None, under: str) -> list[FieldChange]:
    """The fields in which two bodies differ; bodies that are too deep to look into differ as texts."""
    if old == new:
        return []
    try:
        found = body_changes(old, new)
    except RecursionError:
        found = [FieldChange("", *("" if body is None else body.decode("utf-8", "replace") for body in (old, new)))]
    return _under(found, under)


def _values(old: Any, new: Any, under: str) -> list[FieldChange]:
    try:
        return _under(field_changes(old, new), under)
    except RecursionError:
        return [FieldChange(under, _text(old), _text(new))]


def _under(found: list[FieldChange], under: str) -> list[FieldChange]:
    if not under:
        return found
    return [replace(change, path=f"{under}.{change.path}" if change.path else under) for change in found]


def _text(value: Any) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "(too deep)"
