"""What `otel-llm replay reissue` says: a line of an answer that is the same, what differs of the others, and where it goes."""

from __future__ import annotations

import re
from typing import Any

import pytest

import otel_llm
from cli.terminal import on_store
from otel_llm.testing import Simulator, error
from support.recording import Recording

MODEL = "gpt-4o-mini"
TIME = r"[\d.]+ m?s"
TIMES = rf"(?:{TIME}|{TIME} → {TIME})"
IDS = "[0-9a-f]{16} → [0-9a-f]{16}"


def talk(client: Any, *said: str, model: str = MODEL) -> None:
    with otel_llm.session("trip"):
        for text in said:
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])


def matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text.rstrip("\n")) is not None


class TestAnAnswerThatIsTheSame:
    def test_is_a_line(self, rec: Recording, client: Any) -> None:
        talk(client, "echo: one", "echo: two")

        done = on_store(rec.directory, "replay", "reissue", "trip")

        assert done.code == 0
        assert matches(rf"{IDS}  same  {TIMES} · \$[\d.]+  echo: one\n{IDS}  same  {TIMES} · \$[\d.]+  echo: two", done.out)

    def test_is_shown_with_all_figures_when_that_is_wanted(self, rec: Recording, client: Any) -> None:
        talk(client, "echo: one")

        done = on_store(rec.directory, "replay", "reissue", "trip", "--full")

        assert matches(
            rf"{IDS}  same  echo: one\n  text  same\n  status        200\n  model         gpt-4o-mini-2024-07-18\n"
            rf"  ended by      stop\n  input tokens  \d+\n  output tokens \d+\n  cost          \$[\d.]+\n"
            rf"  latency       {TIMES}", done.out)


def test_what_the_provider_says_of_an_error_is_in_the_difference(rec: Recording, client: Any, sim: Simulator) -> None:
    talk(client, "echo: one")
    sim.script(error(404, "There is no gpt-4o-grande."))

    done = on_store(rec.directory, "replay", "reissue", "trip", "--model", "gpt-4o-grande")

    assert done.code == 1
    assert done.out.splitlines()[1:5] == [
        "  [-one-]", "  status        200 → 404", "  error         – → model_not_found",
        "  message       – → There is no gpt-4o-grande."]


def test_repeats_are_counted_from_one(rec: Recording, client: Any) -> None:
    talk(client, "echo: one")

    once, twice = (on_store(rec.directory, "replay", "reissue", "trip", "--repeat", n) for n in ("1", "2"))

    assert [re.findall("#[0-9]+", done.out) for done in (once, twice)] == [[], ["#1", "#2"]]


class TestThePlan:
    def test_names_the_models_that_are_asked(self, rec: Recording, client: Any) -> None:
        talk(client, "echo: one")
        talk(client, "echo: two", model="gpt-4.1-mini")

        one, two, other = (on_store(rec.directory, "replay", "reissue", given, *more).err.splitlines()[0] for given, more in (
            ("trip:1", ()), ("trip", ()), ("trip", ("--model", "gpt-4.1"))))

        place = re.escape(one.split(" to ")[1].split(",")[0])
        assert matches(rf"1 call to {place}, model gpt-4o-mini, unchanged\. .*", one)
        assert matches(rf"2 calls to {place}, models gpt-4o-mini, gpt-4.1-mini, unchanged\. .*", two)
        assert matches(rf"2 calls to {place}, model gpt-4.1, changed\. .*", other)

    def test_of_one_call_with_answers_from_elsewhere_is_said_in_good_grammar(self, rec: Recording, client: Any) -> None:
        with otel_llm.session("trip"):
            client.chat.completions.create(model=MODEL, messages=[
                {"role": "user", "content": "1 + 1"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "2 + 2"}])

        done = on_store(rec.directory, "replay", "reissue", "trip", "--threaded")

        assert re.match(r"1 call \([0-9a-f]{16}\) holds answers that no call of this session gave, such as examples; these stay",
                        done.err)


@pytest.mark.parametrize(("arguments", "environ", "hint"), [
    ((), {}, "That is where it was recorded. Is it up? --base-url URL sends it elsewhere."),
    ((), {"OPENAI_BASE_URL": "http://127.0.0.1:4000/v1"},
     "That is where it was recorded; OPENAI_BASE_URL is not looked at. To send it there: --base-url http://127.0.0.1:4000/v1"),
    (("--base-url", "http://127.0.0.1:9/v1"), {}, "Is it up, and is --base-url right?"),
])
def test_where_nobody_listens_nothing_was_sent_and_another_place_is_named(
    rec: Recording, client: Any, sim: Simulator, arguments: tuple[str, ...], environ: dict[str, str], hint: str
) -> None:
    talk(client, "echo: one")
    sim.close()
    place = "http://127.0.0.1:9" if arguments else sim.base_url.removesuffix("/v1")

    done = on_store(rec.directory, "replay", "reissue", "trip", "--retries", "0", *arguments, environ=environ)

    assert done.code == 3
    assert done.err.splitlines()[-1] == (
        f"otel-llm: No response came from {place}: Connection refused. 0 of 1 calls were sent. {hint}")


def test_gone_on_with_it_names_the_session_once_and_not_as_a_new_one(rec: Recording, client: Any) -> None:
    talk(client, "echo: one", "echo: two")
    first = on_store(rec.directory, "replay", "reissue", "trip", "--max-calls", "1")
    found = re.search("The new session is (sess-[0-9a-f]+)", first.err)
    assert found is not None
    session_id = found[1]

    rest, over = (on_store(rec.directory, "replay", "reissue", "--resume", session_id, "--max-calls", "9") for _ in range(2))

    assert (first.code, rest.code, over.code) == (3, 0, 0)
    assert matches(rf"1 call sent, 1 answered the same, 0 differently, 1 answered before; \$[\d.]+\. "
                   rf"The session: otel-llm show {session_id}", rest.err.splitlines()[-1])
    assert over.err.splitlines() == [f"Going on with {session_id}: 2 calls answered, 0 to send.",
                                     f"Nothing is left to send. The session: otel-llm show {session_id}"]
