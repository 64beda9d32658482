"""The HTTP application: a table of routes, each with its permission, behind one door.

`Place` is the seam for what comes later: pages and a query API are more places, given to `make_app`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from otel_llm.server import otlp_http
from otel_llm.server.auth import Keys, check_browser
from otel_llm.server.indexing import Indexing
from otel_llm.server.otlp_http import Handler
from otel_llm.server.reception import Reception
from otel_llm.server.refusals import Refused
from otel_llm.server.signals import SIGNALS

Scope = Mapping[str, Any]
Asgi = Callable[[Any, Any, Any], Any]
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Place:
    """One route. Where keys are wanted, `permission` says whether this one is open without; a path without a place is not."""

    path: str
    handler: Handler
    methods: tuple[str, ...] = ("GET",)
    permission: Literal["key", "open"] = "key"


@dataclass(frozen=True, slots=True)
class Health:
    """What the server says about itself."""

    reception: Reception
    indexing: Indexing | None
    started_s: float

    async def healthz(self, request: Request) -> Response:
        """`ok` with 200 while the tape can be written, else 503."""
        is_ok = self.reception.tape.is_writable
        said = {"status": "ok" if is_ok else "unwritable", "spool_bytes": self.reception.tape.spool_bytes(),
                "index_lag_s": None if self.indexing is None else round(self.indexing.lag_s, 3)}
        return Response(json.dumps(said), 200 if is_ok else 503, media_type=otlp_http.JSON)

    async def metrics(self, request: Request) -> Response:
        """The server's own counters for Prometheus."""
        gate = self.reception.gate
        gauges = {"requests_in_flight": gate.requests, "in_flight_bytes": gate.bytes, "start_time_seconds": self.started_s,
                  "spool_bytes": self.reception.tape.spool_bytes(), "tape_writable": int(self.reception.tape.is_writable)}
        if self.indexing is not None:
            gauges["index_lag_seconds"] = self.indexing.lag_s
        return Response(self.reception.counters.text(gauges), media_type=PROMETHEUS)


def places(health: Health) -> list[Place]:
    """The routes of the receiving end."""
    return [
        *(Place(signal.path, otlp_http.handler(signal, health.reception), ("POST",)) for signal in SIGNALS),
        Place("/healthz", health.healthz, permission="open"),
        Place("/metrics", health.metrics),
    ]


def make_app(table: Sequence[Place], keys: Keys) -> Asgi:
    """The application that answers at these places and nowhere else."""
    inner = Starlette(routes=[Route(place.path, place.handler, methods=list(place.methods)) for place in table])
    is_open = {place.path for place in table if place.permission == "open"}

    async def door(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=dict(scope))
        try:
            check_browser(headers.get("host"), headers.get("origin"), any_host=keys.are_wanted)
            if scope["path"] not in is_open:
                keys.check(headers.get("authorization"))
        except Refused as refused:
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            await otlp_http.refusal(refused, kind)(dict(scope), receive, send)
            return
        await inner(dict(scope), receive, send)

    return door
