"""Which recorded step answers which question: equal ones, other paths and methods, secrets, content that is off."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

import otel_llm
from otel_llm.replay.rerun.account import Account
from otel_llm.replay.rerun.player import Rerun, Rules
from otel_llm.replay.rerun.recording import load
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator
from otel_llm.values.errors import ReplayDiverged
from support.chat import HELLO
from support.recording import recording

NOWHERE = "https://nowhere.invalid/v1"
KEY = "sk-test-canary-0123456789abcdef"
SECRET = "ghp_" + "a1" * 20


def ask(client: Any, words: str, **more: Any) -> str:
    found = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: {words}"}], **more)
    return str(found.choices[0].message.content)


def offline(**more: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=NOWHERE, api_key="x", **more)


def test_requests_without_a_body_are_told_apart_by_path_and_method(tmp_path: Path, sim: Simulator, client: Any) -> None:
    names = ["gpt-4o", "gpt-4o-mini"]
    with recording(tmp_path), otel_llm.session("s"):
        before = [client.models.retrieve(name).id for name in names]

    with otel_llm.replaying("s", store=tmp_path):
        after = [offline().models.retrieve(name).id for name in reversed(names)]
    with (otel_llm.replaying("s", store=tmp_path, check=False), pytest.raises(ReplayDiverged, match="is not in the recording|asks something else")):
        offline().models.delete("gpt-4o")

    assert after == before[::-1] == names[::-1]


def test_stored_responses_are_told_apart_by_their_id(tmp_path: Path, client: Any) -> None:
    if not hasattr(client, "responses"):
        return
    with recording(tmp_path), otel_llm.session("s"):
        made = [client.responses.create(model="gpt-4o-mini", input=f"echo: {n}", store=True).id for n in range(2)]
        before = [client.responses.retrieve(name).output_text for name in made]

    with otel_llm.replaying("s", store=tmp_path, check=False):
        after = [offline().responses.retrieve(name).output_text for name in reversed(made)]

    assert after == before[::-1] and before[0] != before[1]


def test_equal_calls_in_named_branches_get_the_answer_of_their_branch(tmp_path: Path, sim: Simulator, client: Any) -> None:
    @otel_llm.agent
    def left(client: Any) -> str:
        return str(client.chat.completions.create(**HELLO).id)

    @otel_llm.agent
    def right(client: Any) -> str:
        return str(client.chat.completions.create(**HELLO).id)

    from otel_llm.testing import raw

    def answer(name: str) -> Any:
        return raw(json.dumps({"id": name, "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": name}}]}).encode(),
            headers={"content-type": "application/json"})

    sim.script(answer("L"), answer("R"))
    with recording(tmp_path), otel_llm.session("s"):
        before = [left(client), right(client)]

    with otel_llm.replaying("s", store=tmp_path):
        with offline() as client:
            after = [right(client), left(client)]

    assert (before, after) == (["L", "R"], ["R", "L"])


class TestASecretInAPrompt:
    @pytest.mark.parametrize("recorded_with", [True, False])
    @pytest.mark.parametrize("rerun_with", [True, False])
    def test_does_not_keep_a_call_from_being_found(
        self, tmp_path: Path, sim: Simulator, recorded_with: bool, rerun_with: bool
    ) -> None:
        @otel_llm.tool
        def login(key: str) -> str:
            return f"logged in with {key}"

        def program(client: Any) -> None:
            login(SECRET)
            ask(client, f"my key is {SECRET}")

        with openai.OpenAI(base_url=sim.base_url, api_key=KEY) as client, recording(tmp_path, redact=recorded_with):
            with otel_llm.session("s"):
                program(client)

        with recording(tmp_path / "other", redact=rerun_with), otel_llm.replaying("s", store=tmp_path) as rerun:
            program(offline())

        assert (rerun.report.outcome, rerun.report.answered_calls, rerun.report.answered_tools) == ("same", 1, 1)

    def test_stands_in_no_report(self, tmp_path: Path, client: Any) -> None:
        with recording(tmp_path), otel_llm.session("s"):
            ask(client, "nothing")

        with recording(tmp_path / "other", content=False), otel_llm.replaying("s", store=tmp_path, check=False) as rerun:
            with pytest.raises(ReplayDiverged) as caught:
                ask(offline(), SECRET)

        assert SECRET not in str(caught.value) + rerun.report.text + json.dumps(rerun.report.as_json())

    def test_goes_out_as_it_is_when_a_fork_changes_the_model(self, tmp_path: Path, sim: Simulator, client: Any) -> None:
        """What the redactor put into the recording is nothing that a provider should be told."""
        with recording(tmp_path), otel_llm.session("s"):
            ask(client, SECRET)

        with _forked(tmp_path, tmp_path / "branch", at=1, model="gpt-4.1") as _:
            ask(client, SECRET)

        sent = json.loads(sim.exchanges[-1].request_body)
        assert (sent["model"], sent["messages"][0]["content"]) == ("gpt-4.1", f"echo: {SECRET}")


def test_content_that_is_not_recorded_is_compared_all_the_same(tmp_path: Path, client: Any) -> None:
    @otel_llm.tool
    def double(number: int) -> int:
        return number * 2

    @otel_llm.workflow
    def program(client: Any) -> str:
        return ask(client, str(double(4)))

    with recording(tmp_path), otel_llm.session("s"):
        before = program(client)

    with recording(tmp_path / "other", content=False), otel_llm.replaying("s", store=tmp_path) as rerun:
        after = program(offline())

    assert (after, rerun.report.outcome, rerun.report.answered_tools) == (before, "same", 1)


def test_a_call_that_never_left_is_not_waited_for(tmp_path: Path, client: Any) -> None:
    def program(client: Any) -> str:
        with pytest.raises(TypeError):
            client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": object()}])
        return ask(client, "one")

    with recording(tmp_path), otel_llm.session("s"):
        program(client)

    with otel_llm.replaying("s", store=tmp_path) as rerun:
        program(offline())

    assert (rerun.report.outcome, rerun.report.answered_calls) == ("same", 1)


def test_a_call_that_a_program_drops_is_named_beside_what_it_comes_to(tmp_path: Path, client: Any) -> None:
    asked = ["one", "two"]

    @otel_llm.workflow
    def program() -> list[str]:
        return [ask(client, words) for words in asked]

    with recording(tmp_path), otel_llm.session("s"):
        program()
    asked.pop()
    with otel_llm.replaying("s", store=tmp_path, check=False) as rerun:
        program()

    assert [difference.kind for difference in rerun.report.differences] == ["result", "unasked"]
    assert (rerun.report.outcome, rerun.report.unreached) == ("diverged", 0)


def test_the_same_tool_with_equal_arguments_side_by_side_gives_each_result_once(tmp_path: Path) -> None:
    numbers = iter(range(100))

    @otel_llm.tool
    def draw(name: str) -> int:
        return next(numbers)

    def program() -> list[int]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(otel_llm.bind(lambda _: draw("x")), range(40)))

    with recording(tmp_path), otel_llm.session("s"):
        before = program()

    with otel_llm.replaying("s", store=tmp_path) as rerun:
        after = program()

    assert sorted(after) == sorted(before) == list(range(40))
    assert rerun.report.answered_tools == 40


class TestAFork:
    def test_answers_the_calls_before_it_in_whatever_order_they_come(self, tmp_path: Path, sim: Simulator, client: Any) -> None:
        with recording(tmp_path), otel_llm.session("s"):
            before = [ask(client, str(n)) for n in range(4)]
        requests = sim.count.total()

        with _forked(tmp_path, tmp_path / "branch", at=3) as fork:
            after = [ask(client, str(n)) for n in (3, 0, 2, 1)]

        assert after == [before[n] for n in (3, 0, 2, 1)]
        assert (fork.report.answered_calls, fork.report.live_calls, sim.count.total() - requests) == (2, 2, 2)

    def test_records_what_it_sends(self, tmp_path: Path, sim: Simulator, client: Any) -> None:
        with recording(tmp_path), otel_llm.session("s"):
            ask(client, "one")

        with _forked(tmp_path, tmp_path / "branch", at=1, model="gpt-4.1") as fork:
            ask(client, "one")

        with SqliteStore(tmp_path / "branch") as store:
            (step,) = store.steps(fork.report.new_session_id)
            exchange = store.exchange(step.span_id)
        assert exchange.request_body == sim.exchanges[-1].request_body
        assert (step.model, step.name) == ("gpt-4.1", "chat gpt-4.1")

    def test_can_be_rerun_by_the_program_that_was_forked(self, tmp_path: Path, client: Any) -> None:
        with recording(tmp_path), otel_llm.session("s"):
            ask(client, "one")
            ask(client, "two")
        with _forked(tmp_path, tmp_path / "branch", at=2, model="gpt-4.1") as fork:
            before = [ask(client, "one"), ask(client, "two")]

        with otel_llm.replaying(fork.report.new_session_id, store=tmp_path / "branch") as rerun:
            after = [ask(offline(), "one"), ask(offline(), "two")]

        assert (after, rerun.report.outcome) == (before, "same")


class _forked:
    """This process as a fork of session `s`, recorded into a store of its own."""

    def __init__(self, store: Path, branch: Path, *, at: int, model: str | None = None) -> None:
        from otel_llm.replay.requests.changes import Changes

        branch.mkdir(exist_ok=True)
        with SqliteStore(store) as opened:
            self.rerun = Rerun(load(opened, ["s"]), Account(branch), Rules(fork_at=at, changes=Changes(model)))
        self._recording = recording(branch)

    def __enter__(self) -> Rerun:
        from otel_llm import _replaying

        self._recording.__enter__()
        self._undo = _replaying._play(self.rerun)
        return self.rerun

    def __exit__(self, *raised: Any) -> None:
        self._undo()
        self._recording.__exit__(*raised)


def test_a_secret_in_an_answer_comes_again_as_what_stands_in_the_recording(tmp_path: Path, sim: Simulator) -> None:
    """A program that hands the answer on says the marker where it said the secret, and is answered all the same."""
    def program(client: Any) -> list[str]:
        said = [ask(client, f"the key {SECRET} is"), "".join(
            item.choices[0].delta.content or "" for item in client.chat.completions.create(
                model="gpt-4o-mini", stream=True, messages=[{"role": "user", "content": f"echo: take {SECRET} with you"}]) if item.choices)]
        return [*said, *(ask(client, words) for words in said)]

    with openai.OpenAI(base_url=sim.base_url, api_key=KEY) as client, recording(tmp_path), otel_llm.session("s"):
        before = program(client)

    with otel_llm.replaying("s", store=tmp_path) as rerun:
        after = program(offline())

    assert [words.replace(SECRET, "[redacted:github_token]") for words in before] == after
    assert (rerun.report.outcome, rerun.report.answered_calls) == ("same", 4)


def test_a_fork_runs_a_tool_whose_result_is_not_in_the_recording(tmp_path: Path, client: Any) -> None:
    @otel_llm.tool
    def read(name: str) -> bytes:
        return b"abc"

    with recording(tmp_path), otel_llm.session("s"):
        ask(client, "one")
        read("x")

    with _forked(tmp_path, tmp_path / "branch", at=1) as fork:
        ask(client, "one")
        assert read("x") == b"abc"
    assert (fork.report.outcome, fork.report.live_tools) == ("forked", 1)
