"""Before a suite sends anything: which run it is, what it would send and cost, and whether somebody agrees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import click

from otel_llm.cli.app import App
from otel_llm.cli.output import is_interactive, note
from otel_llm.cli.suite.file import SuiteFile
from otel_llm.cli.suite.runs import Runs, new_run_id
from otel_llm.cli.suite.sessions import choose
from otel_llm.replay.requests.credentials import credential, is_loopback, show_origin
from otel_llm.replay.suite.definition import Run, Suite, Variant
from otel_llm.replay.suite.sending import Used, used_of
from otel_llm.replay.suite.trials import Need, Trial, need_of, plan_of, trial_of
from otel_llm.text import numbers
from otel_llm.text.safe import line
from otel_llm.values.errors import ConfigError, NotFound, NotReplayable

MOST_NAMED = 5
"""Sessions that one remark lists."""

Planned = list[tuple[Trial, Need]]


@dataclass(frozen=True, slots=True)
class Left:
    """A session that is left out, and why."""

    session_id: str
    reason: str


def runs_of(app: App) -> Runs:
    """The runs in the store."""
    return Runs(Path(app.store_place()))


def run_of(app: App, file: SuiteFile, kind: str, *, is_resumed: bool) -> Run:
    """The newest run of the suite, or a new one."""
    suite = file.suite
    if is_resumed:
        run = runs_of(app).newest(suite.name, kind)
        run.check(suite)
        return run
    return Run(new_run_id(kind), suite.name, kind, suite.to_options(), tuple(choose(app, file.pick)), app.now_ns())


def plan_trials(app: App, run: Run, suite: Suite, variants: Sequence[Variant]) -> tuple[Planned, list[Left]]:
    """Every session in every variant, and the sessions that cannot be asked in all of them.

    Raises `NotReplayable` when none can, or when a key is missing; `ConfigError` for a prompt that no call comes from, and when a
    cap on money cannot be kept.
    """
    made: Planned = []
    left: list[Left] = []
    for session_id in run.sessions:
        trials = [trial_of(run, variant, session_id, suite.repeat) for variant in variants]
        try:
            needs = [need_of(plan_of(trial, app.store, environ=app.environ, price=app.price), suite.repeat) for trial in trials]
        except (NotReplayable, NotFound) as error:
            left.append(Left(session_id, str(error)))
            continue
        missing = next((need for need in needs if not need.calls), None)
        if missing is not None:
            left.append(Left(session_id, "; ".join(dict.fromkeys(missing.skipped)) or "it has no call to a model"))
        else:
            made += zip(trials, needs, strict=True)
    if not made:
        raise NotReplayable(f"None of the {numbers.plural(len(left), 'session')} can be asked again: {left[0].reason}")
    _check_prompts(app, suite, made)
    _check_keys(app, made)
    _check_prices(suite, made)
    return made, left


def _check_prompts(app: App, suite: Suite, planned: Planned) -> None:
    """Raise when a variant has a text for a prompt that no call comes from: its answers would be those of another."""
    for name in dict.fromkeys(prompt.name for trial, _ in planned for prompt in trial.variant.changes.prompts):
        if not any(name in need.prompts for _, need in planned):
            steps = (step for source in dict.fromkeys(trial.source for trial, _ in planned) for step in app.store.steps(source))
            known = list(dict.fromkeys(step.prompt_name for step in steps if step.prompt_name is not None))
            near = get_close_matches(name, known, n=1)
            hint = f" Did you mean {line(near[0])}?" if near else ""
            there = f"They come from {', '.join(map(line, known[:MOST_NAMED]))}." if known else "None comes from a named prompt."
            raise ConfigError(f"{suite.source}: no call of these sessions comes from the prompt {line(name)!r}.{hint} {there}")


def _check_keys(app: App, planned: Planned) -> None:
    """Raise when there is no key for a place that a variant goes to."""
    for name in dict.fromkeys((trial.variant.api_key_env, origin) for trial, need in planned for origin in need.origins):
        credential(f"{show_origin(name[1])}/", app.environ, name[0])


def _check_prices(suite: Suite, planned: Planned) -> None:
    unpriced = next(((trial, need) for trial, need in planned if need.unpriced), None)
    if suite.caps.cost is not None and unpriced is not None:
        trial = unpriced[0]
        raise ConfigError(f"budget.max_cost cannot be kept: nobody knows what calls of {line(trial.variant.name)!r} cost "
                          f"(session {line(trial.source)}). Use budget.max_calls instead.")


def announce(suite: Suite, planned: Planned, left: Sequence[Left], need: Need, *, at_most: str = "") -> None:
    """The plan in words, on stderr; `need` is what it comes to."""
    for each in left[:MOST_NAMED]:
        note(f"Left out: session {line(each.session_id)}: {line(each.reason)}.")
    if len(left) > MOST_NAMED:
        note(f"Left out: {numbers.plural(len(left) - MOST_NAMED, 'more session')}.")
    sessions = numbers.plural(len({trial.source for trial, _ in planned}), "session")
    variants = numbers.plural(len({trial.variant.name for trial, _ in planned}), "variant")
    note(f"{line(suite.name)}: {sessions} in {variants}, {at_most}{numbers.plural(need.calls, 'call')} to {places(need)}. "
         f"{price_text(need, at_most)}")
    if suite.caps.calls is not None and suite.caps.calls < need.calls:
        note(f"The budget allows {numbers.count(suite.caps.calls)} of these calls.")


def announce_resumption(run: Run, used: Used) -> None:
    """How far a run came."""
    note(f"Going on with {run.run_id}: {numbers.plural(used.answered, 'call')} answered so far"
         f"{f', {numbers.count(used.in_doubt)} in doubt (--resend-in-doubt sends them again)' if used.in_doubt else ''}.")


def confirm(need: Need) -> None:
    """Ask the person at the terminal where somebody may be paid.

    Raises `ConfigError` when there is nobody to ask, `Abort` when the answer is no.
    """
    if all(is_loopback(origin) for origin in need.origins):
        return
    if not is_interactive():
        raise ConfigError(f"Nothing was sent, because nobody confirmed: {numbers.plural(need.calls, 'call')} to {places(need)}. "
                          f"{price_text(need)} Give --yes to send.")
    if not click.confirm("Send?", default=False, err=True):
        note("Nothing was sent.")
        raise click.Abort


def used_so_far(app: App, trials: Iterable[Trial]) -> Used:
    """What trials have used already, by their journals."""
    return used_of([entry for trial in trials for entry in app.store.journal.entries(trial.session_id)])


def places(need: Need) -> str:
    """Where the calls would go."""
    return ", ".join(show_origin(origin) for origin in need.origins)


def price_text(need: Need, at_most: str = "") -> str:
    """The estimate in words; an unknown price is said plainly."""
    if need.cost is None:
        return "What it costs is unknown."
    more = f", and {numbers.plural(need.unpriced, 'call')} of unknown cost" if need.unpriced else ""
    return f"By the recorded tokens it costs {at_most}about {numbers.cost(need.cost)}{more}."
