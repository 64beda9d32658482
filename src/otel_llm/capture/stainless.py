"""The tap on SDKs that Stainless generates (openai today; anthropic, groq and others share the shape).

All their resources end in one place, the base client: `request()` is the logical operation with all its retries,
`_build_request` makes what goes out, `_should_retry` sees what is tried again, `_process_response` hands over what came. The tap
stands there, below the resources and above the HTTP library, so that one tap serves every endpoint and every way of access:
plain, parsed, raw, streamed, sync and async.

Nothing of the caller's is touched: of the options only path, method and model are read; the request is read from the bytes
that were built, the response from the bytes that the caller reads. Sync and async are two thin shells around one body.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from opentelemetry import context as otel_context

from otel_llm import semconv
from otel_llm.adapters import by_path
from otel_llm.capture.context import attach, detach, is_suppressed
from otel_llm.capture.live import LiveCall
from otel_llm.capture.patching import Patches, when_imported
from otel_llm.capture.providers import provider_of
from otel_llm.capture.recorder import Recorder, Target
from otel_llm.capture.tee import tee
from otel_llm.values.errors import NotReplayable
from otel_llm.values.guard import guard, swallow
from otel_llm.values.playback import Recorded

_CALL = otel_context.create_key("otel-llm-live-call")
_ID = re.compile(r"^(?:[a-z]+[-_][A-Za-z0-9_-]{6,}|[0-9a-fA-F-]{16,}|\d+|.*:.*)$")
_PORTS = {"https": 443, "http": 80}
MAX_TARGETS = 256


class StainlessTap:
    """Watches one SDK from the import of its base client on, until `remove()`."""

    def __init__(self, package: str, recorder: Recorder) -> None:
        self._package, self._recorder = package, recorder
        self._patches = Patches()
        self._places: weakref.WeakKeyDictionary[Any, _Place] = weakref.WeakKeyDictionary()
        self._cancel: Callable[[], None] = lambda: None

    def install(self) -> None:
        self._cancel = when_imported(f"{self._package}._base_client", self._patch)

    def remove(self) -> None:
        self._cancel()
        self._patches.undo()

    def _patch(self, module: ModuleType) -> None:
        wrap, namespace = self._patches.wrap, vars(module)
        wrap(namespace["BaseClient"], "_build_request", self._building)
        wrap(namespace["BaseClient"], "_should_retry", self._retrying)
        wrap(namespace["BaseClient"], "_calculate_retry_timeout", self._waiting)
        wrap(namespace["SyncAPIClient"], "request", self._requesting)
        wrap(namespace["SyncAPIClient"], "_process_response", self._processing)
        wrap(namespace["AsyncAPIClient"], "request", self._requesting_async)
        wrap(namespace["AsyncAPIClient"], "_process_response", self._processing_async)

    # ---- the shells ---------------------------------------------------------------------------------------------------

    def _requesting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def request(client: Any, *args: Any, **kwargs: Any) -> Any:
            call = self._begin(client, args, kwargs)
            if call is None:
                return original(client, *args, **kwargs)
            token = attach(call.context)
            try:
                result = original(client, *args, **kwargs)
            except BaseException as error:
                diverged = _failed(call, error)
                if diverged is not None:
                    raise diverged from None
                raise
            finally:
                detach(token)
            _returned(call)
            return result

        return request

    def _requesting_async(self, original: Callable[..., Any]) -> Callable[..., Any]:
        async def request(client: Any, *args: Any, **kwargs: Any) -> Any:
            call = self._begin(client, args, kwargs)
            if call is None:
                return await original(client, *args, **kwargs)
            token = attach(call.context)
            try:
                result = await original(client, *args, **kwargs)
            except BaseException as error:
                diverged = _failed(call, error)
                if diverged is not None:
                    raise diverged from None
                raise
            finally:
                detach(token)
            _returned(call)
            return result

        return request

    def _building(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def _build_request(client: Any, *args: Any, **kwargs: Any) -> Any:
            request = original(client, *args, **kwargs)
            call = _current()
            if call is None:
                return request
            if call.player is None:
                _sent(call, request)
                return request
            from otel_llm.capture.playing import asked

            try:
                request = asked(call, request, _url(request))
            finally:
                _sent(call, request)
            return request

        return _build_request

    def _retrying(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def _should_retry(client: Any, response: Any) -> Any:
            answer = original(client, response)
            call = _current()
            if call is not None and answer:
                with guard("note a retry"):
                    call.refused.append(response.status_code)
            return answer

        return _should_retry

    def _waiting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def _calculate_retry_timeout(*args: Any, **kwargs: Any) -> Any:
            call = _current()
            player = call.player if call is not None and isinstance(call.given, Recorded) else None
            return original(*args, **kwargs) if player is None or player.has_recorded_speed else 0.0

        return _calculate_retry_timeout

    def _processing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def _process_response(client: Any, *args: Any, **kwargs: Any) -> Any:
            _answered(_current(), kwargs.get("response"))
            return original(client, *args, **kwargs)

        return _process_response

    def _processing_async(self, original: Callable[..., Any]) -> Callable[..., Any]:
        async def _process_response(client: Any, *args: Any, **kwargs: Any) -> Any:
            _answered(_current(), kwargs.get("response"))
            return await original(client, *args, **kwargs)

        return _process_response

    # ---- the body -----------------------------------------------------------------------------------------------------

    def _begin(self, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> LiveCall | None:
        if not self._patches.active:
            return None
        try:
            context, recorder = otel_context.get_current(), self._recorder
            if recorder.player is None and is_suppressed(context):
                return None
            options = args[1] if len(args) > 1 else kwargs.get("options")
            call = LiveCall(recorder, self._target(client, options), recorder.around(context), context, _CALL)
            return call if call.player is None else self._played(call, client)
        except Exception as error:
            if self._recorder.player is not None:  # what we cannot see must not go out
                raise NotReplayable(f"This call cannot be answered from a recording: {error!r}") from error
            swallow("start recording a call", error)
        return None

    def _played(self, call: LiveCall, client: Any) -> LiveCall:
        """In a rerun: have this client answered. Ends the call where that cannot be done."""
        from otel_llm.capture.playing import stand_in

        try:
            stand_in(self._recorder.stand_ins, client, _current)
        except Exception as error:
            call.failed(error)
            raise
        return call

    def _target(self, client: Any, options: Any) -> Target:
        """What is known before the request is built: path, method and model, and where the client points."""
        place = self._place(client)
        body = getattr(options, "json_data", None)
        model = body.get("model") if isinstance(body, dict) else None
        key = (options.method, options.url, model if isinstance(model, str) else None)
        target = place.targets.get(key)
        if target is None:
            if len(place.targets) >= MAX_TARGETS:
                place.targets.clear()
            target = place.targets[key] = _new_target(place, str(options.method).upper(), str(options.url), key[2] or None)
        return target

    def _place(self, client: Any) -> _Place:
        url = client._base_url
        place = self._places.get(client)
        if place is None or place.url is not url:
            host = str(url.host) or None
            port = url.port or _PORTS.get(str(url.scheme))
            default = "azure.ai.openai" if "Azure" in type(client).__name__ else self._package
            place = _Place(url, host, port, provider_of(host or "", port, self._recorder.settings.providers, default))
            self._places[client] = place
        return place


class _Place:
    """Where a client points, and the targets that its calls had so far."""

    __slots__ = ("address", "port", "provider", "targets", "url")

    def __init__(self, url: Any, address: str | None, port: int | None, provider: str) -> None:
        self.url, self.address, self.port, self.provider = url, address, port, provider
        self.targets: dict[tuple[Any, Any, str | None], Target] = {}


def _new_target(place: _Place, method: str, path: str, model: str | None) -> Target:
    adapter = by_path(path, method)
    endpoint = path_template(path)
    name = f"{method} {endpoint}" if adapter is None else semconv.span_name(adapter.operation, model)
    return Target(adapter, name=name, provider=place.provider, model=model if adapter is not None else None, method=method,
                  endpoint=endpoint, address=place.address, port=place.port)


def path_template(path: str) -> str:
    """The path with ids replaced, so that span names stay few: `/files/file-abc123/content` → `/files/{id}/content`."""
    if "://" in path:
        path = "/" + path.partition("://")[2].partition("/")[2]
    parts = path.partition("?")[0].strip("/").split("/")
    return "/" + "/".join("{id}" if _ID.match(part) else part for part in parts)


def _current() -> LiveCall | None:
    call = otel_context.get_current().get(_CALL)
    return call if isinstance(call, LiveCall) else None


def _url(request: Any) -> str:
    """Where a request goes, without the query and without a user's name."""
    url = request.url
    place = f"{url.scheme}://{url.netloc.decode('ascii', 'replace').rpartition('@')[2]}"
    return str(place + url.raw_path.partition(b"?")[0].decode("ascii", "replace"))


def _sent(call: LiveCall, request: Any) -> None:
    """One attempt, built and about to go out."""
    try:
        if call.built is not None:
            call.retried(call.refused.pop() if call.refused else None)
            call.refused.clear()
        call.built, target = request, call.target
        url, content_type = target.url, target.content_type
        if url is None or target.adapter is None:
            url, content_type = _url(request), request.headers.get("content-type", "")
            target.url, target.content_type = url, content_type
        body = getattr(request, "_content", None)
        call.sent(url, content_type, body if type(body) is bytes else None)
    except Exception as error:
        swallow("record a request", error)


def _answered(call: LiveCall | None, response: Any) -> None:
    """A response that the SDK is about to hand over: read already, or to be read by the caller."""
    if call is None or response is None or call.seen:
        return
    try:
        call.seen = True
        headers = {name.lower(): value for name, value in response.headers.raw}
        call.answered(response.status_code, headers.get(b"content-type", b"").decode("latin-1"),
                      headers.get(b"content-encoding", b"").decode("latin-1"),
                      headers.get(b"x-request-id", b"").decode("latin-1"))
        content = getattr(response, "_content", None)
        if isinstance(content, bytes):
            call.body(content)
        elif tee(response, call):
            call.streams = True
    except Exception as error:
        swallow("record a response", error)


def _returned(call: LiveCall) -> None:
    """`request()` is over: a body that the SDK has read ends the call, one that the caller reads will end it."""
    if not call.streams:
        call.end()


def _failed(call: LiveCall, error: BaseException) -> Exception | None:
    """End the call with an exception, which may carry the provider's final answer; gives the one to raise in its place."""
    diverged: Exception | None = error.__dict__.get("otel_llm_diverged")
    given = call.given
    if (diverged is None and isinstance(given, Recorded) and isinstance(error, Exception) and call.player is not None
            and 0 < call.attempt <= len(given.exchange.attempts)):
        diverged = call.player.given_up(given, call.attempt)
    with guard("record a failed call"):
        response = getattr(error, "response", None)
        if response is not None and not call.seen:
            _answered(call, response)
    call.failed(diverged or error)
    return diverged
