"""The file of a suite: what it may hold, and what is said of a slip of the pen."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_llm.cli.suite.file import SuiteFile, read_suite
from otel_llm.cli.suite.toml_fields import line_of
from otel_llm.replay.reissue.budget import Caps
from otel_llm.replay.requests.changes import Changes, PromptText
from otel_llm.replay.suite.definition import Pick, Rules, Suite, Variant
from otel_llm.values.errors import ConfigError

WHOLE = """\
name = "refunds"
threaded = true
repeat = 3
checks = ["contains=refund", "schema=order.json", "judge=gpt-4.1"]
judge_prompt = "rubric.txt"
baseline = "recorded"
models = ["a", "b"]
base_url = "http://127.0.0.1:1/v1"
api_key_env = "KEY"
concurrency = 2
retries = 0

[sessions]
ids = ["ticket-17", "@1"]
since = "7d"
tag = "team=shop"
status = ["ok", "recovered"]
min_cost = 0.5
limit = 9
order = "random"
seed = 4

[set]
temperature = 0

[[prompts]]
name = "refunds"
version = "7"
file = "seven.txt"

[[variants]]
name = "short"
model = "c"
system = "@short.txt"
provider = "openai_chat"
base_url = "http://127.0.0.1:2/v1"

[variants.set]
"response_format.type" = "json_object"

[rules]
alpha = 0.01
min_pass_rate = 0.95
max_pass_rate_drop = 0.05
max_cost_increase = 0.2
max_latency_increase = -0.1

[budget]
max_calls = 500
max_cost = 1.5
max_time = "10m"
"""


def write(folder: Path, text: str) -> str:
    for name in ("seven", "short", "rubric"):
        (folder / f"{name}.txt").write_text(f"The {name} one.\n")
    (folder / "suite.toml").write_text(text)
    return str(folder / "suite.toml")


def test_a_whole_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seven = (PromptText("refunds", "7", "The seven one."),)
    settings, there = {"temperature": 0}, "http://127.0.0.1:1/v1"

    assert read_suite(write(tmp_path, WHOLE)) == SuiteFile(
        Suite(
            "refunds",
            (
                Variant("recorded", is_recorded=True),
                Variant("refunds@7 a", Changes("a", settings, there, prompts=seven), "KEY"),
                Variant("refunds@7 b", Changes("b", settings, there, prompts=seven), "KEY"),
                Variant("short", Changes("c", {"temperature": 0, "response_format.type": "json_object"}, "http://127.0.0.1:2/v1",
                                         "The short one.", api="openai_chat"), "KEY"),
            ),
            "recorded", 3, True, ("contains=refund", "schema=order.json", "judge=gpt-4.1"),
            Rules(0.01, 0.95, 0.05, 0.2, -0.1), Caps(500, 1_500_000_000_000, 600.0), 2, 0, str(tmp_path / "suite.toml")),
        Pick(("ticket-17", "@1"), {"since": "7d", "tag": ("team=shop",), "status": ("ok", "recovered"), "min_cost": "0.5"}, 9,
             "random", 4),
        "The rubric one.", "prompts", f"{tmp_path / 'suite.toml'}, line 4")


def test_a_short_file_has_defaults_and_the_name_of_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'models = ["a", "b"]')

    assert read_suite(file) == SuiteFile(
        Suite("suite", (Variant("a", Changes("a")), Variant("b", Changes("b"))), "a", source=file), Pick(), None, "models", file)


def test_a_variant_can_be_marked_as_the_baseline(tmp_path: Path) -> None:
    file = write(tmp_path, '[[variants]]\nname = "a"\n[[variants]]\nname = "b"\nbaseline = true\n[[variants]]\nrecorded = true')

    suite = read_suite(file).suite

    assert (suite.baseline, [variant.name for variant in suite.variants]) == ("b", ["a", "b", "recorded"])


def test_prompts_and_models_are_crossed_and_then_no_line_for_a_bisect(tmp_path: Path) -> None:
    two = "".join(f'[[prompts]]\nname = "p"\nversion = "{n}"\nfile = "seven.txt"\n' for n in (1, 2))

    crossed, line = (read_suite(write(tmp_path, text + two)) for text in ('models = ["a", "b"]\n', 'models = ["a"]\n'))

    assert [variant.name for variant in crossed.suite.variants] == ["p@1 a", "p@1 b", "p@2 a", "p@2 b"]
    assert (crossed.line, line.line) == (None, "prompts")


TWO = 'models = ["a", "b"]\n'


@pytest.mark.parametrize(("text", "said"), [
    (TWO + "repaet = 3", "line 2: unknown key 'repaet'. Did you mean repeat? Good keys: api_key_env, base_url, baseline, budget, "
                         "checks, concurrency, judge_prompt, models, name, prompts, provider, repeat, retries, rules, sessions, "
                         "set, threaded, variants"),
    (TWO + "\n[rules]\nalpha = 0.05\nmin_pas_rate = 1", "line 5: unknown key 'min_pas_rate' in [rules]. Did you mean min_pass_rate?"),
    ('[[variants]]\nname = "a"\n\n[[variants]]\nname = "b"\nmodell = "x"', "line 6: unknown key 'modell' in [variants]."),
    (TWO + 'repeat = "3"', "line 2: repeat = '3' is not usable; good values: a whole number from 1 to 1,000"),
    (TWO + "repeat = true", "line 2: repeat = true is not usable; good values: a whole number"),
    (TWO + 'threaded = "yes"', "line 2: threaded = 'yes' is not usable; good values: true or false"),
    (TWO + "[rules]\nalpha = 0.6", "line 3: alpha = 0.6 in [rules] is not usable; good values: a number above 0 to 0.5"),
    (TWO + '[budget]\nmax_time = "soon"', "line 3: max_time 'soon' is no length of time; good values: 90s, 2m, 1h, 500ms"),
    (TWO + '[sessions]\norder = "oldest"', "line 3: order = 'oldest' in [sessions] is not usable; good values: \"newest\" or"),
    (TWO + "[sessions]\nseed = 3", 'line 3: seed is for order = "random"'),
    (TWO + "[set]\nwhen = 2025-01-01", "line 3: when = datetime.date(2025, 1, 1) in [set] is not usable; good values: what"),
    (TWO + 'prompts = { name = "p", version = "1", fil = "x" }', "line 2: unknown key 'fil' in [prompts]. Did you mean file?"),
    (TWO + 'baseline = "c"', "line 2: baseline = 'c' is not usable; good values: a, b, \"recorded\""),
    (TWO + 'judge_prompt = "rubric.txt"', 'line 2: judge_prompt is for a judge; add "judge=MODEL" to checks'),
    (TWO + 'judge_prompt = "none.txt"', "line 2: judge_prompt: the file 'none.txt' cannot be read: No such file or directory"),
    ('models = ["a"]', 'there is nothing to compare a with; give another variant, or baseline = "recorded"'),
    ('models = ["a", "a"]', "line 1: models = ['a', 'a'] is not usable; good values: a list of texts that differ"),
    ('name = "x"', "there is no variant to ask; give models, [[prompts]] or [[variants]]"),
    ('[[variants]]\nmodel = "a"', "line 1: a variant needs a name"),
    ('[[variants]]\nname = "a,b"', "line 2: name = 'a,b' in [variants] is not usable; good values: up to 100 letters without a comma"),
    ('[[variants]]\nname = "a"\n[[variants]]\nname = "a"', "two variants are called 'a'; each needs a name of its own"),
    ('[[variants]]\nrecorded = true\nmodel = "a"', "line 2: the recorded answers are what they are"),
    ('[[variants]]\nname = "a"\nsystem = "@no.txt"', "line 3: system: the file 'no.txt' cannot be read: No such file or directory"),
    ('[[variants]]\nname = "a"\nbaseline = true\n[[variants]]\nname = "b"\nbaseline = true', "there is more than one baseline: a, b"),
    ("models = [", "is no TOML: "),
])
def test_a_slip_of_the_pen_is_said_with_its_line_and_the_good_values(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path, text)

    with pytest.raises(ConfigError) as raised:
        read_suite(file)

    assert said in str(raised.value)
    assert str(raised.value).startswith(file)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none.toml cannot be read: No such file or directory"):
        read_suite(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(("place", "line"), [
    (("name",), 1), (("sessions",), 13), (("sessions", "limit"), 19), (("prompts", 0, "file"), 29), (("variants", 0, "set"), 38),
    (("variants", 0, "set", "nothing"), 38), (("nowhere",), None)])
def test_lines_are_found_by_the_place_of_a_key(place: tuple[str | int, ...], line: int | None) -> None:
    assert line_of(WHOLE, place) == line


def test_a_text_over_several_lines_hides_no_key(tmp_path: Path) -> None:
    text = 'a = """\nb = 1\n"""\nb = 2\n'

    assert line_of(text, ("b",)) == 4
