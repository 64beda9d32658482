"""What recording adds to the start of a program: CPU of the whole process, against the bare OpenTelemetry SDK.

Method. Three programs make one call through the openai SDK (in-memory transport, no socket) and end: *bare*; *sdk*, which
installs a tracer provider with a batch processor and an OTLP/HTTP exporter and puts a span around the call; and *ours*,
`otel_llm.init()`. Each is a fresh interpreter with compiled modules; user plus system time of the child as the kernel
counts it; the three take turns. All leave by `os._exit`, so that neither the end of the interpreter nor the exporter's
last attempts are in the figure. The figure is the median of the difference to the bare program of the same round.

    python tests/bench/cold_start_bench.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

CALL = """
import openai
try:
    import httpx2 as http
except ImportError:
    import httpx as http
import json
body = json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).encode()
client = openai.OpenAI(api_key="k", base_url="http://provider/v1", http_client=http.Client(transport=http.MockTransport(
    lambda request: http.Response(200, content=body, headers={"content-type": "application/json"}))))
def call():
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}])
"""
END = """
import os; os._exit(0)
"""
PROGRAMS = {
    "bare": CALL + "call()\n" + END,
    "sdk": """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint="http://127.0.0.1:9/v1/traces")))
trace.set_tracer_provider(provider)
""" + CALL + """
with trace.get_tracer("bench").start_as_current_span("chat"):
    call()
""" + END,
    "ours": "import otel_llm; otel_llm.init()\n" + CALL + "call()\n" + "otel_llm.flush()\n" + END,
}


def cpu_ms(program: str, store: str) -> float:
    """Milliseconds of CPU that the program takes, user and system."""
    process = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "OTEL_LLM_STORE": store})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return (usage.ru_utime + usage.ru_stime) * 1000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=15)
    rounds = arguments.parse_args().rounds
    added: dict[str, list[float]] = {"sdk": [], "ours": []}
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as store:
        for number in range(rounds + 1):
            figures = {name: cpu_ms(program, store) for name, program in PROGRAMS.items()}
            if number:
                bare.append(figures["bare"])
                for name, values in added.items():
                    values.append(figures[name] - figures["bare"])
    sdk, ours = (statistics.median(added[name]) for name in ("sdk", "ours"))
    print("| program | CPU ms |\n|---|---|")
    print(f"| bare | {statistics.median(bare):.0f} |\n| OTel SDK with OTLP exporter adds | {sdk:.0f} |\n| otel-llm adds | {ours:.0f} |")
    print(f"| ratio | {ours / sdk:.2f} |")


if __name__ == "__main__":
    main()
