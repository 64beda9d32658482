"""`otel-llm replay compare` on sessions that a real SDK made: what is paired, what differs, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

import otel_llm
from cli import two_sessions
from cli.two_sessions import compared, outline, run, talk
from otel_llm.testing import Simulator, error, raw
from support.recording import Recording

SECRET = "tell me <script>alert(1)</script> \x1b[31mred\x1b[0m"


def plain(value: Any) -> Any:
    """Without what differs from run to run."""
    for pair in value["pairs"]:
        pair["figures"].pop("duration_ns", None)
        for side in ("left", "right"):
            pair[side] = pair[side] and pair[side]["number"]
    for side in value["sides"]:
        side |= {"duration_ns": 0, "start_ns": 0}
    return value


def test_a_session_is_the_same_as_itself(rec: Recording, client: Any) -> None:
    talk(client, "one", "echo: hello", SECRET)

    done = run(rec, "replay", "compare", "one", "one")

    assert done.code == 0
    assert done.out.splitlines()[0] == "one and one  same"
    assert "3 same" in done.out


def test_the_whole_value(rec: Recording, client: Any) -> None:
    talk(client, "one", "echo: it left on Monday", tool=False)
    talk(client, "two", "echo: it left on Friday", tool=False)

    value = plain(compared(rec, "one", "two"))

    figures = {"status": 200, "model": "gpt-4o-mini-2024-07-18", "finish_reason": "stop", "input_tokens": 18, "output_tokens": 5}
    totals = {"start_ns": 0, "steps": 1, "calls": 1, "errors": 0, "input_tokens": 18, "output_tokens": 5, "unpriced": 0,
              "duration_ns": 0}
    cost = value["sides"][0]["cost_pico_usd"]
    assert cost > 0
    assert value == {
        "title": "one and two", "passed": False, "exit_code": 1, "decided_by": "difference", "source": None, "notes": [],
        "sides": [{"session_id": "one", "label": "A", "cost_pico_usd": cost, **totals},
                  {"session_id": "two", "label": "B", "cost_pico_usd": cost, **totals, "counts": {"different": 1}}],
        "pairs": [{
            "side": 1, "status": "different", "passed": False, "kind": "call", "number": 1, "label": "gpt-4o-mini-2024-07-18",
            "words": "echo: it left on Monday", "note": "", "left": 1, "right": 1,
            "text": {"same": False, "old": "it left on Monday", "new": "it left on Friday",
                     "words": [["=", "it left on "], ["-", "Monday"], ["+", "Friday"]], "left_out": 0},
            "answer": [],
            "request": [{"path": "messages.1.content", "change": "changed", "old": "echo: it left on Monday",
                         "new": "echo: it left on Friday"}],
            "repeated": 0, "ids": 0, "left_out": 0, "scores": [],
            "figures": {**{name: {"old": v, "new": v} for name, v in figures.items()}, "cost_pico_usd": {"old": cost, "new": cost}},
        }]}


def test_steps_on_one_side_alone_are_shown_as_such(rec: Recording, client: Any) -> None:
    talk(client, "one", "echo: hello there", "echo: what is the weather", "echo: bye now")
    talk(client, "two", "echo: hello there", "echo: bye now", "echo: a river in Norway", tool=False)

    value = compared(rec, "one", "two")

    assert outline(value) == [
        'only_left tool - {"order":"4411"}', "same call 1 echo: hello there", "only_left call 2 echo: what is the weather",
        "same call 3 echo: bye now", "only_right call 3 echo: a river in Norway"]
    assert [(p["left"] and p["left"]["number"], p["right"] and p["right"]["number"]) for p in value["pairs"]] == [
        (None, None), (1, 1), (2, None), (3, 2), (None, 3)]
    assert run(rec, "replay", "compare", "one", "two").code == 1


def test_arguments_and_results_of_a_tool_are_compared_as_json(
    rec: Recording, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk(client, "one", "echo: x")
    monkeypatch.setitem(two_sessions.STOCK, "4411", "lost")
    talk(client, "two", "echo: x")

    (tool, call) = compared(rec, "one", "two")["pairs"]

    assert (tool["status"], tool["request"], call["status"]) == ("different", [], "same")
    assert tool["answer"] == [{"path": "result.state", "change": "changed", "old": "shipped", "new": "lost"}]


def test_a_tool_that_raised_where_it_gave_an_answer_has_failed(rec: Recording, client: Any) -> None:
    @otel_llm.tool
    def pay(amount: int) -> str:
        if amount > 1:
            raise ValueError("too much")
        return "paid"

    with otel_llm.session("one"):
        pay(1)
    with otel_llm.session("two"), pytest.raises(ValueError, match="too much"):
        pay(2)

    (pair,) = compared(rec, "one", "two")["pairs"]

    assert (pair["status"], pair["note"]) == ("failed", "ValueError: too much")
    assert pair["request"] == [{"path": "arguments.amount", "change": "changed", "old": 1, "new": 2}]


def test_an_error_where_there_was_an_answer_has_failed(rec: Recording, client: Any, sim: Simulator) -> None:
    talk(client, "one", "echo: hello", tool=False)
    sim.script(error(500))
    with pytest.raises(Exception, match="500"):
        talk(client, "two", "echo: hello", tool=False)

    value = compared(rec, "one", "two", "--check", "contains=hello")

    (pair,) = value["pairs"]
    assert (pair["status"], value["exit_code"]) == ("failed", 1)
    assert pair["figures"]["status"] == {"old": 200, "new": 500}
    assert pair["note"].startswith("InternalServerError: ")
    assert pair["scores"] == [{"name": "contains=hello", "value": None, "passed": False,
                               "explanation": "no answer to check: InternalServerError 500"}]


def test_the_same_error_on_both_sides_is_the_same_and_no_check_looks_at_it(rec: Recording, client: Any, sim: Simulator) -> None:
    sim.script(error(500, times=2))
    for name in ("one", "two"):
        with pytest.raises(Exception, match="500"):
            talk(client, name, "echo: hello", tool=False)

    value = compared(rec, "one", "two", "--check", "exact")

    assert [(p["status"], p["scores"]) for p in value["pairs"]] == [("same", [])]
    assert value["exit_code"] == 0


def test_what_an_earlier_step_showed_is_counted_and_not_shown_again(rec: Recording, client: Any) -> None:
    long = "echo: a long first question, which every later call of the conversation sends again, and again"
    talk(client, "one", f"{long} A", "echo: two", "echo: three", tool=False)
    talk(client, "two", f"{long} B", "echo: two", "echo: three", tool=False)

    pairs = compared(rec, "one", "two")["pairs"]

    assert [([c["path"] for c in p["request"]], p["repeated"]) for p in pairs] == [
        (["messages.1.content"], 0), (["messages.2.content"], 1), ([], 2)]


def test_tools_that_the_model_asks_for_are_part_of_the_answer(rec: Recording, client: Any, sim: Simulator) -> None:
    for name, city in (("one", "Oslo"), ("two", "Rome")):
        function = {"name": "weather", "arguments": json.dumps({"city": city})}
        message = {"role": "assistant", "content": None, "tool_calls": [{"id": f"call_{city}", "type": "function", "function": function}]}
        sim.script(raw(json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls"}]}).encode()))
        talk(client, name, "how is the weather", "echo: thanks", tool=False)

    first, second = compared(rec, "one", "two")["pairs"]

    assert first["answer"] == [{"path": "tool_calls.weather.city", "change": "changed", "old": "Oslo", "new": "Rome"}]
    assert (second["status"], second["ids"]) == ("same", 1)


def test_embeddings_are_compared_by_their_vectors(rec: Recording, client: Any) -> None:
    for name, text in (("one", "a river"), ("two", "a river"), ("three", "a mountain")):
        with otel_llm.session(name):
            client.embeddings.create(model="text-embedding-3-small", input=text)

    assert run(rec, "replay", "compare", "one", "two").code == 0
    (pair,) = compared(rec, "one:1", "three:1")["pairs"]
    assert pair["status"] == "different"
    assert pair["answer"][0]["path"] == "vectors"
    assert pair["answer"][0]["new"].startswith("1 vectors, cosine at least ")


def test_several_sessions_stand_beside_the_first(rec: Recording, client: Any) -> None:
    for name, word in (("one", "red"), ("two", "red"), ("three", "blue")):
        talk(client, name, f"echo: the colour is {word}", tool=False)

    value = compared(rec, "one", "two", "three")
    out = run(rec, "replay", "compare", "one", "two", "three").out

    assert [(p["side"], p["status"]) for p in value["pairs"]] == [(1, "same"), (2, "different")]
    assert [side["label"] for side in value["sides"]] == ["A", "B", "C"]
    assert value["title"] == "one, two and three"
    assert "A → C" in out


def test_sessions_without_a_common_step_are_3(rec: Recording, client: Any) -> None:
    talk(client, "one", "where does the sun rise", tool=False)
    with otel_llm.session("two"):
        client.embeddings.create(model="text-embedding-3-small", input="x")

    done = run(rec, "replay", "compare", "one", "two")

    assert done.code == 3
    assert done.out.splitlines()[0] == "one and two  not comparable"
    assert "There is no step that the sides have in common." in done.err


def test_without_recorded_content_nothing_is_called_the_same(tmp_path: Any, client: Any) -> None:
    from support.recording import recording

    with recording(tmp_path / "store", content=False) as rec:
        talk(client, "one", "echo: a", tool=False)
        talk(client, "two", "echo: a", tool=False)

        value = compared(rec, "one", "two")

    assert [pair["status"] for pair in value["pairs"]] == ["not_compared"]
    assert value["exit_code"] == 3


@pytest.mark.parametrize("args", [["nowhere"], ["one", "nowhere"], ["one:7", "one"]])
def test_an_id_that_is_not_there_is_2(rec: Recording, client: Any, args: list[str]) -> None:
    talk(client, "one", "echo: a", tool=False)

    done = run(rec, "replay", "compare", *args)

    assert (done.code, done.out) == (2, "")
    assert "in this store" in done.err


def test_a_session_without_a_replay_says_how_to_make_one(rec: Recording, client: Any) -> None:
    talk(client, "one", "echo: a", tool=False)

    done = run(rec, "replay", "compare", "one")

    assert done.code == 2
    assert "`otel-llm replay reissue one` makes one" in done.err


# ---- replays: the steps know their source ------------------------------------------------------------------------------


@pytest.fixture
def replayed(rec: Recording, client: Any) -> tuple[Recording, str]:
    """A session of two equal calls, and a replay of it with another model."""
    talk(client, "source", "tell me about rivers", "tell me about rivers")
    done = run(rec, "replay", "reissue", "source", "--model", "gpt-4.1", "--json")
    assert done.code == 0, done.err
    return rec, json.loads(done.out)[0]["session_id"]


def test_a_session_is_compared_with_its_newest_replay(replayed: tuple[Recording, str]) -> None:
    rec, replay = replayed

    value = compared(rec, "source")

    assert [(side["label"], side["session_id"]) for side in value["sides"]] == [("recorded", "source"), ("replay", replay)]
    assert value["title"] == f"source and its replay {replay}"
    assert [(p["left"]["number"], p["right"]["number"]) for p in value["pairs"]] == [(1, 1), (2, 2)]
    assert value["notes"] == [f"1 step that is no call was not compared: {replay} has calls only."]
    assert [c["new"] for p in value["pairs"] for c in p["request"] if c["path"] == "model"] == ["gpt-4.1", "gpt-4.1"]


def test_a_replay_alone_is_compared_with_its_source(replayed: tuple[Recording, str]) -> None:
    rec, replay = replayed

    assert compared(rec, replay) == compared(rec, "source") == compared(rec, "source", replay) | {
        "title": f"source and its replay {replay}"}


def test_a_call_is_compared_with_its_replay(replayed: tuple[Recording, str]) -> None:
    rec, replay = replayed

    for given in ("source:2", f"{replay}:2"):
        (pair,) = compared(rec, given)["pairs"]
        assert (pair["left"]["session_id"], pair["left"]["number"]) == ("source", 2)
        assert (pair["right"]["session_id"], pair["right"]["number"]) == (replay, 2)


def test_replays_of_one_session_are_linked_through_it(replayed: tuple[Recording, str]) -> None:
    rec, first = replayed
    second = json.loads(run(rec, "replay", "reissue", "source:2", "--json").out)[0]["session_id"]

    value = compared(rec, first, second)

    assert [(p["status"], p["left"]["number"], p["right"] and p["right"]["number"]) for p in value["pairs"]] == [
        ("only_left", 1, None), ("different", 2, 1)]


def test_the_newest_replay_is_the_one_that_was_made_last(replayed: tuple[Recording, str]) -> None:
    rec, _ = replayed
    last = json.loads(run(rec, "replay", "reissue", "source", "--json").out)[0]["session_id"]

    value = compared(rec, "source")

    assert value["sides"][1]["session_id"] == last
    assert [pair["status"] for pair in value["pairs"]] == ["same", "same"]


CONVERSATION = (  # the session `source` of `talk`, as a program that can be run against it
    "import openai; m = [{'role': 'system', 'content': 'Be brief.'}]; c = openai.OpenAI(base_url='http://127.0.0.1:9/v1', api_key='k')\n"
    "for _ in range(2):\n"
    "    m.append({'role': 'user', 'content': 'tell me about rivers'})\n"
    "    a = c.chat.completions.create(model='gpt-4o-mini', messages=m).choices[0].message\n"
    "    m.append(a.model_dump(exclude_none=True))\n")


def test_a_rerun_does_not_hide_the_replay_in_which_a_model_was_asked(replayed: tuple[Recording, str]) -> None:
    rec, reissued = replayed
    rerun = subprocess.run([sys.executable, "-m", "otel_llm.cli", "--store", str(rec.directory), "replay", "rerun", "source", "--",
                            sys.executable, "-c", CONVERSATION], capture_output=True, text=True)

    done = run(rec, "replay", "compare", "source", "--json")

    assert "otel-llm show" in rerun.stderr, rerun.stderr
    assert [side["session_id"] for side in json.loads(done.out)["sides"]] == ["source", reissued]
    assert done.err == (f"source has 2 replays; {reissued} is the newest in which a model was asked. `otel-llm show source` lists "
                        "them; give a second id for another.\n")


def test_where_there_are_reruns_alone_the_newest_is_compared(rec: Recording, client: Any) -> None:
    talk(client, "source", "tell me about rivers", "tell me about rivers", tool=False)
    for _ in range(2):
        subprocess.run([sys.executable, "-m", "otel_llm.cli", "--store", str(rec.directory), "replay", "rerun", "source", "--",
                        sys.executable, "-c", CONVERSATION], capture_output=True, text=True)
    newest = json.loads(run(rec, "sessions", "--json").out)[0]["session_id"]

    done = run(rec, "replay", "compare", "source", "--json")

    assert json.loads(done.out)["sides"][1]["session_id"] == newest
    assert done.err.startswith(f"source has 2 replays; {newest} is the newest. ")


def test_what_a_suite_made_does_not_hide_a_replay_of_a_person(replayed: tuple[Recording, str], tmp_path: Any) -> None:
    rec, reissued = replayed
    (tmp_path / "s.toml").write_text("models = ['gpt-4o-mini', 'gpt-4.1-mini']\n")
    run(rec, "replay", "suite", str(tmp_path / "s.toml"))

    session, call = run(rec, "replay", "compare", "source", "--json"), compared(rec, "source:2")

    assert json.loads(session.out)["sides"][1]["session_id"] == reissued
    assert session.err.startswith(f"source has 3 replays; {reissued} is the newest in which a model was asked. ")
    assert call["sides"][1]["session_id"] == reissued


def test_what_a_suite_made_is_compared_when_there_is_nothing_else(rec: Recording, client: Any, tmp_path: Any) -> None:
    talk(client, "source", "tell me about rivers", tool=False)
    (tmp_path / "s.toml").write_text("models = ['gpt-4o-mini']\nbaseline = 'recorded'\n")
    run(rec, "replay", "suite", str(tmp_path / "s.toml"))
    (trial,) = (row["session_id"] for row in json.loads(run(rec, "sessions", "--all", "--json").out) if row["kind"] == "trial")

    assert compared(rec, "source")["sides"][1]["session_id"] == trial


def test_a_replay_that_repeats_the_session_is_as_many_sides(rec: Recording, client: Any) -> None:
    talk(client, "source", "echo: one", "echo: two", tool=False)
    done = run(rec, "replay", "reissue", "source", "--repeat", "3", "--json")
    assert done.code == 0, done.err

    value = compared(rec, "source")

    assert [side["label"] for side in value["sides"]] == ["recorded", "replay 1", "replay 2", "replay 3"]
    assert [(p["side"], p["status"], p["left"]["number"]) for p in value["pairs"]] == [
        (side, "same", number) for side in (1, 2, 3) for number in (1, 2)]


def test_what_is_not_compared_is_said_once_for_all_repeats(rec: Recording, client: Any) -> None:
    talk(client, "source", "echo: one")
    replay = json.loads(run(rec, "replay", "reissue", "source", "--repeat", "3", "--json").out)[0]["session_id"]

    assert compared(rec, "source")["notes"] == [f"1 step that is no call was not compared: {replay} has calls only."]


def test_another_place_is_said_at_the_first_step_and_counted_at_the_others(rec: Recording, client: Any, sim: Simulator) -> None:
    talk(client, "source", "echo: one", "echo: two", "echo: three", tool=False)
    with Simulator() as other:
        run(rec, "replay", "reissue", "source", "--base-url", other.base_url)
        place = {"path": "(url)", "change": "changed", "old": f"{sim.base_url}/chat/completions",
                 "new": f"{other.base_url}/chat/completions"}

    pairs = compared(rec, "source")["pairs"]

    assert [(pair["request"], pair["repeated"]) for pair in pairs] == [([place], 0), ([], 1), ([], 1)]
