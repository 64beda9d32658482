"""Inline media: cut out where that is safe, and nowhere else."""

from __future__ import annotations

import json

import pytest

from otel_llm.redaction import Redactor
from otel_llm.values.media import LARGE, without_media

WORDS = "x" * LARGE
IMAGE = "data:image/png;base64," + "iVBORw0KGgo" * 3_000


def test_media_go_and_the_shape_stays() -> None:
    body = json.dumps({"a": WORDS, "images": [IMAGE, IMAGE], "b": 1}).encode()

    short = json.loads(without_media(body))

    assert short == {"a": WORDS, "images": ["data:image/png;base64,"] * 2, "b": 1}


@pytest.mark.parametrize("tail", ["words and words " * 500, "漢字" * 3_000, '\\"quoted' * 1_000, "a,b:c" * 2_000, "short"])
def test_what_is_no_media_stays(tail: str) -> None:
    body = json.dumps({"a": WORDS, "b": ";base64," + tail}, ensure_ascii=False).encode()

    assert without_media(body) is body


def test_a_body_that_was_cut_stays() -> None:
    body = b'{"url":"data:;base64,' + b"QUJD" * LARGE

    assert without_media(body) is body


@pytest.mark.parametrize("secret", ["AKIAIOSFODNN7EXAMPLE", "sk-proj-abcDEF123456_7890abcdefgh-ijkl"])
def test_a_secret_beside_media_is_replaced(secret: str) -> None:
    body = json.dumps({"a": WORDS, "image": IMAGE, "text": f"the key: {secret}"}).encode()

    redacted, count = Redactor(True).redact(body)

    assert (count, json.loads(redacted)["image"], secret.encode() in redacted) == (1, IMAGE, False)
