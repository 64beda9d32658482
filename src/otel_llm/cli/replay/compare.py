"""`otel-llm replay compare A B [C…]`: sessions step by step, with checks, as a report for people and for CI.

    otel-llm replay compare @1                         a session and its newest replay (or a replay and its source)
    otel-llm replay compare @2 @1 --html report.html   any two
    otel-llm replay compare @1 --check 'similarity>=0.9' --check schema=order.json --checks-decide --junit report.xml

Exit 0 when everything is the same and all checks pass, 1 when not, 2 for wrong usage and ids, 3 when the sides have no step in
common or it is not known what came back. With `--checks-decide` a step with checks passes when they do, however it differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.ids import SessionId, steps_of
from otel_llm.cli.output import Output, note
from otel_llm.cli.replay.judging import Judges
from otel_llm.cli.reports import Reports, report_options
from otel_llm.evals.checks import FORMS, judge_models, read_checks
from otel_llm.replay.compare.sessions import AlignedSide, Chosen, aligned, compared
from otel_llm.replay.lineage import iterations, newest_repeat, replay_of, replays_of, sources
from otel_llm.report.github import github
from otel_llm.report.html import html
from otel_llm.report.junit import junit
from otel_llm.report.lines import comparison_lines
from otel_llm.text.lines import Line
from otel_llm.values.errors import ConfigError, NotFound
from otel_llm.values.session import Step
from otel_llm.values.store import Store

MAX_RUBRIC = 100_000


@click.command()
@click.argument("given", metavar="A [B…]", nargs=-1, required=True, type=SessionId())
@click.option("--check", "checks", multiple=True, metavar="CHECK",
              help=f"Judge each new answer: {', '.join(FORMS)}. The function is called as FUNCTION(recorded, new, request) and "
                   "gives True or False, a number, or a pair of one of these and an explanation.")
@click.option("--judge-prompt", metavar="FILE", help="What judge=MODEL judges by.")
@click.option("--checks-decide", is_flag=True, help="Where checks pass a difference is no failure.")
@click.option("--yes", "-y", "is_confirmed", is_flag=True, help="Ask the judge without asking you.")
@report_options(json="The comparison as one JSON object.", github="Annotations of GitHub Actions too.",
                junit="Write JUnit XML: a test case a step.")
@pass_app
def compare(
    app: App, /, given: tuple[str, ...], checks: tuple[str, ...], judge_prompt: str | None, checks_decide: bool,
    is_confirmed: bool, **asked: Any,
) -> None:
    """Compare a session with its newest replay, or sessions, traces and calls with each other, step by step.

    Of several replays that is the newest in which a model was asked: a reissue or a fork rather than a rerun.
    """
    reports = Reports(**asked)
    reports.check()
    _check_usage(checks, judge_prompt, checks_decide)
    judges = Judges(app, judge_models(checks))
    evaluators = read_checks(checks, client=judges.client, rubric=_rubric(judge_prompt))
    chosen, title = _chosen(app.store, given)
    sides = aligned(app.store, chosen)
    with judges.asking(list(_new_calls(sides)), is_confirmed=is_confirmed):
        total = sum(len(side.pairs) for side in sides)
        found = compared(
            app.store, chosen, sides, title=title, evaluators=evaluators, decided_by="checks" if checks_decide else "difference",
            progress=lambda done: note(f"{done}/{total}") if judges.models else None)
    found = replace(found, name=_name(app.store, given, chosen))
    reports.write(lambda: junit([found]), lambda: html([found]))
    output = Output(app)

    def lines(is_read: bool) -> Iterator[Line]:
        return comparison_lines(found, color=is_read and output.has_color, width=output.width if is_read else None)

    reports.show(output, as_json=found.as_json, lines=lines, github=github([found]))
    if not found.is_comparable:
        note("There is no step that the sides have in common.")
    click.get_current_context().exit(found.exit_code)


def _check_usage(checks: Sequence[str], judge_prompt: str | None, checks_decide: bool) -> None:
    if checks_decide and not checks:
        raise ConfigError("--checks-decide needs a --check that decides, such as --check 'similarity>=0.9'")
    if judge_prompt is not None and not judge_models(checks):
        raise ConfigError("--judge-prompt is for a judge; add --check judge=MODEL")


def _rubric(file: str | None) -> str | None:
    """The words of the file. Raises `ConfigError` when it cannot be read as text."""
    if file is None:
        return None
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--judge-prompt {file}: {getattr(error, 'strerror', None) or 'it is no UTF-8 text'}") from None
    if not text.strip() or len(text) > MAX_RUBRIC:
        raise ConfigError(f"--judge-prompt {file} has {len(text):,} characters; good values: 1 to {MAX_RUBRIC:,}")
    return text


def _new_calls(sides: Sequence[AlignedSide]) -> Iterator[Step]:
    """The new side of each pair of calls."""
    for side in sides:
        for i, j in side.pairs:
            if i is not None and j is not None and side.right[j].kind == "call":
                yield side.right[j]


def _chosen(store: Store, given: Sequence[str]) -> tuple[list[Chosen], str]:
    """The sides that the ids name, and what their comparison is called."""
    if len(given) == 1:
        return _with_counterpart(store, given[0])
    found = [_side(store, one) for one in given]
    first, others = found[0], found[1:]
    names = [side.session_id for side in found]
    title = " and ".join([", ".join(names[:-1]), names[-1]])
    if all(replay_of(store, other.session_id) == first.session_id for other in others):
        return _labelled(store, first, others), title
    apart = [one for side in found for one in _apart(store, side)]
    letters = [chr(ord("A") + place) if place < 26 else f"S{place + 1}" for place in range(len(apart))]
    return [replace(side, label=letter) for side, letter in zip(apart, letters, strict=True)], title


def _with_counterpart(store: Store, given: str) -> tuple[list[Chosen], str]:
    """A session or a call and its newest replay; a replay that has none itself stands beside its source.

    A session that has several is no secret: it is said which one it is.
    """
    one = _side(store, given)
    if one.is_one:
        pair = _calls_of(store, one)
    else:
        replays = replays_of(store, one.session_id)
        source = replay_of(store, one.session_id) if replays is None else None
        pair = ((one.session_id, replays.chosen) if replays is not None
                else (source, one.session_id) if source is not None else None)
        if replays is not None and replays.count > 1:
            newest = "the newest in which a model was asked" if replays.is_live else "the newest"
            note(f"{one.session_id} has {replays.count:,} replays; {replays.chosen} is {newest}. "
                 f"`otel-llm show {one.session_id}` lists them; give a second id for another.")
    if pair is None:
        raise ConfigError(f"{given} has no replay to compare it with. `otel-llm replay reissue {given}` makes one; "
                          "or give a second id.")
    left, right = (_side(store, name) for name in pair)
    return _labelled(store, left, [right]), f"{left.session_id} and its replay {right.session_id}"


def _name(store: Store, given: Sequence[str], chosen: Sequence[Chosen]) -> str:
    """What a comparison is called in every run: as its sessions were named, or the recording alone where the others replay it."""
    recorded = chosen[0].session_id
    of_replays = len(given) > 1 and all(replay_of(store, side.session_id) == recorded for side in chosen[1:])
    return given[0] if of_replays else " and ".join(given)


def _labelled(store: Store, recorded: Chosen, replays: Sequence[Chosen]) -> list[Chosen]:
    """A recording and its replays; one that repeats it several times is as many sides."""
    apart = [one for side in replays for one in _apart(store, side)]
    labels = ["replay"] if len(apart) == 1 else [f"replay {number}" for number in range(1, len(apart) + 1)]
    return [replace(recorded, label="recorded"), *(replace(o, label=name) for o, name in zip(apart, labels, strict=True))]


def _apart(store: Store, side: Chosen) -> list[Chosen]:
    if side.is_one:
        return [side]
    known = sources(store, side.session_id, side.steps)
    return [replace(side, steps=tuple(steps)) for steps in iterations(store, side.steps, known)]


def _calls_of(store: Store, one: Chosen) -> tuple[str, str] | None:
    """The span ids of a step and its newest replay, or of its source and it."""
    (step,) = one.steps
    repeated = newest_repeat(store, one.session_id, step.span_id)
    if repeated is not None:
        return step.span_id, repeated
    source = sources(store, one.session_id, one.steps).get(step.span_id)
    return None if source is None else (source, step.span_id)


def _side(store: Store, given: str) -> Chosen:
    session_id, steps = steps_of(store, given)
    if not steps:
        raise NotFound("step in", given)
    return Chosen(session_id, "", tuple(steps), is_one=store.resolve(given).kind == "call")
