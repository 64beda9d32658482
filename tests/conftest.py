"""What all tests share: a provider on loopback, an instrumented process, and faults that do not hide."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_llm.testing import Simulator
from otel_llm.values.guard import faults
from support.recording import Recording, recording

FOLLOWED = ("OPENAI_", "OTEL_", "FORCE_COLOR", "NO_COLOR", "CLICOLOR", "COLORTERM", "TERM", "TTY_", "COLUMNS", "LINES", "PAGER",
            "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "GITHUB_")
FOR_TESTS = ("OTEL_LLM_SHARED", "OTEL_LLM_REQUIRE_BINARIES", "OTEL_LLM_OTELCOL_BIN", "OTEL_LLM_JAEGER_BIN")


@pytest.fixture(autouse=True)
def faults_raise() -> Iterator[None]:
    """A fault that a user would never see must fail the test that causes it."""
    faults.strict = True
    yield
    faults.strict = False


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def rec(tmp_path: Path) -> Iterator[Recording]:
    with recording(tmp_path / "store") as made:
        yield made


@pytest.fixture
def client(sim: Simulator) -> Iterator[Any]:
    openai = pytest.importorskip("openai", reason="the openai SDK is not installed")
    with openai.OpenAI(base_url=sim.base_url, api_key="sk-test-canary-0123456789abcdef", max_retries=0) as made:
        yield made


@pytest.fixture
def async_client(sim: Simulator) -> Any:
    openai = pytest.importorskip("openai", reason="the openai SDK is not installed")
    return openai.AsyncOpenAI(base_url=sim.base_url, api_key="sk-test-canary-0123456789abcdef", max_retries=0)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_before_a_retry() -> Iterator[None]:
    """An SDK waits up to half a second before it tries again where the provider names no time."""
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("openai") is not None:
            patch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)
        yield


def pytest_configure() -> None:
    """Tests, and programs that they start, see nothing of the shell that started them: no variable that the product, the SDKs or
    the terminal would follow, and no signal that is ignored, as it is in what a shell starts in the background.

    A client reads all certificates of the machine when it is made (25 ms); here nobody is trusted, and nobody needs to be.
    """
    for name in list(os.environ):
        if name.startswith(FOLLOWED) and name not in FOR_TESTS:
            del os.environ[name]
    os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)
    os.environ.pop("SSL_CERT_FILE", None)
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The judgement over everything that was recorded comes last; what is `slow` runs when it is asked for: `pytest -m slow`."""
    items.sort(key=lambda item: "test_conventions" in item.nodeid)
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow and not config.option.markexpr:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
