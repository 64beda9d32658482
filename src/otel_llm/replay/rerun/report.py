"""What a rerun came to: the same, diverged (something else was asked), regressed (it came to something else), or stopped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from otel_llm.replay.compare.fields import FieldChange

Kind = Literal["request", "extra", "arguments", "beyond", "unasked", "result", "program", "capped"]
Outcome = Literal["same", "diverged", "regressed", "forked", "stopped"]

_SAYS: Mapping[Kind, str] = {
    "request": "asks something else", "extra": "is not in the recording", "arguments": "is called with other arguments",
    "beyond": "is read further than the recording goes", "unasked": "was not asked any more",
    "result": "comes to something else", "program": "ended differently",
    "capped": "was not let out"}
MAX_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the program did differently. `source_span_id` is the nearest recorded step, None when there is none.

    `resolution` says what the program got: `stopped` (an error), `recorded` (the answer of the nearest), `live`, or `` .
    """

    kind: Kind
    label: str
    source_span_id: str | None = None
    fields: tuple[FieldChange, ...] = ()
    note: str = ""
    resolution: str = ""

    @property
    def text(self) -> str:
        """The difference in one line and one line a field."""
        head = f"{self.label} {_SAYS[self.kind]}" + (f": {self.note}" if self.note else "")
        return "\n".join([head, *(f"  {shown(change)}" for change in self.fields)])

    def as_json(self) -> dict[str, Any]:
        """`{"kind", "label", "source_span_id", "fields": [{"path", "change", "old", "new"}], "note", "resolution"}`"""
        return {"kind": self.kind, "label": self.label, "source_span_id": self.source_span_id,
                "fields": [change.as_json() for change in self.fields], "note": self.note, "resolution": self.resolution}


@dataclass(slots=True)
class Report:
    """The result of a rerun or a fork. Counts are of calls and of tools (retrievals among them).

    `new_session_id` is that of what the program did, empty (in JSON null) when nothing of it was recorded.
    """

    mode: Literal["rerun", "fork"]
    session_ids: tuple[str, ...]
    new_session_id: str
    recorded_calls: int = 0
    answered_calls: int = 0
    live_calls: int = 0
    answered_tools: int = 0
    live_tools: int = 0
    live_cost: int = 0
    """Pico-USD of the live calls whose price is known."""
    unpriced_calls: int = 0
    """Live calls whose price is not known."""
    differences: list[Difference] = field(default_factory=list)
    unlisted: int = 0
    """Differences that are not listed, because there were many before."""
    unreached: int = 0
    """Recorded calls behind the point where the program stopped."""
    held_off: list[str] = field(default_factory=list)
    """Hosts that the program wanted to reach while its network was closed."""
    absent_tools: dict[str, list[str]] = field(default_factory=dict)
    """Tools that were to run live, and that the program did not call and the recording does not have; with those that it has."""

    def add(self, name: str, more: int) -> None:
        """Count more of something: the name of a field."""
        setattr(self, name, getattr(self, name) + more)

    def take(self, event: Mapping[str, Any]) -> None:
        """Count in what a process told (`otel_llm.replay.rerun.account`)."""
        if "difference" in event:
            self.differences.append(_difference(event["difference"]))
        if event.get("held_off", "") not in ("", *self.held_off):
            self.held_off.append(event["held_off"])
        self.absent_tools.pop(event.get("ran", ""), None)
        if "failed" in event:
            self.differences.append(Difference("program", "a process of the program", note=event["failed"]))
        for name, more in event.get("add", {}).items():
            self.add(name, more)

    def conclude(self, left: Iterable[tuple[str, str]], program_error: str | None = None) -> None:
        """Say which calls and tools (span ids and labels) were not asked. Where the program was stopped or failed the calls are
        only counted."""
        was_stopped = any(difference.resolution == "stopped" for difference in self.differences)
        if program_error is not None and not was_stopped:
            self.differences.append(Difference("program", "the program", note=program_error))
        if self.mode == "fork":
            return
        if was_stopped or program_error is not None:
            self.unreached = sum(label.startswith("call ") for _, label in left)
        else:
            self.differences += [Difference("unasked", label, span_id) for span_id, label in left]

    @property
    def outcome(self) -> Outcome:
        """`diverged` when the program asked something else, `regressed` when it asked the same and came to something else,
        `stopped` when a cap held a live call back, whatever the program made of that."""
        kinds = {difference.kind for difference in self.differences}
        if "capped" in kinds:
            return "stopped"
        if self.mode == "fork" and not kinds & {"program"} and not any(d.resolution == "stopped" for d in self.differences):
            return "forked"
        if kinds - {"result", "program"}:
            return "diverged"
        return "regressed" if kinds else "same"

    @property
    def exit_code(self) -> int:
        """0 for the same (and for a fork that ran), 1 for different."""
        return 0 if self.outcome in ("same", "forked") else 1

    @property
    def text(self) -> str:
        """The report for people: outcome, counts, every difference."""
        counts = f"{self.answered_calls} of {_many(self.recorded_calls, 'call')} answered from the recording"
        more = [f"{self.live_calls} live" if self.live_calls else "",
                f"{_many(self.answered_tools, 'tool')} answered" if self.answered_tools else "",
                f"{_many(self.live_tools, 'tool')} run" if self.live_tools else "",
                f"{_many(self.unreached, 'call')} not reached" if self.unreached else ""]
        head = f"{self.outcome}: " + ", ".join([counts, *filter(None, more)])
        rest = [f"and {self.unlisted} more differences"] if self.unlisted else []
        if self.held_off:
            rest.append(self.held_off_text)
        rest += [f"Nothing ran by --live-tool {name}: no tool of that name was called, nor is one in the recording, which has "
                 f"{', '.join(known) or 'none'}." for name, known in self.absent_tools.items()]
        return "\n".join([head, *(_times(text, many) for text, many in Counter(d.text for d in self.differences).items()), *rest])

    @property
    def held_off_text(self) -> str:
        """Which hosts were not reached; empty when there were none. That is no difference where the program lived with it: a
        library that phones home makes it no other program."""
        hosts = ", ".join(self.held_off)
        return f"Held off the network: {hosts} (--allow-host lets the program reach a host)." if hosts else ""

    def as_json(self) -> dict[str, Any]:
        """All of it; `differences` as `Difference.as_json` has them."""
        return {"mode": self.mode, "outcome": self.outcome, "session_ids": list(self.session_ids),
                "new_session_id": self.new_session_id or None, "recorded_calls": self.recorded_calls,
                "answered_calls": self.answered_calls, "live_calls": self.live_calls, "answered_tools": self.answered_tools,
                "live_tools": self.live_tools, "live_cost_pico_usd": self.live_cost, "unpriced_calls": self.unpriced_calls,
                "unreached": self.unreached, "unlisted": self.unlisted, "held_off": list(self.held_off),
                "absent_tools": list(self.absent_tools),
                "differences": [difference.as_json() for difference in self.differences]}


def told(events: Iterable[Mapping[str, Any]], claimed: Collection[str], program_error: str | None = None) -> Report | None:
    """The report of what the processes of one program told; None when none of them began."""
    events = list(events)
    said = next((event["begin"] for event in events if "begin" in event), None)
    if said is None:
        return None
    report = Report(said["mode"], tuple(said["session_ids"]), said["new_session_id"], said["recorded_calls"])
    report.absent_tools = dict(said["absent_tools"])
    for event in events:
        report.take(event)
    report.conclude([(span_id, label) for span_id, label in said["steps"] if span_id not in claimed], program_error)
    return report


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _times(text: str, many: int) -> str:
    """A difference that came several times, as where a framework tries again what was stopped."""
    head, line_break, fields = text.partition("\n")
    return text if many == 1 else f"{head} ({many} times){line_break}{fields}"


def _difference(value: Mapping[str, Any]) -> Difference:
    fields = tuple(FieldChange(f["path"], f["old"], f["new"], f["change"]) for f in value["fields"])
    return Difference(value["kind"], value["label"], value["source_span_id"], fields, value["note"], value["resolution"])


def shown(change: FieldChange) -> str:
    """A changed field in one line; long texts around the place where they part."""
    path = change.path or "the whole"
    if change.change == "added":
        return f"{path}: + {_short(change.new)}"
    if change.change == "removed":
        return f"{path}: - {_short(change.old)}"
    old, new = change.old, change.new
    if isinstance(old, str) and isinstance(new, str) and max(len(old), len(new)) > MAX_SHOWN:
        at = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        start = max(0, at - 30)
        cut = "…" if start else ""
        old, new = cut + old[start:], cut + new[start:]
    return f"{path}: {_short(old)} → {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
