"""Redaction: known secrets go, ordinary words stay, JSON stays JSON."""

from __future__ import annotations

import base64
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.redaction import Redactor, clean_url

SECRETS = {
    "openai_key": ["sk-proj-abcDEF123456_7890abcdefgh-ijkl", "sk-" + "a1B2" * 12, "sk-or-v1-" + "0a" * 32,
                   "sk-svcacct-" + "x9" * 20],
    "anthropic_key": ["sk-ant-api03-abcdefghij0123456789-AA"],
    "aws_key": ["AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"],
    "github_token": ["ghp_" + "a1" * 18, "gho_" + "b2" * 18, "github_pat_" + "A1b2" * 10],
    "gitlab_token": ["glpat-abcdefghij1234567890"],
    "slack_token": ["xoxb-1234567890-abcdef", "xoxp-1234567890-abcdef"],
    "google_key": ["AIza" + "a1B2c" * 7],
    "huggingface_token": ["hf_" + "aB3" * 11],
    "bearer_token": ["Bearer abcdefghij0123456789==", "bearer abc.def_0123456789-xyz"],
    "private_key": ["-----BEGIN RSA PRIVATE KEY-----\nMIIabc/+=\nabc\n-----END RSA PRIVATE KEY-----",
                    "-----BEGIN PRIVATE KEY-----\nMIIabc/+=\nabc"],
    "jwt": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123456_-x"],
}
BEFORE = ["", "key: ", "a\n", "\t", "KEY=", "é", '"', "(", "https://x/", "my_", "\\"]


@pytest.mark.parametrize(("kind", "secret"), [(kind, secret) for kind, many in SECRETS.items() for secret in many])
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("is_ascii", [True, False])
def test_a_secret_is_replaced_wherever_it_stands(kind: str, secret: str, before: str, is_ascii: bool) -> None:
    body = json.dumps({"text": f"{before}{secret}, end"}, ensure_ascii=is_ascii).encode()

    redacted, count = Redactor(True).redact(body)

    scheme = secret.partition(" ")[0] + " " if kind == "bearer_token" else ""
    assert (json.loads(redacted)["text"], count) == (f"{before}{scheme}[redacted:{kind}], end", 1)


def test_many_secrets_are_counted() -> None:
    body = "; ".join(secret for many in SECRETS.values() for secret in many).encode()

    redacted, count = Redactor(True).redact(body)

    assert count == sum(map(len, SECRETS.values()))
    assert Redactor(True).redact(redacted) == (redacted, 0)


@pytest.mark.parametrize(
    "text",
    ["task-abcdefghijklmnop1234567", "risk-free-1234567890123456789012", "disk-12345678901234567890123", "a desk-bound flask-1",
     "sk-circle-fade-dot of a spinner without digits", "the bearer of this uncommonly-long-message", "Bearer of news",
     "AKIA", "shelf_of_books_and_more_books_1234567890", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----",
     "eyJ and eyJhbGci.short.x", "xoxb-and-nothing", "-" * 200, "_" * 200, "sk-" * 50],
)
def test_ordinary_words_stay(text: str) -> None:
    assert Redactor(True).redact(text.encode()) == (text.encode(), 0)


def test_base64_images_stay() -> None:
    source = random.Random(7)
    for _ in range(50):
        body = json.dumps({"url": "data:image/png;base64," + base64.b64encode(source.randbytes(9_000)).decode()}).encode()

        assert Redactor(True).redact(body) == (body, 0)


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
       st.sampled_from([s for many in SECRETS.values() for s in many]))
def test_json_stays_json_of_the_same_shape(value: object, secret: str) -> None:
    body = json.dumps([value, secret]).encode()

    redacted, count = Redactor(True).redact(body)

    assert count >= 1
    assert type(json.loads(redacted)[0]) is type(value)


def test_a_disabled_redactor_gives_the_very_body_back() -> None:
    body = b"sk-" + b"a1" * 20

    assert Redactor(False).redact(body) == (body, 0)


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://user:secret@api.example.com:8443/v1/chat?api-key=1#top", "https://api.example.com:8443/v1/chat"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("/v1/chat?key=1", "/v1/chat"),
        ("http://host:99999/", ""),
        ("http://[broken", ""),
    ],
)
def test_a_url_keeps_scheme_host_port_and_path(url: str, clean: str) -> None:
    assert clean_url(url) == clean


def test_a_secret_that_a_stream_delivers_in_pieces_is_replaced() -> None:
    from otel_llm.redaction import Redactor

    pieces = ["the token is ghp_", "canary0123456789", "canary0123456789canary", " and that is ", "all"]
    body = b"".join(b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % p.encode() for p in pieces)

    clean, count = Redactor(True).redact_stream(body)

    assert count == 1
    assert [p for p in ("the token is [redacted:github_token]", '""', " and that is ", "all") if p.encode() not in clean] == []
    assert b"canary" not in clean
