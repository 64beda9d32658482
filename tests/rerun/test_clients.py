"""Whatever client a program holds, in a rerun nobody is called, and afterwards nothing of the rerun is left in it."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

import otel_llm
from otel_llm import _setup
from otel_llm.testing import Simulator, error
from otel_llm.values.errors import NotReplayable, ReplayDiverged, ReplayError
from rerun.programs import Program
from support.chat import HELLO
from support.recording import recording

NOWHERE = "https://nowhere.invalid/v1"
KEY = "sk-test-canary-0123456789abcdef"
ANSWERED = {"id": "live", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "choices": [
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "live"}}]}


def library() -> Any:
    """The HTTP library of this SDK."""
    return __import__(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])


def said(client: Any) -> str:
    return str(client.chat.completions.create(**HELLO).choices[0].message.content)


class Sent(list[Any]):
    """A transport that answers by itself; what reaches it has escaped."""

    def transport(self, http: Any) -> Any:
        def answer(request: Any) -> Any:
            self.append(request.url)
            return http.Response(200, json=ANSWERED)

        return http.MockTransport(answer)


@pytest.fixture
def recorded(tmp_path: Path, client: Any) -> Path:
    with recording(tmp_path / "recorded"), otel_llm.session("s"):
        said(client)
    return tmp_path / "recorded"


def own_transport(sent: Sent) -> Any:
    return openai.OpenAI(base_url=NOWHERE, api_key="x", http_client=library().Client(transport=sent.transport(library())))


def own_send(sent: Sent) -> Any:
    """A client whose `send` goes its own way."""

    class Client(library().Client):  # type: ignore[misc]
        def send(self, request: Any, **how: Any) -> Any:
            sent.append(request.url)
            return library().Response(200, json=ANSWERED, request=request)

    return openai.OpenAI(base_url=NOWHERE, api_key="x", http_client=Client())


def azure(sent: Sent) -> Any:
    return openai.AzureOpenAI(azure_endpoint="https://nowhere.invalid", api_key="x", api_version="2024-10-21",
                              http_client=library().Client(transport=sent.transport(library())))


def legacy(sent: Sent) -> Any:
    """The HTTP library of the SDKs before, which newer ones take as well."""
    return openai.OpenAI(base_url=NOWHERE, api_key="x", http_client=httpx.Client(transport=sent.transport(httpx)))


def with_options(sent: Sent) -> Any:
    return own_transport(sent).with_options(timeout=3, max_retries=0)


@pytest.mark.parametrize("make", [own_transport, own_send, azure, legacy, with_options])
class TestAClientOfItsOwnKind:
    def test_is_answered_from_the_recording(self, recorded: Path, make: Callable[[Sent], Any]) -> None:
        sent = Sent()

        with otel_llm.replaying("s", store=recorded, block_network=False) as rerun:
            found = said(make(sent))

        assert (found, sent, rerun.report.outcome) == ("one two three", [], "same")

    def test_calls_nobody_where_nothing_is_recorded(self, recorded: Path, make: Callable[[Sent], Any]) -> None:
        sent = Sent()

        with otel_llm.replaying("s", store=recorded, block_network=False, check=False), pytest.raises(ReplayDiverged):
            make(sent).chat.completions.create(model="gpt-4o", messages=[])

        assert sent == []


@pytest.mark.parametrize("http", sorted({"httpx", library().__name__}))
def test_an_async_client_with_a_transport_of_its_own_is_answered(recorded: Path, http: str) -> None:
    sent, module = Sent(), __import__(http)
    if not hasattr(openai, "DefaultAioHttpClient") and http != library().__name__:
        return

    async def main() -> str:
        client = openai.AsyncOpenAI(base_url=NOWHERE, api_key="x",
                                    http_client=module.AsyncClient(transport=sent.transport(module)))
        return str((await client.chat.completions.create(**HELLO)).choices[0].message.content)  # type: ignore[call-overload]

    with otel_llm.replaying("s", store=recorded, block_network=False):
        found = asyncio.run(main())

    assert (found, sent) == ("one two three", [])


@pytest.mark.parametrize("is_stream", [False, True], ids=["before the answer", "in its midst"])
@pytest.mark.parametrize("raised", [TimeoutError("slow"), ConnectionResetError(104, "reset by peer"), OSError("gone"), ValueError("odd"),
                                    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")], ids=lambda error: type(error).__name__)
def test_what_a_transport_raised_is_raised_again(tmp_path: Path, raised: Exception, is_stream: bool) -> None:
    """In an SDK that hands on what its HTTP library does not know; one that wraps it says so by the type."""
    http = library()

    class Body(http.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Any:
            yield b'data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[]}\n\n'
            raise raised

    def answer(request: Any) -> Any:
        if is_stream:
            return http.Response(200, headers={"content-type": "text/event-stream"}, stream=Body())
        raise raised

    def program() -> list[Any]:
        out: list[Any] = []
        with openai.OpenAI(base_url=NOWHERE, api_key="x", http_client=http.Client(transport=http.MockTransport(answer)),
                           max_retries=0) as client:
            try:
                out += [chunk.id for chunk in client.chat.completions.create(**HELLO, stream=True)]
            except Exception as error:
                out += [type(error).__name__, isinstance(error, type(raised)), str(error), getattr(error, "errno", None)]
        return out

    with recording(tmp_path), otel_llm.session("s"):
        before = program()

    with otel_llm.replaying("s", store=tmp_path) as rerun:
        after = program()

    assert (after, rerun.report.outcome) == (before, "same")


def test_a_stream_that_broke_with_an_error_of_a_class_that_nobody_else_has_breaks_again(tmp_path: Path) -> None:
    http = library()

    class Odd(Exception):
        """Of the transport's own."""

    class Body(http.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Any:
            yield b'data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[]}\n\n'
            raise Odd("how odd")

    def answer(request: Any) -> Any:
        return http.Response(200, headers={"content-type": "text/event-stream"}, stream=Body())

    def program() -> list[str]:
        with openai.OpenAI(base_url=NOWHERE, api_key="x", http_client=http.Client(transport=http.MockTransport(answer))) as client:
            out: list[str] = []
            try:
                out.extend(chunk.id for chunk in client.chat.completions.create(**HELLO, stream=True))
            except Exception as error:
                out += [type(error).__name__, str(error)]
            return out

    with recording(tmp_path), otel_llm.session("s"):
        before = program()

    with otel_llm.replaying("s", store=tmp_path):
        after = program()

    assert before == ["a", "Odd", "how odd"]
    assert after in (["a", "ReadError", "how odd"], ["a", "APIConnectionError", "Connection error."]), "as the SDK has it"


def test_suppressed_instrumentation_opens_no_way_out(recorded: Path) -> None:
    sent = Sent()

    with (otel_llm.replaying("s", store=recorded, block_network=False, check=False), suppress_instrumentation(),
          pytest.raises(ReplayDiverged)):
        own_transport(sent).chat.completions.create(model="gpt-4o", messages=[])

    assert sent == []


def test_a_fault_of_ours_opens_no_way_out(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from otel_llm.values.guard import faults

    faults.strict = False
    sent = Sent()
    with otel_llm.replaying("s", store=recorded, block_network=False, check=False):
        monkeypatch.setattr(_setup._cell.taps["openai"], "_target", None)
        with pytest.raises(ReplayError):
            said(own_transport(sent))

    assert sent == []


def test_other_requests_under_a_call_are_not_taken_for_it(recorded: Path) -> None:
    """A client may ask for a token before it calls: that is no call."""
    sent = Sent()

    def key() -> str:
        with library().Client(transport=sent.transport(library())) as client:
            return str(client.post("https://login.invalid/token", json={"grant": "x"}).json()["id"])

    class Client(openai.OpenAI):
        def _prepare_request(self, request: Any) -> None:
            request.headers["x-token"] = key()

    with otel_llm.replaying("s", store=recorded, block_network=False) as rerun:
        found = said(Client(base_url=NOWHERE, api_key="x"))

    assert (found, [str(url) for url in sent], rerun.report.answered_calls) == ("one two three", ["https://login.invalid/token"], 1)


def test_a_live_call_waits_as_long_as_its_provider_asks_before_it_tries_again(
    recorded: Path, sim: Simulator, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    sim.script(error(429, headers={"retry-after-ms": "7000"}))
    monkeypatch.setattr("time.sleep", waited.append)

    with otel_llm.replaying("s", store=recorded, policy="record-new", check=False):
        client.with_options(max_retries=1).chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])

    assert waited == [7.0]


class TestAfterwards:
    @pytest.mark.parametrize("how", ["returns", "raises"])
    def test_every_function_is_the_one_that_was_there(self, recorded: Path, tmp_path: Path, how: str) -> None:
        def functions() -> list[Any]:
            return [vars(owner).get(name) for owner in (library().Client, library().AsyncClient, httpx.Client, httpx.AsyncClient,
                                                        openai.OpenAI, openai.AsyncOpenAI, openai.AzureOpenAI, *openai.OpenAI.__mro__)
                    for name in ("send", "_send_request", "request", "_build_request")]

        with recording(tmp_path / "running"):
            before = functions()
            try:
                with otel_llm.replaying("s", store=recorded, check=False):
                    said(openai.OpenAI(base_url=NOWHERE, api_key="x"))
                    if how == "raises":
                        raise RuntimeError
            except RuntimeError:
                pass
            assert functions() == before
            recorder = _setup.recorder()
            assert recorder is not None and recorder.player is None

    def test_a_program_is_recorded_as_before(self, recorded: Path, tmp_path: Path, sim: Simulator, client: Any) -> None:
        with recording(tmp_path / "running") as running:
            with otel_llm.replaying("s", store=recorded):
                said(client)
            with otel_llm.session("after"):
                said(client)
            assert [dict(span.attributes or {})["session.id"] for span in running.calls][1:] == ["after"]
        assert sim.count.total() == 2

    def test_a_call_that_is_still_under_way_calls_nobody(self, recorded: Path) -> None:
        sent, asked, over = Sent(), threading.Event(), threading.Event()
        caught: list[Any] = []

        class Client(openai.OpenAI):
            def _prepare_options(self, options: Any) -> Any:
                asked.set()
                over.wait(10)
                return options

        def late() -> None:
            client = Client(base_url=NOWHERE, api_key="x", http_client=library().Client(transport=sent.transport(library())))
            try:
                caught.append(said(client))
            except Exception as error:
                caught.append(type(error))

        with recording(recorded.parent / "running"):
            with otel_llm.replaying("s", store=recorded, block_network=False, check=False):
                thread = threading.Thread(target=late)
                thread.start()
                assert asked.wait(10)
            over.set()
            thread.join(10)

        assert (caught, sent) == ([NotReplayable], [])

    def test_a_client_that_was_used_while_the_program_ran_on_is_not_answered(self, recorded: Path, sim: Simulator, client: Any) -> None:
        """A call that began before a rerun goes where it was going."""
        began, go = threading.Event(), threading.Event()
        out: list[str] = []

        class Client(openai.OpenAI):
            def _prepare_options(self, options: Any) -> Any:
                began.set()
                go.wait(10)
                return options

        def early() -> None:
            with Client(base_url=sim.base_url, api_key=KEY) as one:
                out.append(said(one))

        with recording(recorded.parent / "running"):
            thread = threading.Thread(target=early)
            thread.start()
            assert began.wait(10)
            with otel_llm.replaying("s", store=recorded, block_network=False, check=False) as rerun:
                go.set()
                thread.join(10)
        assert (out, rerun.report.answered_calls, sim.count.total()) == (["one two three"], 0, 2)


def test_many_replayed_calls_leave_nothing_behind(recorded: Path) -> None:
    from otel_llm.capture import tee

    kinds = []
    for _ in range(3):
        with otel_llm.replaying("s", store=recorded), openai.OpenAI(base_url=NOWHERE, api_key="x") as client:
            with client.chat.completions.with_streaming_response.create(**HELLO) as response:
                response.read()
        kinds.append(len(tee._CLASSES))

    assert len(set(kinds)) == 1


def test_the_first_calls_of_many_threads_are_all_answered(tmp_path: Path, client: Any) -> None:
    with recording(tmp_path), otel_llm.session("s"):
        for _ in range(16):
            said(client)
    sent = Sent()

    with otel_llm.replaying("s", store=tmp_path, block_network=False):
        gate = threading.Barrier(16)

        def one() -> None:
            with own_transport(sent) as client:
                gate.wait()
                said(client)

        threads = [threading.Thread(target=one) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sent == []


def test_an_id_of_a_request_that_is_not_ascii_comes_again(tmp_path: Path) -> None:
    http = library()

    def answer(request: Any) -> Any:
        return http.Response(200, headers=[(b"x-request-id", b"r\xe9q")], json=ANSWERED)

    client = openai.OpenAI(base_url=NOWHERE, api_key="x", http_client=http.Client(transport=http.MockTransport(answer)))
    with recording(tmp_path), otel_llm.session("s"):
        before = client.chat.completions.create(**HELLO)._request_id

    with otel_llm.replaying("s", store=tmp_path):
        after = client.chat.completions.create(**HELLO)._request_id

    assert (before, after) == ("r\u00e9q", "r\u00e9q")


@pytest.mark.parametrize("end", [otel_llm.shutdown, otel_llm.uninstrument])
def test_a_program_that_ends_recording_is_answered_still(recorded: Path, end: Callable[[], None]) -> None:
    sent = Sent()
    before = dict(vars(openai._base_client.SyncAPIClient))
    otel_llm.instrument()
    with otel_llm.replaying("s", store=recorded, block_network=False, check=False) as rerun:
        end()
        answered = said(own_transport(sent))
        with pytest.raises(ReplayDiverged):
            said(own_transport(sent))
    after = said(own_transport(sent))

    assert (answered, [d.kind for d in rerun.report.differences], after, len(sent)) == ("one two three", ["extra"], "live", 1)
    assert dict(vars(openai._base_client.SyncAPIClient)) == before


def test_ending_recording_is_no_way_around_a_cap(program: Program) -> None:
    recorded = program("import ask; ask.ask('one')")
    recorded.write("""
        import ask, otel_llm
        ask.ask("new")
        otel_llm.shutdown()
        ask.ask("newer")
    """)

    done = recorded.terminal("replay", "rerun", recorded.session_ids[0], "--policy", "record-new", "--max-calls", "1", "--yes",
                             "--json", "--", sys.executable, "program.py")

    assert (json.loads(done.stdout)["live_calls"], recorded.sim.count.total() - recorded.requests) == (1, 1)
    assert "Stopped at the cap of 1 live calls" in done.stderr
