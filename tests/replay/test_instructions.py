"""Asking with other instructions: a system prompt, or another version of a prompt, where it stood, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from otel_llm import semconv
from otel_llm.replay.requests.changes import Changes, PromptText
from otel_llm.replay.requests.instructions import set_instructions
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.errors import NotReplayable
from replay.agents import MODEL, SYSTEM, Stage, user

HI = user("Hi.")
DEVELOPER = {"role": "developer", "content": [{"type": "text", "text": "Be kind."}], "name": "boss"}
NEW = {"role": "system", "content": "New."}


class TestBodies:
    @pytest.mark.parametrize(("api", "before", "after"), [
        ("openai_chat", {"messages": [SYSTEM, HI]}, {"messages": [NEW, HI]}),
        ("openai_chat", {"messages": [HI]}, {"messages": [NEW, HI]}),
        ("openai_chat", {"messages": [DEVELOPER, SYSTEM, HI]}, {"messages": [{**DEVELOPER, "content": "New."}, HI]}),
        ("openai_chat", {"messages": [HI, SYSTEM, HI, SYSTEM]}, {"messages": [HI, NEW, HI, SYSTEM]}),
        ("openai_responses", {"instructions": "Old.", "input": [SYSTEM, HI]}, {"instructions": "New.", "input": [SYSTEM, HI]}),
        ("openai_responses", {"input": [SYSTEM, HI]}, {"input": [NEW, HI]}),
        ("openai_responses", {"input": "Hi."}, {"input": "Hi.", "instructions": "New."}),
    ])
    def test_they_go_where_they_stood_else_to_their_place(self, api: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        set_instructions(api, before, "New.")

        assert before == after

    @pytest.mark.parametrize(("api", "body"), [("openai_chat", {"messages": [HI]}), ("openai_responses", {"input": "Hi."})])
    def test_a_prompt_that_stands_elsewhere_is_not_replaced_and_that_is_said(self, api: str, body: dict[str, Any]) -> None:
        with pytest.raises(NotReplayable, match="the prompt p stands in no system or developer message .* replaces nothing else"):
            set_instructions(api, body, "New.", prompt="p")

    def test_a_format_without_instructions_is_named(self) -> None:
        with pytest.raises(NotReplayable, match="openai_completions has no place for a system prompt"):
            set_instructions("openai_completions", {"prompt": "Hi."}, "New.")


def test_changes_survive_the_journal() -> None:
    changes = Changes("m", {"a.b": [1]}, "http://x/v1", "Be kind.", (PromptText("p", "2", "Text."),), "openai_chat")

    assert Changes.from_options(json.loads(json.dumps(changes.to_options()))) == changes
    assert Changes.from_options(json.loads(json.dumps(Changes().to_options()))) == Changes()
    assert changes.as_json() == {"model": "m", "set": {"a.b": [1]}, "base_url": "http://x/v1", "system": "Be kind.",
                                 "prompts": {"p": "2"}, "provider": "openai_chat"}


class TestSessions:
    @pytest.fixture
    def prompted(self, stage: Stage) -> Stage:
        """Four calls: of the prompt `support`, of the same one in a user's message, of another prompt, of none."""
        with stage.record({"?": "Yes."}) as client:
            def ask(*messages: Any) -> None:
                client.chat.completions.create(model=MODEL, messages=list(messages))

            with otel_llm.prompt_ref("support", "3"):
                ask(SYSTEM, HI)
                ask(HI)
            with otel_llm.prompt_ref("sales", "1"):
                ask(SYSTEM, HI)
            ask(SYSTEM, HI)
        return stage

    def prompts(self, stage: Stage, done: Any) -> list[tuple[Any, Any]]:
        """Prompt name and version on the new spans."""
        with SqliteStore(stage.directory) as store:
            spans = [store.span(r["span_id"]).attributes for r in json.loads(done.out) if r["span_id"]]
        return [(span.get(semconv.GEN_AI_PROMPT_NAME), span.get(semconv.GEN_AI_PROMPT_VERSION)) for span in spans]

    def test_an_unchanged_call_is_of_the_prompt_that_it_was_of(self, prompted: Stage) -> None:
        done = prompted.reissue("--json")

        assert self.prompts(prompted, done) == [("support", "3"), ("support", "3"), ("sales", "1"), (None, None)]

    def test_another_version_of_a_prompt_is_for_the_calls_of_that_prompt(self, prompted: Stage, tmp_path: Path) -> None:
        (tmp_path / "new.txt").write_text("New.\n")

        done = prompted.reissue("--json", "--prompt", f"support@4={tmp_path}/new.txt")

        assert done.code == 3
        assert "--prompt replaces nothing else" in done.err
        assert prompted.histories == [[NEW, HI], [SYSTEM, HI], [SYSTEM, HI]]
        assert self.prompts(prompted, done) == [("support", "4"), ("sales", "1"), (None, None)]
        assert {json.dumps(r["changes"]) for r in json.loads(done.out)} == {'{"prompts": {"support": "4"}}'}

    def test_a_system_prompt_is_for_all_of_the_conversation_and_takes_the_prompt_away(self, prompted: Stage, tmp_path: Path) -> None:
        (tmp_path / "new.txt").write_text("New.")

        done = prompted.reissue("--json", "--system", f"@{tmp_path}/new.txt")

        assert (done.code, prompted.histories) == (0, [[NEW, HI]] * 4)
        assert self.prompts(prompted, done) == [(None, None)] * 4


class TestSpans:
    def test_each_is_linked_to_its_source_and_says_which_sample_it_is(self, stage: Stage) -> None:
        with stage.record({"?": "Yes."}) as client:
            client.chat.completions.create(model=MODEL, messages=[HI])

        done = stage.reissue("--threaded", "--repeat", "2", "--json")

        first, second = json.loads(done.out)
        with SqliteStore(stage.directory) as store:
            (source,) = [step for step in store.steps("source") if step.kind == "call"]
            spans = [store.span(result["span_id"]) for result in (first, second)]
        assert [[(link.trace_id, link.span_id) for link in span.links] for span in spans] == [[(source.trace_id, source.span_id)]] * 2
        assert [{k: v for k, v in span.attributes.items() if "replay" in k or "eval" in k or k == "session.id"} for span in spans] == [{
            "otel_llm.replay.source.trace_id": source.trace_id, "otel_llm.replay.source.span_id": source.span_id,
            "otel_llm.replay.source.session_id": "source", "otel_llm.replay.mode": "threaded",
            "jaeger.eval.trial_id": first["session_id"], "jaeger.eval.iteration_index": n, "session.id": first["session_id"]}
            for n in (0, 1)]
