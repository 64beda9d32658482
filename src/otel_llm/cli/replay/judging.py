"""A judge's way to its model: confirmed where it may cost money, with a key of its own origin, recorded like any other call.

All that the judges of one run are asked stands in one session, `judge-…`, so that it can be looked at and priced.
"""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from otel_llm.cli.app import App
from otel_llm.cli.output import is_interactive, note
from otel_llm.replay.requests.credentials import credential, is_loopback, origin_of, show_origin
from otel_llm.text import numbers
from otel_llm.text.safe import line
from otel_llm.values.call import Usage
from otel_llm.values.errors import ConfigError
from otel_llm.values.session import Step

BASE_URL = "https://api.openai.com/v1"
FRAME_TOKENS = 250
"""What the rubric and the frame of the question come to, about."""
VERDICT_TOKENS = 120
TIMEOUT_S = 90.0


class Judges:
    """The judges of one run. `client` is what they ask with, inside `asking()`."""

    def __init__(self, app: App, models: Sequence[str]) -> None:
        self._app, self.models = app, tuple(models)
        self._client: Any = None
        if models and importlib.util.find_spec("openai") is None:
            raise ConfigError("--check judge needs the openai SDK: pip install openai")

    def client(self) -> Any:
        """The SDK's client."""
        assert self._client is not None, "judges are asked inside asking()"
        return self._client

    @contextmanager
    def asking(self, calls: Sequence[Step], *, is_confirmed: bool) -> Iterator[None]:
        """The judges can be asked about these calls.

        Raises `ConfigError` when nobody confirmed, `NotReplayable` without a key.
        """
        if not self.models or not calls:
            yield
            return
        base_url = self._app.environ.get("OPENAI_BASE_URL", "").strip() or BASE_URL
        key = credential(base_url, self._app.environ)
        self._agree(base_url, calls, is_confirmed=is_confirmed)
        session_id = f"judge-{secrets.token_hex(8)}"
        with self._recorded(), self._session(session_id):
            import openai

            with openai.OpenAI(base_url=base_url, api_key=key or "none", timeout=TIMEOUT_S) as self._client:
                yield
        note(f"What the judge was asked: otel-llm show {session_id}")

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """This process records into the store, unless it does already."""
        import otel_llm
        from otel_llm import _setup

        if _setup.recorder() is not None:
            yield
            return
        otel_llm.init(store=self._app.store_place())
        try:
            yield
        finally:
            otel_llm.shutdown()

    @contextmanager
    def _session(self, session_id: str) -> Iterator[None]:
        import otel_llm

        with otel_llm.session(session_id, tags={"purpose": "judge"}):
            yield

    def _agree(self, base_url: str, calls: Sequence[Step], *, is_confirmed: bool) -> None:
        """Say what it comes to, and ask where somebody may be paid for it."""
        origin = origin_of(base_url)
        what = (f"{numbers.plural(len(calls) * len(self.models), 'question')} to {', '.join(map(line, self.models))} "
                f"at {show_origin(origin)}")
        price = self._estimate(origin[1], origin[2], calls)
        about = "What it costs is unknown." if price is None else f"It costs about {numbers.cost(price)}."
        note(f"Judging: {what}. {about}")
        if is_loopback(origin) or is_confirmed:
            return
        if not is_interactive():
            raise ConfigError(f"Nothing was asked, because nobody confirmed: {what}. {about} Give --yes to ask.")
        click.confirm("Ask?", default=False, err=True, abort=True)

    def _estimate(self, host: str, port: int, calls: Sequence[Step]) -> int | None:
        """Pico-USD by the tokens that were recorded; None when a price or the tokens are unknown."""
        from otel_llm.capture.providers import provider_of

        provider = provider_of(host, port, self._app.settings.providers)
        total = 0
        for model in self.models:
            for step in calls:
                into, out = step.usage.input_tokens, step.usage.output_tokens
                if into is None or out is None:
                    return None
                cost = self._app.price(provider, model, Usage(into + 2 * out + FRAME_TOKENS, VERDICT_TOKENS))
                if cost is None:
                    return None
                total += cost.total
        return total
