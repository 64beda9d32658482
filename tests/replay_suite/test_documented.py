"""The suite in the README is read as it stands there and runs; so does the example."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from cli.terminal import on_store
from otel_llm.cli.suite.file import KEYS, read_suite
from otel_llm.evals.checks import read_check
from otel_llm.replay.compare.answers import Answer
from otel_llm.testing import Simulator
from otel_llm.values.errors import ConfigError
from otel_llm.values.evaluation import Score
from replay_suite.recorded_sessions import suite
from support.recording import Recording

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
(WRITTEN,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
(SHOWN_TABLE,) = re.findall(r"```text\n(refunds .*?)```", README, re.DOTALL)


def without_latency(text: str) -> str:
    """What is new in every run is left out: the name of the run, how long it took, and the columns that this makes wider."""
    return re.sub(r" +", " ", re.sub(r"[+-]?[\d.]+ %(?= +(pass|regressed)$)|suite-\w+", "", text, flags=re.MULTILINE))


def test_the_suite_of_the_readme_runs(rec: Recording, client: Any, sim: Simulator, tmp_path: Path) -> None:
    (tmp_path / "refunds.toml").write_text(WRITTEN)
    (tmp_path / "support-8.txt").write_text("Be kind.\n")
    for number in range(36):
        with otel_llm.session(f"ticket-{number}", tags={"team": "support"}), otel_llm.prompt_ref("support", version="7"):
            client.chat.completions.create(model="gpt-4o-mini", messages=[
                {"role": "system", "content": "Be quick."}, {"role": "user", "content": f"echo: refund {number}"}])

    done = suite(rec.directory, str(tmp_path / "refunds.toml"))

    said = read_suite(str(tmp_path / "refunds.toml"))
    assert [variant.name for variant in said.suite.variants] == ["recorded", "support@8 gpt-4o-mini", "support@8 gpt-4.1-mini"]
    assert done.code == 1, done.err
    assert without_latency(done.out) == without_latency(SHOWN_TABLE)


def test_the_check_of_the_readme_judges_words_and_passes_over_calls_of_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (written,) = re.findall(r"```python\n(def .*?)```", README, re.DOTALL)
    (tmp_path / "checks_of_the_readme.py").write_text(written)
    monkeypatch.chdir(tmp_path)
    check = read_check("python:checks_of_the_readme:mentions_the_order")
    good, bad, tool = (Answer(text, calls, status=200) for text, calls in (
        ("Order 4411 left.", ()), ("It left.", ()), ("", (("look_up", "{}"),))))

    assert [check(old, new, None) for old, new in ((good, good), (good, bad), (tool, tool), (good, tool))] == [
        Score(passed=True), Score(passed=False, explanation="no order number"), None,
        Score(passed=False, explanation="no order number")]


def test_the_example_runs(sim: Simulator, tmp_path: Path) -> None:
    folder = ROOT / "examples" / "compare-prompts"
    environ = {**os.environ, "OPENAI_BASE_URL": sim.base_url, "OPENAI_API_KEY": "k", "OTEL_LLM_STORE": str(tmp_path / "store")}

    recorded = subprocess.run([sys.executable, str(folder / "record.py")], env=environ, capture_output=True, text=True)
    done = suite(tmp_path / "store", str(folder / "suite.toml"))
    again = suite(tmp_path / "store", str(folder / "suite.toml"), "--resume")

    assert (recorded.returncode, recorded.stderr, recorded.stdout.count("\n")) == (0, "", 12)
    assert (done.code, again.code, again.out) == (0, 0, done.out)
    assert sim.count.total() == 12 + 48


EVERY_KEY = ROOT / "examples" / "compare-prompts" / "every-key.toml"
SHOWN = re.compile(r"^(?:# )?(\w+) = ")
TABLE = re.compile(r"^(\[.+\])")


def keys_of(text: str) -> dict[str, set[str]]:
    """The keys that stand in a file, commented out or not, by their table."""
    found: dict[str, set[str]] = {}
    table = ""
    for line in text.splitlines():
        if match := TABLE.match(line):
            table = match[1]
        elif match := SHOWN.match(line):
            found.setdefault(table, set()).add(match[1])
    return found


def test_the_file_with_every_key_has_every_key_that_is_read(tmp_path: Path) -> None:
    shown = keys_of(EVERY_KEY.read_text())
    tables = {table.strip("[]") for table in shown if table}
    settings = shown.pop("[set]")

    def good(table: str) -> set[str]:
        """The keys that are named when another is there."""
        (tmp_path / "s.toml").write_text(f'models = ["a", "b"]\n{table}\nnonsense = 1\nname = "x"')
        with pytest.raises(ConfigError) as raised:
            read_suite(str(tmp_path / "s.toml"))
        return set(str(raised.value).partition("Good keys: ")[2].split(", ")) - (set() if table else tables)

    assert settings == {"temperature"}
    assert {table: good(table) for table in shown} == shown
    assert {table: set(keys) for table, keys in KEYS.items() if keys} == shown


def test_the_file_with_every_key_runs(sim: Simulator, tmp_path: Path) -> None:
    environ = {**os.environ, "OPENAI_BASE_URL": sim.base_url, "OPENAI_API_KEY": "k", "OTEL_LLM_STORE": str(tmp_path / "store")}
    subprocess.run([sys.executable, str(EVERY_KEY.parent / "record.py")], env=environ, check=True, capture_output=True)

    done = suite(tmp_path / "store", str(EVERY_KEY))

    assert (done.code, done.err.count("Left out")) == (0, 0), done.out
    assert sim.count.total() == 12 + 5 * 12


@pytest.mark.parametrize("number", [number for number, line in enumerate(EVERY_KEY.read_text().splitlines())
                                    if line.startswith("# ") and SHOWN.match(line)])
def test_each_key_that_is_commented_out_can_be_switched_on(tmp_path: Path, number: int) -> None:
    lines = EVERY_KEY.read_text().splitlines()
    lines[number] = lines[number].removeprefix("# ")
    also = {"judge_prompt": ('checks = ["', 'checks = ["judge=gpt-4.1", "'), "seed": ('order = "newest"', 'order = "random"'),
            "baseline": ('baseline = "support@1 gpt-4o-mini"', "")}
    old, new = also.get(lines[number].partition(" ")[0], ("", ""))
    shutil.copytree(EVERY_KEY.parent, tmp_path / "there")
    (tmp_path / "there" / "every-key.toml").write_text("\n".join(lines).replace(old, new, 1))

    assert read_suite(str(tmp_path / "there" / "every-key.toml")) != read_suite(str(EVERY_KEY))


def test_the_help_lists_the_keys(tmp_path: Path) -> None:
    said = " ".join(on_store(tmp_path, "replay", "suite", "--help").out.split())

    assert "[rules]: alpha, min_pass_rate, max_pass_rate_drop, max_cost_increase, max_latency_increase" in said
    assert "[set]: parameters, as --set takes them" in said
