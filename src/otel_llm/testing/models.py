"""`GET /v1/models`, and the dated name under which a model answers.

The real service answers `gpt-4o` as `gpt-4o-2024-08-06`. Whoever prices or compares calls meets two names for one
model, so the simulator has them too; a name it does not know comes back as it was given.
"""

from typing import Any

from .wire import CREATED, Reply, Request, invalid, json_reply

_SNAPSHOTS = {
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
    "o1": "o1-2024-12-17",
    "o3": "o3-2025-04-16",
    "o3-mini": "o3-mini-2025-01-31",
    "o4-mini": "o4-mini-2025-04-16",
}
_OTHERS = ("text-embedding-3-small", "text-embedding-3-large", "gpt-3.5-turbo-instruct", "whisper-1", "tts-1")


def snapshot(model: str) -> str:
    """The name that the answer carries for a model that was asked for by this name."""
    return _SNAPSHOTS.get(model, model)


def list_models(request: Request) -> Reply:
    return json_reply({"object": "list", "data": [_model(name) for name in (*_SNAPSHOTS, *_OTHERS)]})


def get_model(request: Request, name: str) -> Reply:
    if name not in (*_SNAPSHOTS, *_SNAPSHOTS.values(), *_OTHERS):
        message = f"The model '{name}' does not exist"
        return invalid(message, param="model", code="model_not_found", status=404)
    return json_reply(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "system"}
