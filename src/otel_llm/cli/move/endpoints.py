"""OTLP endpoints as the terminal speaks of them: whether one takes spans now, why not, and what to do about it.

An endpoint is asked with a request that has no spans in it. One that finds fault with that is there all the same; what counts
is that it is reached, speaks OTLP, and accepts the key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from otel_llm.values.destination import FIRST, Destination, headers_of

TIMEOUT_S = 3.0

_SILENT = re.compile(r"ConnectionRefused|Connection refused|failed to connect", re.IGNORECASE)
_UNKNOWN_HOST = re.compile(r"gaierror|name resolution|DNS", re.IGNORECASE)
_KEY = re.compile(r"^(401|403|407|UNAUTHENTICATED|PERMISSION_DENIED)\b")
_ELSEWHERE = re.compile(r"(^|: )(3\d\d|404|405|421|UNIMPLEMENTED|NOT_FOUND)\b|no OTLP receiver")
_OTHER_PROTOCOL = re.compile(r"RemoteDisconnected|ConnectionReset|BadStatusLine|http1\.x|SETTINGS frame")
_NO_TLS = re.compile(r"WRONG_VERSION_NUMBER|HTTP_REQUEST")


def ask(destination: Destination, environ: Mapping[str, str]) -> str | None:
    """None when the endpoint takes spans; else why it does not, in its words."""
    from otel_llm.store.forward.courier import transport_for

    try:
        carrier = transport_for(replace(destination, timeout_s=min(destination.timeout_s, TIMEOUT_S)), environ)
    except ImportError as error:
        return f"{error}: pip install grpcio"
    try:
        answer = carrier.send(b"")
    finally:
        carrier.close()
    return None if answer.verdict in ("accepted", "refused", "too large") else answer.words or "no answer"


def advice(words: str, destination: Destination, environ: Mapping[str, str]) -> str:
    """What to do when an endpoint says this; empty when its own words are all there is to say."""
    return _about_key(destination, environ) if _KEY.search(words) else reaching(words, destination)


def reaching(words: str, destination: Destination) -> str:
    """The same for what stands between here and an endpoint: address, protocol, TLS."""
    if _OTHER_PROTOCOL.search(words):
        other, port = ("http/protobuf", 4318) if destination.protocol == "grpc" else ("grpc", 4317)
        setting = "OTEL_EXPORTER_OTLP_PROTOCOL" if destination.name == FIRST else "the option protocol"
        return f"does it speak {other} (usually port {port})? Then set {setting}={other}"
    if _NO_TLS.search(words):
        return "it speaks no TLS: http:// instead of https://?"
    if _SILENT.search(words):
        return "nobody listens there: is it running, and is this its port?"
    if _UNKNOWN_HOST.search(words):
        return "is the host name right?"
    if _ELSEWHERE.search(words):
        return "is the URL right? OTLP is usually on port 4318 (HTTP, path /v1/traces) or 4317 (gRPC); 16686 is Jaeger's page"
    return ""


def _about_key(destination: Destination, environ: Mapping[str, str]) -> str:
    variable = next((name for name in destination.headers.split() if environ.get(name, "").strip()), None)
    if variable is not None and headers_of(destination, environ):
        return f"the key in {variable} is wrong"
    if variable is not None:
        return f"{variable} is not of the form KEY=VALUE"
    name = "OTEL_EXPORTER_OTLP_HEADERS"
    if destination.name != FIRST:
        name = destination.headers or "a variable, named by the option headers=VARIABLE"
    return f"it wants a key: put it into {name}, such as authorization=Bearer%20KEY"
