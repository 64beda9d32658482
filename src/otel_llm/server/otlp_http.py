"""OTLP over HTTP: POST /v1/traces, /v1/logs and /v1/metrics, in protobuf or JSON, answered in the same.

A body is read as it comes and held to its limit. One that is too large is read to its end all the same, up to a bound, and
thrown away: a sender that is still writing would not hear an answer.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from otel_llm.server.limits import MIB, Limits, Share
from otel_llm.server.reception import Reception, Taken
from otel_llm.server.refusals import SLOW, TOO_LARGE, TYPE, Refused
from otel_llm.server.signals import Signal

PROTOBUF, JSON = "application/x-protobuf", "application/json"
DRAINED = 256 * MIB
"""Bytes of an oversized body that are read and thrown away."""

Handler = Callable[[Request], Awaitable[Response]]


def handler(signal: Signal, reception: Reception) -> Handler:
    """The endpoint of one signal."""

    async def export(request: Request) -> Response:
        kind = _type_of(request)
        code = 200
        try:
            taken = await _take(request, signal, reception, kind)
            return answer(taken, signal, kind)
        except Refused as refused:
            code = refused.kind.status
            reception.counters.add("refused_total", signal=signal.name, reason=refused.kind.reason)
            return refusal(refused, kind)
        except ClientDisconnect:
            code = 499
            return Response(status_code=400)
        except BaseException:
            code = 500
            raise
        finally:
            reception.counters.add("requests_total", protocol="http", signal=signal.name, code=str(code))

    return export


async def _take(request: Request, signal: Signal, reception: Reception, kind: str) -> Taken:
    if kind not in (PROTOBUF, JSON):
        raise Refused(TYPE, f"Content-Type {kind[:80]!r} is not known here; use {PROTOBUF} or {JSON}.")
    with reception.gate.enter() as share:
        body = await _read(request, reception.limits, share)
        coding = request.headers.get("content-encoding", "")
        return await reception.run(partial(reception.take, signal, body, coding=coding, is_json=kind == JSON))


async def _read(request: Request, limits: Limits, share: Share) -> bytes:
    """The whole body as it came over the wire. Raises `Refused`."""
    length = request.headers.get("content-length", "")
    declared = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0
    held, size = io.BytesIO(), 0
    is_large = declared > limits.body_bytes
    try:
        async with asyncio.timeout(limits.read_s):
            async for chunk in request.stream():
                size += len(chunk)
                is_large = is_large or size > limits.body_bytes
                if not is_large:
                    share.hold(len(chunk))
                    held.write(chunk)
                elif max(size, declared) > DRAINED:
                    break
                else:
                    held = io.BytesIO()
    except TimeoutError:
        raise Refused(SLOW, f"After {limits.read_s:g} s only {size} bytes of the body had come; send it again.") from None
    if is_large:
        size = max(size, declared)
        raise Refused(TOO_LARGE, f"The body of {size} bytes is larger than {limits.body_bytes}; send smaller batches.")
    return held.getvalue()


def _type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def answer(taken: Taken, signal: Signal, kind: str) -> Response:
    """A success in the request's format."""
    if kind == JSON:
        partial_success = {"partialSuccess": {signal.rejected: str(taken.rejected), "errorMessage": taken.message}}
        return Response(json.dumps(partial_success if taken.message else {}), media_type=JSON)
    return Response(success(taken), media_type=PROTOBUF)


def success(taken: Taken) -> bytes:
    """The response message. Those of all three signals have the same fields by number."""
    if not taken.message:
        return b""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = taken.rejected
    response.partial_success.error_message = taken.message
    return bytes(response.SerializeToString())


def refusal(refused: Refused, kind: str = JSON) -> Response:
    """A failure as a `google.rpc.Status` in the request's format, JSON where that is not known."""
    headers = {} if refused.kind.retry_after_s is None else {"retry-after": str(refused.kind.retry_after_s)}
    if refused.kind.status == 401:
        headers["www-authenticate"] = "Bearer"
    if kind == PROTOBUF:
        return Response(rpc_status(refused), refused.kind.status, headers, PROTOBUF)
    body = json.dumps({"code": refused.kind.rpc_number, "message": str(refused)})
    return Response(body, refused.kind.status, headers, JSON)


def rpc_status(refused: Refused) -> bytes:
    """The refusal as a serialized `google.rpc.Status`, with a RetryInfo where sending again helps."""
    from google.protobuf.any_pb2 import Any as Packed

    details: Any = import_module("google.rpc.error_details_pb2")
    status: Any = import_module("google.rpc.status_pb2").Status(code=refused.kind.rpc_number, message=str(refused))
    if refused.kind.retry_after_s is not None:
        info = details.RetryInfo()
        info.retry_delay.seconds = refused.kind.retry_after_s
        packed = Packed()
        packed.Pack(info)
        status.details.append(packed)
    return bytes(status.SerializeToString())
