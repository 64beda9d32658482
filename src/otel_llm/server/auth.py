"""Who may speak to this server.

Without keys it listens on loopback only, and then a browser is the danger: a page from anywhere may send requests to
127.0.0.1, and a name that its owner points there makes them look like our own. So the Host must be a loopback name and an
Origin, which only browsers send, must be this very host. With keys every route wants one, except those that say otherwise.

Keys are kept as hashes and compared in a time that does not depend on them. They come from the environment or a file, never
from the command line, where every user of the machine could read them.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from otel_llm.server.refusals import FORBIDDEN, UNAUTHENTICATED, Refused
from otel_llm.values.errors import ConfigError

VARIABLE = "OTEL_LLM_API_KEYS"
SHORTEST = 8


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that open this server; empty when it wants none."""

    hashes: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, keys: Iterable[str]) -> Keys:
        """Raises `ConfigError` for a key that anybody could guess."""
        found = [key.strip() for key in keys if key.strip()]
        if any(len(key) < SHORTEST for key in found):
            raise ConfigError(f"An API key has fewer than {SHORTEST} characters. Make one: python -c"
                              " 'import secrets; print(secrets.token_urlsafe(32))'")
        return cls(tuple(_hashed(key) for key in found))

    @property
    def are_wanted(self) -> bool:
        return bool(self.hashes)

    def check(self, authorization: str | None) -> None:
        """Raises `Refused` unless this is `Bearer` and one of the keys."""
        if not self.hashes:
            return
        scheme, _, given = (authorization or "").strip().partition(" ")
        hashed = _hashed(given.strip())
        found = False
        for known in self.hashes:
            found |= hmac.compare_digest(hashed, known)
        if scheme.lower() != "bearer" or not found:
            said = "The key is not one of this server's" if authorization else "This server wants a key"
            raise Refused(UNAUTHENTICATED, f"{said}: send the header `authorization: Bearer KEY`.")


def _hashed(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def keys_of(environ: Mapping[str, str], file: Path | None) -> Keys:
    """The keys of the environment and of a file with one a line. Raises `ConfigError`."""
    keys = environ.get(VARIABLE, "").split(",")
    if file is not None:
        try:
            lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The key file {file} cannot be read: {error}. It has one key a line.") from None
        found = [line for line in lines if line and not line.startswith("#")]
        if not found:
            raise ConfigError(f"The key file {file} holds no key. It has one key a line.")
        keys += found
    return Keys.of(keys)


def check_bind(host: str, keys: Keys) -> None:
    """Raises `ConfigError` for an address that others can reach, unless keys are wanted."""
    if not is_loopback(host) and not keys.are_wanted:
        raise ConfigError(f"--host {host} can be reached by others, and this server has no key. Set {VARIABLE} or give"
                          " --api-key-file; without keys it listens on 127.0.0.1 only.")


def is_loopback(host: str) -> bool:
    """True for names and addresses that only this machine reaches."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_browser(host: str | None, origin: str | None, *, any_host: bool) -> None:
    """Raises `Refused` for a request that a page from elsewhere has made a browser send."""
    name = _hostname(host)
    if not any_host and not (name and is_loopback(name)):
        raise Refused(FORBIDDEN, f"The Host {(host or '')[:80]!r} is not this machine. Use http://127.0.0.1, or set {VARIABLE}.")
    if origin is not None and _place_of(origin) != (host or "").lower():
        raise Refused(FORBIDDEN, f"The Origin {origin[:80]!r} is another site, and its pages may not speak to this server.")


def _hostname(host: str | None) -> str | None:
    try:
        return urlsplit(f"//{host or ''}").hostname
    except ValueError:
        return None


def _place_of(origin: str) -> str | None:
    """Host and port of an Origin; None when it is none, such as `null`."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
