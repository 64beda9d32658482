"""What a backend answers, and what becomes of the spans: each row of the table in `otel_llm.store.forward.answers`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from forward.conftest import Place
from otel_llm.store.forward import answers
from otel_llm.store.forward.courier import MOST_BACKOFF_S, MOST_MISPLACED_S, delay_s
from support.otlp_sink import Answer, OtlpSink, cut, hang, partial, reply, sizes, stored_then_cut


def ids(sink: OtlpSink) -> list[str]:
    return sorted(span.span_id for span in sink.spans)


class TestTaken:
    def test_every_span_arrives_once_and_nothing_waits(self, place: Place, sink: OtlpSink) -> None:
        made = place.record(1200)

        assert place.forward()

        one = place.waiting()
        assert ids(sink) == sorted(made)
        assert (one.state, one.waiting, one.sent, one.refused, one.lost) == ("ok", 0, 1200, 0, 0)
        assert sizes(sink.seen) == [512, 512, 176]

    def test_forwarding_again_sends_nothing(self, place: Place, sink: OtlpSink) -> None:
        place.record(3)
        place.forward()

        place.forward()

        assert len(sink.seen) == 1

    def test_batches_are_bounded_by_bytes(self, place: Place, sink: OtlpSink) -> None:
        place.record(10, "x" * 1_500_000)

        assert place.forward()

        assert sizes(sink.seen) == [2] * 5
        assert max(seen.size for seen in sink.seen) < 4_000_000

    def test_a_span_that_was_stored_before_anybody_asked_is_not_sent(self, places: Callable[..., Place], sink: OtlpSink) -> None:
        earlier = places()
        earlier.record(2)
        earlier.spool.close()
        later = Place(earlier.directory, {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url})
        made = later.record(1, "new")

        later.forward()

        assert [span.attributes["text"] for span in sink.spans] == ["new"]
        assert len(made) == 1
        later.spool.close()


class TestLater:
    @pytest.mark.parametrize("answer", [reply(503), reply(500), reply(429), reply(408), cut(), Answer(302, {"Location": "/x"}),
                                        reply(401), reply(404), reply(200, body=b"<html>Welcome", Content_Type="text/html")])
    def test_nothing_is_lost_and_the_reason_is_kept(self, place: Place, sink: OtlpSink, answer: Answer) -> None:
        made = place.record(5)
        sink.script(answer)

        place.once()
        before = place.waiting()
        place.due()
        assert place.forward()

        assert (before.waiting, before.failures) == (5, 1) and before.last_error
        assert sorted(set(ids(sink))) == sorted(made)
        assert place.waiting().failures == 0

    def test_retry_after_is_obeyed(self, place: Place, sink: OtlpSink) -> None:
        place.record(1)
        sink.script(reply(429, retry_after=0.4))

        assert place.forward()

        assert sink.seen[1].at - sink.seen[0].at >= 0.4

    def test_who_asked_for_time_is_not_asked_by_the_next_process(self, place: Place, sink: OtlpSink) -> None:
        place.record(1)
        sink.script(reply(503, retry_after=3000))
        place.once()

        place.once()

        one = place.waiting()
        assert len(sink.seen) == 1
        assert 2990 < (one.retry_ns - time.time_ns()) / 1e9 < 3300

    def test_a_failing_backend_is_asked_with_a_small_request(self, place: Place, sink: OtlpSink) -> None:
        place.record(20, "x" * 10_000)
        sink.script(reply(503))
        place.once()
        place.due()

        place.forward()

        assert sizes(sink.seen) == [20, 6, 14]

    def test_an_answer_that_never_came_means_again(self, place: Place, sink: OtlpSink) -> None:
        """At least once: the backend has the spans twice, and knows them by their ids."""
        made = place.record(2)
        sink.script(stored_then_cut())

        place.once()
        place.due()
        place.forward()

        assert ids(sink) == sorted(made * 2)

    def test_a_hung_backend_is_left_after_the_timeout(self, tmp_path: Any, places: Callable[..., Place]) -> None:
        with OtlpSink() as sink:
            sink.script(hang())
            place = places(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, OTEL_EXPORTER_OTLP_TIMEOUT="0.2")
            place.record(1)

            place.once()

            assert place.waiting().last_error == "no answer in time"
            place.due()
            assert place.forward()

    def test_a_kept_connection_that_was_closed_is_opened_again_silently(self, place: Place, sink: OtlpSink) -> None:
        place.record(600)
        sink.script(reply(200, Connection="close"))

        place.once()

        assert place.waiting().sent == 600

    def test_waits_grow_with_jitter_up_to_a_limit(self) -> None:
        later, misplaced = answers.Answer(answers.LATER), answers.Answer(answers.MISPLACED)

        waits = [[delay_s(later, failures) for _ in range(50)] for failures in (0, 3, 100)]

        assert all(min(w) > 0 and max(w) <= most for w, most in zip(waits, (1, 8, MOST_BACKOFF_S), strict=True))
        assert all(max(w) > 2 * min(w) for w in waits)
        longest = delay_s(misplaced, 100)
        assert MOST_MISPLACED_S / 2 <= longest <= MOST_MISPLACED_S


class TestTooLarge:
    def test_a_request_that_is_too_large_is_halved_and_the_next_ones_are_smaller(self, tmp_path: Any, places: Callable[..., Place]) -> None:
        with OtlpSink(rule=lambda size, number: reply(413) if size > 30_000 else reply()) as sink:
            place = places(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
            made = place.record(40, "x" * 5_000)

            assert place.forward()

            assert ids(sink) == sorted(made)
            assert all(span.attributes["text"] == "x" * 5_000 for span in sink.spans)

    def test_one_span_that_is_too_large_goes_without_its_content(self, tmp_path: Any, places: Callable[..., Place]) -> None:
        with OtlpSink(rule=lambda size, number: reply(413) if size > 30_000 else reply()) as sink:
            place = places(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
            place.record(1, "x" * 50_000, small=7)

            assert place.forward()

            (span,) = sink.spans
            assert span.attributes == {"text": "[50000 characters left out: too large for the receiver]", "small": 7}

    def test_what_is_too_large_without_content_is_a_dead_letter(self, tmp_path: Any, places: Callable[..., Place]) -> None:
        with OtlpSink(rule=lambda size, number: reply(413)) as sink:
            place = places(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
            (span_id,) = place.record(1)

            assert place.forward()

            with place.open() as forwarding:
                (letter,) = forwarding.letters()
            assert (letter.spans, letter.span_id, letter.reason) == (1, span_id, "413")

    def test_a_server_that_answers_before_it_has_read_is_understood(self, places: Callable[..., Place]) -> None:
        with OtlpSink(rule=lambda size, number: cut() if size > 100_000 else reply()) as sink:
            place = places(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
            made = place.record(4, "x" * 90_000)

            assert place.forward()

            assert ids(sink) == sorted(made)


class TestRefused:
    def test_the_bad_span_is_found_and_the_others_arrive(self, tmp_path: Any, places: Callable[..., Place]) -> None:
        bad = "b" * 3_000
        with OtlpSink(rule=lambda size, number: reply(400, body=b"no such thing", Content_Type="text/plain") if size > 3_000 else reply()) as sink:
            place = places(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
            made = place.record(4)
            (bad_id,) = place.record(1, bad)
            made += place.record(4)

            assert place.forward()

            with place.open() as forwarding:
                (letter,) = forwarding.letters()
            assert ids(sink) == sorted(made)
            assert (letter.spans, letter.span_id, letter.reason) == (1, bad_id, "400: no such thing")

    def test_a_dead_letter_can_be_sent_again(self, place: Place, sink: OtlpSink) -> None:
        made = place.record(1)
        sink.script(reply(400))
        place.forward()

        with place.open() as forwarding:
            count = forwarding.retry()
        place.forward()

        one = place.waiting()
        assert (count, ids(sink), one.refused, one.waiting) == (1, made, 0, 0)

    def test_partial_success_is_counted_with_the_servers_words_and_not_sent_again(self, place: Place, sink: OtlpSink) -> None:
        place.record(5)
        sink.script(partial(2, "attribute too odd"))

        place.forward()

        one = place.waiting()
        with place.open() as forwarding:
            (letter,) = forwarding.letters()
        assert (one.sent, one.refused, one.waiting, len(sink.seen)) == (3, 2, 0, 1)
        assert (letter.spans, letter.reason) == (2, "2 of these 5: attribute too odd")

    def test_dropping_a_destination_is_in_the_ledger(self, place: Place) -> None:
        place.record(3)
        with place.open() as forwarding:
            forwarding.waiting()

            assert forwarding.drop("otlp") == 3

            assert forwarding.waiting() == []
            assert [(loss.reason, loss.count) for loss in forwarding._store.losses()] == [("forward dropped", 3)]


class TestWords:
    def test_retry_after_is_read_in_both_forms(self) -> None:
        assert answers.retry_after("17") == 17
        assert 50 < (answers.retry_after(formatdate(time.time() + 60, usegmt=True)) or 0) < 70
        assert [answers.retry_after(text) for text in ("", "soon", "nan")] == [None] * 3
        assert answers.retry_after("1e9") == answers.MAX_WAIT_S

    def test_a_status_in_protobuf_and_a_retry_info_are_read(self) -> None:
        delay = b"\x08\x07\x10\x80\xca\xb5\xee\x01"  # 7.5 s
        info = b"\x0a" + bytes((len(delay),)) + delay
        name = b"type.googleapis.com/google.rpc.RetryInfo"
        detail = b"\x0a" + bytes((len(name),)) + name + b"\x12" + bytes((len(info),)) + info
        status = b"\x08\x08\x12\x04full\x1a" + bytes((len(detail),)) + detail

        of_grpc = answers.of_grpc("RESOURCE_EXHAUSTED", "full", status, 10**6)
        of_http = answers.of_http(503, {"content-type": "application/x-protobuf"}, status)

        assert (of_grpc.verdict, of_grpc.after_s) == (answers.LATER, 7.5)
        assert of_http.words == "503: full"

    def test_exhausted_is_too_large_or_later(self) -> None:
        assert answers.of_grpc("RESOURCE_EXHAUSTED", "", b"", 10**6).verdict == answers.TOO_LARGE
        assert answers.of_grpc("RESOURCE_EXHAUSTED", "", b"", 1000).verdict == answers.LATER

    @pytest.mark.parametrize("body", [b"\xff" * 50, b"\x0a\xff\xff\xff\xff\x0f", b"", b"\x08"])
    def test_nonsense_is_no_partial_success(self, body: bytes) -> None:
        assert answers.partial_success(body) == (0, "")

    def test_partial_success_in_json(self) -> None:
        body = json.dumps({"partialSuccess": {"rejectedSpans": "3", "errorMessage": "a\x1b[31mb"}}).encode()

        assert answers.of_http(200, {"content-type": "application/json"}, body).rejected == 3
        assert "\x1b" not in answers.of_http(200, {"content-type": "application/json"}, body).words
