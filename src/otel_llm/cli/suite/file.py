"""The file of a suite, in TOML. Names of files in it are looked up beside it.

`KEYS` lists what may stand in it; `examples/compare-prompts/every-key.toml` has all of it, with comments. What `replay reissue`
and `sessions` have as options is called the same here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from otel_llm.adapters import WRITERS
from otel_llm.cli.filters import read_seconds, read_usd
from otel_llm.cli.suite.toml_fields import Fields
from otel_llm.evals.checks import judge_models
from otel_llm.replay.reissue.budget import Caps
from otel_llm.replay.requests.changes import Changes, PromptText
from otel_llm.replay.suite.definition import MAX_DROP, RECORDED, Pick, Rules, Suite, Variant, names_of
from otel_llm.values.errors import ConfigError

KEYS = {
    "": ("name", "checks", "judge_prompt", "baseline", "models", "threaded", "repeat", "provider", "base_url", "api_key_env",
         "concurrency", "retries"),
    "[sessions]": ("ids", "user", "tag", "model", "status", "where", "since", "until", "min_cost", "max_cost", "min_duration",
                   "limit", "order", "seed"),
    "[set]": (),
    "[[prompts]]": ("name", "version", "file"),
    "[[variants]]": ("name", "model", "system", "prompts", "set", "provider", "base_url", "api_key_env", "recorded", "baseline"),
    "[rules]": ("alpha", "min_pass_rate", "max_pass_rate_drop", "max_cost_increase", "max_latency_increase"),
    "[budget]": ("max_calls", "max_cost", "max_time"),
}
"""The keys of each table; those of `[set]` are parameters of the provider."""

ORDERS = ("newest", "random", "cost", "tokens", "duration", "calls")
MAX_VARIANTS = 100
MAX_NAME = 100
_LISTS = ("user", "tag", "model", "status", "where")
_WORDS = ("since", "until", "min_cost", "max_cost", "min_duration")


def keys_help() -> str:
    """The keys of a suite as the end of a help text, one table a paragraph."""
    tables = (f"{f'{table}: ' if table else ''}{', '.join(keys) or 'parameters, as --set takes them'}"
              for table, keys in KEYS.items())
    return "Keys of FILE.toml (examples/compare-prompts/every-key.toml has them with comments):\n\n" + "\n\n".join(tables)


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """What a file asks for. `rubric` are the words that a judge judges by; `line` is what a bisect goes along: prompts, models or
    variants; None when prompts and models are crossed. `checks_at` is where the checks stand, for what is wrong with one."""

    suite: Suite
    pick: Pick
    rubric: str | None
    line: str | None
    checks_at: str = ""


def read_suite(file: str) -> SuiteFile:
    """The suite of a file. Raises `ConfigError` with the key, its line where it can be found, and the good values."""
    top = Fields.read(file)
    folder = Path(file).parent
    name = _name(top, "name", Path(file).stem)
    is_threaded = top.flag("threaded")
    repeat = top.whole("repeat", 1, least=1, most=1000)
    concurrency = top.whole("concurrency", 4, least=1, most=64)
    retries = top.whole("retries", 2, least=0, most=10)
    checks = tuple(_beside(folder, check) for check in top.texts("checks"))
    rubric = _file_text(top, "judge_prompt", folder)
    if rubric is not None and not judge_models(checks):
        top.fail('judge_prompt is for a judge; add "judge=MODEL" to checks', "judge_prompt")
    wanted = top.text("baseline")
    variants, line = _variants(top, folder)
    rules, caps, pick = _rules(top.table("rules")), _caps(top.table("budget")), _pick(top.table("sessions"))
    top.end()
    variants, baseline = _with_baseline(top, variants, wanted)
    assert repeat is not None and concurrency is not None and retries is not None
    suite = Suite(name, tuple(variant for variant, _ in variants), baseline, repeat, is_threaded, checks, rules, caps,
                  concurrency, retries, file)
    return SuiteFile(suite, pick, rubric, line, top.where("checks"))


Marked = list[tuple[Variant, bool]]
"""Variants, and whether each is marked as the baseline."""


def _variants(top: Fields, folder: Path) -> tuple[Marked, str | None]:
    """All variants, and what a bisect goes along."""
    shared = _shared(top)
    models, prompts = top.texts("models"), [_prompt(each, folder) for each in top.tables("prompts")]
    if len({prompt.name for prompt in prompts}) > 1 and models:
        top.fail("prompts of several names cannot be crossed with models; write them as [[variants]]", "prompts")
    made: Marked = []
    lone: list[tuple[PromptText, ...]] = [(prompt,) for prompt in prompts] or ([()] if models else [])
    for chosen in lone:
        for model in models or (None,):
            label = " ".join([*(f"{prompt.name}@{prompt.version}" for prompt in chosen), *([model] if model is not None else [])])
            made.append((replace(shared, name=label, changes=replace(shared.changes, model=model, prompts=chosen)), False))
    crossed = len(prompts) > 1 and len(models) > 1
    made += [_variant(each, shared, folder) for each in top.tables("variants")]
    names = names_of([variant for variant, _ in made])
    if (twice := next((each for each in names if names.count(each) > 1), None)) is not None:
        top.fail(f"two variants are called {twice!r}; each needs a name of its own",
                 "variants" if top.has("variants") else "prompts")
    if len(made) > MAX_VARIANTS:
        top.fail(f"there are {len(made):,} variants; good values: up to {MAX_VARIANTS}")
    return made, None if crossed else "prompts" if prompts else "models" if models else "variants"


def _shared(top: Fields) -> Variant:
    """What stands on top for all variants."""
    changes = Changes(settings=_settings(top), base_url=top.text("base_url"),
                      api=top.text("provider", good=tuple(WRITERS)))
    return Variant("", changes, top.text("api_key_env"))


def _settings(fields: Fields) -> dict[str, Any]:
    """Parameters as a body may hold them: tables and lists of texts, numbers, true and false."""
    table = fields.table("set")
    for name, value in table.values().items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            table.refuse(name, value, "what JSON knows: texts, numbers, true, false, lists and tables")
    return dict(table.values())


def _prompt(fields: Fields, folder: Path) -> PromptText:
    values = [fields.text(name) for name in ("name", "version")]
    text = _file_text(fields, "file", folder)
    fields.end()
    if None in values or text is None:
        fields.fail("a prompt needs name, version and file")
    name, version = values
    assert name is not None and version is not None
    return PromptText(name, version, text)


def _variant(fields: Fields, shared: Variant, folder: Path) -> tuple[Variant, bool]:
    is_recorded, is_baseline = fields.flag("recorded"), fields.flag("baseline")
    name = _name(fields, "name", RECORDED if is_recorded else None)
    system = fields.text("system")
    if system is not None and system.startswith("@"):
        system = _read_beside(fields, "system", system.removeprefix("@"), folder)
    prompts = tuple(_prompt(each, folder) for each in fields.tables("prompts"))
    model, base_url, key = fields.text("model"), fields.text("base_url"), fields.text("api_key_env")
    api = fields.text("provider", good=tuple(WRITERS))
    settings = _settings(fields)
    fields.end()
    given = Changes(model, settings, base_url, system, prompts, api)
    if is_recorded:
        if given != Changes() or key is not None:
            fields.fail("the recorded answers are what they are: recorded = true takes no other key but name and baseline",
                        "recorded")
        return Variant(name, is_recorded=True), is_baseline
    of_all = shared.changes
    changes = replace(
        given, settings={**of_all.settings, **settings}, base_url=base_url or of_all.base_url, api=api or of_all.api)
    return Variant(name, changes, key or shared.api_key_env), is_baseline


def _with_baseline(top: Fields, variants: Marked, wanted: str | None) -> tuple[Marked, str]:
    """The variants with the baseline among them, and its name."""
    names = names_of([variant for variant, _ in variants])
    if not any(not variant.is_recorded for variant, _ in variants):
        top.fail("there is no variant to ask; give models, [[prompts]] or [[variants]]")
    if sum(variant.is_recorded for variant, _ in variants) > 1:
        top.fail("recorded = true stands in two variants; one is enough", "variants")
    marked = [variant.name for variant, is_baseline in variants if is_baseline]
    if len(marked) > 1 or (marked and wanted is not None and marked != [wanted]):
        top.fail(f"there is more than one baseline: {', '.join(dict.fromkeys([*marked, *([wanted] if wanted else [])]))}",
                 "baseline" if wanted is not None else "variants")
    if wanted is not None and wanted not in names:
        if wanted != RECORDED:
            top.refuse("baseline", wanted, f'{", ".join(names)}, "{RECORDED}"')
        variants = [(Variant(RECORDED, is_recorded=True), False), *variants]
    baseline = wanted or (marked[0] if marked else names[0])
    if len(variants) < 2:
        top.fail(f'there is nothing to compare {baseline} with; give another variant, or baseline = "{RECORDED}"')
    return variants, baseline


def _rules(fields: Fields) -> Rules:
    alpha = fields.number("alpha", 0.05, above=0, most=0.5)
    drop = fields.number("max_pass_rate_drop", MAX_DROP, above=0, most=1)
    assert alpha is not None and drop is not None
    made = Rules(alpha, fields.number("min_pass_rate", None, above=0, most=1), drop,
                 fields.number("max_cost_increase", None, above=-1, most=1000),
                 fields.number("max_latency_increase", None, above=-1, most=1000))
    fields.end()
    return made


def _caps(fields: Fields) -> Caps:
    usd = fields.number("max_cost", None, above=0, most=1_000_000)
    calls, seconds = fields.whole("max_calls", None, least=1, most=10_000_000), fields.text("max_time")
    made = Caps(calls, None if usd is None else read_usd(str(usd), "max_cost"),
                None if seconds is None else _read(fields, "max_time", lambda: read_seconds(seconds, "max_time")))
    fields.end()
    return made


def _pick(fields: Fields) -> Pick:
    ids, given = fields.texts("ids"), {name: fields.texts(name) for name in _LISTS}
    words = {name: _word(fields, name) for name in _WORDS}
    limit, seed = fields.whole("limit", 50, least=1, most=100_000), fields.whole("seed", 0, least=0, most=2**32)
    order = fields.text("order", "newest", good=ORDERS)
    if ids and not fields.has("limit"):
        limit = len(ids)
    if fields.has("seed") and order != "random":
        fields.fail('seed is for order = "random"', "seed")
    fields.end()
    assert limit is not None and seed is not None and order is not None
    return Pick(ids, {**{name: value for name, value in given.items() if value},
                      **{name: value for name, value in words.items() if value is not None}}, limit, order, seed)


def _word(fields: Fields, name: str) -> str | None:
    """A text, or what TOML makes of it where it is not quoted: a number, a date."""
    value = fields.any(name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, list, dict)):
        fields.refuse(name, value, 'a text, such as since = "7d" or max_cost = 0.5')
    return str(value)


def _name(fields: Fields, key: str, default: str | None) -> str:
    name = fields.text(key, default)
    if name is None:
        fields.fail("a variant needs a name")
    if len(name) > MAX_NAME or not name.isprintable() or "," in name or name != name.strip():
        fields.refuse(key, name, f"up to {MAX_NAME} letters without a comma, since it becomes a tag")
    return name


def _file_text(fields: Fields, key: str, folder: Path) -> str | None:
    """The words of the file that a key names; None when the key is not there."""
    name = fields.text(key)
    return None if name is None else _read_beside(fields, key, name, folder)


def _read_beside(fields: Fields, key: str, name: str, folder: Path) -> str:
    """The words of a file that stands beside the suite, without the last line end."""
    try:
        return (folder / name).expanduser().read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        fields.fail(f"{key}: the file {name!r} cannot be read: {why}", key)


def _beside(folder: Path, check: str) -> str:
    """A check whose file is looked up beside the suite."""
    kind, _, name = check.partition("=")
    return f"schema={os.path.relpath(folder / name)}" if kind == "schema" and name else check


def _read(fields: Fields, key: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except ConfigError as error:
        fields.fail(str(error), key)
