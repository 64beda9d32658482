"""Small requests and answers that many tests use."""

from __future__ import annotations

from typing import Any

HELLO: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "echo: one two three"}]}


def delta(content: str | None = None, *, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a chat stream."""
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini",
            "choices": [{"index": index, "delta": {**({} if content is None else {"content": content}), **more},
                         "finish_reason": finish}]}


def chunk(**fields: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini", "choices": [], **fields}


def words(count: int) -> list[dict[str, Any]]:
    return [delta(f"w{n} ") for n in range(count)]


def text_of(body: bytes | None) -> str:
    """The words of a chat response, streamed or not."""
    import json

    from otel_llm.adapters import by_name, read_call

    kind = "text/event-stream" if (body or b"").startswith(b"data") else "application/json"
    adapter = by_name("openai_chat")
    assert adapter is not None
    call, _ = read_call(adapter, "openai", json.dumps(HELLO).encode(), body, kind)
    assert call.response is not None
    return "".join(message.text for message in call.response.messages)
