"""A recorded call as a command or a program: it sends the same, it holds no key, and it runs nothing that was captured."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_llm.replay.requests.curl import to_curl, to_python
from otel_llm.testing import Simulator
from otel_llm.values.errors import NotReplayable
from otel_llm.values.session import Exchange

NASTY = "it's `touch pwned` $(touch pwned) \"quoted\" \\ back\nline $HOME 'x' ! %s 日本語"


def exchange(body: bytes, *, url: str = "https://api.openai.com/v1/chat/completions", api: str = "openai_chat") -> Exchange:
    return Exchange("t" * 32, "s" * 16, api, "POST", url, "application/json", body, 200, "application/json", b"{}", True, "exact")


def chat(text: str, **more: object) -> bytes:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}
    return json.dumps(body, ensure_ascii=False).encode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("body", [chat(NASTY), chat(NASTY, stream=True), b"@/etc/passwd", b"\xff\x00binary", chat("\x85\u202e")])
def test_the_command_sends_the_recorded_bytes(body: bytes, tmp_path: Path) -> None:
    with Simulator() as sim:
        command = to_curl(exchange(body, url=f"{sim.base_url}/chat/completions"), {})
        subprocess.run(["sh", "-c", command], check=True, capture_output=True, cwd=tmp_path)
        (sent,) = sim.exchanges

    assert sent.request_body == body
    assert sent.request_headers["content-type"] == "application/json"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"top_k": 3, "odd-key": {"a": None}}])
def test_the_program_makes_the_same_request(more: dict[str, object], tmp_path: Path) -> None:
    pytest.importorskip("openai")
    body = chat(NASTY, temperature=0.5, **more)
    with Simulator() as sim:
        program = to_python(exchange(body, url=f"{sim.base_url}/chat/completions"), {})
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=tmp_path)
        (sent,) = sim.exchanges

    assert json.loads(sent.request_body) == json.loads(body)


def test_an_endpoint_that_the_sdk_does_not_know_becomes_a_plain_request(tmp_path: Path) -> None:
    with Simulator() as sim:
        program = to_python(exchange(chat(NASTY), url=f"{sim.base_url}/chat/completions", api="other"), {})
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=tmp_path)
        (sent,) = sim.exchanges

    assert sent.request_body == chat(NASTY)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text())
def test_a_program_is_always_a_program_in_ascii(text: str) -> None:
    body = json.dumps({"model": text, "messages": [{"role": "user", "content": text}], text or "k": text}).encode()

    program = to_python(exchange(body), {})

    compile(program, "call.py", "exec")
    assert program.isascii()


def test_keys_stand_as_variables_never_as_values() -> None:
    environ = {"OPENAI_API_KEY": "sk-canary"}

    texts = [make(exchange(chat("x"), url=url), environ) for make in (to_curl, to_python)
             for url in ("https://api.openai.com/v1/chat/completions", "https://llm.example.org/v1/chat/completions",
                         "https://mine.openai.azure.com/openai/deployments/x/chat/completions")]

    assert all("sk-canary" not in text for text in texts)
    assert '"api-key: $AZURE_OPENAI_API_KEY"' in texts[2]
    assert '"?api-version="' in texts[5]


def test_a_call_without_a_body_says_why() -> None:
    empty = replace(exchange(b""), request_body=None, omitted="content off")

    with pytest.raises(NotReplayable, match="content off"):
        to_curl(empty, {})
