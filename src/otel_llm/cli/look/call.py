"""`otel-llm call ID`: the wire. The exact request and response of one call, and ways to send it by hand.

    otel-llm call 4f1c                      facts, request and response, JSON laid out to be read
    otel-llm call 4f1c --json               the same as one object: the fields of `calls --json`, and
                                            request: {method, url, content_type, body}
                                            response: {status, content_type, complete, body, …}
    otel-llm call 4f1c --raw request        the recorded bytes, untouched (also: response)
    otel-llm call 4f1c --curl | sh          the call as a curl command; --python as a program

Of a tool, or another step that is no call, the same verb shows its arguments and its result.

A `body` is the parsed JSON, else text, else `{"base64": …}`. Of a stream `body` is the whole response that its events amount to,
and `events` are the events.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import click

from otel_llm.adapters import by_name
from otel_llm.adapters.sse import looks_like_sse, parse_events
from otel_llm.cli.app import App, pass_app
from otel_llm.cli.ids import id_argument, resolve
from otel_llm.cli.look.rows import LEFT_EARLY, state_text, step_json
from otel_llm.cli.look.show_step import step_contents_json, step_in, step_lines
from otel_llm.cli.output import Output
from otel_llm.replay.reading import step_of
from otel_llm.replay.view import is_left_early
from otel_llm.text import numbers
from otel_llm.text.lines import Line
from otel_llm.text.safe import json_text, line, safe
from otel_llm.values.errors import ConfigError, NotFound
from otel_llm.values.session import Exchange, Step


@click.command()
@id_argument()
@click.option("--json", "form", flag_value="json", default=None, help="One JSON object with parsed bodies.")
@click.option("--raw", type=click.Choice(["request", "response"]), is_flag=False, flag_value="",
              help="The exact bytes of the body.")  # without a value it is refused with the good ones
@click.option("--curl", "form", flag_value="curl", help="The call as a curl command; keys stand as $NAME.")
@click.option("--python", "form", flag_value="python", help="The call as a Python program.")
@pass_app
def call(app: App, given: str, form: str | None, raw: str | None) -> None:
    """Show the exact request and response of a call; of a tool its arguments and its result."""
    output = Output(app)
    other = step_in(app.store, resolve(app.store, given), given)
    if other is not None and raw is None:
        _show_step(app, output, other, form)
        return
    step = other or step_of(app.store, given)
    exchange = app.store.exchange(step.span_id)
    if raw is not None:
        _print_raw(output, exchange, raw)
    elif form == "json":
        output.write(json_text(call_json(step, exchange), indent=2))
    elif form in ("curl", "python"):
        from otel_llm.replay.requests import curl

        make = curl.to_curl if form == "curl" else curl.to_python
        text = make(exchange, app.environ).rstrip("\n")
        output.write(safe(text) if output.is_terminal else text)
    else:
        output.show(_lines(step, exchange), paged=True, whole=True)


def _show_step(app: App, output: Output, step: Step, form: str | None) -> None:
    if form in ("curl", "python"):
        raise ConfigError(f"{step.span_id} is a {step.kind} step, behind which no request stands; --{form} is for calls.")
    if form == "json":
        output.write(json_text(step_contents_json(app.store, step), indent=2))
    else:
        output.show(step_lines(app.store, step), paged=True, whole=True)


def _print_raw(output: Output, exchange: Exchange, which: str) -> None:
    """The bytes as they are; on a terminal, which would obey them, made harmless."""
    body = exchange.request_body if which == "request" else exchange.response_body
    if body is None:
        raise NotFound(f"recorded {which} of call", exchange.span_id)
    if output.is_terminal:
        output.write(safe(body.decode("utf-8", "backslashreplace")))
        return
    output.write_bytes(body)


def call_json(step: Step, exchange: Exchange) -> dict[str, Any]:
    """The object of `call --json`."""
    response: dict[str, Any] | None = None
    if exchange.status is not None or exchange.response_body is not None:
        response = {
            "status": exchange.status,
            "content_type": exchange.response_type,
            "complete": exchange.complete,
            "coding": exchange.coding,
            "request_id": exchange.request_id,
            **_response_body(exchange),
            "chunks": [list(chunk) for chunk in exchange.chunks],
        }
    return {
        **step_json(step),
        "exactness": exchange.exactness,
        "redacted": exchange.redacted,
        "omitted": exchange.omitted,
        "failed_attempts": [{"time_ns": time_ns, "status": status} for time_ns, status in exchange.attempts],
        "request": {
            "method": exchange.method,
            "url": exchange.url,
            "content_type": exchange.request_type,
            "body": parsed(exchange.request_body),
        },
        "response": response,
    }


def _response_body(exchange: Exchange) -> dict[str, Any]:
    body = exchange.response_body
    adapter = by_name(exchange.api)
    if body is None or adapter is None or not looks_like_sse(body, exchange.response_type):
        return {"body": parsed(body)}
    events, _ = parse_events(body)
    return {"body": dict(adapter.assemble(events)), "events": events}


def parsed(body: bytes | None) -> Any:
    """A body as a JSON value: parsed where it is JSON, else its text, else base64."""
    if body is None:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode("ascii")}
    try:
        return json.loads(text)
    except ValueError:
        return text


def _lines(step: Step, exchange: Exchange) -> Iterator[Line]:
    yield [("call ", ""), (step.span_id, "id"), (f"  trace {step.trace_id}  {line(step.session_id)}  ", "dim"),
           (state_text(step), state_text(step))]
    facts = [f"{exchange.api}", f"bytes {exchange.exactness}", numbers.duration(step.duration_ns)]
    facts += [f"{exchange.redacted} redacted"] if exchange.redacted else []
    facts += [f"provider {line(exchange.provider)}"] if exchange.provider else []
    facts += [f"request id {line(exchange.request_id)}"] if exchange.request_id else []
    yield [(" · ".join([*facts, numbers.clock(step.start_ns)]), "dim")]
    for time_ns, status in exchange.attempts:
        yield [(f"failed attempt at {numbers.clock(time_ns)}: {status if status is not None else 'no response'}", "recovered")]
    yield []
    yield [(f"> {line(exchange.method)} {line(exchange.url)}", "bold"), (f"  {line(exchange.request_type)}", "dim")]
    yield from _body_lines(exchange.request_body, exchange.omitted or "not recorded")
    yield []
    if exchange.status is None and exchange.response_body is None:
        yield [("< no response", "error"), (f"  {line(step.error_type or '')} {line(step.error_message or '')}", "dim")]
        return
    cut_off = LEFT_EARLY if is_left_early(step) else "cut off"
    style = "error" if exchange.status is None or exchange.status >= 400 else "ok"
    yield [(f"< {'no status' if exchange.status is None else exchange.status}", style),
           (f"  {line(exchange.response_type)}", "dim"),
           (f"  {numbers.plural(len(exchange.chunks), 'chunk')}" if exchange.chunks else "", "dim"),
           ("" if exchange.complete else f"  {cut_off}", "recovered" if is_left_early(step) else "error")]
    yield from _body_lines(exchange.response_body, "no body")


def _body_lines(body: bytes | None, instead: str) -> Iterator[Line]:
    if body is None:
        yield [(f"({line(instead)})", "dim")]
        return
    value = parsed(body)
    if isinstance(value, str):
        text = safe(value)
    elif isinstance(value, dict) and set(value) == {"base64"}:
        text = f"({numbers.size(len(body))} that are no text; --raw gives them)"
    else:
        text = json_text(value, indent=2)
    for row in text.split("\n"):
        yield [(row, "")]
