"""A small provider on loopback that counts what it is asked, and says what a test tells it to say.

It speaks chat completions (streams too), responses and embeddings. Unlike `otel_llm.testing.Simulator`, which answers like a
model, it does as it is told: `decide` gets the request and returns words, tool calls or a status. Every answer has ids of its
own, as with a real provider. `asked` holds every request that was received whole, whether or not anybody waited for the answer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from typing import Any, Self

Saying = str | list[tuple[str, dict[str, Any]]] | int | None
"""Words; tool calls as (name, arguments); a status that is an error; None drops the connection."""
Decide = Callable[[dict[str, Any]], Saying]


class Provider:
    """Listens until `close()`; a context manager."""

    def __init__(self, decide: Decide = lambda body: "Yes.", *, latency_s: float = 0.0, tokens: tuple[int, int] = (10, 5)) -> None:
        self.decide, self.latency_s, self.tokens = decide, latency_s, tokens
        self.headers: Mapping[str, str] = {}
        """What stands in the head of errors."""
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.most_at_once = 0
        self._at_once = 0
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._leaving = threading.Event()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                if len(body) == length:  # else the client died before it had sent it
                    provider._serve(self, json.loads(body))

            def log_message(self, *args: Any) -> None:
                return None

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self._leaving.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _serve(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        with self._lock:
            self.asked.append(body)
            self.keys.append(handler.headers.get("authorization"))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self._leaving.wait(self.latency_s)
            saying = self.decide(body)
            if saying is None:
                handler.close_connection = True
                handler.connection.close()
                return
            status = saying if isinstance(saying, int) else 200
            made = self._error(status) if isinstance(saying, int) else self._answer(handler.path, body, saying)
            if body.get("stream") and isinstance(saying, str):
                self._stream(handler, made)
            else:
                self._reply(handler, status, json.dumps(made).encode())
        except OSError:
            handler.close_connection = True
        finally:
            with self._lock:
                self._at_once -= 1

    def _reply(self, handler: BaseHTTPRequestHandler, status: int, data: bytes) -> None:
        handler.send_response(status)
        for name, value in (self.headers if status >= 400 else {}).items():
            handler.send_header(name, value)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _stream(self, handler: BaseHTTPRequestHandler, made: dict[str, Any]) -> None:
        """Words of a chat in two chunks, as slowly as an answer, and a third with the usage."""
        chunk = {**made, "object": "chat.completion.chunk", "usage": None}
        delta = {"role": "assistant", "content": made["choices"][0]["message"]["content"]}
        chunks = [{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
                  {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                  {**chunk, "choices": [], "usage": made["usage"]}]
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("connection", "close")
        handler.end_headers()
        for one in chunks:
            handler.wfile.write(f"data: {json.dumps(one)}\n\n".encode())
            self._leaving.wait(self.latency_s)
        handler.wfile.write(b"data: [DONE]\n\n")
        handler.close_connection = True

    def _number(self) -> int:
        with self._lock:
            return next(self._numbers)

    @staticmethod
    def _error(status: int) -> dict[str, Any]:
        return {"error": {"message": f"No ({status}).", "type": "no", "code": None}}

    def _answer(self, path: str, body: dict[str, Any], saying: str | list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
        number, (into, out) = self._number(), self.tokens
        if path.endswith("/embeddings"):
            return {"object": "list", "model": body["model"], "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
                    "usage": {"prompt_tokens": into, "total_tokens": into}}
        calls = [] if isinstance(saying, str) else [(f"call_{self._number()}", name, json.dumps(given)) for name, given in saying]
        if path.endswith("/responses"):
            output: list[dict[str, Any]] = [
                {"type": "function_call", "id": f"fc_{identity}", "call_id": identity, "name": name, "arguments": given,
                 "status": "completed"} for identity, name, given in calls]
            if isinstance(saying, str):
                output.append({"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": [
                    {"type": "output_text", "text": saying, "annotations": []}]})
            return {"id": f"resp_{number}", "object": "response", "created_at": 1, "model": body["model"], "status": "completed",
                    "output": output, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
                    "usage": {"input_tokens": into, "output_tokens": out, "total_tokens": into + out,
                              "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}}
        message: dict[str, Any] = {"role": "assistant", "content": saying if isinstance(saying, str) else None, "refusal": None}
        if calls:
            message["tool_calls"] = [{"id": identity, "type": "function", "function": {"name": name, "arguments": given}}
                                     for identity, name, given in calls]
        return {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1, "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop", "logprobs": None}],
                "usage": {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}}
