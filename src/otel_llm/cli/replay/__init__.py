"""`otel-llm replay …`: what is done with recorded calls; the sub-verbs stand in `otel_llm.cli.verbs.REPLAY_VERBS`."""

from __future__ import annotations

from otel_llm.cli.verbs import REPLAY_VERBS, VerbGroup

replay = VerbGroup(
    "replay",
    REPLAY_VERBS,
    help="Send recorded calls again, unchanged or with another model or parameters, and compare the answers.",
)
