"""Configurations of the OpenTelemetry Collector: written from choices, and checked for usual mistakes.

`render(Choices(…))` is the text of a file that the Collector reads. `check(text)` finds what in such a file would lose or show
spans. Writing needs no library; reading needs PyYAML (the extra `collector`).
"""

from otel_llm.collector_config.choices import CONTENT, Choices, Ports
from otel_llm.collector_config.render import render

__all__ = ["CONTENT", "Choices", "Ports", "render"]
