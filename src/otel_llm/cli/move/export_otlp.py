"""`otel-llm export otlp`: stored sessions to Jaeger or any OTLP endpoint, as if the program had sent them there.

    otel-llm export otlp @1 --endpoint http://localhost:4318
    otel-llm export otlp --since 7d --endpoint https://otlp.example.com --header authorization=TOKEN --content none

Without --endpoint the address and headers are those of OTEL_EXPORTER_OTLP_*. Ids and times stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.move.endpoints import reaching
from otel_llm.cli.move.export import chosen, nothing_fits, progress, report_damage, which_sessions
from otel_llm.cli.output import note
from otel_llm.text import numbers
from otel_llm.transfer import otlp_out
from otel_llm.values.destination import CONTENTS, TRACES_PATH, Content, Destination, first_destination, headers_of
from otel_llm.values.errors import ConfigError, Undelivered

TIMEOUT_S = 30.0


@click.command()
@which_sessions
@click.option("--endpoint", metavar="URL", help="An OTLP/HTTP endpoint (default: OTEL_EXPORTER_OTLP_ENDPOINT).")
@click.option("--header", "headers", multiple=True, metavar="KEY=VALUE", help="A header for it, such as authorization=…")
@click.option("--content", type=click.Choice(CONTENTS), default="none", show_default=True,
              help="What it sees of prompts and answers: none, masked (roles and lengths), full, span (what spans carry).")
@click.option("--certificate", metavar="FILE", help="Certificates to trust besides those of the system.")
@pass_app
def otlp(app: App, /, sessions: tuple[str, ...], endpoint: str | None, headers: tuple[str, ...], content: str,
         certificate: str | None, **given: Any) -> None:
    """Send the spans of sessions to an OTLP/HTTP endpoint, ids and times unchanged."""
    from otel_llm.store.forward.over_http import HttpTransport

    where_to = _destination(app.environ, endpoint, certificate)
    sent_along = {**({} if endpoint else headers_of(where_to, app.environ)), **dict(map(_header, headers))}
    store, where = chosen(app, sessions, given)
    carrier = HttpTransport(where_to, sent_along)
    try:
        with store.snapshot(where) as snapshot, progress("spans", snapshot.steps_in_all) as shown:
            sent = otlp_out.send(snapshot, carrier, content=cast(Content, content), progress=shown, waiting=_waiting,
                                 sleep=app.sleep)
    except Undelivered as error:
        todo = reaching(str(error), where_to)
        raise Undelivered(f"{where_to.place}: {error}{f' ({todo})' if todo else ''}") from error
    finally:
        carrier.close()
    if not sent.requests:
        note(nothing_fits(bool(sessions) or any(given.values())))
    else:
        note(f"{numbers.plural(sent.accepted, 'span')} taken by {where_to.place} in {numbers.plural(sent.requests, 'request')}"
             + (", without prompts and answers (--content full shows them)" if content == "none" else "")
             + (f"; {numbers.plural(sent.shortened, 'span')} too large, sent without long attributes" if sent.shortened else ""))
    if refused := sum(sent.refused.values()):
        words = "; ".join(f"{count}: {said}" for said, count in sent.refused.most_common(5))
        raise Undelivered(f"{where_to.place} refused {numbers.plural(refused, 'span')} ({words}).")
    report_damage(sent.damaged)


def _waiting(words: str, seconds: float) -> None:
    note(f"Waiting {numbers.duration(round(seconds * 1e9))}: {words}")


def _destination(environ: Mapping[str, str], endpoint: str | None, certificate: str | None) -> Destination:
    """Where to: what the option says, else OpenTelemetry's variables."""
    variables = dict(environ)
    if endpoint is not None:
        is_whole = endpoint.rstrip("/").endswith(TRACES_PATH)
        variables = {k: v for k, v in environ.items() if not k.startswith("OTEL_EXPORTER_OTLP_")}
        variables[f"OTEL_EXPORTER_OTLP_{'TRACES_' if is_whole else ''}ENDPOINT"] = endpoint
        if not endpoint.startswith(("http://", "https://")):
            raise ConfigError(f"--endpoint {endpoint!r} is not usable; good values: http://HOST:4318 or https://HOST")
    found = first_destination(variables)
    if found is None:
        raise ConfigError("Where to? Give --endpoint http://HOST:4318, or set OTEL_EXPORTER_OTLP_ENDPOINT.")
    if found.protocol != "http":
        raise ConfigError("OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and this sends OTLP/HTTP; give --endpoint http://HOST:4318.")
    return replace(found, compression="gzip", timeout_s=max(found.timeout_s, TIMEOUT_S),
                   certificate=certificate or found.certificate)


def _header(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key or not key.isascii() or any(c in key + value for c in "\r\n") or " " in key:
        raise ConfigError(f"--header {key!r} is not usable; good values: KEY=VALUE, such as authorization='Bearer …'")
    return key.lower(), value.strip()
