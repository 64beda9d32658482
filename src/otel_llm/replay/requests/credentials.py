"""Which key may go where: a secret is bound to the origin that it was issued for.

A recorded call says where it went, not with which key; keys are never recorded. A replay takes the key from the environment
at the moment of sending, by three rules and no guess:

1. `--api-key-env NAME` names the variable, whatever the origin.
2. A host of the table below, over https, gets the key of its own variable.
3. Any other origin gets `OPENAI_API_KEY` only when `OPENAI_BASE_URL` names that very origin (scheme, host and port).

`OPENAI_BASE_URL` binds in the other direction too: while it names another origin, `OPENAI_API_KEY` is that origin's key and
does not go to api.openai.com. A loopback address needs no key.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from otel_llm.values.errors import ConfigError, NotReplayable

HOST_KEYS: Mapping[str, str] = {
    "api.openai.com": "OPENAI_API_KEY",
    ".openai.azure.com": "AZURE_OPENAI_API_KEY",
    ".cognitiveservices.azure.com": "AZURE_OPENAI_API_KEY",
    "api.anthropic.com": "ANTHROPIC_API_KEY",
    "generativelanguage.googleapis.com": "GEMINI_API_KEY",
    "api.groq.com": "GROQ_API_KEY",
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.perplexity.ai": "PERPLEXITY_API_KEY",
    "api.x.ai": "XAI_API_KEY",
    "api.cohere.com": "COHERE_API_KEY",
    "api.moonshot.ai": "MOONSHOT_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.together.xyz": "TOGETHER_API_KEY",
    "api.fireworks.ai": "FIREWORKS_API_KEY",
    "api.cerebras.ai": "CEREBRAS_API_KEY",
}
"""Host to variable. A key with a leading dot stands for every host that ends in it."""

Origin = tuple[str, str, int]


def origin_of(url: str) -> Origin:
    """Scheme, host and port of a URL, with the port that the scheme implies.

    Raises `ConfigError` when it is no http(s) URL or carries a user name or password.
    """
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), (parts.hostname or "").lower().rstrip("."), parts.port
        has_user = parts.username is not None or parts.password is not None
    except ValueError:
        scheme, host, port, has_user = "", "", None, False
    if scheme not in ("http", "https") or not host:
        raise ConfigError(f"{url!r} is no endpoint; good values: http://host[:port]/path or https://host[:port]/path")
    if has_user:
        raise ConfigError("a base URL must not carry a user name or password; name the key's variable with --api-key-env")
    return scheme, host, port or (443 if scheme == "https" else 80)


def show_origin(origin: Origin) -> str:
    """An origin as people write it: without the port that goes without saying."""
    scheme, host, port = origin
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" if port == (443 if scheme == "https" else 80) else f"{scheme}://{shown}:{port}"


def is_loopback(origin: Origin) -> bool:
    """True for an address of this very machine: nobody is paid there."""
    host = origin[1]
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def key_variable(origin: Origin, environ: Mapping[str, str]) -> str | None:
    """The variable whose key may go to an origin by the rules above; None when no variable may."""
    bound = environ.get("OPENAI_BASE_URL", "").strip()
    bound_to = _origin_or_none(bound) if bound else ("https", "api.openai.com", 443)
    if origin == bound_to:
        return "OPENAI_API_KEY"
    scheme, host, port = origin
    if scheme != "https" or port != 443:
        return None
    for name, variable in HOST_KEYS.items():
        if host == name or (name.startswith(".") and host.endswith(name)):
            return None if variable == "OPENAI_API_KEY" else variable
    return None


def _origin_or_none(url: str) -> Origin | None:
    try:
        return origin_of(url)
    except ConfigError:
        return None


def credential(url: str, environ: Mapping[str, str], named: str | None = None) -> str | None:
    """The key for a request to this URL; None when it goes to a loopback address that has none.

    Raises `ConfigError` when the variable that the user named is empty, `NotReplayable` when no key may go there or the
    variable that may is empty.
    """
    origin = origin_of(url)
    if named is not None:
        if value := environ.get(named, "").strip():
            return value
        raise ConfigError(f"--api-key-env {named}: this variable is not set; export it, or name one that is.")
    variable = key_variable(origin, environ)
    value = environ.get(variable, "").strip() if variable else ""
    if value or is_loopback(origin):
        return value or None
    shown = show_origin(origin)
    if variable:
        raise NotReplayable(f"{variable} is not set, and {shown} wants a key: export it, or name another with --api-key-env.")
    raise NotReplayable(
        f"No key is bound to {shown}. Set OPENAI_BASE_URL to it beside OPENAI_API_KEY, or name a variable with --api-key-env."
    )
