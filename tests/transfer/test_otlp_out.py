"""Stored sessions arrive at an OTLP endpoint span for span, whatever the endpoint says in between."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from otel_llm import semconv
from otel_llm.store.forward.over_http import HttpTransport
from otel_llm.store.sqlite import SqliteStore
from otel_llm.transfer import otlp_out
from otel_llm.values.destination import Destination
from otel_llm.values.errors import Undelivered
from otel_llm.values.session import Filter
from otel_llm.values.spandata import SpanData
from transfer.sink import Reply, Sink
from transfer.stores import SECRET

COST = "otel_llm.cost."


def send(store: SqliteStore, endpoint: Sink, where: Filter = Filter(), *, headers: Mapping[str, str] = {}, **more: Any) -> otlp_out.Sent:
    destination = Destination("x", f"{endpoint.url}/v1/traces", compression="gzip")
    carrier = HttpTransport(destination, headers)
    try:
        with store.snapshot(where) as snapshot:
            return otlp_out.send(snapshot, carrier, **{"sleep": lambda seconds: None, **more})
    finally:
        carrier.close()


def by_id(spans: list[SpanData]) -> dict[str, SpanData]:
    assert len({s.span_id for s in spans}) == len(spans)
    return {s.span_id: s for s in spans}


def stored(store: SqliteStore) -> dict[str, SpanData]:
    """Every span of the store as it was recorded."""
    return {s.span_id: store.span(s.span_id) for row in store.sessions(Filter()) for s in store.steps(row.session_id)}


def recorded(span: SpanData, like: SpanData) -> SpanData:
    """A span without the content, the cost and the session that sending added."""
    added = {k for k in span.attributes if k not in like.attributes and (
        semconv.quotes_content(k) or k.startswith(COST) or k == semconv.SESSION_ID)}
    return replace(span, attributes={k: v for k, v in span.attributes.items() if k not in added})


class TestWhatArrives:
    def test_is_every_span_with_its_ids_times_and_attributes(self, source: SqliteStore, endpoint: Sink) -> None:
        sent = send(source, endpoint, content="full")

        came, there = by_id(endpoint.spans), stored(source)
        cut = {"cd" * 8}
        assert came.keys() == there.keys() and sent.accepted == len(there)
        assert {i: recorded(came[i], there[i]) for i in came.keys() - cut} == {i: there[i] for i in there.keys() - cut}

    def test_is_found_by_its_session_also_where_the_program_named_none(self, source: SqliteStore, endpoint: Sink) -> None:
        send(source, endpoint)

        came, there = by_id(endpoint.spans), stored(source)
        sessions = {step.span_id: row.session_id for row in source.sessions(Filter()) for step in source.steps(row.session_id)}
        nameless = [i for i, span in there.items() if "session.id" not in span.attributes]
        assert {i: came[i].attributes["session.id"] for i in nameless} == {i: sessions[i] for i in nameless} != {}

    def test_is_a_request_as_otlp_wants_it(self, source: SqliteStore, endpoint: Sink) -> None:
        send(source, endpoint, headers={"authorization": "Bearer t"})

        path, headers = endpoint.requests[0]
        assert path == "/v1/traces"
        assert (headers["content-type"], headers["content-encoding"], headers["authorization"]) == (
            "application/x-protobuf", "gzip", "Bearer t")

    def test_under_full_has_the_messages_as_json_made_from_the_bytes(self, source: SqliteStore, endpoint: Sink) -> None:
        (call,) = [c for c in source.calls(Filter(), limit=99) if c.request_preview == "echo: one"]

        send(source, endpoint, content="full")

        attributes = by_id(endpoint.spans)[call.span_id].attributes
        assert json.loads(str(attributes["gen_ai.input.messages"]))[-1] == {
            "role": "user", "parts": [{"type": "text", "content": "echo: one"}]}
        assert json.loads(str(attributes["gen_ai.output.messages"]))[0]["parts"] == [{"type": "text", "content": "one"}]

    def test_under_none_quotes_nothing(self, source: SqliteStore, endpoint: Sink) -> None:
        send(source, endpoint, content="none")

        text = repr(endpoint.spans)
        assert not any(word in text for word in ("echo:", "Oslo", "no such city", "rain in"))
        assert not any(semconv.quotes_content(key) for span in endpoint.spans for key in span.attributes)

    def test_under_masked_shows_shapes_and_no_words(self, source: SqliteStore, endpoint: Sink) -> None:
        send(source, endpoint, content="masked")

        text = repr(endpoint.spans)
        assert '"role":"user"' in text and "characters]" in text
        assert not any(word in text for word in ("echo: one", "Oslo", "rain in"))

    @pytest.mark.parametrize("content", ["none", "masked", "full"])
    def test_never_has_a_raw_body_or_a_secret(self, source: SqliteStore, endpoint: Sink, content: str) -> None:
        send(source, endpoint, content=content)

        text = repr(endpoint.spans)
        assert SECRET not in text and "finish_reason\"" not in text and "otel_llm.request.body" not in text

    def test_of_a_call_that_was_cut_is_what_is_known_of_it(self, source: SqliteStore, endpoint: Sink) -> None:
        send(source, endpoint, content="full")

        span = by_id(endpoint.spans)["cd" * 8]
        assert (span.name, span.status_code, span.attributes["error.type"]) == ("chat gpt-4o-mini", "error", "incomplete")
        assert "half an answ" in str(span.attributes["gen_ai.output.messages"])

    def test_is_only_what_was_chosen(self, source: SqliteStore, endpoint: Sink) -> None:
        send(source, endpoint, Filter(session=("ticket-2",)))

        assert {s.attributes["session.id"] for s in endpoint.spans} == {"ticket-2"}


class TestAnEndpoint:
    def test_that_takes_small_requests_gets_small_ones(self, source: SqliteStore, endpoint: Sink) -> None:
        endpoint.max_bytes = 4_000

        sent = send(source, endpoint, content="none")

        assert by_id(endpoint.spans).keys() == stored(source).keys() and sent.shortened == 0
        assert max(endpoint.sizes) > 4_000 and sent.accepted == len(endpoint.spans)

    def test_gets_no_request_above_the_limit_that_was_asked_for(self, source: SqliteStore, endpoint: Sink) -> None:
        send(source, endpoint, content="full", max_bytes=8_500)

        assert max(endpoint.sizes) <= 8_500 and len(endpoint.sizes) > 2
        assert by_id(endpoint.spans).keys() == stored(source).keys()

    def test_that_cannot_take_a_span_gets_it_without_its_long_attributes(self, source: SqliteStore, endpoint: Sink) -> None:
        endpoint.max_bytes = 3_000

        sent = send(source, endpoint, content="full")

        assert sent.shortened > 0 and not sent.refused
        assert by_id(endpoint.spans).keys() == stored(source).keys()
        assert any("characters left out: too large for the receiver]" in str(v) for s in endpoint.spans for v in s.attributes.values())

    def test_that_takes_nothing_so_large_at_all_has_refused_it(self, source: SqliteStore, endpoint: Sink) -> None:
        endpoint.max_bytes = 900

        sent = send(source, endpoint, Filter(session=("ticket-1",)))

        assert sent.accepted + sum(sent.refused.values()) == len(source.steps("ticket-1"))
        assert sent.refused == {"413": sum(sent.refused.values())} and sent.refused

    def test_that_wants_to_be_left_alone_is_left_alone(self, source: SqliteStore, endpoint: Sink) -> None:
        endpoint.replies.extend([Reply(429, {"retry-after": "7"}), Reply(503), Reply(503), Reply(502, {"retry-after": "2"})])
        pauses: list[float] = []

        send(source, endpoint, sleep=pauses.append)

        assert pauses == [7.0, 1.0, 2.0, 2.0]
        assert by_id(endpoint.spans).keys() == stored(source).keys()

    def test_that_wants_to_be_left_alone_for_too_long_ends_the_export(self, source: SqliteStore, endpoint: Sink) -> None:
        endpoint.replies.append(Reply(429, {"retry-after": "900"}))

        with pytest.raises(Undelivered, match=r"takes nothing now: 429, and wants to be left alone for 900 s. It took 0 spans."):
            send(source, endpoint)

    def test_that_never_answered_is_soon_given_up(self, source: SqliteStore, endpoint: Sink) -> None:
        pauses: list[float] = []
        said: list[str] = []
        endpoint.url = "http://127.0.0.1:9"

        with pytest.raises(Undelivered, match="ConnectionRefusedError.*It took 0 spans"):
            send(source, endpoint, sleep=pauses.append, waiting=lambda words, seconds: said.append(words))
        assert 5 < sum(pauses) <= 15
        assert len(said) == len(pauses) and "ConnectionRefusedError" in said[0]

    def test_that_goes_away_in_the_middle_is_waited_for_longer(self, source: SqliteStore, endpoint: Sink) -> None:
        pauses: list[float] = []
        endpoint.replies.extend([Reply(), *[Reply(503)] * 100])

        with pytest.raises(Undelivered, match=r"takes nothing now: 503. It took [1-9]\d* spans. Send again later"):
            send(source, endpoint, sleep=pauses.append, max_bytes=3_000)
        assert 100 < sum(pauses) <= 120

    def test_that_took_a_part_is_believed(self, source: SqliteStore, endpoint: Sink) -> None:
        endpoint.replies.append(Reply(body=b"\x0a\x0c\x08\x02\x12\x08too old!"))

        sent = send(source, endpoint)

        assert sent.refused == {"too old!": 2}
        assert sent.accepted == len(stored(source)) - 2

    def test_that_refuses_one_span_gets_the_others(self, source: SqliteStore, endpoint: Sink) -> None:
        bad = source.calls(Filter())[0].span_id
        answer = endpoint.answer

        def picky(path: str, headers: dict[str, str], body: bytes) -> Reply:
            count = len(endpoint.spans)
            reply = answer(path, headers, body)
            if any(span.span_id == bad for span in endpoint.spans[count:]):
                del endpoint.spans[count:]
                return Reply(400, {"content-type": "text/plain"}, b"I do not like it")
            return reply

        endpoint.answer = picky  # type: ignore[method-assign]

        sent = send(source, endpoint)

        assert sent.refused == {"400: I do not like it": 1}
        assert by_id(endpoint.spans).keys() == stored(source).keys() - {bad}

    @pytest.mark.parametrize("status", [301, 401, 403, 404])
    def test_that_is_the_wrong_one_ends_the_export_at_once(self, source: SqliteStore, endpoint: Sink, status: int) -> None:
        endpoint.replies.append(Reply(status, {"content-type": "text/plain"}, b"go away"))

        with pytest.raises(Undelivered, match=f"does not take spans: {status}: go away.*--header KEY=VALUE"):
            send(source, endpoint)
        assert len(endpoint.requests) == 1

    def test_that_refuses_everything_is_not_asked_for_ever(self, source: SqliteStore, endpoint: Sink,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(otlp_out, "HOPELESS", 3)
        endpoint.replies.extend([Reply(400)] * 1000)

        with pytest.raises(Undelivered, match="refuses everything: 400"):
            send(source, endpoint)
        assert len(endpoint.requests) < 12
