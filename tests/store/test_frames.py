"""The bytes of a segment: what is written once must be readable for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.store import frames

GOLDEN = Path(__file__).parent / "golden"


def read(data: bytes, *, at_end: bool = True) -> list[frames.Frame]:
    return list(frames.parse(data, 0, at_end=at_end, is_final=at_end))


def test_a_segment_of_the_first_version_is_still_readable() -> None:
    data = (GOLDEN / "segment-1.seg").read_bytes()
    head = frames.SEGMENT_HEAD.size

    found = read(data[head:])

    assert frames.is_segment(data[:head])
    assert [(f.kind, f.number, f.header, f.body) for f in found] == [
        (1, 0, b'{"number":1,"attributes":{"service.name":"golden"},"schema_url":""}', b""),
        (4, 1, b'{"trace_id":"00000000000000000000000000000001","span_id":"0000000000000002"}', b'{"model":"m"}'),
        (6, 2, b'{"trace_id":"00000000000000000000000000000001","span_id":"0000000000000002"}', b"\x00\xff"),
        (7, 3, b'{"sampled out":2}', b""),
    ]


def test_the_writer_still_writes_the_first_version() -> None:
    golden = (GOLDEN / "segment-1.seg").read_bytes()
    call = b'{"trace_id":"00000000000000000000000000000001","span_id":"0000000000000002"}'

    written = frames.segment_head(1_790_000_000_000_000_000) + b"".join((
        frames.encode(1, 0, b'{"number":1,"attributes":{"service.name":"golden"},"schema_url":""}'),
        frames.encode(4, 1, call, b'{"model":"m"}'),
        frames.encode(6, 2, call, b"\x00\xff"),
        frames.encode(7, 3, b'{"sampled out":2}'),
    ))

    assert written == golden


@given(st.lists(st.tuples(st.integers(1, 31), st.integers(0, 2**64 - 1), st.binary(max_size=200), st.binary(max_size=200))))
def test_what_is_encoded_is_parsed(items: list[tuple[int, int, bytes, bytes]]) -> None:
    data = b"".join(frames.encode(*item) for item in items)

    assert [(f.kind, f.number, f.header, f.body) for f in read(data)] == items


@pytest.mark.parametrize("cut", [1, 5, 17, 18, 30])
def test_a_torn_tail_is_the_end_and_no_damage(cut: int) -> None:
    whole, torn = frames.encode(3, 0, b"[1]", b"body"), frames.encode(3, 1, b"[2]", b"more body")

    found = read(whole + torn[:cut])

    assert [f.number for f in found] == [0]
    assert found[-1].end == len(whole)


def test_a_damaged_frame_is_skipped_when_the_next_can_be_found() -> None:
    parts = [frames.encode(3, n, b"[%d]" % n, b"x" * 50) for n in range(3)]
    damaged = bytearray(parts[1])
    damaged[-1] ^= 1

    found = read(parts[0] + bytes(damaged) + parts[2])

    assert [(f.kind, f.number) for f in found] == [(3, 0), (0, -1), (3, 2)]


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\x00\x01\x00\x00", b"\x05\x00\x00\x00", b"\x00\x00\x00\x00"])
def test_a_damaged_length_counts_once_and_the_next_frames_are_found(length: bytes) -> None:
    parts = [frames.encode(3, n, b"[%d]" % n, b"body") for n in range(4)]

    found = read(parts[0] + length + parts[1][4:] + parts[2] + parts[3])

    assert [(f.kind, f.number) for f in found] == [(3, 0), (0, -1), (3, 2), (3, 3)]


def test_damage_without_anything_behind_it_reaches_to_the_end() -> None:
    whole, last = frames.encode(3, 0, b"[]"), frames.encode(3, 1, b"[]")

    found = read(whole + last[:-1] + b"?")

    assert [(f.kind, f.number) for f in found] == [(3, 0), (0, -1)]
    assert found[-1].end == len(whole + last)


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(1, 255))
def test_no_damage_makes_the_reader_fail(body: bytes, at: int, flip: int) -> None:
    data = bytearray(b"".join(frames.encode(3, n, b"[]", body) for n in range(3)))
    data[at % len(data)] ^= flip

    found = read(bytes(data))

    assert all(f.header == b"[]" and f.body == body for f in found if f.kind == 3)
    assert len([f for f in found if f.kind == 3]) >= 2
