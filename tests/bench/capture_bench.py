"""What recording costs in the caller's thread: CPU added a call, against a bare span.

Method. One process, one thread; the real openai SDK over its HTTP library with an in-memory transport, so that no server and
no socket take part. Three ways to make the same call are interleaved in rounds (A B C A B C …): bare; *floor*, a bare
OpenTelemetry span with 15 attributes and 2 JSON attributes around the call, no exporter; and ours, with the tape on
(`init()`: request frame, response frame and span frame are written to a real file). `time.thread_time_ns()` around every
batch; the figure is the median over the rounds of the difference to the bare batch of the same round, a call.

    python tests/bench/capture_bench.py [--rounds 40] [--profile WORKLOAD]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

import otel_llm

try:
    import httpx2 as http
except ImportError:
    import httpx as http  # type: ignore[no-redef]

PLAIN = TracerProvider(shutdown_on_exit=False).get_tracer("floor")
ATTRIBUTES: dict[str, Any] = {f"some.attribute.name_{n}": ("text value", n, 0.5)[n % 3] for n in range(15)}


def chat(text: str = "Hello there, how can I help?", **fields: Any) -> bytes:
    return json.dumps({
        "id": "chatcmpl-123", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20,
                  "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}},
        **fields}).encode()


def response() -> bytes:
    return json.dumps({
        "id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-4o-mini-2024-07-18", "status": "completed",
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": "Hello there", "annotations": []}]}],
        "usage": {"input_tokens": 12, "output_tokens": 8, "total_tokens": 20, "input_tokens_details": {"cached_tokens": 0},
                  "output_tokens_details": {"reasoning_tokens": 0}}}).encode()


def stream(chunks: int) -> list[bytes]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18",
            "system_fingerprint": "fp_1"}
    events = [{**head, "choices": [{"index": 0, "delta": {"content": f"word{n} "}, "logprobs": None, "finish_reason": None}]}
              for n in range(chunks)]
    events.append({**head, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]})
    return [b"data: " + json.dumps(e, separators=(",", ":")).encode() + b"\n\n" for e in events] + [b"data: [DONE]\n\n"]


EMBEDDING = json.dumps({
    "object": "list", "model": "text-embedding-3-small", "data": [{"object": "embedding", "index": 0, "embedding": [0.1] * 64}],
    "usage": {"prompt_tokens": 5, "total_tokens": 5}}).encode()
STREAM = stream(500)


class Chunks(http.SyncByteStream):  # type: ignore[misc,name-defined]
    def __iter__(self) -> Any:
        yield from STREAM


def answer(request: Any) -> Any:
    path = request.url.path
    if path.endswith("/responses"):
        return http.Response(200, content=response(), headers={"content-type": "application/json"})
    if path.endswith("/embeddings"):
        return http.Response(200, content=EMBEDDING, headers={"content-type": "application/json"})
    if b'"stream":true' in request.content:
        return http.Response(200, stream=Chunks(), headers={"content-type": "text/event-stream"})
    return http.Response(200, content=chat(), headers={"content-type": "application/json"})


CLIENT = openai.OpenAI(api_key="k", base_url="http://provider/v1", http_client=http.Client(transport=http.MockTransport(answer)))
SMALL = [{"role": "user", "content": "Hello, who are you?"}]
HISTORY = [{"role": ("user", "assistant")[n % 2], "content": "words of a long history " * 21} for n in range(200)]
IMAGE = [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, {
    "type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo" * 454_546}}]}]


def one_chat() -> None:
    CLIENT.chat.completions.create(model="gpt-4o-mini", messages=SMALL)  # type: ignore[arg-type]


def one_response() -> None:
    CLIENT.responses.create(model="gpt-4o-mini", input="Hello, who are you?")


def one_embedding() -> None:
    CLIENT.embeddings.create(model="text-embedding-3-small", input="some words", encoding_format="float")


def one_history() -> None:
    CLIENT.chat.completions.create(model="gpt-4o-mini", messages=HISTORY)  # type: ignore[arg-type]


def one_stream() -> None:
    for _ in CLIENT.chat.completions.create(model="gpt-4o-mini", messages=SMALL, stream=True):  # type: ignore[arg-type]
        pass


def one_image() -> None:
    CLIENT.chat.completions.create(model="gpt-4o-mini", messages=IMAGE)  # type: ignore[arg-type]


def nested(step: Callable[[str], Any]) -> None:
    """12 spans: a workflow, an agent, five tools, five calls."""
    with step("workflow"), step("agent"):
        for _ in range(5):
            one_chat()
            with step("tool"):
                pass


def floor(call: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        with PLAIN.start_as_current_span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes=ATTRIBUTES) as span:
            call()
            span.set_attribute("input", json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hello, who are you?"}]}]))
            span.set_attribute("output", json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Hello there"}]}]))

    return run


def floor_step(name: str) -> Any:
    return PLAIN.start_as_current_span(name, attributes=ATTRIBUTES)


WORKLOADS: dict[str, tuple[Callable[[], None], Callable[[], None], Callable[[], None], int]] = {}
for _name, _call, _count in (("chat small", one_chat, 60), ("responses small", one_response, 60), ("embeddings", one_embedding, 60),
                             ("history 100 KB", one_history, 10), ("stream of 500 chunks", one_stream, 3),
                             ("image 5 MB", one_image, 2)):
    WORKLOADS[_name] = (_call, floor(_call), _call, _count)


def bare_nested() -> None:
    for _ in range(5):
        one_chat()


def floor_nested() -> None:
    global one_chat
    with floor_step("workflow"), floor_step("agent"):
        for _ in range(5):
            floor(one_chat)()
            with floor_step("tool"):
                pass


def our_nested() -> None:
    nested(lambda kind: getattr(otel_llm, kind)("x"))


WORKLOADS["nested, 12 spans"] = (bare_nested, floor_nested, our_nested, 10)


def batch(call: Callable[[], None], count: int) -> float:
    """Microseconds of this thread's CPU a call."""
    start = time.thread_time_ns()
    for _ in range(count):
        call()
    return (time.thread_time_ns() - start) / count / 1000


def measure(name: str, rounds: int, directory: Path) -> tuple[float, float, float]:
    """Medians of: the bare call, what the floor adds, what we add (µs a call)."""
    bare_call, floor_call, our_call, count = WORKLOADS[name]
    bare, floors, ours = [], [], []
    for warm_up in range(rounds + 2):
        base = batch(bare_call, count)
        with_floor = batch(floor_call, count)
        otel_llm.init(store=directory, index=False)
        our_call()
        with_ours = batch(our_call, count)
        otel_llm.shutdown()
        if warm_up >= 2:
            bare.append(base)
            floors.append(with_floor - base)
            ours.append(with_ours - base)
        for segment in (directory / "spool").glob("*.seg"):
            segment.unlink()
    return statistics.median(bare), statistics.median(floors), statistics.median(ours)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=40)
    arguments.add_argument("--profile", metavar="WORKLOAD", help="profile our side of one workload instead")
    options = arguments.parse_args()
    trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    with tempfile.TemporaryDirectory() as place:
        if options.profile:
            import cProfile

            otel_llm.init(store=place, index=False)
            call = WORKLOADS[options.profile][2]
            call()
            cProfile.runctx("for _ in range(2000): call()", {"call": call}, {}, sort="tottime")
            return
        print("| workload | bare call µs | floor adds µs | ours adds µs | ratio to floor |")
        print("|---|---|---|---|---|")
        for name in WORKLOADS:
            bare, floors, ours = measure(name, options.rounds, Path(place))
            print(f"| {name} | {bare:.0f} | {floors:.0f} | {ours:.0f} | {ours / floors:.2f} |", flush=True)


if __name__ == "__main__":
    main()
