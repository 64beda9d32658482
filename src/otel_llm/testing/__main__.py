"""`python -m otel_llm.testing`: the simulator in the foreground, for programs that only need a base URL."""

import argparse
import signal
import threading

from .server import Simulator


def main() -> int:
    """Print the base URL and serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m otel_llm.testing", description="Serve a simulated LLM provider.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--latency-ms", type=float, default=0, help="wait before each answer")
    parser.add_argument("--chunk-delay-ms", type=float, default=0, help="wait between the parts of a stream")
    options = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        simulator = Simulator(
            options.latency_ms / 1000, options.chunk_delay_ms / 1000, port=options.port, keep_exchanges=100
        )
    except OSError as error:
        parser.error(f"cannot listen on port {options.port}: {error.strerror}. Choose another --port, or 0 for any.")
    with simulator:
        print(simulator.base_url, flush=True)
        stopped.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
