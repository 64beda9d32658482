"""`POST /v1/completions`: the old text endpoint, plain and streamed, `n` choices for each prompt."""

from typing import Any

from . import tokens
from .agent import Ask, Message, answer
from .wire import CREATED, Reply, Request, event, event_stream, invalid, json_reply


def completions(request: Request) -> Reply:
    """The answer to a completion request; with `echo` each choice begins with its prompt."""
    body = request.json
    if not body.get("model"):
        return invalid("you must provide a model parameter")
    prompts = _prompts(body.get("prompt", ""))
    n = int(body.get("n") or 1)
    asks = [_ask(body, prompt) for prompt in prompts]
    said = [answer(ask, variant) for ask in asks for variant in range(n)]
    echoes = [prompt if body.get("echo") else "" for prompt in prompts for _ in range(n)]
    spent = tokens.Usage(sum(tokens.count(prompt) for prompt in prompts), sum(one.output_tokens for one in said))
    usage = {key: value for key, value in spent.as_chat().items() if isinstance(value, int)}
    head = {
        "id": f"cmpl-{request.digest()[:29]}",
        "object": "text_completion",
        "created": CREATED,
        "model": body["model"],
    }

    def choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
        return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}

    finishes = ["length" if one.is_cut else "stop" for one in said]
    texts = [echo + (one.text or one.refusal or "") for echo, one in zip(echoes, said, strict=True)]
    if not body.get("stream"):
        choices = [choice(index, text, finishes[index]) for index, text in enumerate(texts)]
        return json_reply(head | {"choices": choices, "usage": usage})
    chunks = [
        head | {"choices": [choice(index, piece, None)]}
        for index, text in enumerate(texts)
        for piece in tokens.pieces(text)
    ]
    chunks += [head | {"choices": [choice(index, "", finish)]} for index, finish in enumerate(finishes)]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append(head | {"choices": [], "usage": usage})
    return event_stream([event(chunk) for chunk in chunks] + [event("[DONE]")])


def _ask(body: dict[str, Any], prompt: str) -> Ask:
    stop = body.get("stop") or ()
    return Ask(
        model=body["model"],
        messages=(Message("user", prompt),),
        temperature=body.get("temperature"),
        max_tokens=16 if body.get("max_tokens") is None else body["max_tokens"],
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
    )


def _prompts(prompt: Any) -> list[str]:
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], int):
        prompt = [prompt]
    return [one if isinstance(one, str) else "token " * len(one) for one in prompt] or [""]
