"""What surrounds a call: session, user, tags, prompt. It travels in the OpenTelemetry context, and nowhere else.

Where the context goes, these go: asyncio tasks inherit them by themselves, threads through `bind()`. `Surroundings` is
frozen; entering a scope makes a new one. Attaching is always paired with a detaching in the same frame, never across a
`yield` of ours, and a detaching that the runtime refuses (a `with` block that a generator carried into another task) is not
worth a word in the user's log.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec, TypeVar

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_llm import semconv

log = logging.getLogger("otel_llm")

P = ParamSpec("P")
R = TypeVar("R")

_KEY = otel_context.create_key("otel-llm-surroundings")
_SUPPRESS = otel_context._SUPPRESS_INSTRUMENTATION_KEY
_runtime: Any = otel_context._RUNTIME_CONTEXT
MAX_ID = 200


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was said around a call. `attributes` go on every span inside, `content` (prompt variables) only where content may.

    `root` is the outermost span of ours in this trace, if any; `place` the names of our steps around, outermost first.
    """

    attributes: Mapping[str, Any] = field(default_factory=dict)
    content: Mapping[str, Any] = field(default_factory=dict)
    root: Any = None
    place: tuple[str, ...] = ()


NOTHING = Surroundings()


def surroundings(context: Context | None = None) -> Surroundings:
    """What is said around the current point of the program."""
    found = otel_context.get_value(_KEY, context)
    return found if isinstance(found, Surroundings) else NOTHING


def with_surroundings(value: Surroundings, context: Context | None = None) -> Context:
    return otel_context.set_value(_KEY, value, context)


def attach(context: Context) -> Any:
    return _runtime.attach(context)


def detach(token: Any) -> None:
    """Detach in silence: a token of another task is somebody's generator, not our fault."""
    try:
        _runtime.detach(token)
    except ValueError:
        pass


def is_suppressed(context: Context | None = None) -> bool:
    """True inside OpenTelemetry's `suppress_instrumentation()`."""
    current = otel_context.get_current() if context is None else context
    return bool(current) and bool(current.get(_SUPPRESS) or current.get("suppress_instrumentation"))


@contextmanager
def inside(attributes: Mapping[str, Any], content: Mapping[str, Any] | None = None) -> Iterator[None]:
    """More surroundings for a `with` block."""
    now = surroundings()
    token = attach(with_surroundings(replace(
        now, attributes={**now.attributes, **attributes}, content={**now.content, **(content or {})})))
    try:
        yield
    finally:
        detach(token)


def usable_id(value: object) -> str | None:
    """A session id as the user gave it; None, with a word in the log, when it could not be addressed later.

    Ids come from outside at run time, so a bad one must not end the program: its calls are recorded without it.
    """
    text = str(value)
    if text and not text.startswith("@") and len(text) <= MAX_ID and text.isprintable():
        return text
    log.warning("session id %r is not used: it must have 1 to %d printable characters and no '@' in front", text[:40], MAX_ID)
    return None


@contextmanager
def session(id: str, *, user: str | None = None, tags: Mapping[str, object] | None = None) -> Iterator[None]:
    """Everything inside belongs to the session `id`: `with otel_llm.session("chat-42", user="ada", tags={"team": "search"}):`

    Sets `gen_ai.conversation.id` and `session.id`, `user.id`, and `otel_llm.tag.<key>` on every span inside. An id that is empty,
    longer than 200 characters, not printable or begins with '@' is not used, and the log says so.
    """
    name = usable_id(id)
    attributes: dict[str, Any] = {} if name is None else {semconv.GEN_AI_CONVERSATION_ID: name, semconv.SESSION_ID: name}
    if user is not None:
        attributes[semconv.USER_ID] = str(user)
    for key, value in (tags or {}).items():
        attributes[semconv.OTEL_LLM_TAG_PREFIX + str(key)] = str(value)
    with inside(attributes):
        yield


@contextmanager
def tags(**values: object) -> Iterator[None]:
    """Tags without a session: `with otel_llm.tags(team="search", feature="suggest"):`"""
    with inside({semconv.OTEL_LLM_TAG_PREFIX + key: str(value) for key, value in values.items()}):
        yield


@contextmanager
def prompt_ref(name: str, version: str | int | None = None, variables: Mapping[str, object] | None = None) -> Iterator[None]:
    """The calls inside come from this prompt: `with otel_llm.prompt_ref("support", "3", {"city": "Oslo"}):`

    Sets `gen_ai.prompt.name` and `gen_ai.prompt.version` on the calls inside and on the root span of the trace. The variables
    are content: they go into the store, and on spans only where content does.
    """
    attributes: dict[str, Any] = {semconv.GEN_AI_PROMPT_NAME: str(name)}
    if version is not None:
        attributes[semconv.GEN_AI_PROMPT_VERSION] = str(version)
    content = {semconv.GEN_AI_PROMPT_VARIABLE_PREFIX + str(k): str(v) for k, v in (variables or {}).items()}
    root = surroundings().root
    if root is not None and root.is_recording():
        root.set_attributes(attributes)
    with inside(attributes, content):
        yield


def bind(function: Callable[P, R]) -> Callable[P, R]:
    """The function, tied to the context of this point: `pool.submit(otel_llm.bind(ask), question)`.

    A thread starts with an empty context, so a call in it would begin a trace and a session of its own.
    """
    captured = otel_context.get_current()

    @functools.wraps(function)
    def bound(*args: P.args, **kwargs: P.kwargs) -> R:
        token = attach(captured)
        try:
            return function(*args, **kwargs)
        finally:
            detach(token)

    return bound
