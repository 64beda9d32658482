"""Finding the recorded step that answers what a program asks, so that none is given twice.

A call is found by its request, first byte for byte, then as JSON; a tool by its name and its arguments. Of several equal ones the
first counts that stood at the same place and was not used yet. So the order of what runs side by side does not matter. Where
nothing is equal, the *nearest* is the unused one at the same place that has most values in common.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace

from otel_llm.replay.compare.fields import FieldChange, body_changes, leaves
from otel_llm.replay.requests.changes import edit
from otel_llm.replay.rerun.ignoring import Ignored
from otel_llm.replay.rerun.recording import Entry, Recording, equal_key, exact_key, without_secrets
from otel_llm.values.canonical import canonical_json
from otel_llm.values.errors import NotReplayable
from otel_llm.values.playback import Place, Question

MAX_NEAR = 50
"""How many unused recordings are looked at for the nearest."""


class Index:
    """The entries of a recording by what they answer. `claim` says whether no other process has taken a step."""

    def __init__(self, recording: Recording, claim: Callable[[str], bool], ignored: Ignored) -> None:
        self._recording, self._claim, self._ignored = recording, claim, ignored
        self._exact: dict[bytes, list[Entry]] = defaultdict(list)
        self._equal: dict[bytes, list[Entry]] | None = None
        self._functions: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        self._leaves: dict[str, frozenset[int]] = {}
        self._values: dict[tuple[str, bool], str | None] = {}
        for entry in recording.entries:
            if entry.number:
                self._exact[exact_key(entry.recorded.exchange)].append(entry)
            else:
                self._functions[entry.step.kind, entry.name].append(entry)

    def take(self, entry: Entry) -> bool:
        """An entry is given to the program, and with it all inside it; False when another process was first."""
        is_ours = self._claim(entry.step.span_id)
        for inner in self._recording.use(entry):
            self._leaves.pop(inner.step.span_id, None)
            if is_ours and inner is not entry:
                self._claim(inner.step.span_id)
        return is_ours

    def close(self, entry: Entry) -> bool:
        """A step has come to its end in the program itself, and what stood inside it for itself; False as with `take`."""
        entry.used = True
        return self._claim(entry.step.span_id)

    # ---- calls --------------------------------------------------------------------------------------------------------

    def call(self, question: Question) -> Entry | None:
        """The free call with this request. One that a fork had changed is found by the request as its program wrote it."""
        found = self._call(question)
        if found is None and self._recording.edits and question.body is not None:
            try:
                found = self._call(replace(question, body=edit(question.body, self._recording.edits)))
            except NotReplayable:
                return None
        return found

    def _call(self, question: Question) -> Entry | None:
        found = first(self._exact.get(exact_key(question), ()), question.place)
        if found is None and question.body:
            key = equal_key(question, self._ignored)
            found = None if key is None else first(self._by_value().get(key, ()), question.place)
        if found is None and question.body is None:
            found = first((e for e in self._recording.calls if not e.recorded.exchange.request_body
                           and e.recorded.exchange.api == question.api), question.place)
        return found

    def used(self, question: Question) -> Entry | None:
        """A call with this request that was given already."""
        key = equal_key(question, self._ignored)
        same = self._exact.get(exact_key(question)) or ([] if key is None else self._by_value().get(key, []))
        return next(iter(same), None)

    def nearest_call(self, question: Question) -> Entry | None:
        """The unused call that this one is most likely meant to be."""
        return self._nearest((e for e in self._recording.calls if e.recorded.exchange.api == question.api), question.place,
                             question.body)

    def _by_value(self) -> dict[bytes, list[Entry]]:
        """Entries by their request as JSON; made when the first request is not there byte for byte."""
        if self._equal is None:
            self._equal = defaultdict(list)
            for entry in self._recording.calls:
                key = equal_key(entry.recorded.exchange, self._ignored)
                if key is not None:
                    self._equal[key].append(entry)
        return self._equal

    # ---- tools, retrievals, and what stands around them ---------------------------------------------------------------

    def function(self, kind: str, name: str, arguments: bytes, place: Place, *, again: bool = False) -> Entry | None:
        """The free step with these arguments; with `again` also one that was used."""
        known = self._functions.get((kind, name), [])
        found = first((e for e in known if e.recorded.exchange.request_body == arguments), place)
        fitting = [] if found is not None else self._with_arguments([e for e in known if again or not e.used], arguments)
        found = found or first(fitting, place)
        return fitting[-1] if found is None and fitting else found

    def nearest_function(self, kind: str, name: str, arguments: bytes, place: Place) -> Entry | None:
        """The unused step of this name that this one is most likely meant to be."""
        return self._nearest(self._functions.get((kind, name), ()), place, arguments)

    def outcome(self, kind: str, name: str, place: Place, result: bytes, error_type: str | None) -> Entry | None:
        """The free step of this name that came to this; where none did, the first at this place."""
        known = [e for e in self._functions.get((kind, name), ()) if not e.used]
        ended = [e for e in known if e.step.error_type == error_type]
        found = first((e for e in ended if e.recorded.exchange.response_body == result), place)
        if found is None and error_type is None:
            value = _value(result)
            found = first((e for e in ended if self._value_of(e, is_result=True) in (None, value)), place)
        return found or first(ended if error_type is not None else known, place) or first(known, place)

    def _with_arguments(self, entries: list[Entry], arguments: bytes) -> list[Entry]:
        value = _value(arguments) if entries else ""
        return [e for e in entries if self._value_of(e, is_result=False) == value]

    def _value_of(self, entry: Entry, *, is_result: bool) -> str | None:
        """The result of a step, or its arguments, as `_value` has it; None where it is not recorded. Made once."""
        key = entry.step.span_id, is_result
        if key not in self._values:
            exchange = entry.recorded.exchange
            body = exchange.response_body if is_result else exchange.request_body
            self._values[key] = None if body is None or (is_result and exchange.omitted) else _value(body)
        return self._values[key]

    # ---- the nearest --------------------------------------------------------------------------------------------------

    def _nearest(self, entries: Iterable[Entry], place: Place, body: bytes | None) -> Entry | None:
        free = [entry for entry in entries if not entry.used]
        here = [entry for entry in free if entry.place == place] or free
        wanted = leaves(body) if len(here) > 1 else frozenset()
        return max(here[:MAX_NEAR], default=None, key=lambda entry: len(wanted & self._leaves_of(entry)) if wanted else 0)

    def _leaves_of(self, entry: Entry) -> frozenset[int]:
        found = self._leaves.get(entry.step.span_id)
        if found is None:
            found = self._leaves[entry.step.span_id] = leaves(entry.recorded.exchange.request_body)
        return found


def first(entries: Iterable[Entry], place: Place) -> Entry | None:
    """The first that is free, at this place if there is one."""
    free = [entry for entry in entries if not entry.used]
    return next((entry for entry in free if entry.place == place), free[0] if free else None)


def came_to(entry: Entry, result: bytes, error_type: str | None) -> list[FieldChange]:
    """How the outcome of a step differs from its recording; nothing where none was recorded."""
    exchange, before = entry.recorded.exchange, entry.step.error_type
    if before != error_type:
        return [FieldChange("error", before, error_type)]
    if error_type is not None or exchange.response_body is None or exchange.omitted:
        return []
    return _changes(exchange.response_body, result)


def _value(body: bytes) -> str:
    """A spelling that two bodies share which do not differ (`body_changes`), without their secrets."""
    plain = without_secrets(body)
    try:
        return canonical_json(json.loads(plain, parse_float=_number))
    except ValueError:
        return plain.decode("utf-8", "replace")


def _number(text: str) -> float | int:
    """1.0 is 1."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _changes(old: bytes, new: bytes) -> list[FieldChange]:
    return [] if old == new else body_changes(without_secrets(old), without_secrets(new))
