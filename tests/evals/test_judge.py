"""A model as a judge: asked through the SDK, believed only when its verdict fits."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from otel_llm.evals.checks import read_check
from otel_llm.evals.judge import MAX_TEXT, Judge, asked, verdict
from otel_llm.replay.compare.answers import Answer
from otel_llm.testing import Simulator, error, raw
from otel_llm.values.call import Message, Request, Text, ToolCall, ToolResult
from otel_llm.values.evaluation import Score

OLD, NEW = Answer("It left on Monday.", status=200), Answer("It left on Friday.", (("find", '{"q":1}'),), status=200)
REQUEST = Request(system=(Text("Be brief."),), messages=(
    Message("user", (Text("Where is it?"),)), Message("assistant", (ToolCall("c", "find", "{}"),)),
    Message("tool", (ToolResult("c", "on its way"),))))


def says(content: str) -> Any:
    return raw(json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4.1", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}).encode())


def judge(client: Any, rubric: str | None = None) -> Any:
    return read_check("judge=gpt-4.1", client=lambda: client, rubric=rubric)


def test_it_is_asked_with_question_and_answers_as_material(client: Any, sim: Simulator) -> None:
    sim.script(says('{"explanation": "fine", "score": 0.9, "passed": true}'))

    score = judge(client, "Be strict.")(OLD, NEW, REQUEST)

    sent = json.loads(sim.exchanges[-1].request_body)
    assert score == Score(0.9, True, "fine")
    assert sent["model"] == "gpt-4.1"
    assert sent["messages"][0]["content"].startswith("Be strict.\n\nYou get one JSON object")
    assert json.loads(sent["messages"][1]["content"]) == {
        "question": "system: Be brief.\nuser: Where is it?\nassistant: [asks the tool find({})]\ntool: on its way",
        "recorded_answer": "It left on Monday.", "new_answer": 'It left on Friday.\n[asks the tool find({"q":1})]'}
    assert sent["response_format"]["json_schema"]["strict"] is True


def test_the_simulator_fills_the_schema_and_is_understood(client: Any) -> None:
    score = judge(client)(OLD, NEW, None)

    assert isinstance(score.passed, bool)
    assert 0 <= score.value <= 1


@pytest.mark.parametrize("text", [
    "", "yes", "[true]", '{"passed": true}', '{"passed": "true", "score": 1, "explanation": ""}',
    '{"passed": true, "score": 1.5, "explanation": ""}', '{"passed": true, "score": true, "explanation": ""}',
    '{"passed": true, "score": 1, "explanation": "", "more": 1}', '{"passed": true, "score": NaN, "explanation": ""}',
    '```json\n{"passed": true, "score": 1, "explanation": ""}\n```'])
def test_a_verdict_that_does_not_fit_is_none(text: str) -> None:
    score = verdict(text)

    assert (score.value, score.passed) == (None, None)
    assert score.explanation.startswith("the judge")
    assert score.has_failed


def test_a_judge_that_cannot_be_asked_is_undecided(client: Any, sim: Simulator) -> None:
    sim.script(error(404))

    score = judge(client)(OLD, NEW, None)

    assert score.is_undecided
    assert score.explanation.startswith("the judge could not be asked: NotFoundError: ")


def test_a_judge_that_is_not_there_is_undecided() -> None:
    with openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="k", max_retries=0) as client:
        score = judge(client)(OLD, NEW, None)

    assert score.explanation == "the judge could not be asked: APIConnectionError: Connection error."


def test_without_a_recorded_answer_nobody_is_asked() -> None:
    nobody = Judge("m", lambda: pytest.fail("asked"))

    assert nobody(Answer(status=500), NEW, None) == Score(explanation="no answer was recorded to compare with")


def test_a_long_question_keeps_its_end() -> None:
    request = Request(messages=(Message("user", (Text("x" * MAX_TEXT + "the end"),)),))

    assert asked(request) == "[13 characters left out] " + "x" * (MAX_TEXT - 7) + "the end"
    assert asked(None) is None
