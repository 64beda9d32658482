"""`POST /v1/embeddings`: vectors that depend on the words of the text, as floats or base64.

Each word has a fixed direction and a text is the sum of its words, normalised: texts that share words are close, and
a retrieval demo finds what it should. Nothing is learned and nothing is random.
"""

from array import array
from base64 import b64encode
from hashlib import shake_256
from math import sqrt
from sys import byteorder
from typing import Any

from . import tokens
from .wire import Reply, Request, invalid, json_reply
from .words import stems

_DIMENSIONS = {"text-embedding-3-large": 3072}
_DEFAULT_DIMENSIONS = 1536
_MAX_WORDS = 64


def embeddings(request: Request) -> Reply:
    """The vectors of one text, or of each text or token list in a list."""
    body = request.json
    texts = _texts(body.get("input"))
    if not texts:
        return invalid("'$.input' is invalid. Please check the API reference.", param="input")
    model = body.get("model") or request.deployment
    if not model:
        return invalid("you must provide a model parameter")
    size = int(body.get("dimensions") or _DIMENSIONS.get(model, _DEFAULT_DIMENSIONS))
    is_packed = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if is_packed else vector}
        for index, vector in enumerate(embed(text, size) for text in texts)
    ]
    spent = sum(tokens.count(text) for text in texts)
    usage = {"prompt_tokens": spent, "total_tokens": spent}
    return json_reply({"object": "list", "data": data, "model": model, "usage": usage})


def embed(text: str, size: int) -> list[float]:
    """The unit vector of a text."""
    words = stems(text)[:_MAX_WORDS] or [text or " "]
    noise = [shake_256(word.encode()).digest(size) for word in words]
    middle = 127.5 * len(words)
    vector = [sum(column) - middle for column in zip(*noise, strict=True)]
    length = sqrt(sum(value * value for value in vector))
    return [round(value / length, 8) for value in vector]


def _packed(vector: list[float]) -> str:
    floats = array("f", vector)
    if byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()


def _texts(given: Any) -> list[str]:
    if isinstance(given, str):
        return [given] if given else []
    if not isinstance(given, list) or not given:
        return []
    if isinstance(given[0], int):
        given = [given]
    return [one if isinstance(one, str) else " ".join(f"t{token:03}" for token in one) for one in given]
