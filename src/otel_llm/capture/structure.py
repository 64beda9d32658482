"""The steps around the calls: workflows, agents, tools, retrievals, as decorators and as `with` blocks.

    @otel_llm.tool                              with otel_llm.workflow("answer a ticket") as step:
    def lookup(order_id: str) -> dict: …            step.result(answer(ticket))

One class serves sync, async, generator and async generator functions; a generator runs inside its span step by step, and the
context is given back at every `yield`, so that the consumer's current span stays the consumer's.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any, Protocol, TypeVar, overload

from otel_llm import semconv
from otel_llm.capture.context import attach, detach, is_suppressed
from otel_llm.capture.plain import arguments_of, signature_of
from otel_llm.capture.recorder import Recorder
from otel_llm.capture.step import Kind, NoStep, Step
from otel_llm.values.errors import NotReplayable
from otel_llm.values.guard import swallow
from otel_llm.values.playback import Recorded

F = TypeVar("F", bound=Callable[..., Any])
MAX_YIELDED = 10_000


class Scope:
    """A decorator and a context manager in one: what `workflow`, `agent`, `tool` and `retrieval` give."""

    def __init__(self, steps: Steps, kind: Kind, name: str | None, attributes: Mapping[str, Any], arguments: Any = None) -> None:
        self._steps, self._kind, self._name = steps, kind, name
        self._attributes, self._arguments = attributes, arguments
        self._entered: list[Step | NoStep] = []

    def _start(self, name: str, arguments: Callable[[], Any], description: str | None = None, *, is_whole: bool) -> Step | None:
        """The step, None where nothing watches. `is_whole` says that a function is inside, which a recording can answer.

        Raises `NotReplayable` in a rerun when a function cannot be answered for a fault of ours: it must not run.
        """
        recorder = self._steps.recorder()
        if recorder is None:
            return None
        is_answered = is_whole and recorder.player is not None and self._kind in ("tool", "retrieval")
        if is_suppressed() and not is_answered:
            return None
        try:
            attributes = dict(self._attributes)
            if self._kind == "tool":
                attributes.setdefault(semconv.GEN_AI_TOOL_TYPE, "function")
                if description:
                    attributes.setdefault(semconv.GEN_AI_TOOL_DESCRIPTION, description)
            return Step(recorder, self._kind, name, attributes, arguments())
        except Exception as error:
            if is_answered:
                raise NotReplayable(f"{self._kind} {name} cannot be answered from a recording: {error!r}") from error
            swallow("start a step", error)
        return None

    def __enter__(self) -> Step | NoStep:
        step = self._start(self._name or self._kind, lambda: self._arguments, is_whole=False)
        entered: Step | NoStep = NoStep() if step is None else step.__enter__()
        self._entered.append(entered)
        return entered

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        step = self._entered.pop()
        if isinstance(step, Step):
            step.__exit__(kind, error, traceback)

    def __call__(self, function: F) -> F:
        name = self._name or str(getattr(function, "__name__", self._kind))
        description = (inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " ")[:300] or None
        signature = signature_of(function)

        def start(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Step | None:
            return self._start(name, lambda: arguments_of(function, signature, args, kwargs), description, is_whole=True)

        def given(step: Step, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Recorded | None:
            return step.given(lambda: arguments_of(function, signature, args, kwargs))

        return functools.wraps(function)(_wrapped(function, start, given))  # type: ignore[return-value]


def _wrapped(
    function: Callable[..., Any], start: Callable[..., Step | None], given: Callable[..., Recorded | None]
) -> Callable[..., Any]:
    """The function inside its step; the wrapper is of the same kind as the function.

    `given` answers from the recording in a rerun (`otel_llm.capture.playing`), and with None everywhere else.
    """
    if inspect.isasyncgenfunction(function):
        return _async_generator(function, start, given)
    if inspect.isgeneratorfunction(function):

        def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            step = start(args, kwargs)
            if step is None:
                return (yield from function(*args, **kwargs))
            return (yield from _drive(step, lambda: _items(function, step, given(step, args, kwargs), args, kwargs)))

        return generator
    if inspect.iscoroutinefunction(function):

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            step = start(args, kwargs)
            if step is None:
                return await function(*args, **kwargs)
            with step:
                recorded = given(step, args, kwargs)
                result = await (function(*args, **kwargs) if recorded is None else step.awaited(recorded, function))
                step.result(result)
            return result

        return coroutine

    def plain(*args: Any, **kwargs: Any) -> Any:
        step = start(args, kwargs)
        if step is None:
            return function(*args, **kwargs)
        with step:
            recorded = given(step, args, kwargs)
            result = function(*args, **kwargs) if recorded is None else step.value(recorded, function)
            step.result(result)
        return result

    return plain


def _items(
    function: Callable[..., Any], step: Step, recorded: Recorded | None, args: Any, kwargs: Any
) -> Generator[Any, Any, Any]:
    if recorded is None:
        inner: Generator[Any, Any, Any] = function(*args, **kwargs)
        return inner
    return _recorded_items(function, step, recorded)


def _recorded_items(function: Callable[..., Any], step: Step, recorded: Recorded) -> Generator[Any, Any, Any]:
    yield from step.items(recorded, function)
    step.exhausted(recorded)
    if recorded.step.error_type is not None:
        step.value(recorded, function)


async def _recorded_async_items(function: Callable[..., Any], step: Step, recorded: Recorded) -> AsyncGenerator[Any, Any]:
    for item in step.items(recorded, function):
        yield item
    step.exhausted(recorded)
    if recorded.step.error_type is not None:
        await step.awaited(recorded, function)


def _drive(step: Step, begin: Callable[[], Generator[Any, Any, Any]]) -> Generator[Any, Any, Any]:
    """Run a generator inside a step, giving the context back at every yield."""
    items: list[Any] = []
    value: Any = None
    thrown: BaseException | None = None
    try:
        inner = begin()
        while True:
            token = attach(step.context)
            try:
                item = inner.send(value) if thrown is None else inner.throw(thrown)
            except StopIteration as stop:
                step.returned(stop.value, _joined(items))
                return stop.value
            finally:
                detach(token)
            if len(items) < MAX_YIELDED:
                items.append(item)
            value, thrown = None, None
            try:
                value = yield item
            except GeneratorExit:
                step.left(_joined(items))
                inner.close()
                step.end()
                raise
            except BaseException as error:
                thrown = error
    except BaseException as error:
        step.result(_joined(items) if items else None)
        step.end(error)
        raise
    finally:
        step.end()


def _async_generator(
    function: Callable[..., Any], start: Callable[..., Step | None], given: Callable[..., Recorded | None]
) -> Callable[..., Any]:
    """The same for async generators, which have no `yield from`: the wrapper itself drives the inner one."""

    async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        step: Step | NoStep = start(args, kwargs) or NoStep()
        items: list[Any] = []
        value: Any = None
        thrown: BaseException | None = None
        try:
            recorded = given(step, args, kwargs) if isinstance(step, Step) else None
            if recorded is None or not isinstance(step, Step):
                inner = function(*args, **kwargs)
            else:
                inner = _recorded_async_items(function, step, recorded)
            while True:
                token = attach(step.context) if isinstance(step, Step) else None
                try:
                    item = await (inner.asend(value) if thrown is None else inner.athrow(thrown))
                except StopAsyncIteration:
                    step.result(_joined(items))
                    return
                finally:
                    if token is not None:
                        detach(token)
                if len(items) < MAX_YIELDED:
                    items.append(item)
                value, thrown = None, None
                try:
                    value = yield item
                except GeneratorExit:
                    step.left(_joined(items))
                    await inner.aclose()
                    step.end()
                    raise
                except BaseException as error:
                    thrown = error
        except BaseException as error:
            step.result(_joined(items) if items else None)
            step.end(error)
            raise
        finally:
            step.end()

    return async_generator


def _joined(items: list[Any]) -> Any:
    return "".join(items) if items and all(isinstance(i, str) for i in items) else items


class _Source(Protocol):
    def __call__(self) -> Recorder | None: ...


class Steps:
    """The public makers of steps, on the recorder that is there when a step runs (None: the functions run as they are)."""

    def __init__(self, recorder: _Source) -> None:
        self.recorder = recorder

    @overload
    def workflow(self, name: F, /) -> F: ...
    @overload
    def workflow(self, name: str | None = None, /, *, input: Any = None) -> Scope: ...
    def workflow(self, name: Any = None, /, *, input: Any = None) -> Any:
        """A workflow (chain): a span `invoke_workflow {name}` around a function or a `with` block.

        `input` is recorded as content for a `with` block; a function's arguments and result are recorded by themselves.
        """
        return self._make("workflow", name, {}, input)

    @overload
    def agent(self, name: F, /) -> F: ...
    @overload
    def agent(self, name: str | None = None, /, *, input: Any = None, id: str | None = None, description: str | None = None,
              version: str | None = None) -> Scope: ...
    def agent(self, name: Any = None, /, *, input: Any = None, id: str | None = None, description: str | None = None,
              version: str | None = None) -> Any:
        """An agent at work: a span `invoke_agent {name}`."""
        given = {semconv.GEN_AI_AGENT_ID: id, semconv.GEN_AI_AGENT_DESCRIPTION: description,
                 semconv.GEN_AI_AGENT_VERSION: version}
        return self._make("agent", name, given, input)

    @overload
    def tool(self, name: F, /) -> F: ...
    @overload
    def tool(self, name: str | None = None, /, *, arguments: Any = None, call_id: str | None = None,
             description: str | None = None) -> Scope: ...
    def tool(self, name: Any = None, /, *, arguments: Any = None, call_id: str | None = None,
             description: str | None = None) -> Any:
        """A tool: a span `execute_tool {name}`. `call_id` is the id of the model's tool call that it answers."""
        given = {semconv.GEN_AI_TOOL_CALL_ID: call_id, semconv.GEN_AI_TOOL_DESCRIPTION: description}
        return self._make("tool", name, given, arguments)

    @overload
    def retrieval(self, name: F, /) -> F: ...
    @overload
    def retrieval(self, name: str | None = None, /, *, query: Any = None, top_k: int | None = None) -> Scope: ...
    def retrieval(self, name: Any = None, /, *, query: Any = None, top_k: int | None = None) -> Any:
        """A look into a data source: a span `retrieval {name}`."""
        return self._make("retrieval", name, {semconv.GEN_AI_RETRIEVAL_TOP_K: top_k}, query)

    def _make(self, kind: Kind, name: Any, attributes: Mapping[str, Any], arguments: Any) -> Any:
        given = {k: v for k, v in attributes.items() if v is not None}
        if callable(name) and not isinstance(name, str):
            return Scope(self, kind, None, given)(name)
        return Scope(self, kind, name, given, arguments)
