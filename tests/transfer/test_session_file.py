"""A session file holds what an export holds, can be read and edited, and is refused with the place of what is wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import otel_llm
from cli.two_sessions import talk
from otel_llm.store.sqlite import SqliteStore
from otel_llm.testing import Simulator
from otel_llm.transfer import session_file
from otel_llm.values.archive import Record, SessionMark
from otel_llm.values.errors import BadExport, ConfigError, NotReplayable
from otel_llm.values.session import Filter, ReplayRecord
from support.recording import Recording, recording
from transfer.stores import everything, export
from transfer.test_commands import run
from transfer.test_line import Made, records

MODEL = "gpt-4o-mini"


def written(store: SqliteStore, where: Filter = Filter()) -> bytes:
    out = io.BytesIO()
    with store.snapshot(where) as snapshot:
        session_file.write(snapshot, out)
    return out.getvalue()


def take_in(store: SqliteStore, data: bytes) -> None:
    with store.importing() as intake:
        session_file.take_in(session_file.read(data, "x.session"), intake)


class Collected:
    """An intake that keeps what it gets."""

    def __init__(self) -> None:
        self.added = self.known = self.differing = 0
        self.sessions: list[SessionMark] = []
        self.records: list[Record] = []
        self.replays: list[ReplayRecord] = []
        self.session, self.record, self.replay = self.sessions.append, self.records.append, self.replays.append

    def flush(self) -> None:
        return None


class TestARoundTrip:
    def test_gives_the_same_bytes_again_and_the_same_store(self, source: SqliteStore, copy: SqliteStore) -> None:
        first = written(source)

        take_in(copy, first)

        assert written(copy) == first
        assert export(copy) == export(source)
        assert everything(copy) == everything(source)

    def test_of_one_session_is_all_of_it(self, source: SqliteStore, copy: SqliteStore) -> None:
        where = Filter(session=("ticket-1",))

        take_in(copy, written(source, where))

        assert export(copy) == export(source, where)

    @given(st.lists(records(), max_size=3, unique_by=(lambda r: r.span_id, lambda r: r.trace_id)))
    @settings(max_examples=25, deadline=None)
    def test_gives_back_any_record(self, found: list[Record]) -> None:
        found = [Record("s", r.trace_id, r.span_id, r.span, r.wire, r.cost) for r in found]
        out, intake = io.BytesIO(), Collected()
        session_file.write(Made(found), out)  # type: ignore[arg-type]

        session_file.take_in(session_file.read(out.getvalue(), "x"), intake)

        assert (intake.records, intake.sessions) == (found, [SessionMark("s", True)])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    """The file of a small session, and what its program said."""
    with pytest.MonkeyPatch.context() as patch, Simulator() as sim:
        patch.delenv("OPENAI_BASE_URL", raising=False)
        store = tmp_path_factory.mktemp("store")
        with recording(store):
            said = program(sim.base_url)
        with SqliteStore(store) as opened:
            return written(opened), said


def program(base_url: str = "http://nowhere.invalid/v1", question: str = "echo: eins") -> str:
    """A tool, a call, a stream."""
    openai = pytest.importorskip("openai", reason="the openai SDK is not installed")

    @otel_llm.tool
    def double(word: str) -> str:
        return word * 2

    with otel_llm.session("small"), openai.OpenAI(base_url=base_url, api_key="k", max_retries=0) as client:
        messages = [{"role": "user", "content": question}]
        said = double(client.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content)
        stream = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        return said + "".join(item.choices[0].delta.content or "" for item in stream if item.choices)


class TestTheFile:
    def test_begins_with_what_it_is_and_ends_with_one_newline(self, recorded: tuple[bytes, str]) -> None:
        assert recorded[0].startswith(
            b'{\n  "otel_llm": "session",\n  "version": 1,\n  "counts": {"sessions": 1, "steps": 3, "replays": 0},\n  "resources": [')
        assert recorded[0].endswith(b"}\n") and not recorded[0].endswith(b"\n\n")

    def test_shows_requests_answers_and_events_as_json(self, recorded: tuple[bytes, str]) -> None:
        call, tool, stream = [step["call"] for step in json.loads(recorded[0])["sessions"][0]["steps"]]

        assert call["request"] == {"json": {"messages": [{"role": "user", "content": "echo: eins"}], "model": MODEL}}
        assert call["response"]["json"]["choices"][0]["message"]["content"] == "eins"
        assert (tool["request"], tool["response"]) == ({"json": {"word": "eins"}}, {"json": "einseins"})
        assert stream["response"]["events"][0]["data"]["object"] == "chat.completion.chunk"
        assert stream["response"]["events"][-1] == "data: [DONE]"

    def test_answers_a_program(self, recorded: tuple[bytes, str], tmp_path: Path) -> None:
        (tmp_path / "a.session").write_bytes(recorded[0])

        with otel_llm.replaying(tmp_path / "a.session") as rerun:
            assert program() == recorded[1]

        assert (rerun.report.outcome, rerun.report.session_ids) == ("same", ("small",))

    def test_can_be_edited_and_the_program_gets_what_was_written(self, recorded: tuple[bytes, str], tmp_path: Path) -> None:
        edited = recorded[0].replace(b'"content": "echo: eins"', b'"content": "echo: zwei"').replace(
            b'"content": "eins"', "\"content\": \"fünf\"".encode()).replace(b'{"word": "eins"}', '{"word": "fünf"}'.encode())
        (tmp_path / "a.session").write_bytes(edited)

        with otel_llm.replaying(str(tmp_path / "a.session")):
            assert program(question="echo: zwei") == "einseinsfünf"

    def test_and_a_session_of_the_store_are_not_mixed(self, recorded: tuple[bytes, str], tmp_path: Path) -> None:
        (tmp_path / "a.session").write_bytes(recorded[0])

        with pytest.raises(ConfigError, match="a.session is a file, and @1 a session of the store"):
            with otel_llm.replaying(str(tmp_path / "a.session"), "@1", store=tmp_path):
                pass

    def test_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"none.session cannot be read: No such file.*export session ID -o"):
            with otel_llm.replaying(tmp_path / "none.session"):
                pass


def refused(data: bytes) -> str:
    with pytest.raises(BadExport) as error:
        session_file.read(data, "x.session")
    return str(error.value)


def changed(recorded: tuple[bytes, str], path: str, value: Any) -> bytes:
    """The file with something else at a dotted path; `...` takes it out."""
    document = json.loads(recorded[0])
    *way, last = (int(key) if key.isdigit() else key for key in path.split("."))
    at: Any = document
    for key in way:
        at = at[key]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return json.dumps(document).encode()


STEP = "sessions.0.steps.1"


def renamed(recorded: tuple[bytes, str], path: str, name: str) -> bytes:
    """The file with another name for the key at a dotted path."""
    value: Any = json.loads(recorded[0])
    for key in path.split("."):
        value = value[int(key) if key.isdigit() else key]
    return changed((changed(recorded, path, ...), ""), f"{path.rpartition('.')[0]}.{name}".lstrip("."), value)


class TestAKeyThatIsNotKnown:
    @pytest.mark.parametrize(("path", "name", "said"), [
        (f"{STEP}.call.response", "respones", "step 2 of session small (span_id {span_id}) cannot be used: call.respones is not known; "
                                              "the nearest key is response."),
        (f"{STEP}.call", "cal", "step 2 of session small (span_id {span_id}) cannot be used: step.cal is not known; the nearest key is "
                                "call."),
        (f"{STEP}.span.attributes", "atributes", "span.atributes is not known; the nearest key is attributes."),
        (f"{STEP}.call.start.content_type", "contentType", "call.start.contentType is not known; the nearest key is content_type."),
        (f"{STEP}.call.end.complete", "completed", "call.end.completed is not known; the nearest key is complete."),
        ("sessions.0.steps.0.cost.total", "sum", "cost.sum is not known; keys there are total, input, output."),
        ("sessions.0.steps", "step", "session 1 cannot be used: session.step is not known; the nearest key is steps."),
        ("sessions", "sesions", "x.session: it cannot be used: the document.sesions is not known; the nearest key is sessions."),
        ("counts.steps", "stepps", "it cannot be used: counts.stepps is not known; the nearest key is steps."),
        ("resources.0.attributes", "atributes", "resource 1 cannot be used: resource.atributes is not known"),
        ("scopes.0.schema_url", "schema", "scope 1 cannot be used: scope.schema is not known; the nearest key is schema_url.")])
    def test_is_named_with_the_nearest(self, recorded: tuple[bytes, str], path: str, name: str, said: str) -> None:
        span_id = json.loads(recorded[0])["sessions"][0]["steps"][1]["span_id"]

        assert said.format(span_id=span_id) in refused(renamed(recorded, path, name))

    @pytest.mark.parametrize(("path", "value", "said"), [
        (f"{STEP}.span.events", [{"name": "a", "time_ns": 1, "attribute": {}}], "span.events[0].attribute is not known"),
        (f"{STEP}.session", "small", "step.session is not known"),
        ("note", "by hand", "the document.note is not known; keys there are ")])
    def test_is_refused_beside_those_that_are_needed_too(self, recorded: tuple[bytes, str], path: str, value: Any, said: str) -> None:
        assert said in refused(changed(recorded, path, value))

    def test_may_stand_among_attributes(self, recorded: tuple[bytes, str]) -> None:
        assert session_file.read(changed(recorded, f"{STEP}.span.attributes.x", 1), "x").steps == 3

    @pytest.mark.parametrize("path", ["note", "counts.notes", f"{STEP}.note", f"{STEP}.span.note", f"{STEP}.call.end.note"])
    def test_is_passed_over_in_a_file_of_a_newer_minor_version(self, recorded: tuple[bytes, str], path: str, tmp_path: Path) -> None:
        newer = changed((changed(recorded, "minor", 1), ""), path, {"said": "by a newer release"})
        (tmp_path / "a.session").write_bytes(newer)

        with otel_llm.replaying(tmp_path / "a.session"):
            assert program() == recorded[1]

    @pytest.mark.parametrize("minor", [-1, True, "1", None])
    def test_is_refused_where_the_minor_version_makes_no_sense(self, recorded: tuple[bytes, str], minor: Any) -> None:
        assert f"the document.minor is {minor!r}" in refused(changed(recorded, "minor", minor))

    def test_that_a_newer_release_put_into_a_header_goes_through_the_store_and_back(
        self, recorded: tuple[bytes, str], copy: SqliteStore
    ) -> None:
        newer = changed((changed(recorded, "minor", 1), ""), f"{STEP}.call.end.note", "by a newer release")

        take_in(copy, newer)

        assert json.loads(written(copy)) == json.loads(newer)
        assert session_file.read(written(copy), "x").steps == 3

    def test_that_stands_twice_is_refused(self, recorded: tuple[bytes, str]) -> None:
        twice = recorded[0].replace(b'"request": {', b'"request": {"json": {}}, "request": {', 1)

        assert refused(twice) == (
            "x.session: an object has the key 'request' twice (its keys: start, end, request, request, response); one of them is too many.")


class TestAFileIsRefused:
    @pytest.mark.parametrize(("path", "value", "said"), [
        ("version", 2, "x.session was written by a newer release (format 2; this one knows 1). Upgrade: pip install -U otel-llm"),
        ("version", "1", "says that its format is '1', which no release has written"),
        ("otel_llm", "export", 'is no session file: it has no "otel_llm": "session"'),
        ("counts.steps", 4, "it cannot be used: it has 3 steps, and counts.steps says 4; where the change is meant, write 3 there."),
        (STEP, ..., "it has 2 steps, and counts.steps says 3"),
        ("counts", ..., "the document.counts is missing"),
        ("resources.0.attributes", [], "resource 1 cannot be used: resource.attributes is [], not usable as an object"),
        ("resources", [], "step 1 of session small (span_id "),
        ("scopes", {}, "the document.scopes is {}, not usable as a list"),
        ("sessions.0.id", "", "session 1 cannot be used: session.id is ''"),
        ("sessions.0.steps", "x", "session 1 cannot be used: session.steps is 'x', not usable as a list"),
        ("sessions.0", 3, "session 1 cannot be used: session is 3, not an object"),
        (STEP, None, "step 2 of session small cannot be used: it is None, not an object"),
        (f"{STEP}.span_id", 3, "step 2 of session small cannot be used: step.span_id is 3"),
        (f"{STEP}.call.request", "x", "call.request is 'x', not an object with one of json, events, text, base64"),
        (f"{STEP}.call.end.status", "ok", "call.end.status is 'ok', not usable as a whole number or null"),
        (f"{STEP}.call.end.resent", 5, "call.end.resent is 5, but the request has 15 bytes"),
        (f"{STEP}.span.attributes.x", {}, "span.attributes: {} is no attribute value"),
        (STEP, {"trace_id": "a" * 32, "span_id": "b" * 16}, "(span_id bbbbbbbbbbbbbbbb) cannot be used: it has neither a span nor"),
        (f"{STEP}.call.start.api", "\ud800", "call.start.api is '\\ud800', which is no UTF-8"),
        (f"{STEP}.span.attributes", {"session.id": "\ud800"}, "session.id is '\\ud800', which is no UTF-8"),
        ("scopes.0.name", "\ud800", "scope 1 cannot be used: name is '\\ud800'"),
        ("replays", [{}], "replay 1 cannot be used: replay.source_span_id is missing"),
    ])
    def test_with_the_place_of_what_is_wrong(self, recorded: tuple[bytes, str], path: str, value: Any, said: str) -> None:
        assert said in refused(changed(recorded, path, value))

    def test_when_two_steps_are_one(self, recorded: tuple[bytes, str]) -> None:
        first = json.loads(recorded[0])["sessions"][0]["steps"][0]

        said = refused(changed(recorded, STEP, first))

        assert f"it has the trace_id and span_id of step 1 of session small (span_id {first['span_id']})" in said

    def test_when_two_sessions_are_one(self, recorded: tuple[bytes, str]) -> None:
        session = json.loads(recorded[0])["sessions"][0]

        assert "there is a session 'small' before it" in refused(changed(recorded, "sessions", [session, session]))

    def test_wherever_it_is_cut(self, recorded: tuple[bytes, str]) -> None:
        data = recorded[0]

        assert [end for end in range(40, len(data) - 2, 53) if not refused(data[:end]).startswith("x.session is ")] == []
        assert "cut short" in refused(data[: len(data) // 2]) or "no JSON" in refused(data[: len(data) // 2])

    @pytest.mark.parametrize(("data", "said"), [
        (b"", "x.session is empty"), (b"\xff\xfe\x00", "x.session is no JSON"), (b"[" * 99999, "x.session is no JSON"),
        (b"[]", "is no session file"), (b"{,}", "no JSON: Expecting property name enclosed in double quotes in line 1, column 2"),
        (b"1" * 5000, "is no JSON")])
    def test_when_it_is_something_else(self, data: bytes, said: str) -> None:
        assert said in refused(data)


DAMAGE: list[Any] = [..., None, True, 0, -1, 2**70, 1.5, "", "x", "\ud800", [], {}, [1], {"b": "%"}, {"json": 1}, {"text": ["a"]}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_refused_or_gives_a_recording_and_never_another_error(
    recorded: tuple[bytes, str], tmp_path: Path, data: st.DataObject
) -> None:
    document = json.loads(recorded[0])
    for _ in range(data.draw(st.integers(1, 2))):
        *way, last = data.draw(st.sampled_from(list(places(document)) or [("x",)]))
        at: Any = document
        for key in way:
            at = at[key]
        value = data.draw(st.sampled_from(DAMAGE))
        if value is not ...:
            at[last] = value
        elif isinstance(at, (dict, list)):
            del at[last]
    (tmp_path / "a.session").write_bytes(json.dumps(document).encode())

    try:
        with otel_llm.replaying(tmp_path / "a.session", check=False) as rerun:
            assert rerun.report.recorded_calls <= 3
    except (BadExport, NotReplayable):
        pass


class TestTheTerminal:
    def test_exports_imports_and_exports_the_same(self, source: SqliteStore, copy: SqliteStore, tmp_path: Path) -> None:
        first, again = tmp_path / "a.session", tmp_path / "b.session"

        done = run(source.directory, "export", "session", "ticket-1", "-o", str(first))
        taken = run(copy.directory, "import", str(first), str(first))
        run(copy.directory, "export", "session", "@1", "-o", str(again))

        steps = len(source.steps("ticket-1"))
        assert (done.code, done.err[: done.err.rindex(" · ")]) == (0, f"1 session · {steps} steps")
        assert taken.err == (f"{steps} steps imported from {first}\n0 steps imported from {first}, {steps} steps were there already\n")
        assert again.read_bytes() == first.read_bytes()

    def test_imports_from_a_pipe_and_whatever_the_name(self, source: SqliteStore, copy: SqliteStore, tmp_path: Path) -> None:
        data = run(source.directory, "export", "session", "ticket-1").out.encode()
        (tmp_path / "x.json").write_bytes(data)

        piped, named = run(copy.directory, "import", "-", stdin=data), run(copy.directory, "import", str(tmp_path / "x.json"))

        assert (piped.code, named.code) == (0, 0)
        assert written(copy) == data

    def test_imports_nothing_when_one_file_is_wrong(self, recorded: tuple[bytes, str], copy: SqliteStore, tmp_path: Path) -> None:
        (tmp_path / "a.session").write_bytes(recorded[0])
        (tmp_path / "b.session").write_bytes(recorded[0][:-40])

        done = run(copy.directory, "import", str(tmp_path / "a.session"), str(tmp_path / "b.session"))

        assert done.code == 2 and "b.session is" in done.err
        assert copy.sessions(Filter()) == []

    def test_leaves_out_replays_whose_other_session_is_not_in_the_file(self, rec: Recording, client: Any) -> None:
        talk(client, "trip", "echo: one", "echo: two", tool=False)
        for _ in range(2):
            assert run(rec.directory, "replay", "reissue", "trip").code == 0
        newest = rec.store.sessions(Filter())[0].session_id

        alone, both = run(rec.directory, "export", "session", "trip"), run(rec.directory, "export", "session", "trip", newest)

        counts = [json.loads(done.out)["counts"] for done in (alone, both)]
        assert counts == [{"sessions": 1, "steps": 2, "replays": 0}, {"sessions": 2, "steps": 4, "replays": 2}]
        assert [done.err.splitlines()[1:] for done in (alone, both)] == [
            ["Left out: 4 replays, because their other session is not in the file; name both sessions to keep them."],
            ["Left out: 2 replays, because their other session is not in the file; name both sessions to keep them."]]

    def test_says_how_many_steps_the_store_has_with_other_content_and_keeps_its_own(
        self, recorded: tuple[bytes, str], copy: SqliteStore, tmp_path: Path
    ) -> None:
        (tmp_path / "as it was.session").write_bytes(recorded[0])
        edited = tmp_path / "edited.session"
        edited.write_bytes(recorded[0].replace(b'"content": "eins"', b'"content": "drei"', 1))
        run(copy.directory, "import", str(tmp_path / "as it was.session"))

        again, other = run(copy.directory, "import", str(tmp_path / "as it was.session")), run(copy.directory, "import", str(edited))
        elsewhere = run(tmp_path / "elsewhere", "import", str(edited))

        assert (again.code, again.err) == (0, f"0 steps imported from {tmp_path}/as it was.session, 3 steps were there already\n")
        assert (other.code, other.err) == (0, (
            f"0 steps imported from {edited}, 3 steps were there already, 1 of them with other content\n"
            f"The store keeps its own content, for a trace is a record. For that of the file take another store: "
            f"otel-llm --store DIR import {edited}\n"))
        assert written(copy) == recorded[0]
        assert elsewhere.err == f"3 steps imported from {edited}\n"

    def test_wants_to_be_told_which_session(self, source: SqliteStore) -> None:
        assert run(source.directory, "export", "session").code == 2

    def test_reruns_no_program_against_a_file_that_is_not_there_and_forks_none(self, recorded: tuple[bytes, str],
                                                                                tmp_path: Path) -> None:
        (tmp_path / "a.session").write_bytes(recorded[0])

        rerun = run(tmp_path / "store", "replay", "rerun", str(tmp_path / "b.session"), "--", "true")
        fork = run(tmp_path / "store", "replay", "fork", str(tmp_path / "a.session"), "--", "true")

        assert rerun.code == 2 and "b.session cannot be read: No such file" in rerun.err
        assert fork.code == 2 and "a.session is a file, and this wants what is in the store. First: otel-llm import" in fork.err
