"""Rules on what gets lost on the way: limits that refuse, queues that forget, retries that end."""

from __future__ import annotations

from collections.abc import Iterator

from otel_llm.collector_config.ends import MAX_BYTES, MAX_MIB
from otel_llm.collector_config.pipelines import Config, seconds, type_of
from otel_llm.collector_config.reading import Node

Said = Iterator[tuple[int, str]]

SENDING = ("otlp", "otlp_grpc", "otlphttp", "otlp_http", "clickhouse")
SAMPLERS = ("tail_sampling", "probabilistic_sampler")


def small_limit(config: Config) -> Said:
    """gRPC refuses 4 MiB, and five prompts of a megabyte in one batch are more."""
    for name, node in config.of_type("receivers", "otlp"):
        for protocol, key, least, default in (("grpc", "max_recv_msg_size_mib", MAX_MIB, "4 MiB"),
                                              ("http", "max_request_body_size", MAX_BYTES, "20 MiB")):
            protocols = node.get("protocols")
            found = protocols.get(protocol) if protocols else None
            if found is None:
                continue
            given = found.said(key)
            if not given.isdigit() or int(given) < least:
                said = f"is {given}" if given else f"is not set, which means {default}"
                line = found.map[key].line if key in found.map else found.line
                yield line, (f"receivers.{name}: {protocol}.{key} {said}; a request with long prompts is refused whole. "
                             f"Set {key}: {least}.")


def forgetful_queue(config: Config) -> Said:
    """A queue in memory ends with the process."""
    for name, node, queue in _queues(config):
        if _is_off(queue):
            line = queue.line if queue else node.line
            yield line, (f"exporters.{name}: without a queue every pause of the backend goes back to the senders; enable "
                         "sending_queue.")
        elif queue is None or not queue.said("storage"):
            yield queue.line if queue else node.line, (
                f"exporters.{name}: the queue lies in memory and is lost with the process; set sending_queue.storage to a "
                "file_storage extension.")


def dropping_queue(config: Config) -> Said:
    """A full queue drops, and a queue that counts requests says nothing about bytes."""
    for name, _, queue in _queues(config):
        if queue is None or _is_off(queue):
            continue
        if queue.said("block_on_overflow") != "true":
            yield queue.line, f"exporters.{name}: a full queue drops spans; set sending_queue.block_on_overflow: true."
        if queue.said("sizer") != "bytes":
            yield queue.line, (f"exporters.{name}: the queue counts requests, of which one may be a kilobyte or 64 MiB; set "
                               "sending_queue.sizer: bytes and queue_size to what the disk has.")


def retry_ends(config: Config) -> Said:
    """By default a retry gives up after five minutes."""
    for name, node in config.of_type("exporters", *SENDING):
        retry = node.get("retry_on_failure")
        if retry is not None and retry.said("enabled") == "false":
            yield retry.line, f"exporters.{name}: what fails once is dropped; enable retry_on_failure with max_elapsed_time: 0."
            continue
        given = retry.said("max_elapsed_time") if retry else ""
        if seconds(given or "300s") != 0:
            said = f"after {given}" if given else "after 300 s, the default,"
            line = retry.line if retry else node.line
            yield line, f"exporters.{name}: {said} spans are dropped; set retry_on_failure.max_elapsed_time: 0."


def sampled_store(config: Config) -> Said:
    """The replay store wants everything."""
    for name, node in config.defined["exporters"].items():
        if "replay" not in name:
            continue
        for pipeline in config.leading_to(name):
            sampler = next((p for p, _ in config.passed(pipeline) if type_of(p) in SAMPLERS), None)
            if sampler:
                yield node.line, (f"exporters.{name} stands behind {sampler} (pipeline {pipeline.name}): the replay store would "
                                  "miss calls. Let it branch off before the sampler.")


def _queues(config: Config) -> Iterator[tuple[str, Node, Node | None]]:
    for name, node in config.of_type("exporters", *SENDING):
        yield name, node, node.get("sending_queue")


def _is_off(queue: Node | None) -> bool:
    return queue is not None and queue.said("enabled") == "false"
