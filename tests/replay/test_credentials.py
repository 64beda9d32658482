"""A key goes to the origin that it belongs to, and nowhere else."""

from __future__ import annotations

import pytest

from otel_llm.replay.requests.credentials import credential, is_loopback, key_variable, origin_of, show_origin
from otel_llm.values.errors import ConfigError, NotReplayable

OPENAI = "https://api.openai.com/v1/chat/completions"
GATEWAY = "https://llm.example.org/v1/chat/completions"


def test_a_host_of_the_table_gets_the_key_of_its_variable() -> None:
    environ = {"OPENAI_API_KEY": "o", "GROQ_API_KEY": "g", "AZURE_OPENAI_API_KEY": "a"}

    assert credential(OPENAI, environ) == "o"
    assert credential("https://api.groq.com/openai/v1/chat/completions", environ) == "g"
    assert credential("https://mine.openai.azure.com/openai/deployments/x/chat/completions", environ) == "a"


@pytest.mark.parametrize("url", [
    GATEWAY, "https://api.openai.com.example.org/v1", "https://notapi.openai.com/v1", "http://api.openai.com/v1",
    "https://api.openai.com:8443/v1", "https://api.openai.com@example.org/v1", "https://evil.org/?api.openai.com",
    "https://openai.azure.com.example.org/x"])
def test_no_other_origin_gets_the_openai_key(url: str) -> None:
    with pytest.raises((NotReplayable, ConfigError)):
        credential(url, {"OPENAI_API_KEY": "o", "AZURE_OPENAI_API_KEY": "a"})


def test_an_origin_that_openai_base_url_names_gets_the_openai_key() -> None:
    environ = {"OPENAI_API_KEY": "o", "OPENAI_BASE_URL": "https://LLM.example.org:443/other/path"}

    assert credential(GATEWAY, environ) == "o"


@pytest.mark.parametrize("base", ["http://llm.example.org/v1", "https://llm.example.org:8443/v1", "https://example.org", "what"])
def test_scheme_host_and_port_must_all_agree(base: str) -> None:
    with pytest.raises(NotReplayable, match="--api-key-env"):
        credential(GATEWAY, {"OPENAI_API_KEY": "o", "OPENAI_BASE_URL": base})


def test_a_key_bound_to_another_origin_does_not_go_to_openai() -> None:
    environ = {"OPENAI_API_KEY": "of the gateway", "OPENAI_BASE_URL": "https://llm.example.org/v1"}

    with pytest.raises(NotReplayable, match="No key is bound to https://api.openai.com"):
        credential(OPENAI, environ)


def test_a_variable_that_the_user_names_wins() -> None:
    assert credential(GATEWAY, {"MINE": "m", "OPENAI_API_KEY": "o"}, "MINE") == "m"
    with pytest.raises(ConfigError, match="--api-key-env MINE: this variable is not set"):
        credential(GATEWAY, {"OPENAI_API_KEY": "o"}, "MINE")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "http://localhost:8000/v1", "http://[::1]:8000/v1", "http://127.8.8.8/v1"])
def test_loopback_needs_no_key_and_gets_none_that_is_not_its_own(url: str) -> None:
    assert is_loopback(origin_of(url))
    assert credential(url, {"OPENAI_API_KEY": "o"}) is None
    assert credential(url, {"OPENAI_API_KEY": "o", "OPENAI_BASE_URL": url}) == "o"


@pytest.mark.parametrize("url", ["http://localhost.example.org/", "http://10.0.0.1/", "http://127.0.0.1.nip.io/", "http://0.0.0.0/"])
def test_what_only_looks_like_loopback_is_none(url: str) -> None:
    assert not is_loopback(origin_of(url))


def test_a_missing_key_is_named() -> None:
    with pytest.raises(NotReplayable, match="OPENAI_API_KEY is not set, and https://api.openai.com wants a key"):
        credential(OPENAI, {})


@pytest.mark.parametrize("url", ["ftp://x/", "x", "", "https://", "https://user:pw@x/", "https://x:port/", "http://[::1/"])
def test_what_is_no_origin_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        origin_of(url)


def test_an_origin_is_shown_as_people_write_it() -> None:
    assert show_origin(("https", "x.org", 443)) == "https://x.org"
    assert show_origin(("http", "::1", 8000)) == "http://[::1]:8000"
    assert key_variable(("https", "x.org", 443), {}) is None
