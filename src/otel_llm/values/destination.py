"""Where spans go besides the store: one OTLP endpoint each, with its own content policy.

The first destination is the one that OpenTelemetry's variables name (`OTEL_EXPORTER_OTLP_*`); it is called `otlp`. More stand
in `OTEL_LLM_FORWARD`:

    jaeger=http://localhost:4318,vendor=https://otlp.example.com;headers=VENDOR_HEADERS;content=masked,otlp;content=full

A URL is a base, as in `OTEL_EXPORTER_OTLP_ENDPOINT`: over HTTP `/v1/traces` is added unless it stands there. `otlp` without a
URL gives options to the first destination. Secrets are values of variables and stay in the process that has them: what
identifies a destination in the store (`place`) has neither user nor query in it, and of its headers only the variable's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast
from urllib.parse import SplitResult, unquote, urlsplit

from otel_llm.values.errors import ConfigError

FIRST = "otlp"
"""The name of the destination that OpenTelemetry's variables describe."""

Protocol = Literal["http", "grpc"]
Content = Literal["none", "masked", "full", "span"]

CONTENTS = ("none", "masked", "full", "span")
PROTOCOLS = {"http": "http", "http/protobuf": "http", "grpc": "grpc"}
COMPRESSIONS = ("none", "gzip")
TRACES_PATH = "/v1/traces"
TIMEOUT_S = 10.0
MILLISECONDS_FROM = 1000
"""A timeout of so much or more is read as milliseconds: the specification means those, the Python SDK means seconds."""

SHAPE = "name=url, comma-separated, with options behind semicolons, such as jaeger=http://localhost:4318;content=full"


@dataclass(frozen=True, slots=True)
class Destination:
    """One OTLP endpoint. `url` may hold a secret and is kept in the process; `place` is what others may know."""

    name: str
    url: str
    protocol: Protocol = "http"
    content: Content = "none"
    headers: str = ""
    """Variables with the headers, as `OTEL_EXPORTER_OTLP_HEADERS` writes them; the first that is set counts."""
    compression: str = "none"
    timeout_s: float = TIMEOUT_S
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    insecure: bool = True
    """Whether gRPC without a scheme in the URL goes without TLS."""

    @property
    def place(self) -> str:
        """The URL without user and query."""
        return place_of(self.url)

    def __repr__(self) -> str:
        return f"<Destination {self.name} {self.place} ({self.protocol}, content {self.content})>"


def place_of(url: str) -> str:
    """A URL without what may be secret in it: user, password, query and fragment."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "", url
    rest = rest.partition("#")[0].partition("?")[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


# ---- OTEL_LLM_FORWARD -------------------------------------------------------------------------------------------------


def read_forward(text: str) -> dict[str, str]:
    """The entries of `OTEL_LLM_FORWARD`: name → `url;option=value;…`. Raises ValueError that says what is right."""
    found: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        head, _, options = item.partition(";")
        name, equals, url = head.partition("=")
        name, spec = name.strip(), f"{url.strip()};{options}" if options else url.strip()
        if name in found:
            raise ValueError(f"one entry a name; {name!r} stands there twice")
        if not equals and name != FIRST:
            raise ValueError(SHAPE)
        found[name] = spec
    return checked_forward(found)


def checked_forward(entries: Mapping[str, str]) -> dict[str, str]:
    """The same entries, when each of them makes sense. Raises ValueError that says what is right."""
    for name, spec in entries.items():
        _entry(name, spec)
    return dict(entries)


def _entry(name: str, spec: str) -> Destination:
    url, *options = (part.strip() for part in spec.split(";"))
    if not name or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ValueError(f"names of letters, digits, '-', '_' and '.', not {name!r}; {SHAPE}")
    if name == FIRST:
        if url:
            raise ValueError("otlp without a URL (its endpoint is OTEL_EXPORTER_OTLP_ENDPOINT), or another name")
    elif (found := _split(url)) is None or "@" in found.netloc:
        raise ValueError(f"http:// or https:// with a host and without a user, not {place_of(url)!r}; {SHAPE}. "
                         "Credentials go into headers=VARIABLE")
    made = Destination(name, url, content="span" if name == FIRST else "none", headers="")
    for option in filter(None, options):
        key, _, value = (part.strip() for part in option.partition("="))
        made = _with(made, key, value)
    return made


def _split(url: str) -> SplitResult | None:
    try:
        found = urlsplit(url)
        found.port  # noqa: B018  (raises when it is no number)
        return found if found.scheme in ("http", "https") and found.hostname else None
    except ValueError:
        return None


def _with(made: Destination, key: str, value: str) -> Destination:
    if key == "content" and value in CONTENTS:
        return replace(made, content=cast(Content, value))
    if key == "protocol" and value in PROTOCOLS:
        return replace(made, protocol=cast(Protocol, PROTOCOLS[value]))
    if key == "compression" and value in COMPRESSIONS:
        return replace(made, compression=value)
    if key == "timeout":
        return replace(made, timeout_s=_seconds(value))
    if key == "headers" and value.isidentifier():
        return replace(made, headers=value)
    if key in ("certificate", "client_certificate", "client_key") and value:
        paths: dict[str, Any] = {key: value}
        return replace(made, **paths)
    good = {"content": "|".join(CONTENTS), "protocol": "http|grpc", "compression": "gzip|none", "timeout": "SECONDS",
            "headers": "VARIABLE", "certificate": "FILE", "client_certificate": "FILE", "client_key": "FILE"}
    raise ValueError(f"options {', '.join(f'{k}={v}' for k, v in good.items())}, not {key + '=' + value!r}")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(f"a timeout in seconds above 0, not {text!r}")
    return value / 1000 if value >= MILLISECONDS_FROM else value


# ---- OTEL_EXPORTER_OTLP_* ---------------------------------------------------------------------------------------------


def variable(environ: Mapping[str, str], name: str) -> str:
    """`OTEL_EXPORTER_OTLP_TRACES_<name>`, else `OTEL_EXPORTER_OTLP_<name>`."""
    return environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}", "").strip() or environ.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip()


def first_destination(environ: Mapping[str, str], spec: str = "") -> Destination | None:
    """The destination that OpenTelemetry's variables describe, with the options of `spec`; None when they name no endpoint.

    A bad value of one of the other variables counts as not set. Raises `ConfigError` for an endpoint that is no URL.
    """
    own = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    url = own or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    if not url:
        return None
    protocol = PROTOCOLS.get(variable(environ, "PROTOCOL").lower(), "http")
    if protocol == "http":
        if _split(url) is None:
            raise ConfigError(f"OTEL_EXPORTER_OTLP_ENDPOINT={place_of(url)!r} is not usable; good values: http://HOST:PORT or https://…")
        found = urlsplit(url)
        path = (found.path or "/") if own else f"{found.path.rstrip('/')}{TRACES_PATH}"
        url = found._replace(path=path).geturl()
    compression, timeout = variable(environ, "COMPRESSION").lower(), TIMEOUT_S
    try:
        timeout = _seconds(variable(environ, "TIMEOUT") or str(TIMEOUT_S))
    except ValueError:
        pass
    made = Destination(
        FIRST, url, cast(Protocol, protocol), "span", "OTEL_EXPORTER_OTLP_TRACES_HEADERS OTEL_EXPORTER_OTLP_HEADERS",
        compression=compression if compression in COMPRESSIONS else "none", timeout_s=timeout,
        certificate=variable(environ, "CERTIFICATE") or None,
        client_certificate=variable(environ, "CLIENT_CERTIFICATE") or None, client_key=variable(environ, "CLIENT_KEY") or None,
        insecure=variable(environ, "INSECURE").lower() == "true")
    for option in filter(None, spec.split(";")):
        key, _, value = (part.strip() for part in option.partition("="))
        made = _with(made, key, value)
    return made


def destinations(entries: Mapping[str, str], environ: Mapping[str, str], *, first: bool = True) -> list[Destination]:
    """All that settings and environment name. `first=False` leaves the standard endpoint to whoever exports there already."""
    found: list[Destination] = []
    standard = first_destination(environ, entries.get(FIRST, "")) if first else None
    if standard is not None:
        found.append(standard)
    for name, spec in entries.items():
        if name == FIRST:
            continue
        made = _entry(name, spec)
        path = urlsplit(made.url).path.rstrip("/")
        if made.protocol == "http" and not path.endswith(TRACES_PATH):
            made = replace(made, url=urlsplit(made.url)._replace(path=path + TRACES_PATH).geturl())
        found.append(made)
    return found


def headers_of(destination: Destination, environ: Mapping[str, str]) -> dict[str, str]:
    """The headers to send, from the variable that the destination names. A pair that makes no sense is left out."""
    text = next((environ[name] for name in destination.headers.split() if environ.get(name, "").strip()), "")
    found: dict[str, str] = {}
    for item in text.split(","):
        key, equals, value = (part.strip() for part in item.partition("="))
        key, value = unquote(key).lower(), unquote(value).strip()
        if equals and key and not set("\r\n") & set(key + value):
            found[key] = value
    return found
