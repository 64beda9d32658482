"""`otel-llm replay suite` from end to end: recorded by the real SDK, sent over real HTTP, judged, reported."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from cli.terminal import on_store, on_terminal
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator, error
from otel_llm.values.session import Filter
from replay_suite.recorded_sessions import BAD, GOOD, answer, loses, plant, record, suite, system_of, versions, write_suite
from support.recording import Recording

CHECK = 'checks = ["contains=refund"]\n'
MODELS = 'models = ["gpt-4o-mini", "gpt-4.1-mini"]\n'
ONE = 'models = ["gpt-4o-mini"]\n'
SURE = "[rules]\nmax_pass_rate_drop = 0.9\n"
"""Small suites with nothing planted pass by this rule."""


def verdicts(value: Any) -> list[tuple[str, str]]:
    return [(variant["name"], variant["verdict"]) for variant in value["variants"]]


def asked_again(sim: Simulator, recorded: int) -> Counter[tuple[str, str, str]]:
    """How often each call was sent after the recording: by model, system prompt and last words."""
    bodies = [json.loads(exchange.request_body) for exchange in sim.exchanges[recorded:]]
    return Counter((body["model"], system_of(body), body["messages"][-1]["content"]) for body in bodies)


class TestARegression:
    def test_a_planted_regression_is_found_with_its_p_value(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        """50 sessions, 2 versions of a prompt, 2 models; the second version loses the word in every other session.

        25 calls lost and none won is p = 2 · 2⁻²⁵, times three for three variants.
        """
        record(client, 50)
        plant(sim, loses(every=2))
        file = write_suite(tmp_path, MODELS + CHECK + versions("1", "2"), **{"1": GOOD, "2": BAD})

        done = suite(rec.directory, file, "--json")

        value, p = json.loads(done.out), 2 * 2.0**-25
        assert done.code == 1
        assert verdicts(value) == [
            ("refunds@1 gpt-4o-mini", "baseline"), ("refunds@1 gpt-4.1-mini", "pass"),
            ("refunds@2 gpt-4o-mini", "regressed"), ("refunds@2 gpt-4.1-mini", "regressed")]
        assert [(v["rate"]["passed"], v["rate"]["of"]) for v in value["variants"]] == [(50, 50), (50, 50), (25, 50), (25, 50)]
        assert [v["difference"] and (v["difference"]["lost"], v["difference"]["won"], v["difference"]["p"],
                                     v["difference"]["p_adjusted"]) for v in value["variants"]] == [
            None, (0, 0, 1.0, 1.0), (25, 0, p, 3 * p), (25, 0, p, 3 * p)]
        assert (value["sessions"], len(value["comparisons"]), len(sim.exchanges)) == (50, 200, 250)

    def test_on_a_terminal_of_80_columns_the_table_fits_and_the_reasons_are_said(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        record(client, 12)
        plant(sim, loses())
        file = write_suite(tmp_path, MODELS + CHECK + versions("1", "2"), **{"1": GOOD, "2": BAD})

        done = on_terminal("replay", "suite", file, store=rec.directory, environ={"NO_COLOR": "1"})

        lines = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", done.out).splitlines()
        start = next(n for n, line in enumerate(lines) if line.startswith("VARIANT"))
        assert done.code == 1
        assert [line for line in lines[start - 3 :] if len(line) > 80] == []
        assert lines[start - 3] == "suite  regressed"
        assert lines[start].split() == ["VARIANT", "PASSED", "DIFF", "P", "COST", "LATENCY", "VERDICT"]
        assert [line.split()[0] + " " + line.split()[-1] for line in lines[start + 1 : start + 5]] == [
            "refunds@1 baseline", "refunds@1 inconclusive", "refunds@2 regressed", "refunds@2 regressed"]
        said = " ".join(" ".join(lines).split())
        assert ("pass rate as the baseline (-24 to 24, allowed -10): 0 lost, 0 won of 12, p = 1.000; about 35 answers would be "
                "needed to say") in said
        assert "pass rate 100 points below the baseline (-100 to -52, allowed -10): 12 lost, 0 won of 12, p = 0.001" in said
        assert "✗ shop-011:1 echo: order 11.0: your refund is on its way check contains=refund failed 'refund' is not in it" in said

    def test_reports_for_ci_name_what_regressed_and_nothing_else(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        record(client, 10)
        plant(sim, loses())
        file = write_suite(tmp_path, ONE + CHECK + versions("1", "2", "3") + SURE, **{"1": GOOD, "2": BAD, "3": GOOD + " Do."})

        done = suite(rec.directory, file, "--junit", str(tmp_path / "r.xml"), "--html", str(tmp_path / "r.html"), "--github")

        root, page = ET.parse(tmp_path / "r.xml").getroot(), (tmp_path / "r.html").read_text()
        first, *others = root.findall("testsuite")
        assert "nowrap" not in page.partition('<table class="variants">')[2].partition("</table>")[0]
        assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("12", "11", "0")
        assert [(case.get("name"), [end.get("type") for end in case.findall("failure")]) for case in first.findall("testcase")] == [
            ("refunds@2 gpt-4o-mini max_pass_rate_drop", ["max_pass_rate_drop"]), ("refunds@3 gpt-4o-mini max_pass_rate_drop", [])]
        assert {each.get("name") for each in others} == {f"refunds@2 gpt-4o-mini · shop-{n:03}" for n in range(10)}
        assert page.count("<h1>") == 31 and page.index("regressed</span></h1>") < page.index("refunds@2 gpt-4o-mini · shop-009")
        commands = [line for line in done.out.splitlines() if line.startswith(("::error", "::notice", "::warning"))]
        assert [line for line in commands if "title=suite%3A refunds@2 gpt-4o-mini regressed" in line] == commands[:1]
        assert commands[-1].endswith("title=suite suite::regressed")
        assert not any("refunds@3" in line for line in commands)

    def test_cost_and_latency_are_held_against_their_rules(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        record(client, 8)
        file = write_suite(tmp_path, 'models = ["gpt-4o-mini", "gpt-4.1", "gpt-4o-mini-2024-07-18"]\n' + SURE +
                           "max_cost_increase = 0.5\nmax_latency_increase = 1000\n")

        value = json.loads(suite(rec.directory, file, "--json").out)

        assert verdicts(value) == [("gpt-4o-mini", "baseline"), ("gpt-4.1", "regressed"), ("gpt-4o-mini-2024-07-18", "pass")]
        rules = {finding["rule"]: finding for finding in value["variants"][1]["findings"]}
        assert {name: finding["verdict"] for name, finding in rules.items()} == {
            "max_pass_rate_drop": "pass", "max_cost_increase": "regressed", "max_latency_increase": "pass"}
        assert rules["max_cost_increase"]["low"] == pytest.approx(rules["max_cost_increase"]["value"]) and (
            rules["max_cost_increase"]["low"] > 0.5)
        figures = {figure["name"]: figure for figure in value["variants"][1]["figures"]}
        assert (figures["cost"]["pairs"], figures["cost"]["p"], figures["output_tokens"]["p"]) == (8, 2 / 2**8, None)

    def test_an_error_where_there_was_an_answer_fails_its_call(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        record(client, 8)
        sim.script(error(400, when=lambda body: body["model"] == "gpt-4.1-mini", times=8))

        value = json.loads(suite(rec.directory, write_suite(tmp_path, MODELS), "--json").out)

        assert (verdicts(value)[1], value["variants"][1]["rate"]["passed"]) == (("gpt-4.1-mini", "regressed"), 0)


class TestVariants:
    def test_their_sessions_carry_tags_and_what_evaluations_in_jaeger_need(
        self, rec: Recording, client: Any, tmp_path: Path
    ) -> None:
        record(client, 2)
        file = write_suite(tmp_path, 'name = "money"\nrepeat = 2\n' + MODELS + versions("1") + SURE, **{"1": GOOD})

        value = json.loads(suite(rec.directory, file, "--json").out)
        listed = json.loads(on_store(rec.directory, "sessions", "--all", "--tag", "suite=money", "--tag", "variant=refunds@1 gpt-4.1-mini",
                                     "--json").out)

        made = value["variants"][1]["sessions"]
        assert {row["session_id"]: row["replay_of"] for row in listed} == {new: old for old, new in made.items()}
        assert {row["tags"]["suite_run"] for row in listed} == {value["run"]}
        with SqliteStore(rec.directory) as store:
            spans = [store.span(step.span_id).attributes for session in made.values() for step in store.steps(session)]
        assert sorted((span["jaeger.eval.trial_id"], span["jaeger.eval.iteration_index"], span["gen_ai.prompt.version"])
                      for span in spans) == sorted((session, n, "1") for session in made.values() for n in range(2))

    def test_the_recorded_answers_can_be_the_baseline_and_cost_nothing(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        record(client, 8)
        plant(sim, loses())
        file = write_suite(tmp_path, 'baseline = "recorded"\nrepeat = 2\n' + CHECK + versions("2"), **{"2": BAD})

        done = suite(rec.directory, file, "--json")

        value = json.loads(done.out)
        assert (done.code, verdicts(value)) == (1, [("recorded", "baseline"), ("refunds@2", "regressed")])
        assert [(v["rate"]["passed"], v["rate"]["of"]) for v in value["variants"]] == [(8, 8), (0, 16)]
        assert value["variants"][1]["difference"]["pairs"] == 8
        assert len(sim.exchanges) == 8 + 16

    @pytest.mark.parametrize(("baseline", "code", "said"), [
        ("recorded", 3, "about 35 recorded calls would be needed to say: more sessions, not more answers a call"),
        ("refunds@1", 0, "")])
    def test_what_is_needed_against_a_recording_is_more_sessions(
        self, rec: Recording, client: Any, tmp_path: Path, baseline: str, code: int, said: str
    ) -> None:
        """36 answers to 12 calls: with the recording that is 12 pairs, with another variant 36."""
        record(client, 12)
        file = write_suite(tmp_path, f'baseline = "{baseline}"\nrepeat = 3\n' + CHECK + versions("1", "2"), **{"1": GOOD, "2": GOOD})

        done = suite(rec.directory, file)
        value = json.loads(suite(rec.directory, file, "--resume", "--json").out)

        assert (done.code, said in " ".join(done.out.split())) == (code, True)
        assert [(each["needed"], each["needed_of"]) for variant in value["variants"] for each in variant["findings"]] == (
            [(35, "calls")] * 2 if said else [(None, "answers")])

    def test_threaded_answers_flow_on_and_a_turn_that_cannot_be_asked_is_said(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        record(client, 8, turns=2)
        plant(sim, loses(every=2))
        file = write_suite(tmp_path, 'threaded = true\n' + ONE + CHECK + versions("1", "2") + SURE, **{"1": GOOD, "2": BAD})

        value = json.loads(suite(rec.directory, file, "--json").out)

        again = [json.loads(exchange.request_body)["messages"] for exchange in sim.exchanges[16:]]
        assert (value["threaded"], value["variants"][1]["rate"]["passed"], value["variants"][1]["rate"]["of"]) == (True, 8, 16)
        assert {messages[2]["content"] for messages in again if len(messages) > 3 and messages[0]["content"] == BAD} == {
            "We cannot help you there.", *(f"order {n}.0: your refund is on its way" for n in (1, 3, 5, 7))}

    def test_calls_that_are_no_conversation_are_left_alone(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        import otel_llm

        with otel_llm.session("mixed"):
            client.embeddings.create(model="text-embedding-3-small", input="hello")
            client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "echo: refund"}])

        value = json.loads(suite(rec.directory, write_suite(tmp_path, MODELS + CHECK), "--json").out)

        assert sim.count == {"/v1/embeddings": 1, "/v1/chat/completions": 3}
        assert [variant["rate"]["of"] for variant in value["variants"]] == [1, 1]


class TestWhichSessions:
    def test_conditions_order_and_limit_choose_and_replays_are_left_out(
        self, rec: Recording, client: Any, tmp_path: Path
    ) -> None:
        record(client, 9)
        base = MODELS + SURE + "[sessions]\n"

        def chosen(more: str) -> list[str]:
            value = json.loads(suite(rec.directory, write_suite(tmp_path, base + more), "--json").out)
            return list(value["variants"][0]["sessions"])

        newest, by_id = chosen("limit = 2\ntag = 'team=shop'\n"), chosen("ids = ['shop-004', 'shop-001']\n")
        by_chance, again = (chosen("order = 'random'\nseed = 7\nlimit = 3\n") for _ in range(2))

        assert newest == ["shop-008", "shop-007"]
        assert sorted(by_id) == ["shop-001", "shop-004"]
        assert (len(set(by_chance)), again) == (3, by_chance)
        assert all(name.startswith("shop-") for name in by_chance)

    def test_when_nothing_fits_it_is_wrong_usage(self, rec: Recording, client: Any, tmp_path: Path) -> None:
        record(client, 1)

        done = suite(rec.directory, write_suite(tmp_path, MODELS + "[sessions]\nuser = 'nobody'\n"))

        assert (done.code, done.err) == (2, "otel-llm: No session with a call fits [sessions]. `otel-llm sessions` takes the same "
                                            "conditions.\n")

    def test_sessions_that_cannot_be_asked_are_left_out_and_said(
        self, rec: Recording, client: Any, tmp_path: Path
    ) -> None:
        import otel_llm

        record(client, 8)
        with otel_llm.session("a-list"):
            client.models.list()

        done = suite(rec.directory, write_suite(tmp_path, MODELS + SURE))

        assert done.code == 0
        assert "Left out: session a-list: it has no call to a model." in done.err
        assert "1 session left out, which cannot be asked again in every variant." in " ".join(done.out.split())


class TestMoney:
    def test_elsewhere_than_on_this_machine_nothing_is_sent_unasked(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        record(client, 3)
        file = write_suite(tmp_path, 'base_url = "https://api.openai.com/v1"\n' + MODELS)

        done = suite(rec.directory, file, OPENAI_API_KEY="sk-canary")

        assert (done.code, done.out, len(sim.exchanges)) == (2, "", 3)
        assert "suite: 3 sessions in 2 variants, 6 calls to https://api.openai.com. By the recorded tokens it costs about $" in done.err
        assert "Nothing was sent, because nobody confirmed: 6 calls to https://api.openai.com." in done.err

    def test_without_a_key_nothing_is_sent(self, rec: Recording, client: Any, tmp_path: Path) -> None:
        record(client, 1)

        done = suite(rec.directory, write_suite(tmp_path, 'base_url = "https://api.openai.com/v1"\n' + MODELS), "--yes")

        assert (done.code, "OPENAI_API_KEY is not set" in done.err) == (3, True)

    def test_a_cap_on_money_that_cannot_be_kept_is_refused(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        record(client, 2)

        done = suite(rec.directory, write_suite(tmp_path, 'models = ["gpt-4o-mini", "llama-local"]\n[budget]\nmax_cost = 1\n'))

        assert (done.code, len(sim.exchanges)) == (2, 2)
        assert "budget.max_cost cannot be kept: nobody knows what calls of 'llama-local' cost" in done.err

    def test_a_cap_on_money_ends_it_and_is_passed_by_one_call_at_most(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        record(client, 12)
        cost = rec.store.calls(Filter(), limit=1)[0].cost
        assert cost is not None

        done = suite(rec.directory, write_suite(tmp_path, f'models = ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"]\n[budget]\n'
                                                          f"max_cost = {9.5 * cost.total / 1e12:.12f}\n"))

        assert done.code == 3
        assert len(sim.exchanges) - 12 in (9, 10)
        assert f"Stopped at budget.max_cost. {len(sim.exchanges) - 12} of 24 calls were sent." in " ".join(done.out.split())

    def test_a_run_that_a_cap_ended_is_gone_on_with_and_no_call_is_bought_twice(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        record(client, 10)
        text = MODELS + CHECK + SURE + "[budget]\nmax_calls = "

        first = suite(rec.directory, write_suite(tmp_path, text + "7"))
        sent = len(sim.exchanges) - 10
        second = suite(rec.directory, write_suite(tmp_path, text + "100"), "--resume")
        third = suite(rec.directory, write_suite(tmp_path, text + "100"), "--resume")

        assert (first.code, sent, second.code, third.code) == (3, 7, 0, 0)
        assert "Stopped at budget.max_calls. 7 of 20 calls were sent. Raise it in the file and go on with --resume." in " ".join(
            first.out.split())
        assert ("7 calls answered so far" in second.err, "20 calls answered so far" in third.err) == (True, True)
        assert set(asked_again(sim, 10).values()) == {1} and len(asked_again(sim, 10)) == 20

    def test_what_a_judge_said_is_paid_for_once(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        record(client, 3)
        verdict = json.dumps({"explanation": "Fine.", "score": 1.0, "passed": True})
        sim.script(answer(verdict, when=lambda body: body["model"] == "gpt-judge", times=100))
        file, there = write_suite(tmp_path, MODELS + 'checks = ["judge=gpt-judge"]\n' + SURE), {"OPENAI_BASE_URL": sim.base_url}

        done = suite(rec.directory, file, "--json", **there)
        asked = sim.count.total()
        again = suite(rec.directory, file, "--json", "--resume", **there)

        assert [v["rate"]["passed"] for v in json.loads(done.out)["variants"]] == [3, 3]
        assert json.loads(again.out) == json.loads(done.out)
        assert (asked - 3 - 6, sim.count.total()) == (3, asked)  # both models gave the same answers to the same questions


class TestTrouble:
    @pytest.mark.parametrize(("check", "said"), [
        ("contain=refund", "check 'contain=refund' is not usable. Good values: exact, "),
        ("regex=(", "check regex='(' is no regular expression: "),
        ("python:nowhere_at_all:f", "check python:nowhere_at_all:f cannot be loaded: ModuleNotFoundError: "),
    ])
    @pytest.mark.parametrize("verb", ["suite", "bisect"])
    def test_a_check_that_cannot_be_used_is_said_with_its_line(
        self, rec: Recording, client: Any, tmp_path: Path, verb: str, check: str, said: str
    ) -> None:
        record(client, 1)
        file = write_suite(tmp_path, f"{MODELS}checks = ['{check}']\n")

        done = suite(rec.directory, file, verb=verb)

        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"otel-llm: {file}, line 2: {said}")

    @pytest.mark.parametrize("option", ["--html", "--junit"])
    def test_a_report_that_cannot_be_written_is_said_before_anything_is_sent(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path, option: str
    ) -> None:
        record(client, 1)
        place = tmp_path / "no" / "r"

        done = suite(rec.directory, write_suite(tmp_path, MODELS), option, str(place))

        assert (done.code, done.out, sim.count.total()) == (2, "", 1)
        assert done.err == f"otel-llm: {option} {place} cannot be written: No such file or directory.\n"

    def test_asking_whether_a_report_can_be_written_leaves_nothing(
        self, rec: Recording, client: Any, tmp_path: Path
    ) -> None:
        record(client, 1)
        page = tmp_path / "reports" / "r.html"
        page.parent.mkdir()
        page.write_text("the report of yesterday")

        suite(rec.directory, write_suite(tmp_path, MODELS), "--html", str(page), "--resume")

        assert [(each.name, each.read_text()) for each in page.parent.iterdir()] == [("r.html", "the report of yesterday")]

    def test_a_refused_key_stops_everything_at_once(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        record(client, 9)
        sim.script(error(401, times=100))

        done = suite(rec.directory, write_suite(tmp_path, "concurrency = 1\n" + MODELS))

        assert (done.code, sim.count.total()) == (3, 10)
        assert "The provider refused with 401, as it would every other call; nothing more is sent." in done.err

    def test_a_provider_that_is_busy_says_nothing_of_a_variant(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path
    ) -> None:
        record(client, 8)
        sim.script(error(429, when=lambda body: body["model"] == "gpt-4.1-mini", times=4))
        file = write_suite(tmp_path, "retries = 0\n" + MODELS + CHECK + SURE.replace("0.9", "0.4"))

        first, second = suite(rec.directory, file, "--json"), suite(rec.directory, file, "--resume", "--json")

        value = json.loads(first.out)
        assert (first.code, verdicts(value)[1]) == (3, ("gpt-4.1-mini", "inconclusive"))
        assert (value["variants"][1]["rate"]["of"], value["variants"][1]["rate"]["unknown"]) == (4, 4)
        assert value["notes"] == [f"4 calls were refused (429, 503) and have no answer: otel-llm replay suite {file} --resume sends "
                                  "them again."]
        assert (second.code, json.loads(second.out)["variants"][1]["rate"]["of"]) == (0, 8)
        assert sim.count.total() == 8 + 16 + 4

    def test_a_run_is_not_gone_on_with_when_its_variants_are_others(
        self, rec: Recording, client: Any, tmp_path: Path
    ) -> None:
        record(client, 2)
        suite(rec.directory, write_suite(tmp_path, MODELS + versions("1"), **{"1": GOOD}))

        done = suite(rec.directory, write_suite(tmp_path, MODELS + versions("1"), **{"1": BAD}), "--resume")

        assert done.code == 2
        assert "variants of" in done.err and "changed since suite-" in done.err

    def test_without_a_run_there_is_nothing_to_go_on_with(self, rec: Recording, client: Any, tmp_path: Path) -> None:
        record(client, 1)

        done = suite(rec.directory, write_suite(tmp_path, MODELS), "--resume")

        assert (done.code, "No run of the suite 'suite' in this store." in done.err) == (2, True)

    @pytest.mark.parametrize("verb", ["suite", "bisect"])
    @pytest.mark.parametrize(("named", "hint"), [("refund", "Did you mean refunds? They come from refunds."), (
        "other", "They come from refunds.")])
    def test_a_prompt_that_no_call_comes_from_is_refused_before_anything_is_sent(
        self, rec: Recording, client: Any, sim: Simulator, tmp_path: Path, verb: str, named: str, hint: str
    ) -> None:
        record(client, 1)
        file = write_suite(tmp_path, CHECK + versions("1", "2", prompt=named), **{"1": GOOD, "2": BAD})

        done = suite(rec.directory, file, verb=verb)

        assert (done.code, len(sim.exchanges)) == (2, 1)
        assert done.err == f"otel-llm: {file}: no call of these sessions comes from the prompt '{named}'. {hint}\n"

    def test_where_no_call_comes_from_a_prompt_that_is_said_too(self, rec: Recording, client: Any, tmp_path: Path) -> None:
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "echo: refund"}])

        done = suite(rec.directory, write_suite(tmp_path, CHECK + versions("1", "2"), **{"1": GOOD, "2": BAD}))

        assert (done.code, done.err.endswith("the prompt 'refunds'. None comes from a named prompt.\n")) == (2, True)
