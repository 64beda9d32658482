"""What the server counts of itself, as Prometheus reads it.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

PREFIX = "otel_llm_server_"

MEANINGS: Mapping[str, tuple[str, str]] = {
    "requests_total": ("counter", "Requests answered, by protocol, signal and code."),
    "received_bytes_total": ("counter", "Bytes of request bodies after unpacking."),
    "spans_total": ("counter", "Spans that are on the tape, redelivered ones included."),
    "spans_refused_total": ("counter", "Spans of accepted requests that were no OTLP; the sender was told."),
    "not_kept_total": ("counter", "Log records and data points that were accepted and are not kept; the sender was told."),
    "genai_not_kept_total": ("counter", "Those among them, as events and metrics, that concern GenAI."),
    "refused_total": ("counter", "Requests refused, by reason."),
    "requests_in_flight": ("gauge", "Requests under way."),
    "in_flight_bytes": ("gauge", "Bytes of bodies under way."),
    "spool_bytes": ("gauge", "Bytes of segments in the spool, indexed or not."),
    "index_lag_seconds": ("gauge", "Seconds since the store had taken in all of the spool."),
    "tape_writable": ("gauge", "0 from a failed write to the next that succeeds, else 1."),
    "start_time_seconds": ("gauge", "When the server started, in seconds since 1970."),
}

Labels = tuple[tuple[str, str], ...]


class Counters:
    """Numbers that only grow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, Labels]] = Counter()

    def add(self, name: str, count: int = 1, **labels: str) -> None:
        """Count one more, or `count` more, under these labels."""
        with self._lock:
            self._counts[name, tuple(sorted(labels.items()))] += count

    def text(self, gauges: Mapping[str, float]) -> str:
        """All of it in Prometheus's text format, together with what is measured now."""
        with self._lock:
            counts = dict(self._counts)
        lines: list[str] = []
        for name, (kind, meaning) in MEANINGS.items():
            found = sorted((labels, value) for (of, labels), value in counts.items() if of == name)
            values: list[tuple[Labels, float]] = [((), gauges[name])] if name in gauges else [*found]
            if not values and kind == "counter":
                values = [((), 0)]
            lines += [f"# HELP {PREFIX}{name} {meaning}", f"# TYPE {PREFIX}{name} {kind}"]
            lines += [f"{PREFIX}{name}{_shown(labels)} {value:.17g}" for labels, value in values]
        return "\n".join(lines) + "\n"


def _shown(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
