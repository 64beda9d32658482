"""otel-llm: a flight recorder for LLM applications, made of OpenTelemetry.

    import otel_llm
    otel_llm.init()

From here on every LLM call of the program is a nested OpenTelemetry span, and its exact bytes are in a local store that
`otel-llm sessions`, `show`, `search` and `replay` read. See the README for the rest.

Names are loaded when they are first used, so that importing this package costs next to nothing.

PYTEST_DONT_REWRITE: our plugin makes pytest look for assertions here, and complain where this was imported before it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_llm import _setup
from otel_llm._setup import flush, init, instrument, shutdown, uninstrument
from otel_llm._version import __version__

if TYPE_CHECKING:
    from otel_llm._replaying import replaying
    from otel_llm._setup import replay_exporter as ReplayExporter
    from otel_llm.capture.context import bind, prompt_ref, session, tags
    from otel_llm.capture.structure import Steps

    _steps = Steps(_setup.recorder)
    workflow = chain = _steps.workflow
    agent, tool, retrieval = _steps.agent, _steps.tool, _steps.retrieval

__all__ = [
    "ReplayExporter",
    "__version__",
    "agent",
    "bind",
    "chain",
    "flush",
    "init",
    "instrument",
    "prompt_ref",
    "replaying",
    "retrieval",
    "session",
    "shutdown",
    "tags",
    "tool",
    "uninstrument",
    "workflow",
]

_STEPS = {"workflow": "workflow", "chain": "workflow", "agent": "agent", "tool": "tool", "retrieval": "retrieval"}
_CONTEXT = ("bind", "prompt_ref", "session", "tags")


def __getattr__(name: str) -> Any:
    if name in _STEPS:
        from otel_llm.capture.structure import Steps

        steps = Steps(_setup.recorder)
        for public, method in _STEPS.items():
            globals()[public] = getattr(steps, method)
    elif name in _CONTEXT:
        from otel_llm.capture import context

        for public in _CONTEXT:
            globals()[public] = getattr(context, public)
    elif name == "replaying":
        from otel_llm._replaying import replaying

        globals()[name] = replaying
    elif name == "ReplayExporter":
        globals()[name] = _setup.replay_exporter
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals()[name]


def __dir__() -> list[str]:
    return list(__all__)
