"""What goes wrong with collector configurations for LLM spans, as a table of rules.

Each rule looks at the whole configuration and yields what it finds, with the line and the remedy. They are the mistakes that
cost spans, show content, or give wrong numbers, and that `otelcol validate` lets pass; the few that it would refuse as well are
here because they can be said better, and without a binary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from otel_llm.collector_config import delivery, exposure, measuring, structure
from otel_llm.collector_config.pipelines import Config, config_of
from otel_llm.collector_config.reading import NotReadable, read

Said = Iterator[tuple[int, str]]

RULES: dict[str, Callable[[Config], Said]] = {
    "section": structure.sections,
    "undefined": structure.undefined,
    "unused": structure.unused,
    "one-sided": structure.one_sided,
    "renamed": structure.renamed,
    "legacy-batch": structure.legacy_batch,
    "memory-limiter": structure.memory_limiter,
    "small-limit": delivery.small_limit,
    "forgetful-queue": delivery.forgetful_queue,
    "dropping-queue": delivery.dropping_queue,
    "retry-ends": delivery.retry_ends,
    "sampled-store": delivery.sampled_store,
    "empty-header": exposure.empty_header,
    "secret": exposure.secret,
    "clear-secret": exposure.clear_secret,
    "open-door": exposure.open_door,
    "raw-body": exposure.raw_body,
    "sampled-metrics": measuring.sampled_metrics,
    "id-dimension": measuring.id_dimension,
    "short-buckets": measuring.short_buckets,
    "hasty-sampler": measuring.hasty_sampler,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake. `line` is None where the collector's own check does not say it."""

    line: int | None
    rule: str
    message: str


def check(text: str) -> list[Finding]:
    """What is wrong with a configuration, by line."""
    try:
        root = read(text)
    except NotReadable as error:
        return [Finding(error.line, "yaml", f"This is {error}." if str(error).startswith("no ") else f"{error}.".capitalize())]
    config = config_of(root)
    found = [Finding(line, rule, message) for rule, look in RULES.items() for line, message in look(config)]
    return sorted(found, key=lambda f: (f.line or 0, f.rule, f.message))
